// Package wiretest drives a gateway with real clients: boto3, and awsclient.
// Its handlers do no more than a test needs; the services' own tests are with
// the services.
package wiretest
