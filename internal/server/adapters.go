package server

import (
	"context"
	"fmt"
	"io"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/cloudwatch"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/smruntime"
)

// objects is S3 for the other services: the same operations, checks included,
// without the wire. The gateway is set once all services exist.
type objects struct{ gateway *awsapi.Gateway }

func call[Out any](ctx context.Context, o *objects, as *awsapi.Caller, operation string, in any) (*Out, error) {
	return awsapi.Invoke[Out](ctx, o.gateway, as, "s3", operation, in)
}

func (o *objects) List(ctx context.Context, as *awsapi.Caller, bucket, prefix string, visit func(sagemaker.Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix}
	for {
		out, err := call[s3.ListObjectsV2Output](ctx, o, as, "ListObjectsV2", in)
		if err != nil {
			return err
		}
		for _, c := range out.Contents {
			err := visit(sagemaker.Object{Key: sagemaker.Or(c.Key, ""), ETag: sagemaker.Or(c.ETag, ""), Size: sagemaker.Or(c.Size, 0)})
			if err != nil {
				return err
			}
		}
		if out.NextContinuationToken == nil {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

func (o *objects) Get(ctx context.Context, as *awsapi.Caller, bucket, key string) (io.ReadCloser, int64, error) {
	out, err := call[s3.GetObjectOutput](ctx, o, as, "GetObject", &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return nil, 0, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	return out.Body, sagemaker.Or(out.ContentLength, 0), nil
}

func (o *objects) Head(ctx context.Context, as *awsapi.Caller, bucket, key string) (sagemaker.Object, error) {
	out, err := call[s3.HeadObjectOutput](ctx, o, as, "HeadObject", &s3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return sagemaker.Object{}, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	return sagemaker.Object{Key: key, ETag: sagemaker.Or(out.ETag, ""), Size: sagemaker.Or(out.ContentLength, 0)}, nil
}

func (o *objects) Put(ctx context.Context, as *awsapi.Caller, bucket, key string, body io.Reader, size int64) error {
	_, err := call[s3.PutObjectOutput](ctx, o, as, "PutObject", &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body, ContentLength: &size})
	if err != nil {
		return fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// measurements is CloudWatch for the other services: sagemaker.Metrics.
type measurements struct{ metrics *cloudwatch.Service }

func (m measurements) Put(ctx context.Context, namespace string, data ...sagemaker.Datum) error {
	all := make([]cloudwatch.Datum, len(data))
	for i, d := range data {
		all[i] = cloudwatch.Datum(d)
	}
	return m.metrics.Put(ctx, namespace, all...)
}

var _ sagemaker.Metrics = measurements{}

// usage is CloudWatch for the data plane: smruntime.Metrics.
type usage struct{ metrics *cloudwatch.Service }

func (u usage) Put(ctx context.Context, namespace string, data ...smruntime.Datum) error {
	all := make([]cloudwatch.Datum, len(data))
	for i, d := range data {
		all[i] = cloudwatch.Datum{Name: d.Name, Dimensions: d.Dimensions, Value: d.Value, Count: d.Count, Time: d.Time, Unit: d.Unit}
	}
	return u.metrics.Put(ctx, namespace, all...)
}

func (o *objects) Delete(ctx context.Context, as *awsapi.Caller, bucket, key string) error {
	_, err := call[s3.DeleteObjectOutput](ctx, o, as, "DeleteObject", &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}
