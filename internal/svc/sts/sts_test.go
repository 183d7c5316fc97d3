package sts

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

const (
	testAccount = "123456789012"
	appARN      = "arn:aws:iam::123456789012:role/team/app"
)

// fakeIdentities knows one role, app, which everyone but mallory may assume for up to two hours,
// and remembers what it was asked.
type fakeIdentities struct {
	keys    map[string][]string
	session awsapi.Caller
	expires time.Time
	fail    error
}

func (f *fakeIdentities) AuthorizeAssumeRole(_ context.Context, caller *awsapi.Caller, roleARN string, keys map[string][]string) (string, time.Duration, error) {
	f.keys = keys
	if roleARN != appARN || strings.HasSuffix(caller.ARN, "mallory") {
		return "", 0, awsapi.Errorf("AccessDenied", "User: %s is not authorized", caller.ARN)
	}
	return "AROAEXAMPLEEXAMPLE", 2 * time.Hour, nil
}

func (f *fakeIdentities) CheckSessionPolicy(_ context.Context, document string, arns []string) (string, error) {
	if document == "bad" {
		return "", awsapi.Errorf("MalformedPolicyDocument", "no")
	}
	return strings.Join(append([]string{document}, arns...), "+"), nil
}

func (f *fakeIdentities) IssueSession(_ context.Context, caller awsapi.Caller, expires time.Time) (string, string, string, error) {
	f.session, f.expires = caller, expires
	return "ASIAEXAMPLEEXAMPLEXX", "secret", "token", f.fail
}

// Authorize makes fakeIdentities an authorizer that lets nothing pass: STS asks for no permission.
func (f *fakeIdentities) Authorize(_ context.Context, _ *awsapi.Caller, p []awsapi.Permission) error {
	if len(p) > 0 {
		return awsapi.Errorf("AccessDenied", "asked for %v", p)
	}
	return nil
}

func (f *fakeIdentities) Credentials(context.Context, string, string) (string, *awsapi.Caller, error) {
	return "", nil, errors.New("not used")
}

var (
	now  = time.Date(2026, 11, 22, 12, 0, 0, 700e6, time.UTC)
	root = &awsapi.Caller{Kind: awsapi.Root, Account: testAccount, ARN: "arn:aws:iam::123456789012:root", UserID: testAccount, AccessKeyID: "AKIAROOT"}
	ada  = &awsapi.Caller{Kind: awsapi.User, Account: testAccount, ARN: "arn:aws:iam::123456789012:user/ada", UserID: "AIDAADA", AccessKeyID: "AKIAADA"}
	app  = &awsapi.Caller{Kind: awsapi.Role, Account: testAccount, ARN: "arn:aws:sts::123456789012:assumed-role/app/s1", UserID: "AROAAPP:s1", AccessKeyID: "ASIAAPP", RoleARN: appARN}
)

func newTestService() (*Service, *fakeIdentities, *awsapi.Gateway) {
	f := &fakeIdentities{}
	s := New(Options{Account: testAccount, Identities: f, Now: func() time.Time { return now }})
	return s, f, awsapi.NewGateway(awsapi.Config{Account: testAccount, Authenticator: f, Authorizer: f}, s.API())
}

func ptr[T any](v T) *T { return &v }

func TestGetCallerIdentity(t *testing.T) {
	_, _, g := newTestService()
	for _, caller := range []*awsapi.Caller{root, ada, app} {
		out, err := awsapi.Invoke[GetCallerIdentityOutput](t.Context(), g, caller, "sts", "GetCallerIdentity", &GetCallerIdentityInput{})
		if err != nil || *out.Arn != caller.ARN || *out.Account != testAccount || *out.UserId != caller.UserID {
			t.Errorf("%s: %+v, %v", caller.ARN, out, err)
		}
	}
}

