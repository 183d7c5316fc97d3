package chaos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/musher/musher/test/musher"
)

// ledger is what clients were told.
type ledger struct {
	mu    sync.Mutex
	acked map[string][32]byte // key → sum of the bytes that were acknowledged
	tried map[string]bool
}

func (l *ledger) try(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[key] = true
}

func (l *ledger) ack(key string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[key] = sha256.Sum256(data)
}

// content is the bytes of a key: whoever reads it can tell whether it is whole.
func content(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	rng := rand.New(rand.NewChaCha8(sum)) //nolint:gosec // test data
	data := make([]byte, 100+rng.IntN(300_000))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// TestKillDuringUploads: every object that was acknowledged is there with its
// bytes; one that was not is whole or absent. Multipart uploads too.
func TestKillDuringUploads(t *testing.T) {
	srv := musher.New(t, musher.WithoutAssets())
	at := newMoments(t)
	lab := srv.Lab(t)
	book := &ledger{acked: map[string][32]byte{}, tried: map[string]bool{}}
	for round := range rounds(6) {
		ctx, stop := context.WithCancel(context.Background())
		var clients sync.WaitGroup
		for c := range 4 {
			clients.Go(func() { uploadAll(ctx, lab, book, fmt.Sprintf("round-%d/client-%d", round, c)) })
		}
		at.wait(400 * time.Millisecond)
		srv.Kill()
		stop()
		clients.Wait()
		srv.Restart()
		checkLedger(t, lab, book)
	}
	if len(book.acked) == 0 {
		t.Error("no upload was ever acknowledged: this test shows nothing")
	}
	t.Logf("%d uploads acknowledged of %d tried", len(book.acked), len(book.tried))
}

// uploadAll puts objects until the server or the test stops it: each third one
// in parts.
func uploadAll(ctx context.Context, lab *musher.Lab, book *ledger, prefix string) {
	client := lab.S3()
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s/%03d", prefix, i)
		data := content(key)
		book.try(key)
		put := putWhole
		if i%3 == 2 {
			put = putParts
		}
		if put(ctx, client, lab.Bucket, key, data) != nil {
			return
		}
		book.ack(key, data)
	}
}

func putWhole(ctx context.Context, client *s3.Client, bucket, key string, data []byte) error {
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)})
	return err
}

// putParts uploads in one part; the bytes are too few for several.
func putParts(ctx context.Context, client *s3.Client, bucket, key string, data []byte) error {
	up, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	part, err := client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(data)})
	if err != nil {
		return err
	}
	_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &bucket, Key: &key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}},
	})
	return err
}

func checkLedger(t *testing.T, lab *musher.Lab, book *ledger) {
	t.Helper()
	client := lab.S3()
	listed := map[string]bool{}
	for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &lab.Bucket}); pages.HasMorePages(); {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			listed[*o.Key] = true
		}
	}
	for key := range book.acked {
		if !listed[key] {
			t.Errorf("%s was acknowledged and is not listed", key)
		}
	}
	for key := range book.tried {
		got, err := read(client, lab.Bucket, key)
		var none *types.NoSuchKey
		_, acked := book.acked[key]
		switch {
		case errors.As(err, &none) && !acked && !listed[key]:
		case err != nil:
			t.Errorf("%s (acknowledged: %v, listed: %v): %v", key, acked, listed[key], err)
		case !bytes.Equal(got, content(key)):
			t.Errorf("%s (acknowledged: %v) holds %d other bytes", key, acked, len(got))
		}
	}
}

func read(client *s3.Client, bucket, key string) ([]byte, error) {
	out, err := client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}
