// Package identity drives IAM and STS over the wire: with aws-sdk-go-v2 and with boto3.
package identity

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	iamsdk "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	stssdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/sts"
)

const account = "123456789012"

// server is a Musher of two services.
type server struct {
	url string
	iam *iam.Service
	sts *sts.Service
}

func start(t *testing.T, dir string) *server {
	t.Helper()
	db, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	i, err := iam.New(t.Context(), db, iam.Options{Account: account})
	if err != nil {
		t.Fatal(err)
	}
	s := sts.New(sts.Options{Account: account, Identities: i})
	gateway := awsapi.NewGateway(awsapi.Config{Account: account, Authenticator: i, Authorizer: i}, i.API(), s.API())
	web := httptest.NewServer(gateway)
	t.Cleanup(web.Close)
	return &server{url: web.URL, iam: i, sts: s}
}

func (s *server) config(id, secret, token string) aws.Config {
	return aws.Config{
		Region: "eu-central-1", BaseEndpoint: &s.url, HTTPClient: http.DefaultClient, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
	}
}

func (s *server) root() aws.Config {
	id, secret := s.iam.RootKey()
	return s.config(id, secret, "")
}

// code is the error code that a client sees, empty for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

const trust = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}}`

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestGoSDK walks the way of a user with a role: key, deny by default, permission, session, restart.
func TestGoSDK(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	ctx := t.Context()
	root := iamsdk.NewFromConfig(s.root())
	must(root.CreateUser(ctx, &iamsdk.CreateUserInput{UserName: aws.String("ada")}))(t)
	_, err := root.CreateUser(ctx, &iamsdk.CreateUserInput{UserName: aws.String("ada")})
	if exists := (*iamtypes.EntityAlreadyExistsException)(nil); !errors.As(err, &exists) {
		t.Errorf("made twice: %v", err)
	}
	must(root.CreateRole(ctx, &iamsdk.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(trust)}))(t)
	must(root.AttachRolePolicy(ctx, &iamsdk.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}))(t)
	key := must(root.CreateAccessKey(ctx, &iamsdk.CreateAccessKeyInput{UserName: aws.String("ada")}))(t).AccessKey

	ada := s.config(*key.AccessKeyId, *key.SecretAccessKey, "")
	who := must(stssdk.NewFromConfig(ada).GetCallerIdentity(ctx, &stssdk.GetCallerIdentityInput{}))(t)
	if *who.Arn != "arn:aws:iam::123456789012:user/ada" || *who.Account != account {
		t.Errorf("ada is %s of %s", *who.Arn, *who.Account)
	}
	if _, err := iamsdk.NewFromConfig(ada).ListUsers(ctx, &iamsdk.ListUsersInput{}); code(err) != "AccessDenied" {
		t.Errorf("without a policy: %v", err)
	}
	assume := &stssdk.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/app"), RoleSessionName: aws.String("s1")}
	if _, err := stssdk.NewFromConfig(ada).AssumeRole(ctx, assume); code(err) != "AccessDenied" {
		t.Errorf("assumed without a policy: %v", err)
	}
	must(root.PutUserPolicy(ctx, &iamsdk.PutUserPolicyInput{UserName: aws.String("ada"), PolicyName: aws.String("p"), PolicyDocument: aws.String(
		`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/a*"}}`)}))(t)
	session := must(stssdk.NewFromConfig(ada).AssumeRole(ctx, assume))(t).Credentials

	// The session works here, and at the server that comes after this one.
	again := start(t, dir)
	for name, srv := range map[string]*server{"before": s, "after": again} {
		cfg := srv.config(*session.AccessKeyId, *session.SecretAccessKey, *session.SessionToken)
		users := must(iamsdk.NewFromConfig(cfg).ListUsers(ctx, &iamsdk.ListUsersInput{}))(t).Users
		if len(users) != 1 || *users[0].UserName != "ada" {
			t.Errorf("%s the restart the session sees %v", name, users)
		}
		if _, err := iamsdk.NewFromConfig(cfg).DeleteUser(ctx, &iamsdk.DeleteUserInput{UserName: aws.String("ada")}); code(err) != "AccessDenied" {
			t.Errorf("%s the restart the session deletes: %v", name, err)
		}
	}
	if !session.Expiration.After(time.Now().Add(59 * time.Minute)) {
		t.Errorf("expires %v", session.Expiration)
	}
}

// TestServicesAssumeRoles lets a service of this process take a role, and work with it over the wire.
func TestServicesAssumeRoles(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	root := iamsdk.NewFromConfig(s.root())
	must(root.CreateRole(ctx, &iamsdk.CreateRoleInput{RoleName: aws.String("trainer"), AssumeRolePolicyDocument: aws.String(
		`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}`)}))(t)
	arn := "arn:aws:iam::123456789012:role/trainer"
	creds, caller, err := s.sts.RoleSession(ctx, arn, "dogs-1", "sagemaker.amazonaws.com", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	who := must(stssdk.NewFromConfig(s.config(creds.AccessKeyId, creds.SecretAccessKey, creds.SessionToken)).GetCallerIdentity(ctx, &stssdk.GetCallerIdentityInput{}))(t)
	if *who.Arn != caller.ARN || *who.Arn != "arn:aws:sts::123456789012:assumed-role/trainer/dogs-1" {
		t.Errorf("the session is %s, told %s", *who.Arn, caller.ARN)
	}
	var denied *awsapi.Error
	if _, _, err := s.sts.RoleSession(ctx, arn, "dogs-1", "lambda.amazonaws.com", time.Hour); !errors.As(err, &denied) || denied.Code != "AccessDenied" {
		t.Errorf("another service: %v", err)
	}
}

// TestBoto3 runs testdata/identity.py against a server.
func TestBoto3(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("boto3 is not to be had here: %v %s", err, out)
	}
	s := start(t, t.TempDir())
	id, secret := s.iam.RootKey()
	oldID, oldSecret, oldToken, err := s.iam.IssueSession(t.Context(), awsapi.Caller{
		Kind: awsapi.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account,
	}, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", "testdata/identity.py")
	cmd.Env = append(clean(os.Environ()), "ENDPOINT="+s.url, "ROOT_ID="+id, "ROOT_SECRET="+secret,
		"EXPIRED_ID="+oldID, "EXPIRED_SECRET="+oldSecret, "EXPIRED_TOKEN="+oldToken,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// clean drops the settings of whoever runs the tests.
func clean(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "AWS_") {
			kept = append(kept, v)
		}
	}
	return kept
}
