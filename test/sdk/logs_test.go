package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/test/musher"
)

const trainingLogs = "/aws/sagemaker/TrainingJobs"

func logsOf(a musher.Access) *cloudwatchlogs.Client { return cloudwatchlogs.NewFromConfig(a.Config()) }

// newStream makes a stream, and its group where it is missing, with lines in it.
func newStream(tb testing.TB, a musher.Access, group, stream string, lines ...string) {
	tb.Helper()
	l := logsOf(a)
	_, err := l.CreateLogGroup(background(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	if err != nil && !is[*types.ResourceAlreadyExistsException](err) {
		tb.Fatal(err)
	}
	must(l.CreateLogStream(background(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream}))(tb)
	putLines(tb, a, group, stream, lines...)
}

func putLines(tb testing.TB, a musher.Access, group, stream string, lines ...string) {
	tb.Helper()
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	for _, line := range lines {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: &line})
	}
	if len(lines) > 0 {
		must(logsOf(a).PutLogEvents(background(), in))(tb)
	}
}

// lines reads a stream from its start, page by page until a token stays the same.
func lines(tb testing.TB, a musher.Access, group, stream string) (all []string) {
	tb.Helper()
	p := cloudwatchlogs.NewGetLogEventsPaginator(logsOf(a), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)},
		func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for p.HasMorePages() {
		for _, e := range must(p.NextPage(background()))(tb).Events {
			all = append(all, *e.Message)
		}
	}
	return all
}

// TestLogGroups: groups and streams are made, listed in pages and deleted.
func TestLogGroups(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	l := logsOf(srv.Access)
	_, err := l.DescribeLogStreams(background(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(trainingLogs), LogStreamNamePrefix: aws.String("job/")})
	wantError(t, err, "ResourceNotFoundException", "log group does not exist")
	newStream(t, srv.Access, "app", "one", "a")
	_, err = l.CreateLogGroup(background(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("app")})
	wantError(t, err, "ResourceAlreadyExistsException")
	_, err = l.CreateLogStream(background(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("app"), LogStreamName: aws.String("one")})
	wantError(t, err, "ResourceAlreadyExistsException")
	_, err = l.CreateLogGroup(background(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("no spaces")})
	wantError(t, err, "InvalidParameterException", "failed to satisfy constraint")
	_, err = l.GetLogEvents(background(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("app"), LogStreamName: aws.String("none")})
	wantError(t, err, "ResourceNotFoundException", "log stream does not exist")

	for i := range 4 {
		newStream(t, srv.Access, "app", fmt.Sprintf("n/%d", i))
	}
	putLines(t, srv.Access, "app", "n/2", "late")
	listed := func(in cloudwatchlogs.DescribeLogStreamsInput) string {
		in.LogGroupName, in.Limit = aws.String("app"), aws.Int32(2)
		var names []string
		for p := cloudwatchlogs.NewDescribeLogStreamsPaginator(l, &in); p.HasMorePages(); {
			for _, s := range must(p.NextPage(background()))(t).LogStreams {
				names = append(names, *s.LogStreamName)
			}
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		in   cloudwatchlogs.DescribeLogStreamsInput
		want string
	}{
		{cloudwatchlogs.DescribeLogStreamsInput{}, "n/0 n/1 n/2 n/3 one"},
		{cloudwatchlogs.DescribeLogStreamsInput{Descending: aws.Bool(true)}, "one n/3 n/2 n/1 n/0"},
		{cloudwatchlogs.DescribeLogStreamsInput{LogStreamNamePrefix: aws.String("n/")}, "n/0 n/1 n/2 n/3"},
		{cloudwatchlogs.DescribeLogStreamsInput{OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)}, "n/2 one n/3 n/1 n/0"},
	} {
		if got := listed(c.in); got != c.want {
			t.Errorf("%+v lists %s, want %s", c.in, got, c.want)
		}
	}
	_, err = l.DescribeLogStreams(background(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("app"), OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: aws.String("n")})
	wantError(t, err, "InvalidParameterException")
	one := must(l.DescribeLogStreams(background(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupIdentifier: aws.String("arn:aws:logs:eu-central-1:123456789012:log-group:app"), LogStreamNamePrefix: aws.String("one")}))(t).LogStreams[0]
	if one.FirstEventTimestamp == nil || *one.FirstEventTimestamp != *one.LastEventTimestamp || *one.LastIngestionTime < *one.CreationTime {
		t.Errorf("the stream is %+v", one)
	}

	must(l.PutRetentionPolicy(background(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("app"), RetentionInDays: aws.Int32(14)}))(t)
	_, err = l.PutRetentionPolicy(background(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("app"), RetentionInDays: aws.Int32(2)})
	wantError(t, err, "InvalidParameterException")
	must(l.TagLogGroup(background(), &cloudwatchlogs.TagLogGroupInput{LogGroupName: aws.String("app"), Tags: map[string]string{"team": "dogs"}}))(t) //nolint:staticcheck // old clients call it
	group := must(l.DescribeLogGroups(background(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("ap")}))(t).LogGroups[0]
	if *group.RetentionInDays != 14 || *group.StoredBytes == 0 || *group.Arn != *group.LogGroupArn+":*" {
		t.Errorf("the group is %+v", group)
	}
	tags := must(l.ListTagsForResource(background(), &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: group.LogGroupArn}))(t).Tags
	if d := cmp.Diff(map[string]string{"team": "dogs"}, tags); d != "" {
		t.Error(d)
	}
	must(l.DeleteLogStream(background(), &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: aws.String("app"), LogStreamName: aws.String("one")}))(t)
	must(l.DeleteLogGroup(background(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("app")}))(t)
	_, err = l.DeleteLogGroup(background(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("app")})
	wantError(t, err, "ResourceNotFoundException")
}

