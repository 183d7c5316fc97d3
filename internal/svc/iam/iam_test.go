package iam

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

const testAccount = "123456789012"

// bench is an IAM with a gateway that calls it in process: validated, authorised, unwired.
type bench struct {
	*testing.T
	*Service
	gateway *awsapi.Gateway
	root    *awsapi.Caller
	clock   time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return openBench(t, filepath.Join(t.TempDir(), "state.db"), Options{Account: testAccount})
}

func openBench(t *testing.T, path string, opts Options) *bench {
	t.Helper()
	db, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{T: t, clock: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	opts.Now = func() time.Time { return b.clock }
	if b.Service, err = New(t.Context(), db, opts); err != nil {
		t.Fatal(err)
	}
	b.gateway = awsapi.NewGateway(awsapi.Config{Account: testAccount, Authenticator: b.Service, Authorizer: b.Service}, b.API())
	b.root = b.rootCaller()
	return b
}

func try[Out any](b *bench, caller *awsapi.Caller, op string, in any) (*Out, error) {
	return awsapi.Invoke[Out](b.Context(), b.gateway, caller, "iam", op, in)
}

func do[Out any](b *bench, op string, in any) *Out {
	b.Helper()
	out, err := try[Out](b, b.Service.rootCaller(), op, in)
	if err != nil {
		b.Fatalf("%s: %v", op, err)
	}
	return out
}

// fails checks a call's error code and message; want is "Code: message".
func fails[Out any](b *bench, op string, in any, want string) {
	b.Helper()
	_, err := try[Out](b, b.Service.rootCaller(), op, in)
	if err == nil || err.Error() != want {
		b.Errorf("%s: got error %v\nwant %s", op, err, want)
	}
}

func ptr[T any](v T) *T { return &v }

const (
	trustSageMaker = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}`
	trustAccount   = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}}`
)

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": %q, "Resource": %q}}`, action, resource)
}

// user makes a user with one inline policy, and returns it as a caller, found by its key.
func (b *bench) user(name, document string) *awsapi.Caller {
	b.Helper()
	do[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: name})
	if document != "" {
		do[PutUserPolicyOutput](b, "PutUserPolicy", &PutUserPolicyInput{UserName: name, PolicyName: "inline", PolicyDocument: document})
	}
	key := do[CreateAccessKeyOutput](b, "CreateAccessKey", &CreateAccessKeyInput{UserName: &name}).AccessKey
	secret, caller, err := b.Credentials(b.Context(), key.AccessKeyId, "")
	if err != nil || secret != key.SecretAccessKey {
		b.Fatalf("the new key of %s gives %q, %v", name, secret, err)
	}
	return caller
}

// may asks whether a caller is allowed an action.
func (b *bench) may(caller *awsapi.Caller, action, resource string) bool {
	b.Helper()
	err := b.Authorize(b.Context(), caller, []awsapi.Permission{{Action: action, Resource: resource}})
	if err != nil && !isCode(err, "AccessDenied") {
		b.Fatalf("%s on %s: %v", action, resource, err)
	}
	return err == nil
}

func TestUsers(t *testing.T) {
	b := newBench(t)
	made := do[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: "Ada", Path: ptr("/team/"), Tags: []*Tag{{Key: "team", Value: "dogs"}}}).User
	want := &User{
		Path: "/team/", UserName: "Ada", UserId: made.UserId, Arn: "arn:aws:iam::123456789012:user/team/Ada",
		CreateDate: b.clock, Tags: []*Tag{{Key: "team", Value: "dogs"}},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	if len(made.UserId) != 21 || !strings.HasPrefix(made.UserId, "AIDA") {
		t.Errorf("user id %q", made.UserId)
	}
	got := do[GetUserOutput](b, "GetUser", &GetUserInput{UserName: ptr("Ada")}).User
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	fails[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: "ADA"}, "EntityAlreadyExists: User with name ADA already exists.")
	fails[GetUserOutput](b, "GetUser", &GetUserInput{UserName: ptr("bob")}, "NoSuchEntity: The user with name bob cannot be found.")
	fails[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "bob"}, "NoSuchEntity: The user with name bob cannot be found.")
	fails[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: "bob", PermissionsBoundary: ptr("arn:aws:iam::aws:policy/None")},
		"NoSuchEntity: Policy arn:aws:iam::aws:policy/None was not found.")

	do[PutUserPolicyOutput](b, "PutUserPolicy", &PutUserPolicyInput{UserName: "Ada", PolicyName: "p", PolicyDocument: allow("s3:*", "*")})
	fails[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "Ada"}, "DeleteConflict: Cannot delete entity, must delete policies first.")
	do[DeleteUserPolicyOutput](b, "DeleteUserPolicy", &DeleteUserPolicyInput{UserName: "Ada", PolicyName: "p"})
	fails[DeleteUserPolicyOutput](b, "DeleteUserPolicy", &DeleteUserPolicyInput{UserName: "Ada", PolicyName: "p"},
		"NoSuchEntity: The user policy with name p cannot be found.")
	do[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "Ada"})
	if got := do[ListUsersOutput](b, "ListUsers", &ListUsersInput{}).Users; len(got) != 0 {
		t.Errorf("users left: %v", got)
	}
}

