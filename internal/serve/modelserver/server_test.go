package modelserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image/color"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/model"
)

// running is a model server under test.
type running struct {
	t      testing.TB
	socket string
	http   *http.Client
	stop   context.CancelFunc
	ended  chan error
}

// start runs a server on the tests' model until the test ends.
func start(t testing.TB, c Config) *running {
	t.Helper()
	if c.Library == "" {
		c.Library = library(t)
	}
	if c.Model == "" {
		c.Model = modelFolder(t, network("N"), testInfo())
	}
	dir, err := os.MkdirTemp("", "ms") // a test's own folder has too long a name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.Socket = filepath.Join(dir, "s")
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, socket: c.Socket, stop: stop, ended: make(chan error, 1)}
	r.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
		},
		MaxIdleConnsPerHost: 100,
	}}
	go func() { r.ended <- Run(ctx, c) }()
	t.Cleanup(func() {
		stop()
		r.http.CloseIdleConnections()
		if err := <-r.ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		r.ended <- nil
	})
	for range 1000 {
		resp, err := r.http.Get("http://model/ping")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return r
			}
		}
		select {
		case err := <-r.ended:
			r.ended <- nil
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the server does not get ready")
	return nil
}

// call is a request: body, content type, and "Name: value" headers.
func (r *running) call(body []byte, contentType string, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://model/invocations", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, answer
}

// bucket is a fake of Musher's objects.
type bucket map[string][]byte

func (b bucket) Get(_ context.Context, name, key string) (io.ReadCloser, string, error) {
	uri := "s3://" + name + "/" + key
	switch body, ok := b[uri]; {
	case strings.Contains(key, "panic"):
		panic("in a bucket")
	case strings.Contains(key, "secret"):
		return nil, "", awsapi.Errorf("AccessDenied", "User R is not authorized to perform: s3:GetObject")
	case strings.Contains(key, "broken"):
		return nil, "", errors.New("dial tcp 10.9.8.7:4566: refused")
	case ok:
		return io.NopCloser(bytes.NewReader(body)), "image/png", nil
	}
	return nil, "", awsapi.Errorf("NoSuchKey", "The specified key does not exist.")
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestAnswers(t *testing.T) {
	reds, blues := photo(t, red), photo(t, blue)
	r := start(t, Config{Endpoint: "http://127.0.0.1:4566", Objects: bucket{"s3://b/red.png": reds, "s3://b/100%25 ?blue#.png": blues}})
	one := [][]float64{answerTo(red)}
	two := [][]float64{answerTo(red), answerTo(blue)}
	for name, c := range map[string]struct {
		contentType, body string
		list              bool
		want              [][]float64
	}{
		"x-image":           {"application/x-image", string(reds), false, one},
		"png":               {"image/png", string(reds), false, one},
		"another type":      {"image/jpeg", string(reds), false, one}, // the content says what it is
		"parameters":        {"IMAGE/PNG; q=1", string(reds), false, one},
		"octets":            {"application/octet-stream", string(reds), false, one},
		"no type":           {"", string(reds), false, one},
		"no type, JSON":     {"", "\n {\"url\": \"s3://b/red.png\"}", false, one},
		"octets, JSON":      {"application/octet-stream", `{"url": "s3://b/red.png"}`, false, one},
		"url":               {"application/json", `{"url": "s3://b/red.png"}`, false, one},
		"url, charset":      {"application/json; charset=utf-8", `{"url": "s3://b/red.png"}`, false, one},
		"own url":           {"application/json", `{"url": "http://localhost:4566/b/red.png"}`, false, one},
		"b64":               {"application/json", `{"b64": "` + b64(reds) + `"}`, false, one},
		"b64, not padded":   {"application/json", `{"b64": "` + strings.TrimRight(b64(reds), "=") + `"}`, false, one},
		"instances":         {"application/json", `{"instances": ["s3://b/red.png", {"b64": "` + b64(blues) + `"}]}`, true, two},
		"instances, odd":    {"application/json", `{"instances": [{"url": "s3://b/red.png"}, {"url": "s3://b/100%25 ?blue#.png"}]}`, true, two},
		"instances, lonely": {"application/json", `{"instances": [{"url": "s3://b/red.png"}], "signature_name": "x"}`, true, one},
	} {
		resp, answer := r.call([]byte(c.body), c.contentType)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %s", name, resp.StatusCode, resp.Header.Get("Content-Type"), answer)
			continue
		}
		got, err := readNumbers(answer, c.list)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: answered %s: %v", name, answer, err)
			continue
		}
		for i := range got {
			if err := nearly(got[i], c.want[i]); err != nil {
				t.Errorf("%s: photo %d: %v", name, i, err)
			}
		}
	}
}

