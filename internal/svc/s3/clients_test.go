package s3

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clientCommand is a command whose AWS environment is this server as root.
func clientCommand(t *testing.T, ts *testServer, name string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + ts.url, "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=ROOT", "AWS_SECRET_ACCESS_KEY=root-secret", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"PYTHONDONTWRITEBYTECODE=1",
	}
	return cmd
}

// TestBoto3 runs testdata/boto3_test.py, which says what it checks.
func TestBoto3(t *testing.T) {
	if err := exec.Command("python3", "-c", "import boto3").Run(); err != nil {
		t.Skipf("boto3 for python3 is not installed: %v", err)
	}
	ts := newTestServer(t, t.TempDir())
	out, err := clientCommand(t, ts, "python3", "testdata/boto3_test.py", "-v").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestCLI copies folders up and down and compares them.
func TestCLI(t *testing.T) {
	ts := newTestServer(t, t.TempDir())
	aws := func(args ...string) string {
		t.Helper()
		cmd := clientCommand(t, ts, "aws", args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	up, down := t.TempDir(), t.TempDir()
	tree := map[string][]byte{
		"small.txt": []byte("small"), "deep/er/file": []byte("deep"), "ä b+c.txt": []byte("name"), "empty": nil,
		"large.bin": make([]byte, 20<<20), // three parts of 8 MiB
	}
	rand.Read(tree["large.bin"])
	for name, data := range tree {
		os.MkdirAll(filepath.Dir(filepath.Join(up, name)), 0o755)
		if err := os.WriteFile(filepath.Join(up, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	aws("s3", "mb", "s3://cli-bucket")
	aws("s3", "sync", up, "s3://cli-bucket/copy")
	if out := aws("s3", "sync", up, "s3://cli-bucket/copy"); strings.Contains(out, "upload:") {
		t.Errorf("a second sync uploads again: %s", out)
	}
	aws("s3", "cp", "--recursive", "s3://cli-bucket/copy", "s3://cli-bucket/again")
	aws("s3", "sync", "s3://cli-bucket/again", down)
	for name, data := range tree {
		got, err := os.ReadFile(filepath.Join(down, name))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s came back otherwise: %d bytes, %v", name, len(got), err)
		}
	}
	if out := aws("s3", "ls", "s3://cli-bucket/copy/"); !strings.Contains(out, "PRE deep/") || !strings.Contains(out, "ä b+c.txt") {
		t.Errorf("ls: %s", out)
	}
	if out := aws("s3api", "head-object", "--bucket", "cli-bucket", "--key", "again/large.bin"); !strings.Contains(out, "20971520") {
		t.Errorf("head-object: %s", out)
	}
	if out := aws("s3", "presign", "s3://cli-bucket/copy/small.txt"); !strings.HasPrefix(out, ts.url) {
		t.Errorf("presign: %s", out)
	}
	os.Remove(filepath.Join(up, "small.txt"))
	if out := aws("s3", "sync", "--delete", up, "s3://cli-bucket/copy"); !strings.Contains(out, "delete: ") {
		t.Errorf("sync --delete: %s", out)
	}
	aws("s3", "rm", "--recursive", "s3://cli-bucket")
	aws("s3", "rb", "s3://cli-bucket")
	cmd := clientCommand(t, ts, "aws", "s3", "ls", "s3://cli-bucket")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "NoSuchBucket") {
		t.Errorf("ls of a removed bucket: %v %s", err, out)
	}
}
