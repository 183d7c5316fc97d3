// Package head trains a classifier on feature vectors: softmax regression, or
// a network with one hidden layer.
//
// It hides how a step of training is computed: forward pass, cross-entropy,
// gradients and the optimiser's update are one small ONNX graph of standard
// operators, built here and run by ONNX Runtime in the calling thread. The
// parameters live in two sets of buffers; a step reads one and writes the other.
//
//	            ┌──────── step graph ────────┐
//	batch ────► │ logits → loss → gradients  │ ──► loss
//	set A ────► │ parameters and moments     │ ──► set B      (next step: B → A)
//	scalars ──► └────────────────────────────┘
//
// Features are standardised with the training data's mean and deviation, which
// the finished Head has folded into its weights: it takes features as they are.
//
// Everything is a function of the configuration, its seed and the data: the same
// call gives the same weights, bit for bit, on the same machine and runtime.
//
// Conventions, where optimisers differ between libraries:
//
//	sgd    v ← momentum·v + g;  w ← w − lr·v                (as PyTorch's SGD)
//	nag    v ← momentum·v + g;  w ← w − lr·(g + momentum·v)
//	adam   Kingma and Ba, with bias correction
//	adamw  adam, and w ← (1 − lr·weight_decay)·w besides
//
// For sgd, nag and adam the weight decay is added to the gradient: g + weight_decay·w.
// Biases do not decay. The loss that is reported has no decay term.
package head
