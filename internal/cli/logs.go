package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// logsCommand prints logs out of the server's folder; so it works where the
// server runs, and also when it does not.
type logsCommand struct {
	place
	Name   string `arg:"" help:"Name of a training job or an endpoint."`
	Follow bool   `short:"f" help:"Go on with what is written from now on, until the job has ended or the endpoint is gone."`
}

// followLook is how often a log is read that is followed.
const followLook = 200 * time.Millisecond

func (c logsCommand) Run(ctx context.Context, g *globals) error {
	if !filepath.IsLocal(c.Name) || strings.ContainsAny(c.Name, `/\*?[`) {
		return fmt.Errorf("%q is not the name of a job or an endpoint", c.Name)
	}
	logs := &logFiles{data: c.Data, name: c.Name, out: g.out}
	found, err := logs.copy()
	if err != nil {
		return err
	}
	if !found && !(c.Follow && c.alive(ctx)) {
		return withHint(fmt.Errorf("no job or endpoint called %s has written a log in %s", c.Name, c.Data),
			"`musher ls` lists jobs and endpoints; --data names the folder of another server")
	}
	for c.Follow {
		// First whether it lives, then what it wrote: so its last words are read.
		alive := c.alive(ctx)
		if _, err := logs.copy(); err != nil || !alive {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how one stops to follow
		case <-time.After(followLook):
		}
	}
	return nil
}

// alive says whether the job or the endpoint may still write. A server that
// does not answer looks after nothing, so it counts as an end.
func (c logsCommand) alive(ctx context.Context) bool {
	conn, err := readConnection(c.Data)
	if err != nil {
		return false
	}
	server := newClient(conn)
	job, err := call[sagemaker.DescribeTrainingJobOutput](ctx, server, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: c.Name})
	if err == nil {
		return job.TrainingJobStatus == "InProgress" || job.TrainingJobStatus == "Stopping"
	}
	_, err = call[sagemaker.DescribeEndpointOutput](ctx, server, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: c.Name})
	return err == nil
}

// logFiles are the logs of a job, one for each attempt, or of an endpoint, one
// for each instance.
type logFiles struct {
	data, name string
	out        io.Writer
	open       []*logFile // in the order in which they were found
}

// copy prints what the logs have gained. It says whether there are any.
func (l *logFiles) copy() (found bool, err error) {
	if err := l.find(); err != nil {
		return false, err
	}
	for _, f := range l.open {
		if err := f.copy(l.out); err != nil {
			return true, err
		}
	}
	return len(l.open) > 0, nil
}

// find looks for logs that are new: an attempt or an instance has begun.
func (l *logFiles) find() error {
	job, err := filepath.Glob(filepath.Join(l.data, "jobs", l.name, "log*"))
	if err != nil {
		return err
	}
	slices.SortFunc(job, func(a, b string) int { // log, log.2, log.10
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	for _, path := range job {
		l.add(path, "")
	}
	instances, err := filepath.Glob(filepath.Join(l.data, "endpoints", l.name, "*", "log"))
	if err != nil {
		return err
	}
	for _, path := range instances {
		l.add(path, filepath.Base(filepath.Dir(path))+": ")
	}
	return nil
}

func (l *logFiles) add(path, prefix string) {
	for _, f := range l.open {
		if f.path == path {
			return
		}
	}
	l.open = append(l.open, &logFile{path: path, prefix: prefix})
}

// logFile is a log that is read as it grows.
type logFile struct {
	path, prefix string
	offset       int64
	within       bool // the last byte printed ended no line
}

func (f *logFile) copy(out io.Writer) error {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the endpoint has been deleted
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(f.offset, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(&prefixer{f, out}, file)
	f.offset += n
	return err
}

// prefixer writes a log's prefix in front of each of its lines.
type prefixer struct {
	*logFile
	out io.Writer
}

func (p *prefixer) Write(b []byte) (n int, err error) {
	if p.prefix == "" {
		return p.out.Write(b)
	}
	for n < len(b) {
		end := bytes.IndexByte(b[n:], '\n') + 1
		if end == 0 {
			end = len(b) - n
		}
		line := b[n : n+end]
		if !p.within {
			line = append([]byte(p.prefix), line...)
		}
		if _, err := p.out.Write(line); err != nil {
			return n, err
		}
		p.within = line[len(line)-1] != '\n'
		n += end
	}
	return n, nil
}
