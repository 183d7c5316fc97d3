// Package graph writes and reads ONNX models.
//
// It hides the ONNX protobuf encoding: callers see tensors, nodes and graphs,
// and bytes that ONNX Runtime loads. There is no protobuf library and no
// reflection below it; weights are referred to, never copied, until Marshal
// writes them into the final buffer (or WriteTo hands them to a writer).
//
//	g := graph.New("scorer", 17)
//	x := g.Input("image", graph.Float, "N", 3, 224, 224)
//	w := g.Const("conv.weight", []int64{32, 3, 3, 3}, weights)
//	y := g.Op("Conv", graph.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}, x, w)
//	y = g.Op("Relu", nil, y)
//	g.Output("features", y, graph.Float, "N", 32, 112, 112)
//	b, err := g.Marshal()
//
// Building never fails in the middle: the first mistake is kept and returned
// by Marshal, so a model reads as a straight list of operations.
//
// The same type is what Parse returns, and Append joins two graphs into one.
// The bytes are a function of the calls alone: the same calls give the same
// bytes.
//
// Not supported, and refused by Parse because dropping them would change what
// a model computes: model-local functions, sparse initialisers, weights in
// external files, attributes that refer to a function's attribute. Dropped
// silently, as they are only remarks: doc strings, metadata, training
// information, types of intermediate values, quantisation annotations.
//
// Field numbers are those of onnx.proto (github.com/onnx/onnx).
package graph
