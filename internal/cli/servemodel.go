package cli

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/serve/modelserver"
	"github.com/musher/musher/internal/svc/s3"
)

// serveModelCommand is the process of an endpoint's instance. Its environment is
// the instance's; in it is where to get the execution role's credentials.
type serveModelCommand struct {
	Model  string `arg:"" help:"Folder of the model." type:"path"`
	Socket string `arg:"" help:"Unix socket to listen on." type:"path"`

	FetchFrom []string `help:"Addresses, networks and hosts that are not public and yet may be fetched from." env:"MUSHER_FETCH_FROM"`
	MaxBatch  int      `help:"Photos in one run of the network." env:"MUSHER_MAX_BATCH"`
	Workers   int      `help:"Runs of the network at the same time." env:"MUSHER_BATCH_WORKERS"`
	MaxQueue  int      `help:"Photos that may wait." env:"MUSHER_MAX_QUEUE"`
}

func (c serveModelCommand) Run(ctx context.Context, g *globals) error {
	config := modelserver.Config{
		Model: c.Model, Socket: c.Socket, Library: os.Getenv(assets.ONNXRuntimeEnv),
		Workers: c.Workers, MaxBatch: c.MaxBatch, MaxQueue: c.MaxQueue, FetchFrom: c.FetchFrom,
		Log: slog.New(slog.NewTextHandler(g.err, nil)),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		config.Endpoint = endpoint
		role := awsclient.ContainerCredentials(os.Getenv(awsclient.ContainerURIEnv), os.Getenv(awsclient.ContainerTokenEnv), directClient())
		config.Objects = bucketReader{awsclient.NewFrom(endpoint, role, os.Getenv("AWS_REGION"), directClient())}
	}
	return modelserver.Run(ctx, config)
}

// directClient uses no proxy, whatever the model's own environment says: the
// endpoint is Musher itself.
func directClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 16
	return &http.Client{Transport: transport}
}

// bucketReader reads objects with the credentials of the process.
type bucketReader struct{ client *awsclient.Client }

func (b bucketReader) Get(ctx context.Context, bucket, key string) (io.ReadCloser, string, error) {
	out, err := awsclient.Do[s3.GetObjectOutput](ctx, b.client, s3.Model, "GetObject", &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return nil, "", err
	}
	contentType := ""
	if out.ContentType != nil {
		contentType = *out.ContentType
	}
	return out.Body, contentType, nil
}
