package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/vision"
)

// result is one row. Times are milliseconds; cpu is the server's time per request.
type result struct{ perSecond, p50, p99, cpu, rss float64 }

func summarise(took []time.Duration, lasted, cpu time.Duration) result {
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	n := float64(len(took))
	return result{perSecond: n / lasted.Seconds(), p50: at(0.5), p99: at(0.99), cpu: cpu.Seconds() * 1000 / n}
}

// each calls do again and again from n goroutines, and gives the time of every call.
func each(ctx context.Context, n int, lasting time.Duration, prepare func() (do func() error, err error)) ([]time.Duration, time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	began := time.Now()
	g, working := errgroup.WithContext(ctx)
	for range n {
		g.Go(func() error {
			do, err := prepare()
			if err != nil {
				return err
			}
			var took []time.Duration
			for start := time.Now(); start.Sub(began) < lasting && working.Err() == nil; {
				if err := do(); err != nil {
					return err
				}
				now := time.Now()
				took = append(took, now.Sub(start))
				start = now
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return nil
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return nil, 0, err
	}
	if len(all) == 0 {
		return nil, 0, errors.New("nothing was measured")
	}
	return all, time.Since(began), nil
}

// loop is the plain loop over ONNX Runtime: n goroutines, a single-threaded run each.
func (b *bench) loop(ctx context.Context, folder string, n int, decode bool) error {
	info, err := model.Read(folder)
	if err != nil {
		return err
	}
	lib, err := ort.Load(b.library)
	if err != nil {
		return err
	}
	session, err := lib.OpenSession(filepath.Join(folder, model.File), ort.Options{IntraThreads: 1, InterThreads: 1})
	if err != nil {
		return err
	}
	defer session.Close()
	decoder, err := vision.NewDecoder(vision.Options{})
	if err != nil {
		return err
	}
	side := int64(info.Preprocess.Crop)
	bindings := make(chan *ort.Binding, n)
	cpu := ownCPU()
	took, lasted, err := each(ctx, n, b.seconds, func() (func() error, error) {
		in, out := make([]float32, info.Preprocess.Len()), make([]float32, len(info.Labels))
		if err := decoder.Load(b.body, info.Preprocess, in); err != nil {
			return nil, err
		}
		run, err := session.Bind([]ort.Tensor{ort.Of(in, 1, 3, side, side)}, []ort.Tensor{ort.Of(out, 1, int64(len(out)))})
		if err != nil {
			return nil, err
		}
		bindings <- run
		return func() error {
			if decode {
				if err := decoder.Load(b.body, info.Preprocess, in); err != nil {
					return err
				}
			}
			return run.Run()
		}, nil
	})
	for len(bindings) > 0 {
		(<-bindings).Close()
	}
	if err != nil {
		return err
	}
	name := "plain loop: network only"
	if decode {
		name = "plain loop: decode (" + decoder.JPEG() + ") + network"
	}
	r := summarise(took, lasted, ownCPU()-cpu)
	fmt.Printf("%-42s %5d %10.0f %9.2f %9.2f %11.2f\n", name, n, r.perSecond, r.p50, r.p99, r.cpu)
	return nil
}

// servedModel is a model server of its own process.
type servedModel struct {
	cmd    *exec.Cmd
	socket string
	ready  time.Duration
}

func (b *bench) start(ctx context.Context, folder string, env ...string) (*servedModel, error) {
	s := &servedModel{socket: filepath.Join(b.dir, "socket")}
	s.cmd = exec.CommandContext(ctx, b.musher, "serve-model", folder, s.socket)
	s.cmd.Env = append(append(os.Environ(), "MUSHER_ONNXRUNTIME="+b.library), env...)
	var log bytes.Buffer
	s.cmd.Stderr = &log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for s.ready = time.Since(began); s.ready < 30*time.Second; s.ready = time.Since(began) {
		if c, err := dial(s.socket); err == nil {
			status, _, err := c.do(request("GET", "/ping", "", nil))
			c.Close()
			if err == nil && status == 200 {
				return s, nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("the model server does not get ready: %s", log.String())
}

func (s *servedModel) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// measure loads the server with n requests at a time.
func (s *servedModel) measure(ctx context.Context, n int, lasting time.Duration, contentType string, body []byte) (result, error) {
	req := request("POST", "/invocations", contentType, body)
	one := func() (func() error, error) {
		c, err := dial(s.socket)
		return func() error {
			status, answer, err := c.do(req)
			if err == nil && status != 200 {
				err = fmt.Errorf("answered %d: %s", status, answer)
			}
			return err
		}, err
	}
	if _, _, err := each(ctx, n, lasting/5, one); err != nil { // warm
		return result{}, err
	}
	cpu, _ := usage(s.cmd.Process.Pid)
	took, lasted, err := each(ctx, n, lasting, one)
	if err != nil {
		return result{}, err
	}
	after, rss := usage(s.cmd.Process.Pid)
	r := summarise(took, lasted, after-cpu)
	r.rss = rss
	return r, nil
}

// client speaks just enough HTTP: its work is taken from the server's cores.
type client struct {
	net.Conn
	in *bufio.Reader
}

func dial(socket string) (*client, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReader(c)}, nil
}

func request(method, path, contentType string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: model\r\nContent-Length: %d\r\n", method, path, len(body))
	if contentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", contentType)
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func (c *client) do(request []byte) (status int, body []byte, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0, nil, err
		}
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		switch {
		case first:
			if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
				return 0, nil, err
			}
		case line == "":
			body = make([]byte, length)
			_, err := io.ReadFull(c.in, body)
			return status, body, err
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, nil, err
			}
		}
	}
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usage reads a process's CPU time and memory (MiB) from /proc.
func usage(pid int) (cpu time.Duration, rss float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	const tick = time.Second / 100
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	pages, _ := strconv.Atoi(f[21])
	return time.Duration(user+system) * tick, float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}

func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return "unknown CPU"
}
