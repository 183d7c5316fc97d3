package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/state"
)

// helper names the part that a copy of the test binary plays.
const helper = "S3_TEST_HELPER"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(helper) {
	case "":
		os.Exit(m.Run())
	case "upload":
		err = uploadForever(os.Getenv("S3_TEST_DIR"))
	case "full":
		err = fillDisk(os.Getenv("S3_TEST_DIR"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func helperCommand(part, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"="+part, "S3_TEST_DIR="+dir)
	return cmd
}

// openGateway is the service in dir without a server around it.
func openGateway(dir string) (*Service, *awsapi.Gateway, error) {
	db, err := state.Open(path.Join(dir, "state.db"))
	if err != nil {
		return nil, nil, err
	}
	store, err := blob.Open(path.Join(dir, "blobs"))
	if err != nil {
		return nil, nil, err
	}
	svc := New(Deps{DB: db, Blobs: store, Authorizer: people{}})
	return svc, awsapi.NewGateway(awsapi.Config{Account: testAccount, Authenticator: people{}, Authorizer: people{}}, svc.API()), nil
}

func call[Out any](g *awsapi.Gateway, operation string, in any) (*Out, error) {
	return awsapi.Invoke[Out](context.Background(), g, people{}.caller("ROOT"), "s3", operation, in)
}

// uploadForever replaces ten objects again and again, from four goroutines and
// every third time in parts, and prints key and version before it begins and
// when it is acknowledged.
func uploadForever(dir string) error {
	_, g, err := openGateway(dir)
	if err != nil {
		return err
	}
	if _, err := call[CreateBucketOutput](g, "CreateBucket", &CreateBucketInput{Bucket: "bucket"}); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := 1; ; n++ {
				key := fmt.Sprintf("%d-%d", worker, n%10)
				fmt.Println("begin", key, n)
				put := putOnce
				if n%3 == 0 {
					put = putInParts
				}
				if err := put(g, key, version(key, n)); err != nil {
					fmt.Println("failed", key, err)
					return
				}
				fmt.Println("done", key, n)
			}
		})
	}
	wg.Wait()
	return nil
}

func version(key string, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s:%d ", key, n), 2000+n%5*10_000)
}

func putOnce(g *awsapi.Gateway, key string, data []byte) error {
	_, err := call[PutObjectOutput](g, "PutObject", &PutObjectInput{Bucket: "bucket", Key: key, Body: bytes.NewReader(data)})
	return err
}

func putInParts(g *awsapi.Gateway, key string, data []byte) error {
	up, err := call[CreateMultipartUploadOutput](g, "CreateMultipartUpload", &CreateMultipartUploadInput{Bucket: "bucket", Key: key})
	if err != nil {
		return err
	}
	part, err := call[UploadPartOutput](g, "UploadPart", &UploadPartInput{Bucket: "bucket", Key: key, UploadId: *up.UploadId, PartNumber: 1, Body: bytes.NewReader(data)})
	if err != nil {
		return err
	}
	_, err = call[CompleteMultipartUploadOutput](g, "CompleteMultipartUpload", &CompleteMultipartUploadInput{
		Bucket: "bucket", Key: key, UploadId: *up.UploadId,
		MultipartUpload: &CompletedMultipartUpload{Parts: []*CompletedPart{{PartNumber: new(int64(1)), ETag: part.ETag}}},
	})
	return err
}

// history is what a killed helper said about each key.
type history struct{ acknowledged, begun map[string]int }

