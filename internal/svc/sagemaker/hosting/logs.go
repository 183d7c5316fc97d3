package hosting

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// logGroup is the log group of an endpoint; its streams are its instances.
func logGroup(endpoint string) string { return "/aws/sagemaker/Endpoints/" + endpoint }

// stream is an instance's name in its endpoint's log group.
func (i instance) stream() string {
	return fmt.Sprintf("%s/%d-%s", i.variant, i.generation, i.step())
}

// followLog takes an instance's output to CloudWatch Logs. An endpoint serves
// also where that fails: the file remains.
func (f *Family) followLog(ctx context.Context, in instance) {
	if f.Logs == nil {
		return
	}
	if err := f.Logs.Follow(ctx, logGroup(in.endpoint), in.stream(), in.log(f.Dir)); err != nil {
		f.Log.Warn("the log of an instance is not followed", "instance", in.id(), "error", err)
	}
}

// finishLogs takes the rest of the logs of instances that are gone for good, by
// the folders that they left.
func (f *Family) finishLogs(ctx context.Context, endpoint string, gone func(generation int) bool) {
	if f.Logs == nil {
		return
	}
	folders, err := os.ReadDir(filepath.Join(f.Dir, endpoint))
	if err != nil {
		return // no instance was ever started
	}
	for _, folder := range folders {
		in, ok := instanceOf(endpoint, folder.Name())
		if !ok || !gone(in.generation) {
			continue
		}
		if err := f.Logs.Finish(ctx, logGroup(endpoint), in.stream()); err != nil {
			f.Log.Warn("the rest of an instance's log is not kept", "instance", in.id(), "error", err)
		}
	}
}

// instanceOf reads the name of an instance's folder.
func instanceOf(endpoint, folder string) (in instance, ok bool) {
	generation, rest, ok := strings.Cut(folder, "-")
	last := strings.LastIndexByte(rest, '-')
	if !ok || last < 0 {
		return in, false
	}
	in = instance{endpoint: endpoint, variant: rest[:last], index: -1}
	var err error
	if in.generation, err = strconv.Atoi(generation); err != nil {
		return in, false
	}
	if step := rest[last+1:]; step != in.step() {
		in.index, err = strconv.Atoi(step)
	}
	return in, err == nil
}