func TestAccessKeys(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", "")
	second := do[CreateAccessKeyOutput](b, "CreateAccessKey", &CreateAccessKeyInput{UserName: ptr("ada")}).AccessKey
	if len(second.AccessKeyId) != 20 || !strings.HasPrefix(second.AccessKeyId, "AKIA") || len(second.SecretAccessKey) != 40 {
		t.Errorf("key %q with a secret of %d characters", second.AccessKeyId, len(second.SecretAccessKey))
	}
	fails[CreateAccessKeyOutput](b, "CreateAccessKey", &CreateAccessKeyInput{UserName: ptr("ada")}, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2")
	fails[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "ada"}, "DeleteConflict: Cannot delete entity, must delete access keys first.")
	if got := do[ListAccessKeysOutput](b, "ListAccessKeys", &ListAccessKeysInput{UserName: ptr("ada")}).AccessKeyMetadata; len(got) != 2 {
		t.Errorf("listed %d keys", len(got))
	}

	set := func(status string) {
		do[UpdateAccessKeyOutput](b, "UpdateAccessKey", &UpdateAccessKeyInput{UserName: ptr("ada"), AccessKeyId: ada.AccessKeyID, Status: status})
	}
	set("Inactive")
	if _, _, err := b.Credentials(t.Context(), ada.AccessKeyID, ""); !isCode(err, "InvalidClientTokenId") {
		t.Errorf("an inactive key gives %v", err)
	}
	set("Active")
	if _, _, err := b.Credentials(t.Context(), ada.AccessKeyID, ""); err != nil {
		t.Errorf("a key made active again gives %v", err)
	}
	if _, _, err := b.Credentials(t.Context(), ada.AccessKeyID, "a token"); !isCode(err, "InvalidClientTokenId") {
		t.Errorf("a key with a token that is not its own gives %v", err)
	}
	do[DeleteAccessKeyOutput](b, "DeleteAccessKey", &DeleteAccessKeyInput{UserName: ptr("ada"), AccessKeyId: ada.AccessKeyID})
	if _, _, err := b.Credentials(t.Context(), ada.AccessKeyID, ""); !isCode(err, "InvalidClientTokenId") {
		t.Errorf("a deleted key gives %v", err)
	}
	fails[DeleteAccessKeyOutput](b, "DeleteAccessKey", &DeleteAccessKeyInput{UserName: ptr("ada"), AccessKeyId: ada.AccessKeyID},
		"NoSuchEntity: The Access Key with id "+ada.AccessKeyID+" cannot be found.")
	fails[CreateAccessKeyOutput](b, "CreateAccessKey", &CreateAccessKeyInput{}, "ValidationError: Must specify userName when calling with non-User credentials")
}

