// Package modelserver is the process behind one instance of an endpoint: it
// loads a model folder and answers for it over HTTP on a Unix socket.
//
//	err := modelserver.Run(ctx, modelserver.Config{Model: dir, Socket: path, Library: libonnxruntime})
//
// The process's life:
//
//	listening ──► loading ──► warm (one run of the network) ──► serving ──► draining ──► gone
//	 /ping 503     /ping 503                                   /ping 200    SIGTERM
//	                  └──► failed: Run returns why
//
// A photo's way, and what bounds it:
//
//	body or URL ──► decode (as many as there are cores) ──► infer (workers) ──► answer
//	  memory          first come, first served               batches, see
//	  budget          at most MaxQueue wait, else 503        package batch
//
// Decoding and inference are two stages so that one photo's decoding overlaps
// another one's inference. Tensors are the large thing in between (600 KB each):
// there is a fixed number of them, used again and again, and a photo waits for
// its decoder as the bytes that came in, not as a tensor. A request whose client
// has gone is dropped while it waits.
//
// # Requests: POST /invocations
//
//	image/*, application/x-image          a photo; which kind, its content says
//	application/json                      {"url": U} or {"b64": B}: one photo
//	                                      {"instances": [I, …]}, I = {"url": U}, {"b64": B} or "U"
//	application/octet-stream, or none     one of the above, as the first byte says
//
// # Answers
//
// One photo is answered with [[p, …]]: the log probabilities of all classes in
// the order of the model's labels, in a batch of one. The outer list is there
// because it is in the reference project: its predict_fn returns a [1, 133]
// tensor, which the toolkit's output_fn writes as nested lists, and its notebooks
// read it so (np.argmax(response, 1)). Numbers are the shortest decimals that
// give the same float32. Instances are answered with {"predictions": [[p, …], …]}.
//
// With `Accept: application/json; verbose`, or `verbose` or `top_k=5` in the
// custom attributes:
//
//	{"predictions": [{"label": L, "log_probability": p, "probability": q}, …], the best ones
//	 "log_probabilities": [p, …], "labels": [L, …]}
//
// and for instances {"predictions": [{"predictions": …, "log_probabilities": …}, …],
// "labels": …}.
//
// # Errors
//
// {"error": what, "hint": what to do}, with 400 for what cannot be understood (a
// damaged photo among it), 406, 413, 415, 424 where a URL could not be read, 503
// with Retry-After when too much waits.
//
// # URLs
//
// s3://bucket/key and the URLs of Musher's own buckets are read with the
// execution role, presigned ones as they are. Everything else goes through
// package fetch: the public Internet, and what the operator lists.
package modelserver
