// Package awsclient calls AWS services over the same models that package
// awsapi serves them with. It hides signing, encoding and retries; errors of
// the service come back as *awsapi.Error.
//
//	c := awsclient.New("http://127.0.0.1:4566", creds, "us-east-1", nil)
//	out, err := awsclient.Do[s3.PutObjectOutput](ctx, c, s3.Model, "PutObject", &s3.PutObjectInput{…})
//
// A streaming body is sent unsigned, with its length, and is sent again after
// a failure only if it is an io.Seeker.
package awsclient
