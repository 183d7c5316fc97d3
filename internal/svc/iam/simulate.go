package iam

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// simulation is a user or role about whom is asked, under made-up circumstances.
type simulation struct {
	kind, name string // "user" or "role"
	who        *identity
	owner      string // account of the resources; empty: the principal's
	context    policy.Context
	missing    []string // condition keys of the policies that context has not
}

// question is one action on one resource.
type question struct{ action, resource string }

// simulatePrincipalPolicy answers what Authorize would, for another than the caller. Each action on
// each resource is one result, in the order asked.
func (s *Service) simulatePrincipalPolicy(ctx context.Context, in *SimulatePrincipalPolicyInput) (*SimulatePrincipalPolicyOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	questions, err := in.questions()
	if err != nil {
		return nil, err
	}
	sim, err := s.simulation(ctx, in)
	if err != nil {
		return nil, err
	}
	numbers := make([]string, len(questions))
	for i := range questions {
		numbers[i] = fmt.Sprintf("%09d", i)
	}
	listed, n := slicePage(numbers, p, itself)
	out := &SimulatePrincipalPolicyOutput{EvaluationResults: []*EvaluationResult{}, IsTruncated: n.isTruncated(), Marker: n.marker()}
	for _, number := range listed {
		i, _ := strconv.Atoi(number) //nolint:errcheck // it was made above
		out.EvaluationResults = append(out.EvaluationResults, sim.answer(questions[i]))
	}
	return out, nil
}

// questions pairs the actions with the resources.
func (in *SimulatePrincipalPolicyInput) questions() ([]question, error) {
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	for _, r := range resources {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return nil, awsapi.Errorf("InvalidInput", "Invalid resource ARN: %s", r)
		}
	}
	var all []question
	for _, action := range in.ActionNames {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(action, "*?") {
			return nil, awsapi.Errorf("InvalidInput", "Invalid action name: %s (actions are simulated one by one, without wildcards)", action)
		}
		for _, r := range resources {
			all = append(all, question{action, r})
		}
	}
	return all, nil
}

// simulation collects who is asked about, with which policies, and what is assumed.
func (s *Service) simulation(ctx context.Context, in *SimulatePrincipalPolicyInput) (*simulation, error) {
	switch {
	case in.ResourceHandlingOption != nil:
		return nil, awsapi.Errorf("InvalidInput", "Musher does not simulate ResourceHandlingOption, which is for EC2: leave it out")
	case len(in.PolicyExclusionList) > 0:
		return nil, awsapi.Errorf("InvalidInput", "Musher does not simulate PolicyExclusionList: leave it out")
	}
	sim, err := s.simulated(ctx, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	if err := sim.addPolicies(in); err != nil {
		return nil, err
	}
	if err := s.simulateCaller(ctx, sim, in); err != nil {
		return nil, err
	}
	return sim, s.assumeContext(sim, in)
}

// simulated finds the user or role of an ARN, with its policies.
func (s *Service) simulated(ctx context.Context, arn string) (*simulation, error) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(arn, s.arn("", "", "")), "/")
	if !strings.HasPrefix(arn, s.arn(kind, "/", "")) || kind != "user" && kind != "role" {
		return nil, awsapi.Errorf("InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	sim := &simulation{kind: kind, name: lastName(arn), who: &identity{}}
	err := s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err := s.holder(tx, kind, sim.name)
		if err != nil {
			return err
		}
		if s.arn(kind, row.Path, row.Name) != arn {
			return awsapi.Errorf("NoSuchEntity", "The %s with ARN %s cannot be found.", kind, arn)
		}
		h, err := s.compile(tx, row)
		if err != nil {
			return err
		}
		sim.who.policies.Identity, sim.who.policies.Boundary, sim.who.tags = h.identity, h.boundary, h.tags
		sim.who.principal = s.principal(kind, arn, row)
		return nil
	})
	return sim, err
}

// principal is who a user or role is when it calls.
func (s *Service) principal(kind, arn string, row *holder) policy.Principal {
	if kind == "user" {
		return policy.Principal{Kind: policy.User, Account: s.account, ARN: arn, ID: row.ID}
	}
	const session = "simulation"
	return policy.Principal{
		Kind: policy.RoleSession, Account: s.account, RoleARN: arn, ID: row.ID + ":" + session,
		ARN: "arn:aws:sts::" + s.account + ":assumed-role/" + row.Name + "/" + session,
	}
}

// addPolicies adds those that the request brings along.
func (sim *simulation) addPolicies(in *SimulatePrincipalPolicyInput) error {
	more, err := inputSources("PolicyInputList", in.PolicyInputList, policy.Identity)
	if err != nil {
		return err
	}
	p := &sim.who.policies
	p.Identity = slices.Concat(p.Identity, more)
	if len(in.PermissionsBoundaryPolicyInputList) > 1 {
		return awsapi.Errorf("InvalidInput", "Only one permissions boundary policy can be simulated.")
	}
	boundary, err := inputSources("PermissionsBoundaryPolicyInputList", in.PermissionsBoundaryPolicyInputList, policy.Identity)
	if err != nil {
		return err
	}
	if boundary != nil {
		p.Boundary = boundary
	}
	if in.ResourcePolicy != nil {
		p.Resource, err = inputSources("ResourcePolicy", []string{*in.ResourcePolicy}, policy.Resource)
	}
	return err
}

