package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func goClient(ts *testServer) *sdk.Client {
	return sdk.New(sdk.Options{
		BaseEndpoint: &ts.url, Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("ROOT", "root-secret", ""),
	})
}

func TestGoSDK(t *testing.T) {
	ts := newTestServer(t, t.TempDir())
	c, ctx := goClient(ts), t.Context()
	bucket := aws.String("go-bucket")
	if _, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 12<<20)
	rand.Read(data)
	up := manager.NewUploader(c) //nolint:staticcheck // what is in use everywhere
	if _, err := up.Upload(ctx, &sdk.PutObjectInput{Bucket: bucket, Key: aws.String("a b//ä"), Body: bytes.NewReader(data)}); err != nil {
		t.Fatal(err)
	}
	got := manager.NewWriteAtBuffer(nil)
	//nolint:staticcheck // its successor is not released as v1 yet; people use this one
	if _, err := manager.NewDownloader(c).Download(ctx, got, &sdk.GetObjectInput{Bucket: bucket, Key: aws.String("a b//ä")}); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("download: %d bytes, %v", len(got.Bytes()), err)
	}
	_, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
	var none *types.NoSuchKey
	if !errors.As(err, &none) {
		t.Errorf("a missing key: %v", err)
	}
	_, err = c.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: bucket, Key: aws.String("none")})
	var notFound *types.NotFound
	if !errors.As(err, &notFound) {
		t.Errorf("the head of a missing key: %v", err)
	}
	pages := 0
	for p := sdk.NewListObjectsV2Paginator(c, &sdk.ListObjectsV2Input{Bucket: bucket}); p.HasMorePages(); pages++ {
		page, err := p.NextPage(ctx)
		if err != nil || len(page.Contents) != 1 || *page.Contents[0].Key != "a b//ä" {
			t.Errorf("list: %+v, %v", page, err)
		}
	}
}

// TestClientGone cuts the connection in the middle of an upload.
func TestClientGone(t *testing.T) {
	ts := newTestServer(t, t.TempDir())
	ctx := t.Context()
	if _, err := invoke[CreateBucketOutput](t, ts, "CreateBucket", &CreateBucketInput{Bucket: "bucket"}); err != nil {
		t.Fatal(err)
	}
	signed, err := sdk.NewPresignClient(goClient(ts)).PresignPutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "PUT "+u.RequestURI()+" HTTP/1.1\r\nHost: "+u.Host+"\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 500_000))
	conn.Close()

	// The same upload, whole, tells that the URL was good.
	req, _ := http.NewRequestWithContext(ctx, http.MethodPut, signed.URL, strings.NewReader("whole"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
	waitForUploads(ts)
	out, err := invoke[GetObjectOutput](t, ts, "GetObject", &GetObjectInput{Bucket: "bucket", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); string(got) != "whole" || err != nil {
		t.Errorf("%.20q, %v", got, err)
	}
	checkNothingLeft(t, ts.Service, ts.dir)
}

// waitForUploads lets handlers end whose client has gone.
func waitForUploads(ts *testServer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ts.server.Config.Shutdown(ctx) //nolint:errcheck // what is left shows in the checks
}