func TestRoles(t *testing.T) {
	b := newBench(t)
	made := do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{
		RoleName: "trainer", AssumeRolePolicyDocument: trustSageMaker, Description: ptr("trains"), MaxSessionDuration: ptr[int64](7200),
	}).Role
	if made.Arn != "arn:aws:iam::123456789012:role/trainer" || *made.MaxSessionDuration != 7200 || !strings.HasPrefix(made.RoleId, "AROA") {
		t.Errorf("made %+v", made)
	}
	if got := *made.AssumeRolePolicyDocument; !strings.HasPrefix(got, "%7B%22Version%22%3A%20%222012-10-17%22") {
		t.Errorf("the document is encoded as %s", got)
	}
	create := func(name, trust string) *CreateRoleInput {
		return &CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust}
	}
	fails[CreateRoleOutput](b, "CreateRole", create("trainer", trustSageMaker), "EntityAlreadyExists: Role with name trainer already exists.")
	fails[CreateRoleOutput](b, "CreateRole", create("r", allow("s3:*", "*")), "MalformedPolicyDocument: Missing required field Principal. (at Statement)")
	fails[CreateRoleOutput](b, "CreateRole", create("r", strings.ReplaceAll(trustAccount, ":root", ":user/nobody")),
		`MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:user/nobody"`)
	fails[CreateRoleOutput](b, "CreateRole", create("r", trustAccount+strings.Repeat(" ", 100)+"x"),
		"MalformedPolicyDocument: Syntax errors in policy: more text after the end of the document. (at line 1)")
	fails[UpdateAssumeRolePolicyOutput](b, "UpdateAssumeRolePolicy", &UpdateAssumeRolePolicyInput{RoleName: "trainer", PolicyDocument: "{}"},
		"MalformedPolicyDocument: Syntax errors in policy: Missing required field Statement.")

	put := &PutRolePolicyInput{RoleName: "trainer", PolicyName: "data", PolicyDocument: allow("s3:GetObject", "arn:aws:s3:::dogs/*")}
	do[PutRolePolicyOutput](b, "PutRolePolicy", put)
	got := do[GetRolePolicyOutput](b, "GetRolePolicy", &GetRolePolicyInput{RoleName: "trainer", PolicyName: "data"})
	if got.PolicyDocument != *escapeDocument(put.PolicyDocument) {
		t.Errorf("document %s", got.PolicyDocument)
	}
	put.PolicyDocument = allow("s3:GetObject", "dogs")
	fails[PutRolePolicyOutput](b, "PutRolePolicy", put, `MalformedPolicyDocument: Resource dogs must be in ARN format or "*". (at Statement.Resource)`)
	put.PolicyDocument = allow("s3:GetObject", "arn:aws:s3:::"+strings.Repeat("x", 10300))
	fails[PutRolePolicyOutput](b, "PutRolePolicy", put, "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role trainer")

	attach := &AttachRolePolicyInput{RoleName: "trainer", PolicyArn: awsPolicyPrefix + "AmazonSageMakerFullAccess"}
	do[AttachRolePolicyOutput](b, "AttachRolePolicy", attach)
	do[AttachRolePolicyOutput](b, "AttachRolePolicy", attach) // again is no error
	fails[AttachRolePolicyOutput](b, "AttachRolePolicy", &AttachRolePolicyInput{RoleName: "trainer", PolicyArn: awsPolicyPrefix + "Nothing"},
		"NoSuchEntity: Policy arn:aws:iam::aws:policy/Nothing does not exist or is not attachable.")
	attached := do[ListAttachedRolePoliciesOutput](b, "ListAttachedRolePolicies", &ListAttachedRolePoliciesInput{RoleName: "trainer"}).AttachedPolicies
	if len(attached) != 1 || *attached[0].PolicyName != "AmazonSageMakerFullAccess" {
		t.Errorf("attached: %v", attached)
	}
	del := &DeleteRoleInput{RoleName: "trainer"}
	fails[DeleteRoleOutput](b, "DeleteRole", del, "DeleteConflict: Cannot delete entity, must detach all policies first.")
	do[DetachRolePolicyOutput](b, "DetachRolePolicy", &DetachRolePolicyInput{RoleName: "trainer", PolicyArn: attach.PolicyArn})
	fails[DetachRolePolicyOutput](b, "DetachRolePolicy", &DetachRolePolicyInput{RoleName: "trainer", PolicyArn: attach.PolicyArn},
		"NoSuchEntity: Policy "+attach.PolicyArn+" was not found.")
	fails[DeleteRoleOutput](b, "DeleteRole", del, "DeleteConflict: Cannot delete entity, must delete policies first.")
	do[DeleteRolePolicyOutput](b, "DeleteRolePolicy", &DeleteRolePolicyInput{RoleName: "trainer", PolicyName: "data"})
	do[DeleteRoleOutput](b, "DeleteRole", del)
	fails[GetRoleOutput](b, "GetRole", &GetRoleInput{RoleName: "trainer"}, "NoSuchEntity: The role with name trainer cannot be found.")
}

func TestManagedPolicies(t *testing.T) {
	b := newBench(t)
	made := do[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "readers", Path: ptr("/data/"), PolicyDocument: allow("s3:Get*", "*"), Description: ptr("reads")}).Policy
	arn := "arn:aws:iam::123456789012:policy/data/readers"
	if *made.Arn != arn || *made.AttachmentCount != 0 || *made.DefaultVersionId != "v1" {
		t.Errorf("made %s", *made.Arn)
	}
	fails[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "Readers", PolicyDocument: allow("s3:Get*", "*")},
		"EntityAlreadyExists: A policy called Readers already exists. Duplicate names are not allowed.")
	fails[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "big", PolicyDocument: allow("s3:Get*", "arn:aws:s3:::"+strings.Repeat("x", 6200))},
		"LimitExceeded: Cannot exceed quota for PolicySize: 6144")
	fails[GetPolicyOutput](b, "GetPolicy", &GetPolicyInput{PolicyArn: "arn:aws:iam::123456789012:policy/readers"},
		"NoSuchEntity: Policy arn:aws:iam::123456789012:policy/readers was not found.")

	do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: trustAccount, PermissionsBoundary: &arn})
	fails[DeletePolicyOutput](b, "DeletePolicy", &DeletePolicyInput{PolicyArn: arn}, "DeleteConflict: Cannot delete a policy attached to entities.")
	do[AttachRolePolicyOutput](b, "AttachRolePolicy", &AttachRolePolicyInput{RoleName: "r", PolicyArn: arn})
	got := do[GetPolicyOutput](b, "GetPolicy", &GetPolicyInput{PolicyArn: arn}).Policy
	if *got.AttachmentCount != 1 || *got.PermissionsBoundaryUsageCount != 1 || *got.Description != "reads" {
		t.Errorf("counts %d and %d", *got.AttachmentCount, *got.PermissionsBoundaryUsageCount)
	}
	version := do[GetPolicyVersionOutput](b, "GetPolicyVersion", &GetPolicyVersionInput{PolicyArn: arn, VersionId: "v1"}).PolicyVersion
	if *version.Document != *escapeDocument(allow("s3:Get*", "*")) {
		t.Errorf("document %s", *version.Document)
	}
	for _, c := range []struct {
		in   ListPoliciesInput
		want int
	}{
		{ListPoliciesInput{Scope: ptr("Local")}, 1},
		{ListPoliciesInput{Scope: ptr("AWS")}, len(b.aws)},
		{ListPoliciesInput{}, len(b.aws) + 1},
		{ListPoliciesInput{OnlyAttached: ptr(true)}, 1},
		{ListPoliciesInput{PathPrefix: ptr("/service-role/")}, 1},
		{ListPoliciesInput{PolicyUsageFilter: ptr("PermissionsBoundary")}, 1},
	} {
		if got := do[ListPoliciesOutput](b, "ListPolicies", &c.in).Policies; len(got) != c.want {
			t.Errorf("%+v lists %d policies, not %d", c.in, len(got), c.want)
		}
	}
	_, err := try[DeletePolicyOutput](b, b.root, "DeletePolicy", &DeletePolicyInput{PolicyArn: awsPolicyPrefix + "AdministratorAccess"})
	if !isCode(err, "AccessDenied") {
		t.Errorf("deleting AWS's policy: %v", err)
	}
}

