package training

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// builtinMetrics are what the built-in algorithm prints of itself.
var builtinMetrics = []string{"train:loss", "validation:loss", "validation:accuracy", "test:accuracy"}

// definition finds one metric in a line: the first group is the value.
type definition struct {
	name string
	re   *regexp.Regexp
}

// definitions compiles a job's metric definitions, and for the built-in
// algorithm adds its own.
func definitions(asked []*sagemaker.MetricDefinition, builtin bool) ([]definition, error) {
	var out []definition
	if builtin {
		for _, name := range builtinMetrics {
			out = append(out, definition{name, regexp.MustCompile(regexp.QuoteMeta(name) + `=(\S+)`)})
		}
	}
	for _, d := range asked {
		re, err := regexp.Compile(d.Regex)
		switch {
		case err != nil:
			return nil, fmt.Errorf("metric %q: the regular expression cannot be read: %w", d.Name, err)
		case re.NumSubexp() == 0:
			return nil, fmt.Errorf("metric %q: the regular expression %q has no group that would hold the value", d.Name, d.Regex)
		}
		out = append(out, definition{d.Name, re})
	}
	return out, nil
}

// reader reads the growing logs of a job's instances and keeps the last value
// of each metric.
type reader struct {
	defs   []definition
	logs   []*tail
	last   map[string]Metric
	series series
	fresh  []Metric // found by the read under way, and never before
}

// tail is one growing log.
type tail struct {
	path   string
	host   string
	offset int64
	told   int64  // up to where the values were found before, by an earlier server
	rest   []byte // of a line that has no end yet
}

// maxLine bounds what is kept of a line without an end.
const maxLine = 64 << 10

// newReader reads the logs of a job from where its current attempt began.
func (f *Family) newReader(job *Job) (*reader, error) {
	defs, err := definitions(job.Request.AlgorithmSpecification.MetricDefinitions, job.builtin())
	if err != nil {
		return nil, err
	}
	r := &reader{defs: defs, last: map[string]Metric{}}
	for _, i := range job.instances() {
		host := i.host()
		r.logs = append(r.logs, &tail{path: f.logPath(job, i), host: host, offset: job.From[host], told: job.Read[host]})
	}
	return r, nil
}

// read takes in what was written since the last call, and returns the values
// that it found there. With final set last lines without an end count as well.
func (r *reader) read(now time.Time, final bool) ([]Metric, error) {
	r.fresh = nil
	for _, t := range r.logs {
		if err := r.readLog(t, now, final); err != nil {
			return r.fresh, err
		}
	}
	return r.fresh, nil
}

func (r *reader) readLog(t *tail, now time.Time, final bool) error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, t.offset)
		t.offset += int64(n)
		r.take(t, buf[:n], now)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if final && len(t.rest) > 0 {
		r.line(t, t.rest, t.offset, now)
		t.rest = nil
	}
	return nil
}

func (r *reader) take(t *tail, data []byte, now time.Time) {
	t.rest = append(t.rest, data...)
	for {
		end := bytes.IndexAny(t.rest, "\n\r")
		if end < 0 {
			break
		}
		line := t.rest[:end]
		t.rest = t.rest[end+1:]
		r.line(t, line, t.read(), now)
	}
	if len(t.rest) > maxLine {
		t.rest = nil
	}
}

// read is up to where all lines were taken in.
func (t *tail) read() int64 { return t.offset - int64(len(t.rest)) }

// line takes in one line, which ends at a place of its log.
func (r *reader) line(t *tail, line []byte, end int64, now time.Time) {
	r.series.line(line)
	for _, d := range r.defs {
		found := d.re.FindSubmatch(line)
		if found == nil {
			continue
		}
		r.series.saw(d.name, found[1])
		v, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			continue // JSON has no such number, and the service drops them too
		}
		m := Metric{Name: d.name, Value: v, Time: now}
		r.last[d.name] = m
		if end > t.told {
			r.fresh = append(r.fresh, m)
		}
	}
}

// metrics lists the last values in the order of the definitions.
func (r *reader) metrics() []Metric {
	var out []Metric
	listed := map[string]bool{}
	for _, d := range r.defs {
		if m, ok := r.last[d.name]; ok && !listed[d.name] {
			out = append(out, m)
			listed[d.name] = true
		}
	}
	return out
}

// ends says up to where each host's log was taken in.
func (r *reader) ends() map[string]int64 {
	out := map[string]int64{}
	for _, t := range r.logs {
		out[t.host] = t.read()
	}
	return out
}

// metricsNamespace is where CloudWatch has the metrics of training jobs.
const metricsNamespace = "/aws/sagemaker/TrainingJobs"

// readMetrics searches what a job has printed since the last look.
func (f *Family) readMetrics(ctx context.Context, job *Job, final bool) error {
	name := job.Request.TrainingJobName
	kept, ok := f.readers.Load(name)
	if !ok {
		r, err := f.newReader(job)
		if err != nil {
			return err
		}
		kept = r
		f.readers.Store(name, kept)
	}
	r := kept.(*reader)
	fresh, err := r.read(time.Now().UTC(), final)
	if err != nil || len(fresh) == 0 {
		return err
	}
	f.publish(ctx, job, fresh)
	return f.update(ctx, job, func(_ time.Time, j *Job) { j.Metrics, j.Read = r.metrics(), r.ends() })
}

// publish puts values into CloudWatch. A job does not wait for it, nor does it
// fail by it.
func (f *Family) publish(ctx context.Context, job *Job, values []Metric) {
	if f.Metrics == nil {
		return
	}
	var data []sagemaker.Datum
	for _, m := range values {
		data = append(data, sagemaker.Datum{
			Name: m.Name, Value: m.Value, Time: m.Time,
			Dimensions: map[string]string{"TrainingJobName": job.Request.TrainingJobName},
		})
	}
	if err := f.Metrics.Put(ctx, metricsNamespace, data...); err != nil {
		f.Log.Warn("metrics of a training job are not in CloudWatch", "job", job.Request.TrainingJobName, "error", err)
	}
}
