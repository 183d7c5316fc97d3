package sdk

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/musher/musher/test/musher"
)

// TestUp looks at the server as its operator sees it.
func TestUp(t *testing.T) {
	t.Parallel()
	srv := musher.New(t, musher.WithoutAssets())
	get := func(path string) string {
		res := must(http.Get(srv.Endpoint + path))(t)
		defer res.Body.Close()
		body := must(io.ReadAll(res.Body))(t)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
		return string(body)
	}
	must(srv.S3().ListBuckets(t.Context(), nil))(t)
	if got := get("/healthz"); got != "ok\n" {
		t.Errorf("/healthz says %q", got)
	}
	if got := get("/metrics"); !strings.Contains(got, `musher_requests_total{code="",operation="ListBuckets",service="s3"} 1`) {
		t.Errorf("/metrics does not count the call:\n%s", got)
	}
	for line := range strings.Lines(srv.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("the log has the line %q", line)
		} else if entry["msg"] == "request" && entry["request_id"] == "" {
			t.Errorf("a request without an id: %q", line)
		}
	}

	up := func(args ...string) (string, int) {
		cmd := exec.Command(musher.Binary(t), args...)
		cmd.Env = append(os.Environ(), "MUSHER_DATA_DIR="+srv.Data, "MUSHER_CACHE="+srv.Cache)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("musher %v went well", args)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := up("up", "--listen", "127.0.0.1:0"); code != 1 || !strings.Contains(out, "another server has the folder") {
		t.Errorf("a second server on one folder: exit code %d, %s", code, out)
	}
	listen := strings.TrimPrefix(srv.Endpoint, "http://")
	if out, code := up("up", "--listen", listen, "--data", t.TempDir()); code != 1 || !strings.Contains(out, "cannot listen on "+listen) {
		t.Errorf("a second server on one port: exit code %d, %s", code, out)
	}
	if out, code := up("up", "--listen", "nonsense", "--data", t.TempDir()); code != 1 {
		t.Errorf("a server on no address: exit code %d, %s", code, out)
	}
	if out, code := up("down"); code != 2 {
		t.Errorf("an unknown command: exit code %d, %s", code, out)
	}

	// Keys that the operator gives, and another account, at the next start.
	before := srv.Access
	srv.Stop()
	srv.Restart()
	if srv.Access != before {
		t.Errorf("after a restart the keys are %v, they were %v", srv.Access, before)
	}
}

// TestGivenKeys: root's key can be given.
func TestGivenKeys(t *testing.T) {
	t.Parallel()
	srv := musher.New(t, musher.WithoutAssets(), musher.WithEnv("MUSHER_ROOT_ACCESS_KEY=AKIAGIVEN00000000000", "MUSHER_ROOT_SECRET_KEY=a-secret-that-was-given-by-the-operator"), musher.WithFlags("--account", "210987654321"))
	who := must(srv.As("AKIAGIVEN00000000000", "a-secret-that-was-given-by-the-operator", "").STS().GetCallerIdentity(t.Context(), nil))(t)
	if *who.Arn != "arn:aws:iam::210987654321:root" {
		t.Errorf("the key is %s", *who.Arn)
	}
}
