package docker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// defaultHost is where the engine listens unless DOCKER_HOST says otherwise.
const defaultHost = "unix:///var/run/docker.sock"

// Versions of the API that this package can speak. The oldest has all that it
// uses; a newer engine still speaks the newest of these.
const (
	oldestAPI = 40 // 1.40: Docker 19.03, of 2019
	newestAPI = 47
)

// engine is a Docker engine's HTTP API.
type engine struct {
	http *http.Client
	base string // http://docker/v1.NN
	host string // as the user knows it
}

// engineError is an answer of the engine that is not a success.
type engineError struct {
	status  int
	message string
}

func (e *engineError) Error() string { return e.message }

// answered tells whether the engine answered with that status.
func answered(err error, status int) bool {
	var e *engineError
	return errors.As(err, &e) && e.status == status
}

// refused tells whether the engine understood and said no, as opposed to not
// being there.
func refused(err error) bool {
	var e *engineError
	return errors.As(err, &e)
}

// connect finds the engine at host, or where DOCKER_HOST or custom puts it.
func connect(ctx context.Context, host string) (*engine, error) {
	host = cmp.Or(host, os.Getenv("DOCKER_HOST"), defaultHost)
	path, local := strings.CutPrefix(host, "unix://")
	if !local {
		return nil, fmt.Errorf("docker engine at %s: only an engine of this machine can show work its folders: use unix://PATH", host)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	e := &engine{http: &http.Client{Transport: transport}, base: "http://docker", host: host}
	var about struct{ ApiVersion, MinAPIVersion string }
	if err := e.get(ctx, "/version", nil, &about); err != nil {
		return nil, fmt.Errorf("no docker engine answers at %s: %w", host, err)
	}
	minor, err := negotiate(about.MinAPIVersion, about.ApiVersion)
	if err != nil {
		return nil, fmt.Errorf("docker engine at %s: %w", host, err)
	}
	e.base = fmt.Sprintf("http://docker/v1.%d", minor)
	return e, nil
}

// negotiate gives the newest minor version that both sides speak.
func negotiate(least, most string) (int, error) {
	low, errLow := minorOf(least)
	high, errHigh := minorOf(most)
	if err := errors.Join(errLow, errHigh); err != nil {
		return 0, err
	}
	if high < oldestAPI || low > newestAPI {
		return 0, fmt.Errorf("it speaks API versions %s to %s, and this program 1.%d to 1.%d", least, most, oldestAPI, newestAPI)
	}
	return min(high, newestAPI), nil
}

func minorOf(version string) (int, error) {
	minor, known := strings.CutPrefix(version, "1.")
	if n, err := strconv.Atoi(minor); known && err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("API version %q is not of the form 1.NN", version)
}

func (e *engine) get(ctx context.Context, path string, query url.Values, out any) error {
	return e.call(ctx, http.MethodGet, path, query, nil, out)
}

// call sends in, if it is not nil, and decodes the answer into out, likewise.
func (e *engine) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := e.open(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
		return err
	}
	return json.NewDecoder(body).Decode(out)
}

// open gives the body of a successful answer.
func (e *engine) open(ctx context.Context, method, path string, query url.Values, in any) (io.ReadCloser, error) {
	var content bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&content).Encode(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, e.base+path+"?"+query.Encode(), &content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	var unsent *url.Error // names an address that is not one
	if errors.As(err, &unsent) {
		return nil, unsent.Err
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	const enough = 64 << 10
	text, err := io.ReadAll(io.LimitReader(resp.Body, enough))
	if err != nil {
		return nil, err
	}
	var told struct{ Message string }
	if json.Unmarshal(text, &told) != nil || told.Message == "" {
		told.Message = cmp.Or(strings.TrimSpace(string(text)), resp.Status)
	}
	return nil, &engineError{resp.StatusCode, told.Message}
}

// container is what the engine knows of a container.
type container struct {
	State struct {
		Status     string // created, running, paused, restarting, removing, exited, dead
		Pid        int
		ExitCode   int
		Error      string
		OOMKilled  bool
		StartedAt  time.Time
		FinishedAt time.Time
	}
}

func (e *engine) inspect(ctx context.Context, name string) (c container, err error) {
	return c, e.get(ctx, "/containers/"+name+"/json", nil, &c)
}

func (e *engine) create(ctx context.Context, name string, config any) error {
	return e.call(ctx, http.MethodPost, "/containers/create", url.Values{"name": {name}}, config, nil)
}

func (e *engine) start(ctx context.Context, name string) error {
	return e.call(ctx, http.MethodPost, "/containers/"+name+"/start", nil, nil, nil)
}

// wait returns when the container, which was started, does not run any more.
func (e *engine) wait(ctx context.Context, name string) error {
	return e.call(ctx, http.MethodPost, "/containers/"+name+"/wait", url.Values{"condition": {"not-running"}}, nil, nil)
}

// kill sends a signal to the container's first process. It does nothing to one
// that has ended.
func (e *engine) kill(ctx context.Context, name, signal string) error {
	err := e.call(ctx, http.MethodPost, "/containers/"+name+"/kill", url.Values{"signal": {signal}}, nil, nil)
	if answered(err, http.StatusNotFound) || answered(err, http.StatusConflict) {
		return nil
	}
	return err
}

func (e *engine) remove(ctx context.Context, name string) error {
	err := e.call(ctx, http.MethodDelete, "/containers/"+name, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
	if answered(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// lastError gives the last line that the container's first process wrote to
// its own stderr.
func (e *engine) lastError(ctx context.Context, name string) ([]byte, error) {
	body, err := e.open(ctx, http.MethodGet, "/containers/"+name+"/logs", url.Values{"stderr": {"1"}, "tail": {"1"}}, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	const header = 8 // stream and length, before each piece
	const enough = 64 << 10
	b, err := io.ReadAll(io.LimitReader(body, enough))
	return b[min(header, len(b)):], err
}

// hasImage tells whether the image is in the engine's store.
func (e *engine) hasImage(ctx context.Context, image string) (bool, error) {
	err := e.get(ctx, "/images/"+image+"/json", nil, nil)
	if answered(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// pull fetches the image from its registry.
func (e *engine) pull(ctx context.Context, image string) error {
	query := url.Values{"fromImage": {image}}
	if name := image[strings.LastIndex(image, "/")+1:]; !strings.ContainsAny(name, ":@") {
		query.Set("tag", "latest") // else the engine fetches every tag
	}
	body, err := e.open(ctx, http.MethodPost, "/images/create", query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for progress := json.NewDecoder(body); ; {
		var line struct{ Error string }
		if err := progress.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return &engineError{http.StatusBadGateway, line.Error}
		}
	}
}

// cpus is how many CPUs the engine's machine has.
func (e *engine) cpus(ctx context.Context) (int, error) {
	var info struct{ NCPU int }
	return info.NCPU, e.get(ctx, "/info", nil, &info)
}
