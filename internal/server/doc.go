// Package server builds a whole Musher out of its parts and runs it: the only
// place that knows concrete types of every layer.
//
//	DATA/credentials   root's access key, as `musher env` prints it
//	DATA/endpoint      where the server listens
//	DATA/lock          held by the one server that has the folder open
//	DATA/tls/          the certificate authority and the proxy's token
//	DATA/state/        the database
//	DATA/blobs/        bytes of objects
//	DATA/runner/       what the process runner knows of its work
//	DATA/containers/   what the Docker runner knows of its work
//	DATA/jobs/NAME/    a training job: the folders of its instances and their logs
//	DATA/processing/NAME/  a processing job, likewise
//	DATA/staging/      data of channels, shared by jobs
//	DATA/runtimes.json interpreters that the user added as runtimes
//	DATA/models/       unpacked models, shared by instances
//	DATA/endpoints/    an endpoint's instances: sockets and logs
//	DATA/transforms/NAME/  a batch transform job: its log, and outputs under way
//
// Beside them `musher env --proxy` writes ca-bundle.pem, which clients trust,
// and sagemaker.yaml, a configuration of the SageMaker SDK.
//
// The cache (weights, libraries, features) lies apart from the data: it may be
// shared by servers, and removed at any time.
package server
