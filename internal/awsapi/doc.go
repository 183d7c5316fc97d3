// Package awsapi is the wire: it makes typed Go functions out of AWS calls.
//
// A service is a generated ServiceModel and a function for each operation:
//
//	s := awsapi.NewService(sagemaker.Model)
//	awsapi.Handle(s, "CreateEndpoint", h.createEndpoint, awsapi.Access(endpointAccess))
//	g := awsapi.NewGateway(awsapi.Config{…}, s3Service, iamService, s)
//	http.ListenAndServe(address, g)
//
// Handlers return (out, error); an error from Errorf reaches the client under
// its modelled code and status, any other becomes an internal failure whose
// cause only the log shows. RequestFrom tells a handler who calls, Invoke
// calls a handler inside of the process, and package awsclient calls over the
// wire.
//
// # What it hides
//
//   - Which of the services on the one port a request is for (route.go,
//     template.go), and S3's idea of a path: keys arrive exactly as sent.
//     Therefore no ServeMux and no other cleaner of paths may stand before a
//     Gateway.
//   - Signatures of version 4 in headers, URLs and chunks, and of version 2
//     for S3 (signature.go, sigv4.go, sigv2.go, chunked.go).
//   - That a body is what its sender declared (body.go): a handler which
//     stores only what ends in io.EOF never stores a damaged body.
//   - The protocols (json.go, cbor.go, rest.go with json.go or xml.go,
//     query.go), each a codec that works from plans compiled once from the
//     struct tags of the generated types (plan.go). Where clients of different
//     ages speak different protocols to one service, each request decides.
//   - Validation in the services' own words (validate.go), and what the same
//     refusal is called in each protocol (dialect.go).
//
// # Adding
//
// An operation: name it in gen/services.txt, run go generate, write the
// handler. A protocol: a type that implements codec, and a line in codecs.
package awsapi

// The service models come from a botocore wheel, of which only facts are
// taken. To regenerate the types.go of all services:
//
//	pip download --no-deps --dest /tmp/models botocore==1.44.5
//	BOTOCORE=/tmp/models/botocore-1.44.5-py3-none-any.whl go generate ./internal/awsapi
//
//go:generate go run ./gen -botocore $BOTOCORE -out ../svc