func TestAssumeRole(t *testing.T) {
	_, f, g := newTestService()
	out, err := awsapi.Invoke[AssumeRoleOutput](t.Context(), g, ada, "sts", "AssumeRole", &AssumeRoleInput{
		RoleArn: appARN, RoleSessionName: "build-7", ExternalId: ptr("word"), Policy: ptr("{}"),
		PolicyArns: []*PolicyDescriptorType{{Arn: ptr("arn:aws:iam::aws:policy/X")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/app/build-7" || out.AssumedRoleUser.AssumedRoleId != "AROAEXAMPLEEXAMPLE:build-7" {
		t.Errorf("assumed %+v", out.AssumedRoleUser)
	}
	if want := now.Add(time.Hour).Truncate(time.Second); !out.Credentials.Expiration.Equal(want) || !f.expires.Equal(want) {
		t.Errorf("expires %v and %v, want %v", out.Credentials.Expiration, f.expires, want)
	}
	if f.keys["sts:ExternalId"][0] != "word" || f.keys["sts:RoleSessionName"][0] != "build-7" {
		t.Errorf("condition keys %v", f.keys)
	}
	if f.session.RoleARN != appARN || f.session.Kind != awsapi.Role || f.session.SessionPolicy != "{}+arn:aws:iam::aws:policy/X" {
		t.Errorf("session %+v", f.session)
	}
	if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 {
		t.Error("no packed policy size")
	}
}

func TestAssumeRoleRefusals(t *testing.T) {
	_, f, g := newTestService()
	mallory := &awsapi.Caller{Kind: awsapi.User, Account: testAccount, ARN: "arn:aws:iam::123456789012:user/mallory"}
	base := AssumeRoleInput{RoleArn: appARN, RoleSessionName: "s1"}
	for _, c := range []struct {
		name   string
		caller *awsapi.Caller
		change func(*AssumeRoleInput)
		want   string // code and start of the message; empty: allowed
	}{
		{"as it is", ada, func(*AssumeRoleInput) {}, ""},
		{"not trusted", mallory, func(*AssumeRoleInput) {}, "AccessDenied: User: arn:aws:iam::123456789012:user/mallory is not authorized"},
		{"as long as the role permits", ada, func(in *AssumeRoleInput) { in.DurationSeconds = ptr[int64](7200) }, ""},
		{"longer", ada, func(in *AssumeRoleInput) { in.DurationSeconds = ptr[int64](7201) }, "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"too short", ada, func(in *AssumeRoleInput) { in.DurationSeconds = ptr[int64](899) }, "ValidationError: 1 validation error detected"},
		{"chained, too long", app, func(in *AssumeRoleInput) { in.DurationSeconds = ptr[int64](3601) }, "ValidationError: The requested DurationSeconds exceeds the 1 hour"},
		{"chained", app, func(*AssumeRoleInput) {}, ""},
		{"session name", ada, func(in *AssumeRoleInput) { in.RoleSessionName = "a b" }, "ValidationError: 1 validation error detected"},
		{"no role", ada, func(in *AssumeRoleInput) { in.RoleArn = "arn:aws:iam::123456789012:user/ada" }, "ValidationError: arn:aws:iam::123456789012:user/ada is invalid"},
		{"policy", ada, func(in *AssumeRoleInput) { in.Policy = ptr("bad") }, "MalformedPolicyDocument: no"},
		{"long policy", ada, func(in *AssumeRoleInput) { in.Policy = ptr(strings.Repeat("x", 2049)) }, "PackedPolicyTooLarge: "},
		{"tags", ada, func(in *AssumeRoleInput) { in.Tags = []*Tag{{Key: "k", Value: "v"}} }, "ValidationError: Session tags are not supported"},
		{"source identity", ada, func(in *AssumeRoleInput) { in.SourceIdentity = ptr("ada") }, "ValidationError: SourceIdentity is not supported"},
		{"MFA", ada, func(in *AssumeRoleInput) { in.SerialNumber, in.TokenCode = ptr("GAHT12345678"), ptr("123456") }, "AccessDenied: MultiFactorAuthentication failed"},
	} {
		in := base
		c.change(&in)
		_, err := awsapi.Invoke[AssumeRoleOutput](t.Context(), g, c.caller, "sts", "AssumeRole", &in)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	f.fail = errors.New("no entropy")
	if _, err := awsapi.Invoke[AssumeRoleOutput](t.Context(), g, ada, "sts", "AssumeRole", &base); !errors.Is(err, f.fail) {
		t.Errorf("a failure to issue: %v", err)
	}
}

func TestGetSessionToken(t *testing.T) {
	_, f, g := newTestService()
	for _, c := range []struct {
		caller  *awsapi.Caller
		seconds *int64
		want    time.Duration // 0: refused
	}{
		{ada, nil, 12 * time.Hour},
		{ada, ptr[int64](129600), 36 * time.Hour},
		{root, nil, time.Hour},
		{root, ptr[int64](129600), time.Hour},
		{root, ptr[int64](900), 15 * time.Minute},
		{app, nil, 0},
		{&awsapi.Caller{Kind: awsapi.User, Account: testAccount, ARN: ada.ARN, AccessKeyID: "ASIAADA"}, nil, 0},
	} {
		out, err := awsapi.Invoke[GetSessionTokenOutput](t.Context(), g, c.caller, "sts", "GetSessionToken", &GetSessionTokenInput{DurationSeconds: c.seconds})
		if c.want == 0 {
			var e *awsapi.Error
			if !errors.As(err, &e) || e.Code != "AccessDenied" {
				t.Errorf("%s: %v", c.caller.ARN, err)
			}
			continue
		}
		if err != nil || !out.Credentials.Expiration.Equal(now.Add(c.want).Truncate(time.Second)) {
			t.Errorf("%s: %v, %v", c.caller.ARN, out, err)
		}
		if f.session.ARN != c.caller.ARN || f.session.Kind != c.caller.Kind {
			t.Errorf("%s: the session is of %s", c.caller.ARN, f.session.ARN)
		}
	}
}

func TestRoleSession(t *testing.T) {
	s, f, _ := newTestService()
	creds, caller, err := s.RoleSession(t.Context(), appARN, "dogs-1", "sagemaker.amazonaws.com", 28*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if caller.AccessKeyID != creds.AccessKeyId || caller.RoleARN != appARN || caller.ARN != "arn:aws:sts::123456789012:assumed-role/app/dogs-1" {
		t.Errorf("caller %+v", caller)
	}
	if f.keys["aws:SourceAccount"][0] != testAccount || !creds.Expiration.Equal(now.Add(28*time.Hour).Truncate(time.Second)) {
		t.Errorf("keys %v, expires %v", f.keys, creds.Expiration)
	}
	long := "SageMaker-" + strings.Repeat("x", 63)
	if _, caller, err := s.RoleSession(t.Context(), appARN, long, "sagemaker.amazonaws.com", time.Hour); err != nil || !strings.HasSuffix(caller.ARN, "/"+long[:64]) {
		t.Errorf("a long session name: %v, %v", caller, err)
	}
	for _, c := range []struct {
		role, name string
		life       time.Duration
		code       string // of the *awsapi.Error inside, if one is
	}{
		{"arn:aws:iam::123456789012:role/other", "dogs-1", time.Hour, "AccessDenied"},
		{"app", "dogs-1", time.Hour, "ValidationError"},
		{appARN, "dogs 1", time.Hour, ""},
		{appARN, "dogs-1", 0, ""},
	} {
		_, _, err := s.RoleSession(t.Context(), c.role, c.name, "sagemaker.amazonaws.com", c.life)
		var e *awsapi.Error
		switch {
		case err == nil:
			t.Errorf("%+v is taken", c)
		case errors.As(err, &e) != (c.code != "") || e != nil && e.Code != c.code:
			t.Errorf("%+v: %v", c, err)
		}
	}
}