// TestLogEvents: the way of events through the SDK, also over a restart.
func TestLogEvents(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	l := logsOf(srv.Access)
	newStream(t, srv.Access, "app", "a", "one", `{"level": "error", "code": 500}`, "three")
	newStream(t, srv.Access, "app", "b", `{"level": "info", "code": 200}`, "an ERROR")
	srv.Stop()
	srv.Start()
	if d := cmp.Diff([]string{"one", `{"level": "error", "code": 500}`, "three"}, lines(t, srv.Access, "app", "a")); d != "" {
		t.Error(d)
	}
	for pattern, want := range map[string]int{"": 5, "ERROR": 1, "?one ?three": 2, "-ERROR": 4, `{ $.code >= 500 || $.level = "i*" }`: 2, "nothing": 0} {
		n := 0
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("app"), FilterPattern: &pattern, Limit: aws.Int32(2)}
		for p := cloudwatchlogs.NewFilterLogEventsPaginator(l, in); p.HasMorePages(); {
			n += len(must(p.NextPage(background()))(t).Events)
		}
		if n != want {
			t.Errorf("%q finds %d events, want %d", pattern, n, want)
		}
	}
	_, err := l.FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("app"), FilterPattern: aws.String("{ $.a")})
	wantError(t, err, "InvalidParameterException", "filterPattern")
	_, err = l.FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("app"), LogGroupIdentifier: aws.String("app")})
	wantError(t, err, "InvalidParameterException")
	_, err = l.FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{})
	wantError(t, err, "InvalidParameterException")
}