func readNumbers(answer []byte, list bool) (numbers [][]float32, err error) {
	if !list {
		return numbers, json.Unmarshal(answer, &numbers)
	}
	var doc struct{ Predictions [][]float32 }
	return doc.Predictions, errors.Join(json.Unmarshal(answer, &doc), nil)
}

func TestVerbose(t *testing.T) {
	r := start(t, Config{})
	body := photo(t, blue)
	var want verbose
	for name, c := range map[string]struct {
		header string
		top    int
	}{
		"accept":              {"Accept: application/json; verbose", 4},
		"accept =1":           {"Accept: application/json;verbose=1", 4},
		"accept among others": {"Accept: text/csv, application/json;q=0.5;top_k=2", 2},
		"attribute":           {"X-Amzn-SageMaker-Custom-Attributes: verbose", 4},
		"attribute true":      {"X-Amzn-SageMaker-Custom-Attributes: trace=7; verbose=true", 4},
		"top one":             {"X-Amzn-SageMaker-Custom-Attributes: top_k=1,trace=7", 1},
		"more than all":       {"X-Amzn-SageMaker-Custom-Attributes: top_k=50", 4},
	} {
		resp, answer := r.call(body, "image/png", c.header)
		var got verbose
		if err := json.Unmarshal(answer, &got); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s: %v", name, resp.StatusCode, answer, err)
			continue
		}
		if err := nearly(got.LogProbabilities, answerTo(blue)); err != nil || !slices.Equal(got.Labels, testLabels) {
			t.Errorf("%s: %v, labels %v", name, err, got.Labels)
		}
		if len(got.Predictions) != c.top || got.Predictions[0].Label != "blue" {
			t.Errorf("%s: ranking %v, want %d that begin with blue", name, got.Predictions, c.top)
		}
		if !slices.IsSortedFunc(got.Predictions, func(a, b ranked) int { return int(1e6 * (b.Probability - a.Probability)) }) {
			t.Errorf("%s: ranking is not in order: %v", name, got.Predictions)
		}
		if c.top == 4 {
			want = got
		}
	}
	sum := float32(0)
	for _, p := range want.Predictions {
		sum += p.Probability
		if i := slices.Index(testLabels, p.Label); want.LogProbabilities[i] != p.LogProbability {
			t.Errorf("%v is ranked with another log probability than %g", p, want.LogProbabilities[i])
		}
	}
	if sum < 0.9999 || sum > 1.0001 {
		t.Errorf("the probabilities sum to %g", sum)
	}

	_, answer := r.call([]byte(`{"instances": [{"b64": "`+b64(body)+`"}]}`), "application/json", "Accept: application/json; verbose")
	var list struct {
		Predictions []verbose
		Labels      []string
	}
	if err := json.Unmarshal(answer, &list); err != nil || len(list.Predictions) != 1 || len(list.Labels) != 4 ||
		list.Predictions[0].Predictions[0].Label != "blue" || list.Predictions[0].Labels != nil {
		t.Errorf("instances: %s: %v", answer, err)
	}
	for _, plain := range []string{"Accept: */*", "Accept: application/json;verbose=0", "X-Amzn-SageMaker-Custom-Attributes: verbosely", "Accept: "} {
		if _, answer := r.call(body, "image/png", plain); !bytes.HasPrefix(answer, []byte("[[")) {
			t.Errorf("%s: answered %s", plain, answer)
		}
	}
}

