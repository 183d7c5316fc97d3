package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/logs"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// logsCommand prints logs as any client of CloudWatch Logs would; so it works
// wherever the server is.
type logsCommand struct {
	place
	Name   string `arg:"" help:"Name of a job, an endpoint or a log group."`
	Follow bool   `short:"f" help:"Go on with what is written from now on, until the job has ended or the endpoint is gone."`
}

// followLook is how often a log is read that is followed.
const followLook = 200 * time.Millisecond

// logPlace is where logs may lie: the streams of a group with a prefix.
type logPlace struct {
	group, prefix string
	// alive says whether more may come; nil: there is no telling, so it may.
	alive func(ctx context.Context, c *client, name string) (bool, error)
}

// logPlaces are those of a name.
func logPlaces(name string) []logPlace {
	of := "/aws/sagemaker/"
	return []logPlace{
		{of + "TrainingJobs", name + "/", trainingAlive},
		{of + "ProcessingJobs", name + "/", nil},
		{of + "TransformJobs", name + "/", nil},
		{of + "Endpoints/" + name, "", endpointAlive},
		{name, "", nil},
	}
}

func (c logsCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	found, err := c.find(ctx, server)
	if err != nil {
		return err
	}
	for {
		// First whether more may come, then what is there: so the last words are read.
		alive, err := c.mayGrow(ctx, server, found)
		if err != nil {
			return c.stopped(err)
		}
		for _, l := range found {
			if err := l.print(ctx, server, g); err != nil {
				return c.stopped(err)
			}
		}
		if !alive {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how one stops to follow
		case <-time.After(followLook):
		}
	}
}

// mayGrow says whether it is worth to look again.
func (c logsCommand) mayGrow(ctx context.Context, server *client, found []*logReader) (bool, error) {
	for _, l := range found {
		if !c.Follow {
			break
		}
		if l.alive == nil {
			return true, nil
		}
		if alive, err := l.alive(ctx, server, c.Name); alive || err != nil {
			return alive, err
		}
	}
	return false, nil
}

// stopped forgives an error of a log that is followed: Ctrl-C.
func (c logsCommand) stopped(err error) error {
	if c.Follow && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// find looks where the name has logs. Who follows a job that has not begun to
// write waits for it.
func (c logsCommand) find(ctx context.Context, server *client) (found []*logReader, err error) {
	for _, p := range logPlaces(c.Name) {
		l := &logReader{logPlace: p}
		there, err := l.streams(ctx, server)
		if err != nil {
			return nil, err
		}
		if !there && c.Follow && p.alive != nil {
			if there, err = p.alive(ctx, server, c.Name); err != nil {
				return nil, err
			}
		}
		if there {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		return nil, withHint(fmt.Errorf("no job, endpoint or log group called %s has written a log", c.Name),
			"`musher ls` lists jobs and endpoints; --data names the folder of another server")
	}
	return found, nil
}

func trainingAlive(ctx context.Context, c *client, name string) (bool, error) {
	job, err := call[sagemaker.DescribeTrainingJobOutput](ctx, c, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: name})
	if missing(err) || unnameable(err) {
		return false, nil
	}
	return err == nil && (job.TrainingJobStatus == "InProgress" || job.TrainingJobStatus == "Stopping"), err
}

func endpointAlive(ctx context.Context, c *client, name string) (bool, error) {
	_, err := call[sagemaker.DescribeEndpointOutput](ctx, c, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: name})
	if missing(err) || unnameable(err) {
		return false, nil
	}
	return err == nil, err
}

// logReader reads the logs of a place, as they grow.
type logReader struct {
	logPlace
	hosts  map[string]bool // the parts of streams' names that tell who wrote
	newest int64           // time of the last event printed
	known  map[string]bool // events of that time
}

// streams looks which streams there are.
func (l *logReader) streams(ctx context.Context, c *client) (there bool, err error) {
	l.hosts = map[string]bool{}
	in := &logs.DescribeLogStreamsInput{LogGroupName: &l.group}
	if l.prefix != "" {
		in.LogStreamNamePrefix = &l.prefix
	}
	for {
		out, err := call[logs.DescribeLogStreamsOutput](ctx, c, logs.Model, "DescribeLogStreams", in)
		if noLog(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for _, s := range out.LogStreams {
			l.hosts[l.host(*s.LogStreamName)] = true
		}
		if out.NextToken == nil {
			return len(l.hosts) > 0, nil
		}
		in.NextToken = out.NextToken
	}
}

// noLog says whether the service knows no such group, or there can't be one.
func noLog(err error) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && (e.Code == "ResourceNotFoundException" || e.Code == "InvalidParameterException")
}

// host is the part of a stream's name that tells who wrote: algo-1 of
// JOB/algo-1-1735689600, for streams of jobs.
func (l *logReader) host(stream string) string {
	rest := strings.TrimPrefix(stream, l.prefix)
	if i := strings.LastIndexByte(rest, '-'); l.prefix != "" && i > 0 {
		return rest[:i]
	}
	return rest
}

// print prints what has come since the last time.
func (l *logReader) print(ctx context.Context, c *client, g *globals) error {
	in := &logs.FilterLogEventsInput{LogGroupName: &l.group, StartTime: new(l.newest)}
	if l.prefix != "" {
		in.LogStreamNamePrefix = &l.prefix
	}
	for {
		out, err := call[logs.FilterLogEventsOutput](ctx, c, logs.Model, "FilterLogEvents", in)
		if noLog(err) {
			return nil // not there yet, or deleted
		}
		if err != nil {
			return err
		}
		for _, e := range out.Events {
			if !l.hosts[l.host(*e.LogStreamName)] {
				if _, err := l.streams(ctx, c); err != nil {
					return err
				}
			}
			if err := l.write(g, e); err != nil {
				return err
			}
		}
		if out.NextToken == nil {
			return nil
		}
		in.NextToken = out.NextToken
	}
}

// write prints an event that was not printed yet.
func (l *logReader) write(g *globals, e *logs.FilteredLogEvent) error {
	if *e.Timestamp > l.newest || l.known == nil {
		l.newest, l.known = *e.Timestamp, map[string]bool{}
	}
	if l.known[*e.EventId] {
		return nil
	}
	l.known[*e.EventId] = true
	if g.JSON {
		return json.NewEncoder(g.out).Encode(struct {
			Time    time.Time `json:"time"`
			Group   string    `json:"group"`
			Stream  string    `json:"stream"`
			Message string    `json:"message"`
		}{time.UnixMilli(*e.Timestamp).UTC(), l.group, *e.LogStreamName, *e.Message})
	}
	_, err := io.WriteString(g.out, l.label(*e.LogStreamName)+*e.Message+"\n")
	return err
}

// label is what a line begins with: who wrote it, where several may have.
func (l *logReader) label(stream string) string {
	if l.prefix != "" && len(l.hosts) < 2 {
		return ""
	}
	return l.host(stream) + ": "
}