// TestLogRights: who may read one group may not read another.
func TestLogRights(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	newStream(t, srv.Access, "mine", "s", "hello")
	newStream(t, srv.Access, "theirs", "s", "secret")
	reader := srv.NewUser(t, "reader", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["logs:Get*", "logs:FilterLogEvents"], "Resource": "arn:aws:logs:*:*:log-group:mine:*"}}`)
	if d := cmp.Diff([]string{"hello"}, lines(t, reader, "mine", "s")); d != "" {
		t.Error(d)
	}
	_, err := logsOf(reader).GetLogEvents(background(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("theirs"), LogStreamName: aws.String("s")})
	wantError(t, err, "AccessDeniedException", "logs:GetLogEvents", "log-group:theirs:log-stream:s")
	must(logsOf(reader).FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("mine")}))(t)
	_, err = logsOf(reader).FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupIdentifier: aws.String("theirs")})
	wantError(t, err, "AccessDeniedException")
}

// TestJobLogs: what a job prints is there while it runs, under the name that
// the SageMaker SDK looks for, and all of it when the job has ended.
func TestJobLogs(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		fmt.Fprint(j, "first\nsecond\n")
		<-goOn
		fmt.Fprint(j, "third\nno end")
		return j.Finish(j.Name)
	}})
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	lab.Train(t, "talks", nil)
	l := logsOf(srv.Access)
	var stream string
	musher.Eventually(t, "the job's stream is there", func() bool {
		out, err := l.DescribeLogStreams(background(), &cloudwatchlogs.DescribeLogStreamsInput{
			LogGroupName: aws.String(trainingLogs), LogStreamNamePrefix: aws.String("talks/"), OrderBy: types.OrderByLogStreamName, Limit: aws.Int32(1),
		})
		if err != nil || len(out.LogStreams) == 0 {
			return false
		}
		stream = *out.LogStreams[0].LogStreamName
		return true
	})
	if !strings.HasPrefix(stream, "talks/algo-1-") {
		t.Errorf("the stream is called %s", stream)
	}
	musher.Eventually(t, "the first lines are there while the job runs", func() bool {
		return strings.Join(lines(t, srv.Access, trainingLogs, stream), " ") == "first second"
	})
	follow := startLogs(t, srv.Access, "logs", "--follow", "talks")
	if got := follow.line(t); got != "first" {
		t.Errorf("musher logs --follow begins with %q", got)
	}
	close(goOn)
	job := lab.AwaitTraining(t, "talks")
	if d := cmp.Diff([]string{"first", "second", "third", "no end"}, lines(t, srv.Access, trainingLogs, stream)); d != "" {
		t.Errorf("when the job was %s: %s", job.TrainingJobStatus, d)
	}
	if got := follow.rest(t); got != "second third no end" {
		t.Errorf("musher logs --follow went on with %q", got)
	}
	entries := startLogs(t, srv.Access, "logs", "talks", "--json")
	var entry struct{ Stream, Message string }
	if err := json.Unmarshal([]byte(entries.line(t)), &entry); err != nil || entry.Stream != stream || entry.Message != "first" {
		t.Errorf("as JSON it is %+v, %v", entry, err)
	}
	entries.rest(t)
}

// TestGroupLogs: musher logs prints any group, and follows it until Ctrl-C.
func TestGroupLogs(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	newStream(t, srv.Access, "/app/web", "a", "hello")
	newStream(t, srv.Access, "/app/web", "b", "world")
	all := startLogs(t, srv.Access, "logs", "/app/web")
	if got := all.rest(t); got != "a: hello b: world" {
		t.Errorf("musher logs prints %q", got)
	}
	follow := startLogs(t, srv.Access, "logs", "-f", "/app/web")
	for _, want := range []string{"a: hello", "b: world"} {
		if got := follow.line(t); got != want {
			t.Errorf("a line is %q, want %q", got, want)
		}
	}
	putLines(t, srv.Access, "/app/web", "a", "again")
	if got := follow.line(t); got != "a: again" {
		t.Errorf("the next line is %q", got)
	}
	follow.interrupt(t)
}

// program is one that prints lines.
type program struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	errs  strings.Builder
}

func startProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &p.errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	return p
}

// startLogs runs musher as a client that knows the server by its variables alone.
func startLogs(t *testing.T, a musher.Access, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, musher.Binary(t), args...)
	cmd.Env = append(a.Env(), "HOME="+t.TempDir())
	return startProgram(t, cmd)
}

// line waits for the next line.
func (p *program) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("%v printed no more: %v\n%s", p.cmd.Args, p.lines.Err(), &p.errs)
	}
	return p.lines.Text()
}

// rest reads the other lines, and waits for a good end.
func (p *program) rest(t *testing.T) string {
	t.Helper()
	var all []string
	for p.lines.Scan() {
		all = append(all, p.lines.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v: %v\n%s", p.cmd.Args, err, &p.errs)
	}
	return strings.Join(all, " ")
}

// interrupt ends it as Ctrl-C does.
func (p *program) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	p.rest(t)
}

// TestPythonLogs runs one program with today's boto3 and with that of Debian,
// where it is installed.
func TestPythonLogs(t *testing.T) {
	t.Parallel()
	for name, interpreter := range map[string]string{"new": python(t), "Debian": "/usr/bin/python3"} {
		t.Run(name, func(t *testing.T) {
			if err := exec.Command(interpreter, "-c", "import boto3").Run(); err != nil {
				t.Skipf("%s has no boto3", interpreter)
			}
			srv := musher.InProcess(t)
			t.Log(run(t, srv.Access, t.TempDir(), []string{"PYTHONDONTWRITEBYTECODE=1"}, interpreter, filepath.Join(musher.Root(t), "test", "sdk", "py", "logs.py")))
		})
	}
}

// TestLogsTail is `aws logs tail`, which version 2 of the CLI has.
func TestLogsTail(t *testing.T) {
	t.Parallel()
	const aws2 = "/usr/bin/aws"
	if out, err := exec.Command(aws2, "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "aws-cli/2.") {
		t.Skipf("no aws CLI of version 2 at %s", aws2)
	}
	srv := musher.InProcess(t)
	newStream(t, srv.Access, "/app/web", "a", "hello", "an ERROR")
	newStream(t, srv.Access, "/app/web", "b", "world")
	tail := func(args ...string) *program {
		cmd := exec.Command(aws2, append([]string{"--endpoint-url", srv.Endpoint, "logs", "tail", "/app/web", "--format", "short"}, args...)...)
		cmd.Env = srv.Env()
		return startProgram(t, cmd)
	}
	p := tail("--filter-pattern", "ERROR")
	if got := p.rest(t); !strings.HasSuffix(got, " an ERROR") || strings.Contains(got, "hello") {
		t.Errorf("aws logs tail prints %q", got)
	}
	follow := tail("--follow")
	for _, want := range []string{"hello", "an ERROR", "world"} {
		if got := follow.line(t); !strings.HasSuffix(got, " "+want) {
			t.Errorf("a line is %q, want %q", got, want)
		}
	}
	putLines(t, srv.Access, "/app/web", "b", "again")
	if got := follow.line(t); !strings.HasSuffix(got, " again") {
		t.Errorf("the next line is %q", got)
	}
	if err := follow.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	follow.cmd.Wait() //nolint:errcheck // it was killed
}

// TestLogsCLI: today's CLI, whose commands are the operations.
func TestLogsCLI(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	newStream(t, srv.Access, "app", "s", "hello", "an ERROR")
	c := awsCLI{t: t, python: python(t), access: srv.Access, dir: t.TempDir()}
	if got := c.ok("logs", "get-log-events", "--log-group-name", "app", "--log-stream-name", "s", "--query", "events[].message", "--output", "text"); got != "hello\tan ERROR" {
		t.Errorf("get-log-events prints %q", got)
	}
	if got := c.ok("logs", "filter-log-events", "--log-group-name", "app", "--filter-pattern", "ERROR", "--query", "events[].message", "--output", "text"); got != "an ERROR" {
		t.Errorf("filter-log-events prints %q", got)
	}
}
