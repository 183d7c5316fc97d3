package iam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// verdicts is what a simulation says, one line a result: decision, action,
// resource, and the policies that decided.
func verdicts(results []*EvaluationResult) (lines []string) {
	for _, r := range results {
		line := r.EvalDecision + " " + r.EvalActionName + " " + *r.EvalResourceName
		for _, m := range r.MatchedStatements {
			line += " " + *m.SourcePolicyType + ":" + *m.SourcePolicyId
		}
		if d := r.PermissionsBoundaryDecisionDetail; d != nil {
			line += fmt.Sprintf(" boundary:%v", *d.AllowedByPermissionsBoundary)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestSimulate(t *testing.T) {
	b := newBench(t)
	role := do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "trainer", Path: ptr("/team/"), AssumeRolePolicyDocument: trustSageMaker}).Role.Arn
	do[PutRolePolicyOutput](b, "PutRolePolicy", &PutRolePolicyInput{RoleName: "trainer", PolicyName: "data", PolicyDocument: `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::dogs/*"},
		{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::dogs/secret/*"},
		{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringEquals": {"s3:prefix": "train/"}}}]}`})
	do[AttachRolePolicyOutput](b, "AttachRolePolicy", &AttachRolePolicyInput{RoleName: "trainer", PolicyArn: awsPolicyPrefix + "AmazonSageMakerReadOnly"})
	do[CreateUserOutput](b, "CreateUser", &CreateUserInput{UserName: "ada"})
	ada := "arn:aws:iam::123456789012:user/ada"
	own := *do[CreatePolicyOutput](b, "CreatePolicy", &CreatePolicyInput{PolicyName: "readers", PolicyDocument: allow("s3:Get*", "arn:aws:s3:::dogs/${aws:username}/*")}).Policy.Arn
	do[AttachUserPolicyOutput](b, "AttachUserPolicy", &AttachUserPolicyInput{UserName: "ada", PolicyArn: own})

	for name, c := range map[string]struct {
		in   SimulatePrincipalPolicyInput
		want []string
	}{
		"a role, several resources": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"s3:PutObject", "s3:GetObject"}, ResourceArns: []string{"arn:aws:s3:::dogs/*", "arn:aws:s3:::dogs/secret/1", "arn:aws:s3:::cats/1"}},
			[]string{
				"allowed s3:PutObject arn:aws:s3:::dogs/* role:role_trainer_data",
				"explicitDeny s3:PutObject arn:aws:s3:::dogs/secret/1 role:role_trainer_data",
				"implicitDeny s3:PutObject arn:aws:s3:::cats/1",
				"implicitDeny s3:GetObject arn:aws:s3:::dogs/*",
				"explicitDeny s3:GetObject arn:aws:s3:::dogs/secret/1 role:role_trainer_data",
				"implicitDeny s3:GetObject arn:aws:s3:::cats/1",
			},
		},
		"without resources, policies for some of them count for nothing": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"sagemaker:ListModels", "s3:PutObject"}},
			[]string{"allowed sagemaker:ListModels * aws-managed:AmazonSageMakerReadOnly", "implicitDeny s3:PutObject *"},
		},
		"a condition without its key": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"s3:ListBucket"}},
			[]string{"implicitDeny s3:ListBucket *"},
		},
		"a condition with its key": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"s3:ListBucket"}, ContextEntries: []*ContextEntry{{ContextKeyName: ptr("s3:Prefix"), ContextKeyValues: []string{"train/"}, ContextKeyType: ptr("string")}}},
			[]string{"allowed s3:ListBucket * role:role_trainer_data"},
		},
		"a user, by its name": {
			SimulatePrincipalPolicyInput{PolicySourceArn: ada, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{"arn:aws:s3:::dogs/ada/1", "arn:aws:s3:::dogs/bob/1"}},
			[]string{"allowed s3:GetObject arn:aws:s3:::dogs/ada/1 user-managed:readers", "implicitDeny s3:GetObject arn:aws:s3:::dogs/bob/1"},
		},
		"with a policy more": {
			SimulatePrincipalPolicyInput{PolicySourceArn: ada, ActionNames: []string{"sns:Publish"}, PolicyInputList: []string{allow("sqs:*", "*"), allow("sns:*", "*")}},
			[]string{"allowed sns:Publish * none:PolicyInputList.2"},
		},
		"within a boundary": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"sagemaker:ListModels", "s3:PutObject"}, ResourceArns: []string{"arn:aws:s3:::dogs/1"}, PermissionsBoundaryPolicyInputList: []string{allow("s3:*", "*")}},
			[]string{
				"implicitDeny sagemaker:ListModels arn:aws:s3:::dogs/1 boundary:false",
				"allowed s3:PutObject arn:aws:s3:::dogs/1 role:role_trainer_data none:PermissionsBoundaryPolicyInputList.1 boundary:true",
			},
		},
		"a resource's policy": {
			SimulatePrincipalPolicyInput{PolicySourceArn: ada, ActionNames: []string{"s3:PutObject"}, ResourceArns: []string{"arn:aws:s3:::cats/1"}, ResourcePolicy: ptr(
				`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "` + ada + `"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::cats/*"}}`)},
			[]string{"allowed s3:PutObject arn:aws:s3:::cats/1 resource:ResourcePolicy.1"},
		},
		"a resource of another account": {
			SimulatePrincipalPolicyInput{PolicySourceArn: ada, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{"arn:aws:s3:::dogs/ada/1"}, ResourceOwner: ptr("arn:aws:iam::210987654321:root")},
			[]string{"implicitDeny s3:GetObject arn:aws:s3:::dogs/ada/1"},
		},
		"a role's policies in a user's hand": {
			SimulatePrincipalPolicyInput{PolicySourceArn: role, CallerArn: &ada, ActionNames: []string{"s3:GetObject"}, PolicyInputList: []string{allow("s3:GetObject", "arn:aws:s3:::${aws:username}/*")}, ResourceArns: []string{"arn:aws:s3:::ada/1"}},
			[]string{"allowed s3:GetObject arn:aws:s3:::ada/1 none:PolicyInputList.1"},
		},
	} {
		got := do[SimulatePrincipalPolicyOutput](b, "SimulatePrincipalPolicy", &c.in)
		if diff := cmp.Diff(c.want, verdicts(got.EvaluationResults)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	missing := do[SimulatePrincipalPolicyOutput](b, "SimulatePrincipalPolicy", &SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"s3:ListBucket"}})
	if diff := cmp.Diff([]string{"s3:prefix"}, missing.EvaluationResults[0].MissingContextValues); diff != "" {
		t.Error(diff)
	}
}

