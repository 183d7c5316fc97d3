// Package smruntime is SageMaker Runtime: it hands a request to the data plane
// and puts the outcome into the service's words.
//
// Operations: InvokeEndpoint.
package smruntime
