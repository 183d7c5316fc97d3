//go:build linux

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/musher/musher/internal/runner"
)

func TestPlan(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"job/tmp", "data", "model"} {
		if err := os.MkdirAll(filepath.Join(top, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("data", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		isolation Isolation
		mounts    []runner.Mount
		want      string // entries below /opt and top, or the error
	}{
		{"folder alone", None, nil, "TOP/job=TOP/job:1"},
		{"read-only", None, []runner.Mount{{Source: "TOP/data", ReadOnly: true}}, "TOP/data=TOP/data:0 TOP/job=TOP/job:1"},
		{"parents first", None, []runner.Mount{{Source: "TOP/job/tmp", ReadOnly: true}}, "TOP/job=TOP/job:1 TOP/job/tmp=TOP/job/tmp:0"},
		{"last of a target counts", Namespaces, []runner.Mount{{Source: "TOP/data", Target: "/opt/x"}, {Source: "TOP/model", Target: "/opt/x"}}, "/opt/x=TOP/model:1 TOP/job=TOP/job:1"},
		{"elsewhere", Namespaces, []runner.Mount{{Source: "TOP/data", Target: "/opt/ml/input/"}}, "/opt/ml/input=TOP/data:1 TOP/job=TOP/job:1"},
		{"elsewhere without namespaces", None, []runner.Mount{{Source: "TOP/data", Target: "/opt/ml"}}, "error: gives no mount namespace"},
		{"same place by name", None, []runner.Mount{{Source: "TOP/data", Target: "TOP/data"}}, "TOP/data=TOP/data:1 TOP/job=TOP/job:1"},
		{"link as source", None, []runner.Mount{{Source: "TOP/link"}}, "TOP/job=TOP/job:1 TOP/link=TOP/data:1"},
		{"missing", None, []runner.Mount{{Source: "TOP/none"}}, "error: no such file"},
		{"relative", None, []runner.Mount{{Source: "data"}}, "error: not absolute"},
		{"over the root", Namespaces, []runner.Mount{{Source: "TOP/data", Target: "/"}}, "error: the sandbox's own"},
		{"into proc", Namespaces, []runner.Mount{{Source: "TOP/data", Target: "/x/../proc/1"}}, "error: the sandbox's own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.mounts {
				test.mounts[i].Source = strings.ReplaceAll(test.mounts[i].Source, "TOP", top)
				test.mounts[i].Target = strings.ReplaceAll(test.mounts[i].Target, "TOP", top)
			}
			v, err := plan(Config{Dir: top + "/job", Mounts: test.mounts, Isolation: test.isolation})
			if reason, fails := strings.CutPrefix(test.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), reason) {
					t.Errorf("error %v, want %q", err, reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range v.entries {
				if within(e.target, "/opt") || within(e.target, top) {
					got = append(got, strings.ReplaceAll(fmt.Sprintf("%s=%s:%d", e.target, e.source, e.access), top, "TOP"))
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestHostPath(t *testing.T) {
	v := view{
		entries: []entry{{target: "/job", source: "/data/jobs/1"}, {target: "/job/input", source: "/blobs/x"}, {target: "/usr", source: "/usr"}},
		links:   []link{{"/bin", "usr/bin"}, {"/var/tmp", "/job/tmp"}},
	}
	tests := []struct {
		path, want string
		seen       bool
	}{
		{"/job/a", "/data/jobs/1/a", true},
		{"/job/input/b", "/blobs/x/b", true},
		{"/job/inputs", "/data/jobs/1/inputs", true},
		{"/jobs", "/jobs", false},
		{"/bin/sh", "/usr/bin/sh", true},
		{"/var/tmp/x", "/data/jobs/1/tmp/x", true},
		{"/etc/shadow", "/etc/shadow", false},
	}
	for _, test := range tests {
		if got, seen := v.hostPath(test.path); got != test.want || seen != test.seen {
			t.Errorf("%s: %s, %v", test.path, got, seen)
		}
	}
}

// Secrets must not come in by a general folder.
func TestSystemViewHoldsNoSecrets(t *testing.T) {
	dir := t.TempDir()
	for _, isolation := range []Isolation{None, Namespaces} {
		v, err := plan(Config{Dir: dir, Isolation: isolation})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssl/private/key.pem", "/etc/ssh/ssh_host_rsa_key", "/root/.aws/credentials", "/home/a/.ssh/id_rsa", "/var/lib/x", "/run/secrets/x", "/dev/sda", "/dev/mem"} {
			if _, seen := v.hostPath(secret); seen {
				t.Errorf("%s is in the view", secret)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o755, "data": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, path, want, fail string }{
		{"sh", "/nowhere:/bin", "/bin/sh", ""},
		{"sh", "", "/usr/bin/sh", ""},
		{"./run", "", dir + "/run", ""},
		{dir + "/run", "", dir + "/run", ""},
		{"run", dir, dir + "/run", ""},
		{"run", ".", dir + "/run", ""},
		{"./data", "", "", "permission denied"},
		{"./none", "", "", "not found"},
		{"none", "", "", "not found in PATH"},
		{"/", "", "", "permission denied"},
	}
	for _, test := range tests {
		v, err := plan(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.lookup(test.name, dir, test.path)
		if test.fail != "" {
			if err == nil || !strings.Contains(err.Error(), test.fail) {
				t.Errorf("%+v: %q, %v", test, got, err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}

func TestEnviron(t *testing.T) {
	got := environ(Config{Dir: "/job", Env: map[string]string{"B": "2", "A": "1"}})
	if want := []string{"A=1", "B=2", "TMPDIR=/job/tmp"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	got = environ(Config{Dir: "/job", Env: map[string]string{"TMPDIR": "/x"}})
	if want := []string{"TMPDIR=/x"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// No kind of access may hold the making of device nodes.
func TestRightsHoldNoDeviceNodes(t *testing.T) {
	const makeNodes = 1<<6 | 1<<11 // LANDLOCK_ACCESS_FS_MAKE_CHAR, MAKE_BLOCK
	if (rightsRead|rightsWrite|rightsDevice)&makeNodes != 0 {
		t.Error("device nodes may be made")
	}
	for abi := 1; abi <= 9; abi++ {
		if handled(abi)&makeNodes != makeNodes {
			t.Errorf("version %d does not check the making of device nodes", abi)
		}
	}
}
