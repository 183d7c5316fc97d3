package transform

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// run is a job at work.
type run struct {
	*Family
	job    *Job
	in     *sagemaker.CreateTransformJobInput
	caller *awsapi.Caller // the model's execution role
	log    *dataLog

	processing     *processing
	bucket, prefix string        // of the outputs
	slots          chan struct{} // holds a token for each request in flight
}

// run sends the job's objects that are not done. why is the FailureReason where
// some could not be transformed.
func (f *Family) run(ctx context.Context, job *Job) (why string, err error) {
	r := &run{Family: f, job: job, in: &job.Request}
	width := int(concurrent(r.in) * r.in.TransformResources.InstanceCount)
	r.slots = make(chan struct{}, width)
	if r.caller, err = f.Roles.Session(ctx, job.Leased.Role, sessionName); err != nil {
		return "", err
	}
	if r.processing, err = newProcessing(r.in); err != nil {
		return "", err
	}
	if r.bucket, r.prefix, err = sagemaker.SplitS3URI(r.in.TransformOutput.S3OutputPath); err != nil {
		return "", err
	}
	if err := r.list(ctx); err != nil {
		return "", err
	}
	if r.log, err = f.openLog(ctx, job); err != nil {
		return "", err
	}
	defer r.log.Close()
	if err := r.all(ctx, width); err != nil {
		return "", err
	}
	return r.faults(ctx)
}

// list writes down the objects of the job. That is done once: outputs may lie
// under the same prefix.
func (r *run) list(ctx context.Context) error {
	if r.job.Listed {
		return nil
	}
	from := r.in.TransformInput.DataSource.S3DataSource
	found, err := r.Finder.Find(ctx, r.caller, channel.Request{URI: from.S3Uri, Type: from.S3DataType})
	if err != nil {
		return err
	}
	name := r.in.TransformJobName
	return r.db.Update(ctx, func(tx *state.Tx) error {
		for i, source := range found {
			if err := r.objects.Put(tx, objectKey(name, i), &object{Source: source}); err != nil {
				return err
			}
		}
		row, err := r.jobs.Modify(tx, name, func(j *Job) error {
			now := time.Now().UTC()
			j.Listed, j.Started, j.Modified = true, now, now
			return nil
		})
		if err == nil {
			*r.job = *row
		}
		return err
	})
}

