package training

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// maxReports bounds what is kept of one metric of one job: the service compares
// jobs over at most so many epochs.
const maxReports = 20_000

// series is all that a log has told of the metrics, not only their last values.
// The loop fills it while others read.
type series struct {
	mu      sync.Mutex
	lines   int // that were not empty
	matched map[string]*reports
}

// reports are the values of one metric.
type reports struct {
	values  []float64
	lines   int // that matched, with or without a number
	matched int // the line that matched last
	valued  int // the line that the last value is from
}

// line begins the next line of the log.
func (s *series) line(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(bytes.TrimSpace(text)) > 0 {
		s.lines++
	}
}

// saw takes in what the current line holds of a metric. Where two definitions
// of the same name match one line, the later one counts, as it does for the
// last value.
func (s *series) saw(metric string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.matched == nil {
		s.matched = map[string]*reports{}
	}
	r := s.matched[metric]
	if r == nil {
		r = &reports{}
		s.matched[metric] = r
	}
	if r.matched != s.lines {
		r.lines++
		r.matched = s.lines
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	switch {
	case r.valued == s.lines:
		r.values[len(r.values)-1] = v
	case len(r.values) < maxReports:
		r.values, r.valued = append(r.values, v), s.lines
	}
}

// of returns a copy of what is known of a metric, and the lines of the log.
func (s *series) of(metric string) (r reports, lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.matched[metric]; found != nil {
		r = *found
		r.values = slices.Clone(r.values)
	}
	return r, s.lines
}

// Series returns the values that a job's current attempt has printed of a
// metric, in order: one a line, 20,000 at the most. A job that has ended keeps
// its series as long as it keeps its log.
func (f *Family) Series(ctx context.Context, name, metric string) ([]float64, error) {
	_, s, err := f.series(ctx, name)
	if err != nil {
		return nil, err
	}
	r, _ := s.of(metric)
	return r.values, nil
}

// Unmatched says in words that a job has printed lines, and none of them held
// a value of the metric. It is empty where one did, or nothing was printed.
func (f *Family) Unmatched(ctx context.Context, name, metric string) (string, error) {
	job, s, err := f.series(ctx, name)
	if err != nil {
		return "", err
	}
	r, lines := s.of(metric)
	if lines == 0 || len(r.values) > 0 {
		return "", nil
	}
	defs, err := definitions(job.Request.AlgorithmSpecification.MetricDefinitions, job.builtin())
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("the job has no metric definition called %q", metric)
	for _, d := range defs { // the last of the name counts
		if d.name == metric {
			text = fmt.Sprintf("%d of %d lines matched `%s`", r.lines, lines, d.re)
		}
	}
	if r.lines > 0 {
		text += ", none with a finite number"
	}
	if last := sagemaker.LastLines(f.logPath(job, job.instances()[0]), 300); last != "" {
		text += "; the last lines: " + last
	}
	return text, nil
}

// series is what the loop has collected of a running job. For one that it does
// not look at, since it has ended or the server has just started, the log is
// read anew.
func (f *Family) series(ctx context.Context, name string) (*Job, *series, error) {
	job, err := f.Get(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if kept, ok := f.readers.Load(name); ok {
		return job, &kept.(*reader).series, nil
	}
	r, err := f.newReader(job)
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.read(time.Now(), job.Done()); err != nil {
		return nil, nil, err
	}
	return job, &r.series, nil
}