// TestSimulationIsTrue: what the simulation says of a user is what the user meets.
func TestSimulationIsTrue(t *testing.T) {
	b := newBench(t)
	bob := b.user("bob", allow("s3:Get*", "arn:aws:s3:::dogs/*"))
	for _, action := range []string{"s3:GetObject", "s3:PutObject", "sagemaker:ListModels"} {
		for _, resource := range []string{"arn:aws:s3:::dogs/1", "arn:aws:s3:::cats/1", "*"} {
			out := do[SimulatePrincipalPolicyOutput](b, "SimulatePrincipalPolicy", &SimulatePrincipalPolicyInput{PolicySourceArn: bob.ARN, ActionNames: []string{action}, ResourceArns: []string{resource}})
			if said := out.EvaluationResults[0].EvalDecision == "allowed"; said != b.may(bob, action, resource) {
				t.Errorf("%s on %s: the simulation says %v", action, resource, said)
			}
		}
	}
	_, err := try[SimulatePrincipalPolicyOutput](b, bob, "SimulatePrincipalPolicy", &SimulatePrincipalPolicyInput{PolicySourceArn: bob.ARN, ActionNames: []string{"s3:GetObject"}})
	if !isCode(err, "AccessDenied") {
		t.Errorf("bob may simulate: %v", err)
	}
}