func TestAWSPolicies(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		policy, action, resource string
		keys                     map[string][]string
		want                     bool
	}{
		{"AdministratorAccess", "iam:DeleteUser", "arn:aws:iam::123456789012:user/x", nil, true},
		{"PowerUserAccess", "s3:CreateBucket", "arn:aws:s3:::b", nil, true},
		{"PowerUserAccess", "iam:CreateUser", "arn:aws:iam::123456789012:user/x", nil, false},
		{"ReadOnlyAccess", "s3:GetObject", "arn:aws:s3:::b/k", nil, true},
		{"ReadOnlyAccess", "s3:PutObject", "arn:aws:s3:::b/k", nil, false},
		{"ReadOnlyAccess", "sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e", nil, false},
		{"AmazonS3FullAccess", "s3:DeleteBucket", "arn:aws:s3:::b", nil, true},
		{"AmazonS3FullAccess", "sagemaker:ListModels", "*", nil, false},
		{"AmazonS3ReadOnlyAccess", "s3:ListBucket", "arn:aws:s3:::b", nil, true},
		{"AmazonS3ReadOnlyAccess", "s3:DeleteObject", "arn:aws:s3:::b/k", nil, false},
		{"AmazonSageMakerFullAccess", "sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:123456789012:training-job/j", nil, true},
		{"AmazonSageMakerFullAccess", "sagemaker:DeleteApp", "arn:aws:sagemaker:us-east-1:123456789012:app/a", nil, false},
		{"AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::sagemaker-us-east-1-123456789012/x", nil, true},
		{"AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::dogs/x", nil, false},
		{"AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::dogs/x", map[string][]string{"s3:ExistingObjectTag/SageMaker": {"TRUE"}}, true},
		{"AmazonSageMakerFullAccess", "s3:ListBucket", "arn:aws:s3:::dogs", nil, true},
		{"AmazonSageMakerFullAccess", "iam:PassRole", "arn:aws:iam::123456789012:role/r", map[string][]string{"iam:PassedToService": {"sagemaker.amazonaws.com"}}, true},
		{"AmazonSageMakerFullAccess", "iam:PassRole", "arn:aws:iam::123456789012:role/r", map[string][]string{"iam:PassedToService": {"lambda.amazonaws.com"}}, false},
		{"AmazonSageMakerReadOnly", "sagemaker:DescribeEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e", nil, true},
		{"AmazonSageMakerReadOnly", "sagemaker:DeleteEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e", nil, false},
		{"service-role/AWSLambdaBasicExecutionRole", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:g", nil, true},
	} {
		arn := awsPolicyPrefix + c.policy
		doc, ok := b.aws[arn]
		if !ok {
			t.Errorf("no policy %s", c.policy)
			continue
		}
		ctx := policy.NewContext(1)
		for key, values := range c.keys {
			ctx.Set(key, values...)
		}
		d := policy.Evaluate(policy.Policies{Identity: []policy.Source{{Name: c.policy, Document: doc.compiled}}}, &policy.Request{
			Principal: policy.Principal{Kind: policy.User, Account: testAccount}, Action: c.action, Resource: c.resource, Context: ctx,
		})
		if d.Allowed != c.want {
			t.Errorf("%s on %s: %v", c.action, c.resource, d)
		}
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		path := "/"
		if i%2 == 1 {
			path = "/odd/"
		}
		do[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: fmt.Sprintf("u%d", i), Path: &path})
		do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: fmt.Sprintf("r%d", i), Path: &path, AssumeRolePolicyDocument: trustAccount})
		do[PutRolePolicyOutput](b, "PutRolePolicy", &PutRolePolicyInput{RoleName: "r0", PolicyName: fmt.Sprintf("p%d", i), PolicyDocument: allow("s3:*", "*")})
	}
	lists := map[string]func(prefix, marker *string, limit int64) (names []string, truncated bool, next *string){
		"users": func(prefix, marker *string, limit int64) (names []string, truncated bool, next *string) {
			out := do[ListUsersOutput](b, "ListUsers", &ListUsersInput{PathPrefix: prefix, Marker: marker, MaxItems: &limit})
			for _, u := range out.Users {
				names = append(names, u.UserName)
			}
			return names, *out.IsTruncated, out.Marker
		},
		"roles": func(prefix, marker *string, limit int64) (names []string, truncated bool, next *string) {
			out := do[ListRolesOutput](b, "ListRoles", &ListRolesInput{PathPrefix: prefix, Marker: marker, MaxItems: &limit})
			for _, r := range out.Roles {
				names = append(names, r.RoleName)
			}
			return names, *out.IsTruncated, out.Marker
		},
		"policies": func(prefix, marker *string, limit int64) ([]string, bool, *string) {
			out := do[ListRolePoliciesOutput](b, "ListRolePolicies", &ListRolePoliciesInput{RoleName: "r0", Marker: marker, MaxItems: &limit})
			if prefix != nil {
				return []string{"p1", "p3", "p5"}, false, nil // inline policies have no path
			}
			return out.PolicyNames, *out.IsTruncated, out.Marker
		},
	}
	for what, list := range lists {
		for _, limit := range []int64{1, 3, 7, 100} {
			var all []string
			var marker *string
			for pages := 1; ; pages++ {
				names, truncated, next := list(nil, marker, limit)
				all = append(all, names...)
				if truncated != (next != nil) || int64(len(names)) > limit || pages > 8 {
					t.Fatalf("%s by %d: page %d has %d names, truncated %v", what, limit, pages, len(names), truncated)
				}
				if marker = next; next == nil {
					break
				}
			}
			if got := strings.Join(all, " "); got != strings.ReplaceAll("?0 ?1 ?2 ?3 ?4 ?5 ?6", "?", what[:1]) {
				t.Errorf("%s by %d: %s", what, limit, got)
			}
		}
		odd, _, _ := list(ptr("/odd/"), nil, 100)
		if got := strings.Join(odd, " "); got != strings.ReplaceAll("?1 ?3 ?5", "?", what[:1]) {
			t.Errorf("%s under /odd/: %s", what, got)
		}
	}
	fails[ListUsersOutput](b, "ListUsers", &ListUsersInput{Marker: ptr("!")}, "ValidationError: Invalid Marker.")
}

