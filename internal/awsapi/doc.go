package awsapi

// The service models come from a botocore wheel, of which only facts are
// taken. To regenerate the types.go of all services:
//
//	pip download --no-deps --dest /tmp/models botocore==1.44.5
//	BOTOCORE=/tmp/models/botocore-1.44.5-py3-none-any.whl go generate ./internal/awsapi
//
//go:generate go run ./gen -botocore $BOTOCORE -out ../svc
