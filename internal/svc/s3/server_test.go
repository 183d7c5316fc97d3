package s3

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/state"
)

const testAccount = "123456789012"

// testServer is the service behind a real gateway on a loopback port.
type testServer struct {
	*Service
	url     string
	gateway *awsapi.Gateway
	server  *httptest.Server
	blobs   *blob.Store
	dir     string
}

// newTestServer starts a service on dir. Its access keys are those of people;
// the secret is the key's name in lower case and "-secret".
func newTestServer(t testing.TB, dir string) *testServer {
	t.Helper()
	db, err := state.Open(path.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := blob.Open(path.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	svc := New(Deps{DB: db, Blobs: store, Authorizer: people{}, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	g := awsapi.NewGateway(awsapi.Config{
		Account: testAccount, Authenticator: people{}, Authorizer: people{},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, svc.API())
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		store.Close()
		db.Close()
	})
	return &testServer{Service: svc, url: server.URL, gateway: g, server: server, blobs: store, dir: dir}
}

// invoke calls an operation as root.
func invoke[Out any](t testing.TB, ts *testServer, operation string, in any) (*Out, error) {
	t.Helper()
	return awsapi.Invoke[Out](t.Context(), ts.gateway, people{}.caller("ROOT"), "s3", operation, in)
}

// people knows the callers of the tests and what each may do: patterns of
// "action resource".
type people struct{}

var allowed = map[string][]string{
	"ROOT":   {"s3:* *"},
	"READER": {"s3:GetObject arn:aws:s3:::*"},
	"LISTER": {"s3:GetObject arn:aws:s3:::*", "s3:ListBucket arn:aws:s3:::*"},
	"PRUNER": {"s3:DeleteObject arn:aws:s3:::*/tmp/*"},
	"WRITER": {"s3:PutObject arn:aws:s3:::*"},
}

func (people) caller(key string) *awsapi.Caller {
	kind := awsapi.User
	if key == "ROOT" {
		kind = awsapi.Root
	}
	return &awsapi.Caller{
		Kind: kind, Account: testAccount, AccessKeyID: key, UserID: key,
		ARN: "arn:aws:iam::" + testAccount + ":user/" + strings.ToLower(key),
	}
}

func (p people) Credentials(_ context.Context, key, _ string) (string, *awsapi.Caller, error) {
	if allowed[key] == nil {
		return "", nil, awsapi.Errorf("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	return strings.ToLower(key) + "-secret", p.caller(key), nil
}

func (people) Authorize(_ context.Context, caller *awsapi.Caller, permissions []awsapi.Permission) error {
	for _, p := range permissions {
		if !permitted(caller.AccessKeyID, p) {
			return awsapi.Errorf("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
				caller.ARN, p.Action, p.Resource, p.Action).WithStatus(403)
		}
	}
	return nil
}

func permitted(key string, p awsapi.Permission) bool {
	for _, rule := range allowed[key] {
		action, resource, _ := strings.Cut(rule, " ")
		if ok, _ := path.Match(action, p.Action); ok && wild(resource, p.Resource) {
			return true
		}
	}
	return false
}

// wild matches a pattern in which "*" stands for anything.
func wild(pattern, s string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	for i := len(head); i <= len(s); i++ {
		if wild(rest, s[i:]) {
			return true
		}
	}
	return false
}