// all transforms what is not done, several objects at a time.
func (r *run) all(ctx context.Context, width int) error {
	rows := map[string]*object{}
	var keys []string
	err := r.db.View(ctx, func(tx *state.Tx) error {
		return r.each(tx, r.in.TransformJobName, func(key string, o *object) {
			if !o.Done {
				rows[key] = o
				keys = append(keys, key)
			}
		})
	})
	if err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(width)
	for _, key := range keys {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return r.one(working, key, rows[key]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// one transforms an object, and writes down that it did, or why it could not.
func (r *run) one(ctx context.Context, key string, o *object) error {
	err := r.transform(ctx, o)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done := *o
	done.Done = true
	if err != nil {
		done.Fault = sagemaker.Cut(err.Error())
		r.log.fault(o, err)
	}
	return r.db.Update(ctx, func(tx *state.Tx) error { return r.objects.Put(tx, key, &done) })
}

// transform makes an object's output, and puts it whole or not at all.
func (r *run) transform(ctx context.Context, o *object) (err error) {
	body, _, err := r.Objects.Get(ctx, r.caller, o.Bucket, o.Key)
	if err != nil {
		return err
	}
	defer body.Close()
	in := io.Reader(body)
	if sagemaker.Or(r.in.TransformInput.CompressionType, "None") == "Gzip" {
		if in, err = gzip.NewReader(body); err != nil {
			return fmt.Errorf("it is not compressed by gzip: %w", err)
		}
	}
	out, err := os.CreateTemp(r.folder(r.job), "out-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := r.pump(ctx, in, out); err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return r.Objects.Put(ctx, r.caller, r.bucket, r.outputKey(o), out, size)
}

// outputKey is where an object's output goes: under the prefix, with the path
// that the object has under its own.
func (r *run) outputKey(o *object) string {
	if r.prefix == "" || r.prefix[len(r.prefix)-1] == '/' {
		return r.prefix + o.Name + ".out"
	}
	return r.prefix + "/" + o.Name + ".out"
}

// pump sends an object's batches, several at once, and writes the answers in
// their order.
func (r *run) pump(ctx context.Context, in io.Reader, out io.Writer) error {
	batches := newSplitter(in, splitType(r.in) == "Line", single(r.in), r.payload())
	group, ctx := errgroup.WithContext(ctx)
	answers := make(chan chan []byte, cap(r.slots))
	group.Go(func() error {
		defer close(answers)
		for {
			records, err := batches.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			answer := make(chan []byte, 1)
			if err := r.enter(ctx, answers, answer); err != nil {
				return err
			}
			group.Go(func() error {
				defer func() { <-r.slots }()
				got, err := r.ask(ctx, records)
				if err == nil {
					answer <- got
				}
				return err
			})
		}
	})
	group.Go(func() error {
		for answer := range answers {
			select {
			case got := <-answer:
				if _, err := out.Write(got); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// enter takes a place in the order of answers, and a slot for the request. The
// place comes first: nobody holds a slot while waiting.
func (r *run) enter(ctx context.Context, answers chan<- chan []byte, answer chan []byte) error {
	select {
	case answers <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) payload() int { return int(sagemaker.Or(r.in.MaxPayloadInMB, defaultPayload)) << 20 }

// faults sums up what could not be transformed; empty where all was.
func (r *run) faults(ctx context.Context) (string, error) {
	n, all, first := 0, 0, ""
	err := r.db.View(ctx, func(tx *state.Tx) error {
		return r.each(tx, r.in.TransformJobName, func(_ string, o *object) {
			all++
			if o.Fault == "" {
				return
			}
			if n++; n == 1 {
				first = fmt.Sprintf("s3://%s/%s: %s", o.Bucket, o.Key, o.Fault)
			}
		})
	})
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("ClientError: See job logs for more information: %d of %d objects could not be transformed, the first of them %s", n, all, first), nil
}

// dataLog is the job's own log, beside those of its instances.
type dataLog struct{ *os.File }

// openLog opens the job's log, and lets CloudWatch Logs follow it.
func (f *Family) openLog(ctx context.Context, job *Job) (*dataLog, error) {
	path := filepath.Join(f.folder(job), "data-log")
	if err := os.MkdirAll(f.folder(job), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	log := &dataLog{file}
	if f.Logs != nil {
		if err := f.Logs.Follow(ctx, logGroup, job.Stream, path); err != nil {
			f.Log.Warn("the log of a transform job is not followed", "job", job.Request.TransformJobName, "error", err)
		}
	}
	in := &job.Request
	strategy := map[bool]string{true: "SINGLE_RECORD", false: "MULTI_RECORD"}[single(in)]
	log.say("MaxConcurrentTransforms=%d, MaxPayloadInMB=%d, BatchStrategy=%s", concurrent(in), sagemaker.Or(in.MaxPayloadInMB, defaultPayload), strategy)
	return log, nil
}

// fault tells why an object could not be transformed, in the words of the
// service where it has some.
func (l *dataLog) fault(o *object, err error) {
	where := o.Bucket + "/" + o.Key
	var status *statusError
	if !errors.As(err, &status) {
		l.say("%s: ClientError: %v", where, err)
		return
	}
	l.say("%s: Bad HTTP status received from algorithm: %d", where, status.code)
	l.say("%s:", where)
	l.say("%s: Message:", where)
	l.say("%s: %s", where, status.body)
}

// say writes a line. A job does not fail because its log can't be written.
func (l *dataLog) say(format string, args ...any) {
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000")
	fmt.Fprintf(l, at+":[sagemaker logs]: "+format+"\n", args...) //nolint:errcheck // see above
}