func TestAuthorize(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::homes/${aws:username}/*"},
		{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}},
		{"Effect": "Allow", "Action": "iam:GetUser", "Resource": "arn:aws:iam::*:user/${aws:username}"},
		{"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}]}`)

	for _, c := range []struct {
		permission awsapi.Permission
		want       string
	}{
		{awsapi.Permission{Action: "s3:PutObject", Resource: "arn:aws:s3:::homes/ada/x"}, ""},
		{awsapi.Permission{Action: "s3:PutObject", Resource: "arn:aws:s3:::homes/bob/x"},
			"AccessDenied: User: arn:aws:iam::123456789012:user/ada is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::homes/bob/x because no identity-based policy allows the s3:PutObject action"},
		{awsapi.Permission{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::homes/ada/x"},
			"AccessDenied: User: arn:aws:iam::123456789012:user/ada is not authorized to perform: s3:DeleteObject on resource: arn:aws:s3:::homes/ada/x with an explicit deny in an identity-based policy"},
		{awsapi.Permission{Action: "iam:PassRole", Resource: "arn:aws:iam::123456789012:role/r", Context: map[string][]string{"iam:PassedToService": {"sagemaker.amazonaws.com"}}}, ""},
		{awsapi.Permission{Action: "iam:PassRole", Resource: "arn:aws:iam::123456789012:role/r"},
			"AccessDenied: User: arn:aws:iam::123456789012:user/ada is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/r because no identity-based policy allows the iam:PassRole action"},
	} {
		got := ""
		if err := b.Authorize(t.Context(), ada, []awsapi.Permission{{Action: "s3:GetObject", Resource: "arn:aws:s3:::homes/ada/y"}, c.permission}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}

	// IAM's own operations ask for the ARN of what they touch, the caller's own where none is named.
	if out, err := try[GetUserOutput](b, ada, "GetUser", &GetUserInput{}); err != nil || out.User.UserName != "ada" {
		t.Errorf("ada asks for herself: %v", err)
	}
	b.user("bob", "")
	if _, err := try[GetUserOutput](b, ada, "GetUser", &GetUserInput{UserName: ptr("bob")}); !isCode(err, "AccessDenied") {
		t.Errorf("ada asks for bob: %v", err)
	}
	if _, err := try[ListUsersOutput](b, ada, "ListUsers", &ListUsersInput{}); err == nil || !strings.Contains(err.Error(), "iam:ListUsers on resource: arn:aws:iam::123456789012:user/ ") {
		t.Errorf("ada asks for all: %v", err)
	}

	// Nobody, and Musher as a service, hold nothing.
	for _, caller := range []*awsapi.Caller{nil, {Kind: awsapi.Machine, Account: testAccount, ARN: "sagemaker.amazonaws.com"}} {
		if b.may(caller, "s3:GetObject", "arn:aws:s3:::b/k") {
			t.Errorf("%+v is allowed", caller)
		}
	}
	if !b.may(b.root, "anything:AtAll", "*") {
		t.Error("the root is denied")
	}
}

func TestChangesActAtOnce(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", "")
	read := func() bool { return b.may(ada, "s3:GetObject", "arn:aws:s3:::b/k") }
	if read() {
		t.Error("allowed by nothing")
	}
	do[PutUserPolicyOutput](b, "PutUserPolicy", &PutUserPolicyInput{UserName: "ada", PolicyName: "p", PolicyDocument: allow("s3:Get*", "*")})
	if !read() {
		t.Error("denied although a policy was put")
	}
	do[DeleteUserPolicyOutput](b, "DeleteUserPolicy", &DeleteUserPolicyInput{UserName: "ada", PolicyName: "p"})
	if read() {
		t.Error("allowed although the policy was deleted")
	}
}

func TestBoundary(t *testing.T) {
	b := newBench(t)
	arn := *do[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "fence", PolicyDocument: allow("s3:*", "*")}).Policy.Arn
	do[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: "ada", PermissionsBoundary: &arn})
	do[PutUserPolicyOutput](b, "PutUserPolicy", &PutUserPolicyInput{UserName: "ada", PolicyName: "all", PolicyDocument: allow("*", "*")})
	key := do[CreateAccessKeyOutput](b, "CreateAccessKey", &CreateAccessKeyInput{UserName: ptr("ada")}).AccessKey
	_, ada, err := b.Credentials(t.Context(), key.AccessKeyId, "")
	if err != nil {
		t.Fatal(err)
	}
	if !b.may(ada, "s3:PutObject", "arn:aws:s3:::b/k") {
		t.Error("denied inside the boundary")
	}
	err = b.Authorize(t.Context(), ada, []awsapi.Permission{{Action: "iam:ListUsers", Resource: "*"}})
	if err == nil || !strings.HasSuffix(err.Error(), "because no permissions boundary allows the iam:ListUsers action") {
		t.Errorf("outside the boundary: %v", err)
	}
}

// roleSession makes a session of a role as STS does.
func (b *bench) roleSession(role, sessionPolicy string, life time.Duration) (id, secret, token string) {
	b.Helper()
	row, err := b.viewRole(b.Context(), role)
	if err != nil {
		b.Fatal(err)
	}
	id, secret, token, err = b.IssueSession(b.Context(), awsapi.Caller{
		Kind: awsapi.Role, RoleARN: b.arn("role", row.Path, row.Name), UserID: row.ID + ":s1",
		ARN: "arn:aws:sts::123456789012:assumed-role/" + role + "/s1", SessionPolicy: sessionPolicy,
	}, b.clock.Add(life))
	if err != nil {
		b.Fatal(err)
	}
	return id, secret, token
}

func TestSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := openBench(t, path, Options{Account: testAccount})
	do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "app", AssumeRolePolicyDocument: trustAccount})
	do[PutRolePolicyOutput](b, "PutRolePolicy", &PutRolePolicyInput{RoleName: "app", PolicyName: "p", PolicyDocument: allow("s3:*", "*")})
	id, secret, token := b.roleSession("app", "", time.Hour)
	other, _, _ := b.roleSession("app", "", time.Hour)

	got, caller, err := b.Credentials(t.Context(), id, token)
	want := &awsapi.Caller{
		Kind: awsapi.Role, Account: testAccount, AccessKeyID: id, RoleARN: "arn:aws:iam::123456789012:role/app",
		ARN: "arn:aws:sts::123456789012:assumed-role/app/s1", UserID: caller.UserID,
	}
	if diff := cmp.Diff(want, caller); diff != "" || got != secret || err != nil {
		t.Errorf("secret %q, error %v, caller:\n%s", got, err, diff)
	}
	if !b.may(caller, "s3:GetObject", "arn:aws:s3:::b/k") || b.may(caller, "iam:ListUsers", "*") {
		t.Error("the session does not hold what its role holds")
	}

	for name, c := range map[string][2]string{
		"another's token": {other, token}, "no token": {id, ""}, "not base64": {id, "!"},
		"cut short": {id, token[:len(token)-4]}, "changed": {id, "AAAA" + token[4:]},
	} {
		if _, _, err := b.Credentials(t.Context(), c[0], c[1]); !isCode(err, "InvalidClientTokenId") {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A restart keeps sessions; another installation does not know them.
	again := openBench(t, path, Options{Account: testAccount})
	if _, _, err := again.Credentials(t.Context(), id, token); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if _, _, err := newBench(t).Credentials(t.Context(), id, token); !isCode(err, "InvalidClientTokenId") {
		t.Errorf("elsewhere: %v", err)
	}

	b.clock = b.clock.Add(time.Hour - time.Second)
	if _, _, err := b.Credentials(t.Context(), id, token); err != nil {
		t.Errorf("just before it expires: %v", err)
	}
	b.clock = b.clock.Add(time.Second)
	if _, _, err := b.Credentials(t.Context(), id, token); !isCode(err, "ExpiredToken") {
		t.Errorf("expired: %v", err)
	}

	// A role made anew under the old name does not inherit the old one's sessions.
	do[DeleteRolePolicyOutput](b, "DeleteRolePolicy", &DeleteRolePolicyInput{RoleName: "app", PolicyName: "p"})
	do[DeleteRoleOutput](b, "DeleteRole", &DeleteRoleInput{RoleName: "app"})
	if b.may(caller, "s3:GetObject", "arn:aws:s3:::b/k") {
		t.Error("a session outlives its role")
	}
	do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "app", AssumeRolePolicyDocument: trustAccount})
	do[PutRolePolicyOutput](b, "PutRolePolicy", &PutRolePolicyInput{RoleName: "app", PolicyName: "p", PolicyDocument: allow("s3:*", "*")})
	if b.may(caller, "s3:GetObject", "arn:aws:s3:::b/k") {
		t.Error("a session of the old role has the new one's rights")
	}
}

func TestSessionPolicies(t *testing.T) {
	b := newBench(t)
	do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "app", AssumeRolePolicyDocument: trustAccount})
	do[PutRolePolicyOutput](b, "PutRolePolicy", &PutRolePolicyInput{RoleName: "app", PolicyName: "p", PolicyDocument: allow("s3:*", "*")})
	own := *do[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "lists", PolicyDocument: allow("s3:List*", "*")}).Policy.Arn

	for _, c := range []struct {
		name, inline string
		arns         []string
		want         string // which of these is allowed: get, put, list, users
	}{
		{"none", "", nil, "get put list"},
		{"inline", allow("s3:GetObject", "arn:aws:s3:::b/*"), nil, "get"},
		{"inline wider than the role", allow("*", "*"), nil, "get put list"},
		{"managed", "", []string{awsPolicyPrefix + "AmazonS3ReadOnlyAccess"}, "get list"},
		{"both", allow("s3:PutObject", "*"), []string{own}, "put list"},
	} {
		text, err := b.CheckSessionPolicy(t.Context(), c.inline, c.arns)
		if err != nil {
			t.Fatal(err)
		}
		id, _, token := b.roleSession("app", text, time.Hour)
		_, caller, err := b.Credentials(t.Context(), id, token)
		if err != nil {
			t.Fatal(err)
		}
		var allowed []string
		for _, ask := range [][3]string{
			{"get", "s3:GetObject", "arn:aws:s3:::b/k"}, {"put", "s3:PutObject", "arn:aws:s3:::b/k"},
			{"list", "s3:ListBucket", "arn:aws:s3:::b"}, {"users", "iam:ListUsers", "*"},
		} {
			if b.may(caller, ask[1], ask[2]) {
				allowed = append(allowed, ask[0])
			}
		}
		if got := strings.Join(allowed, " "); got != c.want {
			t.Errorf("%s: allowed %q, want %q", c.name, got, c.want)
		}
		if c.name == "both" {
			do[DeletePolicyOutput](b, "DeletePolicy", &DeletePolicyInput{PolicyArn: own})
			if b.may(caller, "s3:ListBucket", "arn:aws:s3:::b") || !b.may(caller, "s3:PutObject", "arn:aws:s3:::b/k") {
				t.Error("a deleted session policy still allows, or takes the other one with it")
			}
		}
	}
	if _, err := b.CheckSessionPolicy(t.Context(), "{}", nil); !isCode(err, "MalformedPolicyDocument") {
		t.Errorf("malformed: %v", err)
	}
	if _, err := b.CheckSessionPolicy(t.Context(), "", []string{awsPolicyPrefix + "Nothing"}); !isCode(err, "NoSuchEntity") {
		t.Errorf("unknown: %v", err)
	}
}

func TestPlainSessionsCannotCallIAM(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", allow("*", "*"))
	for _, caller := range []*awsapi.Caller{ada, b.root} {
		id, _, token, err := b.IssueSession(t.Context(), *caller, b.clock.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		_, session, err := b.Credentials(t.Context(), id, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := try[ListUsersOutput](b, session, "ListUsers", &ListUsersInput{}); !isCode(err, "InvalidClientTokenId") {
			t.Errorf("a session of %s calls IAM: %v", caller.ARN, err)
		}
		if !b.may(session, "s3:GetObject", "arn:aws:s3:::b/k") || !b.may(session, "iam:PassRole", "arn:aws:iam::123456789012:role/r") {
			t.Errorf("a session of %s may do nothing", caller.ARN)
		}
	}
}

func TestAssumeRoleRules(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", "")
	bob := b.user("bob", allow("sts:AssumeRole", "arn:aws:iam::123456789012:role/*"))
	sagemaker := &awsapi.Caller{Kind: awsapi.Machine, Account: testAccount, ARN: "sagemaker.amazonaws.com"}
	lambda := &awsapi.Caller{Kind: awsapi.Machine, Account: testAccount, ARN: "lambda.amazonaws.com"}
	named := strings.ReplaceAll(trustAccount, ":root", ":user/ada")
	external := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "word"}}}}`
	for name, trust := range map[string]string{"named": named, "account": trustAccount, "service": trustSageMaker, "external": external} {
		do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust, MaxSessionDuration: ptr[int64](7200)})
	}
	word := map[string][]string{"sts:ExternalId": {"word"}}
	for _, c := range []struct {
		who    *awsapi.Caller
		role   string
		keys   map[string][]string
		wanted bool
	}{
		{ada, "named", nil, true}, // named, so no policy of her own is needed
		{bob, "named", nil, false},
		{ada, "account", nil, false},
		{bob, "account", nil, true},
		{b.root, "account", nil, true},
		{b.root, "named", nil, false},
		{bob, "external", nil, false},
		{bob, "external", word, true},
		{sagemaker, "service", nil, true},
		{lambda, "service", nil, false},
		{bob, "service", nil, false},
		{sagemaker, "account", nil, false},
		{bob, "missing", nil, false},
	} {
		id, longest, err := b.AuthorizeAssumeRole(t.Context(), c.who, "arn:aws:iam::123456789012:role/"+c.role, c.keys)
		if (err == nil) != c.wanted || err != nil && !isCode(err, "AccessDenied") {
			t.Errorf("%s as %s: %v", c.role, c.who.ARN, err)
		}
		if err == nil && (!strings.HasPrefix(id, "AROA") || longest != 2*time.Hour) {
			t.Errorf("%s: id %q, longest %v", c.role, id, longest)
		}
	}
	if _, _, err := b.AuthorizeAssumeRole(t.Context(), bob, "arn:aws:iam::123456789012:role/path/account", nil); !isCode(err, "AccessDenied") {
		t.Errorf("a role under a wrong path: %v", err)
	}
}

func TestRootKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	id, secret := openBench(t, path, Options{Account: testAccount}).RootKey()
	if len(id) != 20 || len(secret) != 40 {
		t.Errorf("made the root key %q with a secret of %d characters", id, len(secret))
	}
	if again, _ := openBench(t, path, Options{Account: testAccount}).RootKey(); again != id {
		t.Error("the root key changes with a restart")
	}
	given := Options{Account: testAccount, RootAccessKey: "AKIAIOSFODNN7EXAMPLE", RootSecretKey: "correct horse"}
	b := openBench(t, path, given)
	if got, caller, err := b.Credentials(t.Context(), given.RootAccessKey, ""); got != given.RootSecretKey || err != nil || caller.Kind != awsapi.Root {
		t.Errorf("the root key that was given: %v", err)
	}
	if _, _, err := b.Credentials(t.Context(), id, ""); !isCode(err, "InvalidClientTokenId") {
		t.Errorf("the root key that was replaced: %v", err)
	}

	db, err := state.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, o := range []Options{
		{Account: "12345"},
		{Account: testAccount, RootAccessKey: "AKIAIOSFODNN7EXAMPLE"},
		{Account: testAccount, RootSecretKey: "correct horse"},
		{Account: testAccount, RootAccessKey: "short", RootSecretKey: "correct horse"},
		{Account: testAccount, RootAccessKey: "ASIAIOSFODNN7EXAMPLE", RootSecretKey: "correct horse"},
		{Account: testAccount, RootAccessKey: "AKIAIOSFODNN7EXAMPLE", RootSecretKey: "horse"},
	} {
		if _, err := New(t.Context(), db, o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
}

// TestCacheKeepsNothingOld loads while a change comes in between.
func TestCacheKeepsNothingOld(t *testing.T) {
	c := newCache()
	old, _ := cached(c, "k", func() (int, error) {
		c.forget()
		return 1, nil
	})
	now, _ := cached(c, "k", func() (int, error) { return 2, nil })
	kept, _ := cached(c, "k", func() (int, error) { return 3, nil })
	if old != 1 || now != 2 || kept != 2 {
		t.Errorf("got %d, %d, %d", old, now, kept)
	}
	if _, err := cached(c, "e", func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("an error is swallowed")
	}
	for i := range 3 * maxCached {
		_, _ = cached(c, fmt.Sprint(i), func() (int, error) { return i, nil })
	}
	if len(c.entries) > maxCached {
		t.Errorf("%d entries", len(c.entries))
	}
}

func BenchmarkAuthorize(b *testing.B) {
	db, err := state.Open(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := New(b.Context(), db, Options{Account: testAccount})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	user, err := s.createUser(ctx, &CreateUserInput{UserName: "ada"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.putUserPolicy(ctx, &PutUserPolicyInput{UserName: "ada", PolicyName: "p", PolicyDocument: allow("s3:Get*", "arn:aws:s3:::b/*")}); err != nil {
		b.Fatal(err)
	}
	caller := &awsapi.Caller{Kind: awsapi.User, Account: testAccount, ARN: user.User.Arn, UserID: user.User.UserId, AccessKeyID: "AKIAIOSFODNN7EXAMPLE"}
	permissions := []awsapi.Permission{{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Authorize(ctx, caller, permissions); err != nil {
			b.Fatal(err)
		}
	}
}