// killDuringUploads runs the helper until it has acknowledged so many uploads.
func killDuringUploads(t *testing.T, dir string, uploads int) history {
	t.Helper()
	cmd := helperCommand("upload", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := history{map[string]int{}, map[string]int{}}
	lines := bufio.NewScanner(out)
	for done := 0; lines.Scan(); {
		var what, key string
		var n int
		fmt.Sscan(lines.Text(), &what, &key, &n)
		switch what {
		case "begin":
			h.begun[key] = n
		case "done":
			h.acknowledged[key] = n
			if done++; done == uploads {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		default:
			t.Errorf("the helper says %s", lines.Text())
		}
	}
	cmd.Wait()
	return h
}

func TestKilledDuringUploads(t *testing.T) {
	for round := range 3 {
		dir := t.TempDir()
		h := killDuringUploads(t, dir, 60+round*17)
		svc, g, err := openGateway(dir)
		if err != nil {
			t.Fatal(err)
		}
		for key, begun := range h.begun {
			checkVersion(t, g, key, h.acknowledged[key], begun)
		}
		if err := svc.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkNothingLeft(t, svc, dir)
	}
}

// checkVersion requires that a key holds a whole version, not older than the
// one that was acknowledged last.
func checkVersion(t *testing.T, g *awsapi.Gateway, key string, acknowledged, begun int) {
	t.Helper()
	out, err := call[GetObjectOutput](g, "GetObject", &GetObjectInput{Bucket: "bucket", Key: key})
	if err != nil {
		if acknowledged > 0 {
			t.Errorf("%s: version %d was acknowledged; now %v", key, acknowledged, err)
		}
		return
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	for n := acknowledged; n <= begun; n++ {
		if bytes.Equal(got, version(key, n)) {
			return
		}
	}
	t.Errorf("%s holds %.20q…, not version %d … %d", key, got, acknowledged, begun)
}

// checkNothingLeft requires that each file belongs to an object or a part.
func checkNothingLeft(t *testing.T, svc *Service, dir string) {
	t.Helper()
	owned := map[string]bool{}
	err := svc.view(t.Context(), func(tx *tables) error {
		return errors.Join(
			tx.objects.Scan(tx.tx, state.Range{}, func(_ string, o *object) (bool, error) {
				for _, id := range o.blobs() {
					owned[string(id)] = true
				}
				return true, nil
			}),
			tx.parts.Scan(tx.tx, state.Range{}, func(_ string, p *part) (bool, error) {
				owned[string(p.Blob.ID)] = true
				return true, nil
			}))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"blobs/??/*", "blobs/tmp/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range files {
			if !owned[filepath.Base(f)] {
				t.Errorf("%s belongs to nothing", f)
			}
			delete(owned, filepath.Base(f))
		}
	}
	for id := range owned {
		t.Errorf("blob %s is missing", id)
	}
}

// fillDisk runs the service on a small file system until that is full.
func fillDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		return fmt.Errorf("skip: mount: %w", err)
	}
	_, g, err := openGateway(dir)
	if err != nil {
		return err
	}
	if _, err := call[CreateBucketOutput](g, "CreateBucket", &CreateBucketInput{Bucket: "bucket"}); err != nil {
		return err
	}
	if err := putOnce(g, "big", make([]byte, 16<<20)); code(err) != "InsufficientStorage" {
		return fmt.Errorf("an object larger than the disk: %w", err)
	}
	// Small objects fill the last pages, so that the database meets the end too.
	kept := 0
	for ; err == nil && kept < 1000; kept++ {
		err = putOnce(g, fmt.Sprint(kept), make([]byte, 20_000))
	}
	if kept--; code(err) != "InsufficientStorage" || kept < 50 {
		return fmt.Errorf("after %d objects: %w", kept, err)
	}
	for i := range kept {
		if _, err := call[HeadObjectOutput](g, "HeadObject", &HeadObjectInput{Bucket: "bucket", Key: fmt.Sprint(i)}); err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "blobs/tmp/*")); len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	return nil
}

func TestDiskFull(t *testing.T) {
	cmd := helperCommand("full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.HasPrefix(string(out), "skip: ") {
		t.Skipf("no small file system can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestReadersSeeWholeVersions reads, copies and lists one key while it is
// replaced and deleted.
func TestReadersSeeWholeVersions(t *testing.T) {
	ts := newTestServer(t, t.TempDir())
	if _, err := invoke[CreateBucketOutput](t, ts, "CreateBucket", &CreateBucketInput{Bucket: "bucket"}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for n := range 40 {
				put := putOnce
				if n%2 == w {
					put = putInParts
				}
				if err := put(ts.gateway, "k", version("k", n)); err != nil {
					t.Error(err)
				}
				if n%10 == 9 {
					if _, err := call[DeleteObjectOutput](ts.gateway, "DeleteObject", &DeleteObjectInput{Bucket: "bucket", Key: "k"}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := readOnce(ts.gateway); err != nil && code(err) != "NoSuchKey" {
					t.Error(err)
				}
				_, err := call[CopyObjectOutput](ts.gateway, "CopyObject", &CopyObjectInput{Bucket: "bucket", Key: "copy", CopySource: "bucket/k"})
				if err != nil && code(err) != "NoSuchKey" {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	checkNothingLeft(t, ts.Service, ts.dir)
}

// readOnce reads the object and holds its bytes against its ETag.
func readOnce(g *awsapi.Gateway) error {
	out, err := call[GetObjectOutput](g, "GetObject", &GetObjectInput{Bucket: "bucket", Key: "k"})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return err
	}
	sum := md5.Sum(data)
	want := quoted(fmt.Sprintf("%x", sum))
	if strings.Contains(*out.ETag, "-") {
		want = quoted(multipartETag(func() []byte { s := md5.Sum(sum[:]); return s[:] }(), 1))
	}
	if *out.ETag != want || int64(len(data)) != *out.ContentLength {
		return fmt.Errorf("%d of %d bytes with ETag %s, want %s", len(data), *out.ContentLength, want, *out.ETag)
	}
	return nil
}