// inputSources compiles documents; a decision calls them LIST.1 and so on.
func inputSources(list string, documents []string, kind policy.Kind) (sources []policy.Source, err error) {
	for i, text := range documents {
		doc, err := policy.Parse([]byte(text), kind)
		if err != nil {
			return nil, awsapi.Errorf("InvalidInput", "%s.%d: %w", list, i+1, err)
		}
		sources = append(sources, policy.Source{Name: fmt.Sprintf("%s.%d", list, i+1), Document: doc})
	}
	return sources, nil
}

// simulateCaller lets another user hold the policies, for the sake of a resource's policy that
// names it; a role's session has no name that such a policy could be asked for.
func (s *Service) simulateCaller(ctx context.Context, sim *simulation, in *SimulatePrincipalPolicyInput) error {
	if in.ResourceOwner != nil {
		owner := strings.TrimSuffix(strings.TrimPrefix(*in.ResourceOwner, "arn:aws:iam::"), ":root")
		if !accountForm.MatchString(owner) {
			return awsapi.Errorf("InvalidInput", "Invalid resource owner: %s", *in.ResourceOwner)
		}
		sim.owner = owner
	}
	if in.CallerArn == nil {
		if in.ResourcePolicy != nil && sim.kind != "user" {
			return awsapi.Errorf("InvalidInput", "A resource policy can be simulated for a user only: name one as CallerArn.")
		}
		return nil
	}
	caller, err := s.simulated(ctx, *in.CallerArn)
	if err != nil {
		return err
	}
	if caller.kind != "user" {
		return awsapi.Errorf("InvalidInput", "CallerArn must be the ARN of a user.")
	}
	sim.who.principal, sim.who.tags = caller.who.principal, caller.who.tags
	return nil
}

// assumeContext sets the condition keys: those of the principal and the clock, then the request's.
func (s *Service) assumeContext(sim *simulation, in *SimulatePrincipalPolicyInput) error {
	c := policy.NewContext(8 + len(in.ContextEntries))
	now := s.now().UTC()
	c.Set("aws:CurrentTime", now.Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	sim.who.describe(&c)
	for _, e := range in.ContextEntries {
		if e.ContextKeyName == nil {
			return awsapi.Errorf("InvalidInput", "A context entry has no ContextKeyName.")
		}
		c.Set(*e.ContextKeyName, e.ContextKeyValues...)
	}
	sim.context = c
	p := &sim.who.policies
	for _, source := range slices.Concat(p.Identity, p.Resource, p.Boundary) {
		for _, key := range source.Document.ConditionKeys() {
			if _, given := c.Get(key); !given && !slices.Contains(sim.missing, key) {
				sim.missing = append(sim.missing, key)
			}
		}
	}
	return nil
}

func (sim *simulation) answer(q question) *EvaluationResult {
	r := &policy.Request{
		Principal: sim.who.principal, Action: q.action, Resource: q.resource, ResourceAccount: sim.owner, Context: sim.context,
	}
	d := policy.Evaluate(sim.who.policies, r)
	out := &EvaluationResult{
		EvalActionName: q.action, EvalResourceName: &q.resource, EvalDecision: "implicitDeny",
		MatchedStatements: []*Statement{}, MissingContextValues: sim.missing,
	}
	switch {
	case d.Allowed:
		out.EvalDecision = "allowed"
	case d.Explicit:
		out.EvalDecision = "explicitDeny"
	}
	for _, m := range policy.Matching(sim.who.policies, r) {
		if m.Allowed == d.Allowed && m.Explicit == d.Explicit {
			out.MatchedStatements = append(out.MatchedStatements, sim.source(m))
		}
	}
	if boundary := sim.who.policies.Boundary; boundary != nil {
		within := policy.Evaluate(policy.Policies{Identity: boundary}, r).Allowed
		out.PermissionsBoundaryDecisionDetail = &PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: &within}
	}
	return out
}

// source names the policy of a statement as the service does: inline policies by their holder.
func (sim *simulation) source(d policy.Decision) *Statement {
	id, kind := lastName(d.Policy), "user-managed"
	switch {
	case d.Layer == policy.ResourceLayer:
		kind = "resource"
	case strings.HasPrefix(d.Policy, awsPolicyPrefix):
		kind = "aws-managed"
	case strings.HasPrefix(d.Policy, "arn:"):
	case strings.Contains(d.Policy, "InputList."):
		kind = "none"
	default:
		id, kind = sim.kind+"_"+sim.name+"_"+d.Policy, sim.kind
	}
	return &Statement{SourcePolicyId: &id, SourcePolicyType: &kind}
}
