package hosting

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// logGroup is the log group of an endpoint; its streams are its instances. Those
// of all transform jobs share one, where the job's name begins a stream's.
func logGroup(endpoint string) string {
	if isLease(endpoint) {
		return "/aws/sagemaker/TransformJobs"
	}
	return "/aws/sagemaker/Endpoints/" + endpoint
}

// streamFile, in an instance's folder, holds the name of its log stream. The
// name is new for each instance, as in the cloud: an endpoint that is made anew
// under an old name does not go on in the streams of the old one.
const streamFile = "stream"

// followLog takes an instance's output to CloudWatch Logs. An endpoint serves
// also where that fails: the file remains.
func (f *Family) followLog(ctx context.Context, in instance) {
	if f.Logs == nil {
		return
	}
	stream, err := in.stream(f.Dir)
	if err == nil {
		err = f.Logs.Follow(ctx, logGroup(in.endpoint), stream, in.log(f.Dir))
	}
	if err != nil {
		f.Log.Warn("the log of an instance is not followed", "instance", in.id(), "error", err)
	}
}

// stream returns the name of the instance's log stream, and gives it one at its
// first start.
func (i instance) stream(base string) (string, error) {
	path := filepath.Join(i.dir(base), streamFile)
	known, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return string(known), err
	}
	id := make([]byte, 8)
	rand.Read(id) //nolint:errcheck // it never fails
	name := i.variant + "/i-0" + hex.EncodeToString(id)
	if i.index < 0 {
		name = i.variant + "/packages-" + hex.EncodeToString(id)
	}
	return name, os.WriteFile(path, []byte(name), 0o600)
}

// finishLogs takes the rest of the logs of instances that are gone for good, by
// the folders that they left.
func (f *Family) finishLogs(ctx context.Context, endpoint string, gone func(generation int) bool) {
	folders, err := filepath.Glob(filepath.Join(f.Dir, endpoint, "*", streamFile))
	if f.Logs == nil || err != nil {
		return
	}
	for _, file := range folders {
		first, _, _ := strings.Cut(filepath.Base(filepath.Dir(file)), "-")
		generation, err := strconv.Atoi(first)
		if err != nil || !gone(generation) {
			continue
		}
		stream, err := os.ReadFile(file)
		if err == nil {
			err = f.Logs.Finish(ctx, logGroup(endpoint), string(stream))
		}
		if err != nil {
			f.Log.Warn("the rest of an instance's log is not kept", "endpoint", endpoint, "stream", string(stream), "error", err)
		}
	}
}
