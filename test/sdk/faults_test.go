package sdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"golang.org/x/sys/unix"

	"github.com/musher/musher/test/musher"
)

func asError[E error](err error, to *E) bool { return errors.As(err, to) }

// bomb is a PNG of a few bytes that says it has 60,000 x 60,000 pixels.
func bomb(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(data))) //nolint:errcheck,gosec // a buffer takes all
		body := append([]byte(kind), data...)
		b.Write(body)
		binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body)) //nolint:errcheck // a buffer takes all
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 60_000), 60_000)
	chunk("IHDR", append(head, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte{0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1})
	chunk("IEND", nil)
	return b.Bytes()
}

// TestFaultyData: what can be wrong with data and hyperparameters, each in a
// job of the real algorithm.
func TestFaultyData(t *testing.T) {
	t.Parallel()
	srv := musher.New(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	good := musher.Pictures(t, 1, 12)
	with := func(name string, data []byte) map[string][]byte {
		files := map[string][]byte{name: data}
		for k, v := range good {
			files[k] = v
		}
		return files
	}
	only := func(keep func(path string) bool) map[string][]byte {
		files := map[string][]byte{}
		for k, v := range good {
			if keep(k) {
				files[k] = v
			}
		}
		return files
	}
	jpeg, _ := musher.Picture(t, 0, 50)
	validation := lab.Channel("validation", "data/validation/")
	for name, c := range map[string]struct {
		train           map[string][]byte // nil: the good ones
		noValidation    bool
		hyperparameters map[string]string
		says            []string // why it failed; none: it completes
	}{
		"corrupt":       {train: with("001.Disc/bad.jpg", []byte("no picture")), says: []string{"AlgorithmError", "1 of 49 photos cannot be read: train/001.Disc/bad.jpg"}},
		"truncated":     {train: with("001.Disc/half.jpg", jpeg[:len(jpeg)/2]), says: []string{"AlgorithmError", "001.Disc/half.jpg"}},
		"bomb":          {train: with("002.Square/bomb.png", bomb(t)), says: []string{"AlgorithmError", "002.Square/bomb.png"}},
		"empty-class":   {train: only(func(p string) bool { return !strings.HasPrefix(p, "003") }), says: []string{"AlgorithmError", "003.Cross"}},
		"one-class":     {train: only(func(p string) bool { return strings.HasPrefix(p, "001") }), noValidation: true, says: []string{"AlgorithmError", "class"}},
		"no-photos":     {train: map[string][]byte{"README.txt": []byte("none here")}, says: []string{"AlgorithmError"}},
		"unknown":       {hyperparameters: map[string]string{"epochz": "3"}, says: []string{"AlgorithmError", `"epochz" is not known`, "did you mean epochs"}},
		"not-a-number":  {hyperparameters: map[string]string{"learning_rate": "fast"}, says: []string{"AlgorithmError", "learning_rate", `"fast"`, "a number is needed"}},
		"not-finite":    {hyperparameters: map[string]string{"learning_rate": "NaN"}, says: []string{"AlgorithmError", "learning_rate"}},
		"out-of-range":  {hyperparameters: map[string]string{"epochs": "0"}, says: []string{"AlgorithmError", "epochs", "from 1"}},
		"classes":       {hyperparameters: map[string]string{"num_classes": "133"}, says: []string{"AlgorithmError", "num_classes is 133", "3 classes"}},
		"few-are-bad":   {train: merge(musher.Pictures(t, 3, 40), map[string][]byte{"001.Disc/bad.jpg": []byte("no picture")})},
		"no-validation": {noValidation: true},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := "data/train/"
			if c.train != nil {
				prefix = "faulty/" + name + "/"
				lab.Upload(t, prefix, c.train)
			}
			in := lab.Job(name, map[string]string{"epochs": "3"})
			for k, v := range c.hyperparameters {
				in.HyperParameters[k] = v
			}
			in.InputDataConfig = []types.Channel{lab.Channel("train", prefix)}
			if !c.noValidation {
				in.InputDataConfig = append(in.InputDataConfig, validation)
			}
			must(srv.SageMaker().CreateTrainingJob(background(), in))(t)
			job := lab.AwaitTraining(t, name)
			t.Log(aws.ToString(job.FailureReason))
			if len(c.says) > 0 {
				wantFailed(t, job, c.says...)
				return
			}
			if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
				t.Errorf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
			}
			metric(t, job, "validation:accuracy")
		})
	}
}

func merge(a, b map[string][]byte) map[string][]byte {
	for k, v := range b {
		a[k] = v
	}
	return a
}

// TestFullDisk: the disk is full when the model is written, and when it is
// uploaded. The job says so; with room again, jobs work again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"writing": "jobs", "uploading": "blobs"} {
		t.Run(name, func(t *testing.T) {
			srv := musher.New(t)
			lab := srv.Lab(t)
			lab.UploadPictures(t)
			dir := filepath.Join(srv.Data, folder)
			srv.Stop()
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			// The model has some 13 MB; the pictures have less than one.
			full := smallDisk(t, 6<<20)
			if err := os.CopyFS(full, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount(full, dir, "", unix.MS_BIND, ""); err != nil {
				t.Skipf("a folder cannot be mounted here: %v", err)
			}
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) }) //nolint:errcheck // nothing is left of it
			srv.Restart()
			lab.Train(t, "full", map[string]string{"epochs": "3"})
			job := lab.AwaitTraining(t, "full")
			t.Log(aws.ToString(job.FailureReason))
			wantFailed(t, job, "disk", "full")
			if strings.Contains(aws.ToString(job.FailureReason), "ClientError") {
				t.Error("the user is blamed")
			}
			srv.Stop()
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			srv.Restart()
			lab.Train(t, "again", map[string]string{"epochs": "3"})
			if job := lab.AwaitTraining(t, "again"); job.TrainingJobStatus != types.TrainingJobStatusCompleted {
				t.Errorf("with room again the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
			}
		})
	}
}
