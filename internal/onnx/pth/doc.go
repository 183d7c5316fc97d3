// Package pth reads the weights out of a PyTorch file (torch.save of a state
// dict) without Python.
//
// It hides both file formats (the zip of PyTorch 1.6 and later, and the legacy
// sequence of pickles), pickle itself, storages shared between tensors, strides,
// and number formats. A caller gets named float32 tensors, contiguous, row by
// row, in the order of the file:
//
//	d, err := pth.Open("efficientnet-lite0.pth", pth.Limits{})
//	w, ok := d.Get("_conv_stem.weight") // w.Shape [32 3 3 3], w.Data 864 floats
//
// Reading cannot run code. Pickle's instructions are carried out on plain data
// by a small machine of this package: the handful of names that a state dict
// needs (OrderedDict, the tensor builders, the storage types) mean something,
// every other class or function becomes an inert placeholder. Whatever the file
// claims, no more memory is taken than its own size and Limits allow.
//
// A library exists (nlpodyssey/gopickle); it was not used because it allocates
// whatever length a file states, panics on views and on tar files, and ignores
// offsets and strides, all of which a file from a stranger can exploit.
//
// Understood: float, double, half and bfloat16 (all converted to float32);
// views with offset and strides; parameters; big-endian zip files; checkpoints
// that keep the state dict under "state_dict", "model" or "model_state_dict";
// the "module." prefix of DataParallel, which is removed. Tensors of integers
// (num_batches_tracked) and booleans are left out and listed in Skipped.
//
// Refused with ErrUnsupported: whole pickled modules, TorchScript, the tar
// format of PyTorch before 0.1.10, pickle protocols 0 and 1, quantised and
// sparse tensors, complex numbers, compressed zip members.
//
// Sources: torch/serialization.py and torch/_utils.py of PyTorch, pickletools.py
// of CPython.
package pth
