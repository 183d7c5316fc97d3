// Package train is the built-in image classification algorithm: a frozen
// backbone turns photos into features once, a head is trained on them, and both
// become one ONNX model.
//
// It hides the order of these steps and all that can go wrong between a folder
// of photos and a model that predicts. Run takes a job folder as a training
// container sees it (/opt/ml, under a real path):
//
//	JOB/input/config/{hyperparameters,inputdataconfig,resourceconfig}.json
//	JOB/input/data/CHANNEL/…     photos; which layouts are understood: package dataset
//	JOB/model/model.onnx         written: "image" [N,3,S,S] → "log_probabilities" [N,C]
//	JOB/model/model.json         written last: model.Info
//	JOB/output/failure           written when Run fails: why, at most 1,024 characters
//
// Its parts: dataset finds and splits the photos, features runs the backbone and
// remembers the results for all processes, head trains.
//
// # Life of a run
//
//	configured ──► data listed ──► features ──► epochs ──► test ──► model written and checked ──► done
//	     │              │             │           │                        │
//	     └──────────────┴── error ────┴───────────┴────────────────────────┴──► failure written
//	                                  │           └─ stop: the epoch is finished, then on as usual
//	                                  └─ stop: no model, no failure
//
// # What is printed
//
// On Job.Out, a line each: remarks, `progress features 512/3000`, and after every
// epoch the metrics, which a metric definition such as
// `validation:accuracy=([0-9.eE+-]+)` finds:
//
//	epoch=3 train:loss=0.123456 validation:loss=0.234567 validation:accuracy=0.950000
//	test:loss=0.250000 test:accuracy=0.938000
//
// The last epoch's weights are kept, so that the last metrics printed are the
// model's. With early stopping the best epoch's are (highest validation accuracy,
// then lowest loss), and its metrics are printed again at the end.
//
// # Photos that cannot be read
//
// Up to one photo in a hundred may be damaged: those are named and left out. If
// there are more, or a class has no other, the job fails and names them.
package train