// bomb is a PNG whose header claims 60,000 x 60,000 pixels.
func bomb() string {
	head := binary.BigEndian.AppendUint32([]byte("IHDR"), 60_000)
	head = append(binary.BigEndian.AppendUint32(head, 60_000), 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return string(binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(head)))
}

func TestRefusals(t *testing.T) {
	var log lines
	reds := photo(t, red)
	r := start(t, Config{
		Endpoint: "http://127.0.0.1:4566", Objects: bucket{"s3://b/red.png": reds, "s3://b/page": []byte("<html>")},
		MaxInstances: 3, MaxBody: 100_000, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	cut := string(reds[:len(reds)/2])
	for name, c := range map[string]struct {
		contentType, body string
		header            string
		status            int
		says              string
	}{
		"type":                {"text/csv", "1,2", "", 415, `content type "text/csv" is not supported`},
		"form":                {"application/x-www-form-urlencoded", "a=b", "", 415, "not supported"},
		"no body":             {"image/jpeg", "", "", 400, "no body"},
		"no image":            {"image/jpeg", "hello", "", 400, "unsupported image format"},
		"cut off":             {"image/png", cut, "", 400, "corrupt image"},
		"bomb":                {"image/png", bomb(), "", 413, "60000 x 60000"},
		"large body":          {"image/png", strings.Repeat("x", 100_001), "", 413, "larger than 100000 bytes"},
		"accept":              {"image/png", string(reds), "Accept: text/csv", 406, "cannot be satisfied"},
		"accept q=0":          {"image/png", string(reds), "Accept: application/json;q=0", 406, "cannot be satisfied"},
		"bad top_k":           {"image/png", string(reds), "Accept: application/json;top_k=0", 400, "top_k"},
		"bad verbose":         {"image/png", string(reds), "X-Amzn-SageMaker-Custom-Attributes: verbose=maybe", 400, "neither true nor false"},
		"no JSON":             {"application/json", "{", "", 400, "no JSON"},
		"two JSONs":           {"application/json", "{} {}", "", 400, "no JSON"},
		"JSON list":           {"application/json", "[1, 2]", "", 400, "array"},
		"JSON string":         {"application/json", `"s3://b/red.png"`, "", 400, "string"},
		"no url":              {"application/json", `{"uri": "x"}`, "", 400, "names no photo"},
		"empty url":           {"application/json", `{"url": ""}`, "", 400, "names no photo"},
		"url is a number":     {"application/json", `{"url": 5}`, "", 400, "number where something else is expected (url)"},
		"two ways":            {"application/json", `{"url": "s3://b/red.png", "b64": "eA=="}`, "", 400, "url and b64"},
		"no instances":        {"application/json", `{"instances": []}`, "", 400, "empty"},
		"instances and photo": {"application/json", `{"instances": ["x"], "url": "x"}`, "", 400, "beside"},
		"many instances":      {"application/json", `{"instances": ["x","x","x","x"]}`, "", 413, "at most 3"},
		"empty instance":      {"application/json", `{"instances": ["s3://b/red.png", {}]}`, "", 400, "instances[1]: the JSON names no photo"},
		"null instance":       {"application/json", `{"instances": [null]}`, "", 400, "instances[0]: the JSON names no photo"},
		"bad instance":        {"application/json", `{"instances": ["s3://b/red.png", {"b64": "aGVsbG8="}]}`, "", 400, "instances[1]: unsupported image format"},
		"bad b64":             {"application/json", `{"b64": "*"}`, "", 400, "no base64"},
		"scheme":              {"application/json", `{"url": "file:///etc/passwd"}`, "", 400, "forbidden URL"},
		"loopback":            {"application/json", `{"url": "http://127.0.0.1:8080/x.jpg"}`, "", 400, "the host's address is loopback"},
		"metadata":            {"application/json", `{"url": "http://169.254.169.254/latest"}`, "", 400, "link-local"},
		"another port":        {"application/json", `{"url": "http://localhost:4567/b/red.png"}`, "", 400, "loopback"},
		"no key":              {"application/json", `{"url": "s3://b"}`, "", 400, "names no object"},
		"own API":             {"application/json", `{"url": "http://127.0.0.1:4566/?Action=ListUsers"}`, "", 400, "names no object"},
		"no such key":         {"application/json", `{"url": "s3://b/other.png"}`, "", 424, "NoSuchKey"},
		"access denied":       {"application/json", `{"url": "s3://b/secret.png"}`, "", 424, "AccessDenied: User R is not"},
		"broken bucket":       {"application/json", `{"url": "s3://b/broken.png"}`, "", 424, "s3://b/broken.png could not be read"},
		"url of a page":       {"application/json", `{"url": "s3://b/page"}`, "", 400, "the URL's content: unsupported image format"},
		"panic":               {"application/json", `{"url": "s3://b/panic"}`, "", 500, "the model server failed"},
		"panic, instance":     {"application/json", `{"instances": ["s3://b/panic", "s3://b/red.png"]}`, "", 500, "the model server failed"},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		resp, answer := r.call([]byte(c.body), c.contentType, headers...)
		var got struct{ Error, Hint string }
		err := json.Unmarshal(answer, &got)
		if err != nil || resp.StatusCode != c.status || !strings.Contains(got.Error, c.says) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s (%v), want %d and %q", name, resp.StatusCode, answer, err, c.status, c.says)
		}
		if strings.Contains(string(answer), "10.9.8.7") {
			t.Errorf("%s: the answer tells an internal address: %s", name, answer)
		}
	}
	for _, inside := range []string{"10.9.8.7", "in a bucket"} {
		if !strings.Contains(log.String(), inside) {
			t.Errorf("the log does not tell %q", inside)
		}
	}
	if resp, _ := r.call(reds, "image/png"); resp.StatusCode != http.StatusOK {
		t.Errorf("after all of it a good photo is answered with %d", resp.StatusCode)
	}
}

// lines is a log to look into.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// A body of unknown length may not be longer than one of a known length.
func TestChunkedBody(t *testing.T) {
	reds := photo(t, red)
	r := start(t, Config{MaxBody: 10_000})
	for size, want := range map[int]int{len(reds): 200, 10_001: 413} {
		body := append(slices.Clone(reds), make([]byte, size-len(reds))...)
		req, err := http.NewRequest(http.MethodPost, "http://model/invocations", io.MultiReader(bytes.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes in chunks: %d, want %d", size, resp.StatusCode, want)
		}
	}
}

// Many clients at once, each with a colour of its own, get their own answers:
// alone, and in batches.
func TestNothingIsMixedUp(t *testing.T) {
	for _, c := range []Config{{}, {Workers: 1, MaxBatch: 4}, {Workers: 3, MaxBatch: 7}} {
		t.Run(fmt.Sprintf("%d workers, batch %d", c.Workers, c.MaxBatch), func(t *testing.T) {
			r := start(t, c)
			var wg sync.WaitGroup
			for client := range 16 {
				wg.Go(func() {
					for i := range 12 {
						colour := color.RGBA{uint8(client * 16), uint8(i * 20), uint8(255 - client*i), 255}
						_, answer := r.call(photo(t, colour), "image/png")
						numbers, err := readNumbers(answer, false)
						if err != nil || len(numbers) != 1 {
							t.Errorf("%s: %v", answer, err)
						} else if err := nearly(numbers[0], answerTo(colour)); err != nil {
							t.Errorf("colour %v: %v", colour, err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestMetricsAndPaths(t *testing.T) {
	r := start(t, Config{})
	r.call(photo(t, red), "image/png")
	r.call(nil, "image/png")
	resp, err := r.http.Get("http://model/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	for _, line := range []string{
		`musher_model_requests_total{status="200"} 1`, `musher_model_requests_total{status="400"} 1`,
		`musher_model_batch_photos_count`, `musher_model_stage_seconds_count{stage="decode"} 1`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("metrics lack %q:\n%s", line, text)
		}
	}
	for path, want := range map[string]int{"/invocations": 405, "/other": 404} {
		resp, err := r.http.Get("http://model" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// A request under way is answered although the server was told to stop.
func TestStopFinishesRequests(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	reds := photo(t, red)
	r := start(t, Config{Objects: objectsFunc(func() (io.ReadCloser, string, error) {
		close(asked)
		<-release
		return io.NopCloser(bytes.NewReader(reds)), "", nil
	})})
	answered := make(chan int)
	go func() {
		resp, _ := r.call([]byte(`{"url": "s3://b/k"}`), "application/json")
		answered <- resp.StatusCode
	}()
	<-asked
	r.stop()
	for { // no new connections are taken
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-r.ended:
		t.Fatalf("the server ended (%v) with a request under way", err)
	default:
	}
	close(release)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request under way was answered with %d", status)
	}
	err := <-r.ended
	r.ended <- err
	if err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if _, err := os.Lstat(r.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// What does not end within DrainTimeout is given up.
func TestStopDoesNotWaitForEver(t *testing.T) {
	asked := make(chan struct{})
	r := start(t, Config{DrainTimeout: 50 * time.Millisecond, Objects: objectsFunc(func() (io.ReadCloser, string, error) {
		close(asked)
		pr, _ := io.Pipe() // nothing ever comes
		return pr, "", nil
	})})
	go func() {
		resp, err := r.http.Post("http://model/invocations", "application/json", strings.NewReader(`{"url": "s3://b/k"}`))
		if err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	r.stop()
	err := <-r.ended
	r.ended <- err
	if err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

type objectsFunc func() (io.ReadCloser, string, error)

func (f objectsFunc) Get(context.Context, string, string) (io.ReadCloser, string, error) { return f() }

func TestBadModels(t *testing.T) {
	lib := library(t)
	spoil := func(name string, content []byte) string {
		dir := modelFolder(t, network("N"), testInfo())
		path := filepath.Join(dir, name)
		if content == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	info := func(change func(*model.Info)) string {
		i := testInfo()
		change(&i)
		return modelFolder(t, network("N"), i)
	}
	for name, c := range map[string]struct{ dir, lib, says string }{
		"no folder":      {"/nowhere", lib, "model.json: it is not there"},
		"no description": {spoil(model.InfoFile, nil), lib, "model.json: it is not there"},
		"no network":     {spoil(model.File, nil), lib, "model.onnx: it is not there"},
		"no ONNX":        {spoil(model.File, []byte("PK\x03\x04 something else")), lib, "model.onnx: open model"},
		"empty network":  {spoil(model.File, []byte{}), lib, "model.onnx: open model"},
		"labels":         {info(func(i *model.Info) { i.Labels = i.Labels[:3] }), lib, "it has 4 classes, but model.json names 3 labels"},
		"size":           {info(func(i *model.Info) { i.Preprocess.Crop = 4 }), lib, "its input is float32 [-1 3 8 8]; model.json asks for one of float32 [N,3,4,4]"},
		"fixed batch":    {modelFolder(t, network(5), testInfo()), lib, "made for 5 photos"},
		"no library":     {modelFolder(t, network("N"), testInfo()), "/nowhere.so", "/nowhere.so"},
		"unnamed":        {modelFolder(t, network("N"), testInfo()), "", "no ONNX Runtime library is named"},
		"not a library":  {modelFolder(t, network("N"), testInfo()), "model_test.go", "load ONNX Runtime"},
	} {
		socket := filepath.Join(t.TempDir(), "s")
		err := Run(t.Context(), Config{Model: c.dir, Library: c.lib, Socket: socket})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
		if _, err := os.Lstat(socket); err == nil {
			t.Errorf("%s: the socket is still there", name)
		}
	}
}

// A network made for one photo serves, one photo at a time.
func TestSinglePhotoNetwork(t *testing.T) {
	r := start(t, Config{Model: modelFolder(t, network(1), testInfo()), MaxBatch: 8, Workers: 1})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if resp, answer := r.call(photo(t, red), "image/png"); resp.StatusCode != http.StatusOK {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
	wg.Wait()
}

// Until the model is warm nothing is answered, but connections are taken.
func TestNotReady(t *testing.T) {
	s, err := newServer(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"GET /ping", "POST /invocations"} {
		w := answerOf(s, target, "x")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "being loaded") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
