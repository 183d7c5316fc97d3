package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// benchClient sends signed requests with as little of its own work as
// possible: the payload is not hashed.
type benchClient struct {
	ts     *testServer
	http   *http.Client
	signer *v4.Signer
}

func newBenchClient(b *testing.B) *benchClient {
	ts := newTestServer(b, b.TempDir())
	c := &benchClient{ts: ts, signer: v4.NewSigner(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, WriteBufferSize: 256 << 10}}}
	if err := c.do(b.Context(), http.MethodPut, "/bench", nil); err != nil {
		b.Fatal(err)
	}
	return c
}

func (c *benchClient) do(ctx context.Context, method, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, c.ts.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	req.Header.Set("X-Amz-Content-Sha256", unsigned)
	keys := aws.Credentials{AccessKeyID: "ROOT", SecretAccessKey: "root-secret"}
	if err := c.signer.SignHTTP(ctx, keys, req, unsigned, "s3", "us-east-1", time.Now()); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil
}

// BenchmarkHTTP puts and gets objects over loopback, client included, beside
// the same bytes written to the same disk and flushed one file at a time.
func BenchmarkHTTP(b *testing.B) {
	for _, size := range []int{15_000, 8 << 20, 64 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		for _, clients := range []int{1, 10} {
			name := fmt.Sprintf("%dB/%d-clients", size, clients)
			b.Run("put/"+name, func(b *testing.B) {
				c := newBenchClient(b)
				each(b, clients, size, func(i int64) error {
					return c.do(b.Context(), http.MethodPut, fmt.Sprintf("/bench/%d", i), data)
				})
			})
			b.Run("get/"+name, func(b *testing.B) {
				c := newBenchClient(b)
				if err := c.do(b.Context(), http.MethodPut, "/bench/k", data); err != nil {
					b.Fatal(err)
				}
				each(b, clients, size, func(int64) error { return c.do(b.Context(), http.MethodGet, "/bench/k", nil) })
			})
			b.Run("disk/"+name, func(b *testing.B) {
				dir := b.TempDir()
				each(b, clients, size, func(i int64) error { return writeFile(filepath.Join(dir, fmt.Sprint(i)), data) })
			})
		}
	}
}

func writeFile(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// BenchmarkList lists pages of 1,000 out of 100,000 keys, and 100 prefixes of
// 1,000 keys each.
func BenchmarkList(b *testing.B) {
	ts := newTestServer(b, b.TempDir())
	for dir := range 100 {
		err := ts.update(b.Context(), func(t *tables) error {
			for n := range 1000 {
				if err := t.putObject("bucket", fmt.Sprintf("%02d/%04d", dir, n), &object{ETag: "0123456789abcdef0123456789abcdef"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]query{"page": {max: 1000, after: "50/0500"}, "prefixes": {max: 1000, delimiter: "/"}} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				err := ts.view(b.Context(), func(t *tables) error { _, err := list(t.keys("bucket"), q); return err })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// each runs fn b.N times from some goroutines.
func each(b *testing.B, goroutines, size int, fn func(i int64) error) {
	b.SetBytes(int64(size))
	var next atomic.Int64
	done := make(chan error, goroutines)
	b.ResetTimer()
	for range goroutines {
		go func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := fn(i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
