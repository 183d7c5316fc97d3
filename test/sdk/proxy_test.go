package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/musher/musher/internal/server"
	"github.com/musher/musher/test/musher"
)

// proxied is this process's environment, made over by `musher env --proxy`.
func proxied(t *testing.T, srv *musher.Server) []string {
	t.Helper()
	cmd := exec.Command(musher.Binary(t), "env", "--proxy", "--json", "--region", musher.Region, "--data", srv.Data)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	if err := json.Unmarshal(text, &vars); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "BOTO_")
	})
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return append(env, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=", "PYTHONDONTWRITEBYTECODE=1")
}

// printed runs a program and returns what it printed.
func printed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, &errs)
	}
	return string(out)
}

// TestProxy: clients that have been told of a proxy, and of nothing else.
func TestProxy(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	srv := musher.New(t, musher.WithoutAssets())
	env := proxied(t, srv)
	program := filepath.Join(musher.Root(t), "test", "sdk", "py", "through_proxy.py")
	authority := filepath.Join(srv.Data, "tls", "ca.pem")
	t.Run("boto3", func(t *testing.T) {
		printed(t, env, interpreter, program, "by-boto3", authority)
	})
	t.Run("the system's boto3", func(t *testing.T) {
		const system = "/usr/bin/python3"
		if exec.Command(system, "-c", "import boto3").Run() != nil {
			t.Skip("the system's Python has no boto3 (Debian's python3-boto3 is an old one)")
		}
		printed(t, env, system, program, "by-old-boto3", authority)
	})
	t.Run("aws", func(t *testing.T) {
		aws := func(args ...string) string {
			return strings.TrimSpace(printed(t, env, append([]string{interpreter, "-m", "awscli"}, args...)...))
		}
		if got := aws("sts", "get-caller-identity", "--query", "Arn", "--output", "text"); got != "arn:aws:iam::123456789012:root" {
			t.Errorf("root is %s", got)
		}
		aws("s3", "mb", "s3://by-aws")
		aws("s3", "cp", program, "s3://by-aws/program")
		if got := aws("s3", "ls", "s3://by-aws"); !strings.HasSuffix(got, " program") {
			t.Errorf("the bucket holds %q", got)
		}
	})
}

// TestTelemetry: the SageMaker SDK's configuration says that it shall report to
// nobody, where the SDK looks for it.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	srv := musher.New(t, musher.WithoutAssets())
	var path string
	for _, v := range proxied(t, srv) {
		if name, value, _ := strings.Cut(v, "="); name == "SAGEMAKER_USER_CONFIG_OVERRIDE" {
			path = value
		}
	}
	const want = "SchemaVersion: \"1.0\"\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
	if text := must(os.ReadFile(path))(t); string(text) != want {
		t.Errorf("%s holds %s", path, text)
	}
}

// local is a server in this process whose folder a test looks into.
type local struct {
	*musher.Local
	data string
}

// inProcess starts one. Whatever host its clients ask for, dial is who answers.
func inProcess(t *testing.T, listen string, dial func(ctx context.Context, network, address string) (net.Conn, error)) local {
	t.Helper()
	var l local
	l.Local = musher.InProcess(t, musher.Doings{Options: func(o *server.Options) {
		l.data, o.Dial = o.Data, dial
		if listen != "" {
			o.Listen = listen
		}
	}})
	return l
}

// sdkConfig is that of aws-sdk-go-v2 with the server as the proxy and no
// endpoint.
func (l local) sdkConfig(t *testing.T) aws.Config {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(l.data, "tls", "ca.pem")))(t))
	proxy := must(url.Parse(l.Endpoint))(t)
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: musher.Region, RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(l.KeyID, l.Secret, ""),
	}
}