func TestSimulationPages(t *testing.T) {
	b := newBench(t)
	bob := b.user("bob", allow("s3:Get*", "*"))
	in := &SimulatePrincipalPolicyInput{PolicySourceArn: bob.ARN, MaxItems: ptr(int64(4))}
	var want, got []string
	for i := range 11 {
		in.ActionNames = append(in.ActionNames, fmt.Sprintf("s3:GetThing%d", i))
		want = append(want, fmt.Sprintf("allowed s3:GetThing%d * user:user_bob_inline", i))
	}
	for pages := 1; ; pages++ {
		out := do[SimulatePrincipalPolicyOutput](b, "SimulatePrincipalPolicy", in)
		got = append(got, verdicts(out.EvaluationResults)...)
		if !*out.IsTruncated {
			if pages != 3 || out.Marker != nil {
				t.Errorf("%d pages, marker %v", pages, out.Marker)
			}
			break
		}
		in.Marker = out.Marker
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSimulationRefusals(t *testing.T) {
	b := newBench(t)
	bob := b.user("bob", "").ARN
	role := do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: trustSageMaker}).Role.Arn
	base := func(change func(*SimulatePrincipalPolicyInput)) *SimulatePrincipalPolicyInput {
		in := &SimulatePrincipalPolicyInput{PolicySourceArn: bob, ActionNames: []string{"s3:GetObject"}}
		change(in)
		return in
	}
	for want, change := range map[string]func(*SimulatePrincipalPolicyInput){
		"NoSuchEntity: The role with name none cannot be found.": func(in *SimulatePrincipalPolicyInput) { in.PolicySourceArn = "arn:aws:iam::123456789012:role/none" },
		"NoSuchEntity: The user with ARN arn:aws:iam::123456789012:user/team/bob cannot be found.": func(in *SimulatePrincipalPolicyInput) {
			in.PolicySourceArn = "arn:aws:iam::123456789012:user/team/bob"
		},
		"InvalidInput: Invalid Entity Arn: arn:aws:iam::123456789012:root does not clearly define entity type and name.": func(in *SimulatePrincipalPolicyInput) {
			in.PolicySourceArn = "arn:aws:iam::123456789012:root"
		},
		"InvalidInput: Invalid Entity Arn: arn:aws:sts::123456789012:assumed-role/r/s does not clearly define entity type and name.": func(in *SimulatePrincipalPolicyInput) {
			in.PolicySourceArn = "arn:aws:sts::123456789012:assumed-role/r/s"
		},
		"InvalidInput: Invalid action name: s3:* (actions are simulated one by one, without wildcards)": func(in *SimulatePrincipalPolicyInput) { in.ActionNames = []string{"s3:*"} },
		"InvalidInput: Invalid resource ARN: dogs":                                                      func(in *SimulatePrincipalPolicyInput) { in.ResourceArns = []string{"dogs"} },
		"InvalidInput: A context entry has no ContextKeyName.":                                          func(in *SimulatePrincipalPolicyInput) { in.ContextEntries = []*ContextEntry{{}} },
		"InvalidInput: Invalid resource owner: nobody":                                                  func(in *SimulatePrincipalPolicyInput) { in.ResourceOwner = ptr("nobody") },
		"InvalidInput: CallerArn must be the ARN of a user.":                                            func(in *SimulatePrincipalPolicyInput) { in.CallerArn = &role },
		"InvalidInput: Only one permissions boundary policy can be simulated.": func(in *SimulatePrincipalPolicyInput) {
			in.PermissionsBoundaryPolicyInputList = []string{allow("s3:*", "*"), allow("s3:*", "*")}
		},
		"InvalidInput: A resource policy can be simulated for a user only: name one as CallerArn.": func(in *SimulatePrincipalPolicyInput) {
			in.PolicySourceArn, in.ResourcePolicy = role, ptr(allow("s3:*", "*"))
			in.ResourcePolicy = ptr(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}`)
		},
		"InvalidInput: Musher does not simulate ResourceHandlingOption, which is for EC2: leave it out": func(in *SimulatePrincipalPolicyInput) { in.ResourceHandlingOption = ptr("EC2-VPC-EBS") },
	} {
		fails[SimulatePrincipalPolicyOutput](b, "SimulatePrincipalPolicy", base(change), want)
	}
	_, err := try[SimulatePrincipalPolicyOutput](b, b.rootCaller(), "SimulatePrincipalPolicy", base(func(in *SimulatePrincipalPolicyInput) { in.PolicyInputList = []string{"{}"} }))
	if !isCode(err, "InvalidInput") || !strings.Contains(err.Error(), "PolicyInputList.1") {
		t.Errorf("a policy that is none: %v", err)
	}
}

func TestUserPolicies(t *testing.T) {
	b := newBench(t)
	ada := b.user("ada", "")
	arn := awsPolicyPrefix + "AmazonS3ReadOnlyAccess"
	attach := &AttachUserPolicyInput{UserName: "ada", PolicyArn: arn}
	do[AttachUserPolicyOutput](b, "AttachUserPolicy", attach)
	do[AttachUserPolicyOutput](b, "AttachUserPolicy", attach) // again is no error
	if !b.may(ada, "s3:GetObject", "arn:aws:s3:::dogs/1") || b.may(ada, "s3:PutObject", "arn:aws:s3:::dogs/1") {
		t.Error("the attached policy does not count")
	}
	fails[AttachUserPolicyOutput](b, "AttachUserPolicy", &AttachUserPolicyInput{UserName: "ada", PolicyArn: awsPolicyPrefix + "Nothing"},
		"NoSuchEntity: Policy arn:aws:iam::aws:policy/Nothing does not exist or is not attachable.")
	fails[AttachUserPolicyOutput](b, "AttachUserPolicy", &AttachUserPolicyInput{UserName: "bob", PolicyArn: arn}, "NoSuchEntity: The user with name bob cannot be found.")
	list := do[ListAttachedUserPoliciesOutput](b, "ListAttachedUserPolicies", &ListAttachedUserPoliciesInput{UserName: "ada"}).AttachedPolicies
	if diff := cmp.Diff([]*AttachedPolicy{{PolicyName: ptr("AmazonS3ReadOnlyAccess"), PolicyArn: &arn}}, list); diff != "" {
		t.Error(diff)
	}
	fails[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "ada"}, "DeleteConflict: Cannot delete entity, must delete access keys first.")
	do[DeleteAccessKeyOutput](b, "DeleteAccessKey", &DeleteAccessKeyInput{UserName: ptr("ada"), AccessKeyId: ada.AccessKeyID})
	fails[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "ada"}, "DeleteConflict: Cannot delete entity, must detach all policies first.")
	detach := &DetachUserPolicyInput{UserName: "ada", PolicyArn: arn}
	do[DetachUserPolicyOutput](b, "DetachUserPolicy", detach)
	fails[DetachUserPolicyOutput](b, "DetachUserPolicy", detach, "NoSuchEntity: Policy "+arn+" was not found.")
	if b.may(ada, "s3:GetObject", "arn:aws:s3:::dogs/1") {
		t.Error("the detached policy counts")
	}
	do[DeleteUserOutput](b, "DeleteUser", &DeleteUserInput{UserName: "ada"})
}

func TestEntitiesForPolicy(t *testing.T) {
	b := newBench(t)
	arn := awsPolicyPrefix + "AmazonS3ReadOnlyAccess"
	for _, name := range []string{"ada", "Bob"} {
		b.user(name, "")
		do[AttachUserPolicyOutput](b, "AttachUserPolicy", &AttachUserPolicyInput{UserName: name, PolicyArn: arn})
	}
	b.user("eve", "")
	do[CreateRoleOutput](b, "CreateRole", &CreateRoleInput{RoleName: "r", Path: ptr("/team/"), AssumeRolePolicyDocument: trustSageMaker, PermissionsBoundary: &arn})
	for want, in := range map[string]*ListEntitiesForPolicyInput{
		"r ada Bob": {},
		"ada Bob":   {EntityFilter: ptr("User")},
		"r":         {PolicyUsageFilter: ptr("PermissionsBoundary")},
		"":          {EntityFilter: ptr("Group")},
		"r ":        {PathPrefix: ptr("/team/")},
	} {
		in.PolicyArn, in.MaxItems = arn, ptr(int64(1))
		var got []string
		for {
			out := do[ListEntitiesForPolicyOutput](b, "ListEntitiesForPolicy", in)
			for _, r := range out.PolicyRoles {
				got = append(got, *r.RoleName)
			}
			for _, u := range out.PolicyUsers {
				got = append(got, *u.UserName)
			}
			if !*out.IsTruncated {
				break
			}
			in.Marker = out.Marker
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%v, want %s", got, want)
		}
	}
	fails[ListEntitiesForPolicyOutput](b, "ListEntitiesForPolicy", &ListEntitiesForPolicyInput{PolicyArn: awsPolicyPrefix + "Nothing"},
		"NoSuchEntity: Policy arn:aws:iam::aws:policy/Nothing was not found.")
}
