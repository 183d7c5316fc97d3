package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/logs"
)

// What is printed of a log: each event once, with who wrote it where several
// may have.
func TestLogEvents(t *testing.T) {
	job, endpoint := logPlaces("dogs")[0], logPlaces("dogs")[3]
	for _, c := range []struct {
		place  logPlace
		hosts  []string
		events string // stream time id text
		want   string
	}{
		{job, []string{"algo-1"}, "dogs/algo-1-1700000000 1 a one,dogs/algo-1-1700000000 1 b two", "one\ntwo\n"},
		{job, []string{"algo-1", "algo-2"}, "dogs/algo-1-1700000000 1 a one,dogs/algo-2-1700000000 2 b two", "algo-1: one\nalgo-2: two\n"},
		{endpoint, []string{"all/i-1"}, "all/i-1 1 a ready", "all/i-1: ready\n"},
		{job, []string{"algo-1"}, "dogs/algo-1-17 1 a one,dogs/algo-1-17 2 b two,dogs/algo-1-17 2 b two,dogs/algo-1-17 2 c three", "one\ntwo\nthree\n"},
	} {
		l := &logReader{logPlace: c.place, hosts: map[string]bool{}}
		for _, h := range c.hosts {
			l.hosts[h] = true
		}
		var out strings.Builder
		for event := range strings.SplitSeq(c.events, ",") {
			var stream, id, text string
			var at int64
			if _, err := fmt.Sscan(event, &stream, &at, &id, &text); err != nil {
				t.Fatal(err)
			}
			if err := l.write(&globals{out: &out}, &logs.FilteredLogEvent{LogStreamName: &stream, Timestamp: &at, EventId: &id, Message: &text}); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(c.want, out.String()); d != "" {
			t.Error(d)
		}
	}
}

func TestEnvironment(t *testing.T) {
	all := map[string]string{"AWS_ENDPOINT_URL": "http://h:1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "mars-1"}
	conn, ok := environment(func(name string) string { return all[name] })
	if d := cmp.Diff(connection{Endpoint: "http://h:1", AccessKeyID: "k", SecretAccessKey: "s", Region: "mars-1"}, conn); d != "" || !ok {
		t.Error(ok, d)
	}
	for _, without := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if _, ok := environment(func(name string) string {
			if name == without {
				return ""
			}
			return all[name]
		}); ok {
			t.Errorf("complete without %s", without)
		}
	}
}

func TestMissing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {errors.New("not found"), false}, {errMissing, true},
		{awsapi.Errorf("ValidationException", "Requested resource not found."), true},
		{awsapi.Errorf("ValidationException", `Could not find model "m".`), true},
		{awsapi.Errorf("ValidationException", "1 validation error detected"), false},
		{awsapi.Errorf("ResourceNotFound", "no"), true},
		{awsapi.Errorf("AccessDeniedException", "not found"), false},
	} {
		if got := missing(c.err); got != c.want {
			t.Errorf("missing(%v) = %v", c.err, got)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	type inner struct{ Name, Reason *string }
	type answer struct {
		Status string
		Reason *string
		List   []*inner
	}
	var out bytes.Buffer
	if err := writeJSON(&out, answer{Status: "Failed", List: []*inner{{Name: new("a")}}}); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(`{"List":[{"Name":"a"}],"Status":"Failed"}`, compact.String()); d != "" {
		t.Error(d)
	}
}

func TestInvokeRequest(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const png, jpeg = "\x89PNG\x0D\x0A\x1A\x0A", "\xFF\xD8\xFF\xE0"
	for _, c := range []struct{ photo, stdin, kind, body, err string }{
		{photo: file("a.txt", png), kind: "image/png", body: png},
		{photo: "-", stdin: jpeg, kind: "image/jpeg", body: jpeg},
		{photo: file("c.jpg", "text"), kind: "application/x-image", body: "text"},
		{photo: "https://example.com/a.jpg?x=1", kind: "application/json", body: `{"url":"https://example.com/a.jpg?x=1"}`},
		{photo: "s3://dogs/a.jpg", kind: "application/json", body: `{"url":"s3://dogs/a.jpg"}`},
		{photo: "-", err: "the photo is empty"},
		{photo: filepath.Join(dir, "nothing"), err: "cannot read the photo"},
	} {
		kind, body, err := invokeCommand{Photo: c.photo}.request(strings.NewReader(c.stdin))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want …%s…", c.photo, err, c.err)
			}
			continue
		}
		if err != nil || kind != c.kind || string(body) != c.body {
			t.Errorf("%s: %s, %q, %v", c.photo, kind, body, err)
		}
	}
}

// What the model says of a bad photo is what the user reads.
func TestModelError(t *testing.T) {
	e := awsapi.Errorf("ModelError", "Received client error (400)").
		With("OriginalStatusCode", 400).With("OriginalMessage", `{"error":"unsupported image format","hint":"send a JPEG"}`)
	var out bytes.Buffer
	code := report(&globals{err: &out}, invokeCommand{Endpoint: "dogs"}.explain(e))
	if d := cmp.Diff("musher: unsupported image format\nhint: send a JPEG\n", out.String()); d != "" || code != exitFailed {
		t.Error(code, d)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