// TestProxyGoSDK also shows that two servers in one process keep apart.
func TestProxyGoSDK(t *testing.T) {
	t.Parallel()
	one, other := inProcess(t, "", nil), inProcess(t, "", nil)
	config := one.sdkConfig(t)
	if id := must(sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil))(t); *id.Account != musher.Account {
		t.Errorf("the account is %s", *id.Account)
	}
	if jobs := must(sagemaker.NewFromConfig(config).ListTrainingJobs(t.Context(), nil))(t); len(jobs.TrainingJobSummaries) != 0 {
		t.Errorf("jobs: %v", jobs.TrainingJobSummaries)
	}
	buckets := s3.NewFromConfig(config)
	must(buckets.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: aws.String("by-go"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: musher.Region},
	}))(t)
	body := make([]byte, 4<<20)
	rand.Read(body)
	must(buckets.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("by-go"), Key: aws.String("a b/c"), Body: bytes.NewReader(body)}))(t)
	out := must(buckets.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("by-go"), Key: aws.String("a b/c")}))(t)
	if got := must(io.ReadAll(out.Body))(t); !bytes.Equal(got, body) {
		t.Errorf("%d other bytes came back", len(got))
	}
	if list := must(s3.NewFromConfig(other.sdkConfig(t)).ListBuckets(t.Context(), nil))(t); len(list.Buckets) != 0 {
		t.Errorf("the other server has %v", list.Buckets)
	}
	// The endpoint itself speaks TLS, too.
	secure := strings.Replace(one.Endpoint, "http://", "https://", 1)
	if list := must(s3.NewFromConfig(config, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &secure, true }).ListBuckets(t.Context(), nil))(t); len(list.Buckets) != 1 {
		t.Errorf("over TLS there are %d buckets", len(list.Buckets))
	}
}

// elsewhere is a host of the outer world, and how a server reaches it by any
// name.
func elsewhere(t *testing.T) (certificate string, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	t.Helper()
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "this is %s", r.Host) }))
	t.Cleanup(host.Close)
	certificate = filepath.Join(t.TempDir(), "elsewhere.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: host.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return certificate, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, host.Listener.Addr().String())
	}
}

// curl asks a host through a proxy, and prints the answer or else the proxy's
// refusal.
func curl(t *testing.T, proxy, certificate, address string) (out string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		musher.Skip(t, "no curl: %v", err)
	}
	text, err := exec.Command(path, "--silent", "--show-error", "--noproxy", "", "--proxy", proxy, "--cacert", certificate, address).CombinedOutput()
	return string(text), err == nil
}

// TestOtherHosts: everything that is not Amazon's passes, end to end.
func TestOtherHosts(t *testing.T) {
	t.Parallel()
	certificate, dial := elsewhere(t)
	srv := inProcess(t, "", dial)
	if out, ok := curl(t, srv.Endpoint, certificate, "https://example.com/"); !ok || out != "this is example.com" {
		t.Errorf("curl prints %q", out)
	}
	if out, ok := curl(t, srv.Endpoint, certificate, "https://sts.amazonaws.com/"); ok || !strings.Contains(out, "certificate") {
		t.Errorf("a client that does not trust the server prints %q", out)
	}
}

// TestNoOpenProxy: a server that listens on a network takes nobody from there
// to other hosts without its token.
func TestNoOpenProxy(t *testing.T) {
	t.Parallel()
	here := networkAddress(t)
	certificate, dial := elsewhere(t)
	srv := inProcess(t, "0.0.0.0:0", dial)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(srv.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(srv.data, "tls", "proxy-token")))(t)))
	address := net.JoinHostPort(here, port)
	if out, ok := curl(t, "http://"+address, certificate, "https://example.com/"); ok || !strings.Contains(out, "407") {
		t.Errorf("without the token curl prints %q", out)
	}
	if out, ok := curl(t, "http://musher:"+token+"@"+address, certificate, "https://example.com/"); !ok || out != "this is example.com" {
		t.Errorf("with the token curl prints %q", out)
	}
	if out, ok := curl(t, "http://"+address, filepath.Join(srv.data, "tls", "ca.pem"), "https://"+address+"/healthz"); !ok || out != "ok\n" {
		t.Errorf("the server itself says %q", out)
	}
}

// networkAddress is one that this machine has beside its own loopback.
func networkAddress(t *testing.T) string {
	t.Helper()
	for _, a := range must(net.InterfaceAddrs())(t) {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine is on no network")
	return ""
}
