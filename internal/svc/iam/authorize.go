package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// Authorize implements awsapi.Authorizer.
func (s *Service) Authorize(ctx context.Context, caller *awsapi.Caller, permissions []awsapi.Permission) error {
	if len(permissions) == 0 {
		return nil
	}
	who, err := s.identify(ctx, caller)
	if err != nil {
		return err
	}
	circumstances := s.circumstances(ctx, who)
	for i := range permissions {
		p := &permissions[i]
		if who.plainSession && strings.HasPrefix(p.Action, "iam:") && p.Action != "iam:PassRole" {
			return errUnknownKey() // to IAM's operations such a token is none; so AWS words it
		}
		if d := who.evaluate(p, circumstances); !d.Allowed {
			return s.deny(ctx, who, p, d)
		}
	}
	return nil
}

// identity is a caller with all that decides what it may do.
type identity struct {
	principal policy.Principal
	policies  policy.Policies
	tags      []tag
	// plainSession marks credentials of GetSessionToken, which cannot call IAM.
	plainSession bool
}

func (who *identity) evaluate(p *awsapi.Permission, circumstances policy.Context) policy.Decision {
	if len(p.Context) > 0 {
		circumstances = circumstances.Clone(len(p.Context))
		for key, values := range p.Context {
			circumstances.Set(key, values...)
		}
	}
	return policy.Evaluate(who.policies, &policy.Request{
		Principal: who.principal, Action: p.Action, Resource: p.Resource, Context: circumstances,
	})
}

func (s *Service) deny(ctx context.Context, who *identity, p *awsapi.Permission, d policy.Decision) error {
	// The caller reads AWS's wording, the log which statement it was.
	s.log.DebugContext(ctx, "access denied", slog.String("caller", who.principal.ARN), slog.String("action", p.Action),
		slog.String("resource", p.Resource), slog.String("decision", d.String()))
	return awsapi.Errorf("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s %s",
		who.name(), p.Action, p.Resource, d.Reason(p.Action))
}

func (who *identity) name() string {
	switch {
	case who.principal.ARN != "":
		return who.principal.ARN
	case who.principal.Service != "":
		return who.principal.Service
	}
	return "anonymous"
}

// identify collects the caller's policies. A user or role that is gone has none.
func (s *Service) identify(ctx context.Context, caller *awsapi.Caller) (*identity, error) {
	who := &identity{}
	if caller == nil {
		return who, nil
	}
	who.principal = policy.Principal{Account: caller.Account, ARN: caller.ARN, RoleARN: caller.RoleARN, ID: caller.UserID}
	temporary := strings.HasPrefix(caller.AccessKeyID, temporaryPrefix)
	var err error
	switch caller.Kind {
	case awsapi.Root:
		who.principal.Kind, who.plainSession = policy.Root, temporary
		who.policies.Identity = s.everything
	case awsapi.User:
		who.principal.Kind, who.plainSession = policy.User, temporary
		err = s.holdings(ctx, who, "user", lastName(caller.ARN), caller.UserID)
	case awsapi.Role:
		who.principal.Kind = policy.RoleSession
		id, _, _ := strings.Cut(caller.UserID, ":")
		err = s.holdings(ctx, who, "role", lastName(caller.RoleARN), id)
	case awsapi.Machine:
		// Musher acting as a service holds no policy of its own: it works with a role's session.
		who.principal = policy.Principal{Kind: policy.Service, Service: caller.ARN}
	}
	if err == nil && caller.SessionPolicy != "" {
		who.policies.Session, err = s.sessionPolicies(ctx, caller.SessionPolicy)
	}
	return who, err
}

// holding is what a user or role has, compiled.
type holding struct {
	id       string
	tags     []tag
	identity []policy.Source
	boundary []policy.Source
}

// holdings adds the policies of a user or role, if it is still the one of that unique id.
func (s *Service) holdings(ctx context.Context, who *identity, kind, name, id string) error {
	h, err := cached(s.cache, kind+":"+name, func() (*holding, error) { return s.loadHolding(ctx, kind, name) })
	if isCode(err, "NoSuchEntity") || err == nil && h.id != id {
		return nil
	}
	if err != nil {
		return err
	}
	who.policies.Identity, who.policies.Boundary, who.tags = h.identity, h.boundary, h.tags
	return nil
}

func (s *Service) loadHolding(ctx context.Context, kind, name string) (h *holding, err error) {
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err := s.holder(tx, kind, name)
		if err != nil {
			return err
		}
		h, err = s.compile(tx, row)
		return err
	})
	return h, err
}

func (s *Service) holder(tx *state.Tx, kind, name string) (*holder, error) {
	if kind == "role" {
		row, err := s.store.role(tx, name)
		if err != nil {
			return nil, err
		}
		return &row.holder, nil
	}
	row, err := s.store.user(tx, name)
	if err != nil {
		return nil, err
	}
	return &row.holder, nil
}

func (s *Service) compile(tx *state.Tx, row *holder) (*holding, error) {
	h := &holding{id: row.ID, tags: row.Tags}
	for _, name := range row.inlineNames() {
		doc, err := policy.Parse([]byte(row.Inline[name]), policy.Identity)
		if err != nil {
			return nil, fmt.Errorf("iam: stored policy %s of %s: %w", name, row.Name, err)
		}
		h.identity = append(h.identity, policy.Source{Name: name, Document: doc})
	}
	for _, arn := range row.Attached {
		src, err := s.managedSource(tx, arn)
		if err != nil {
			return nil, err
		}
		h.identity = append(h.identity, src)
	}
	if row.Boundary != "" {
		src, err := s.managedSource(tx, row.Boundary)
		if err != nil {
			return nil, err
		}
		h.boundary = []policy.Source{src}
	}
	return h, nil
}

// sessionPolicies compiles Caller.SessionPolicy: a document, or a list whose items are documents
// and ARNs of managed policies.
func (s *Service) sessionPolicies(ctx context.Context, text string) ([]policy.Source, error) {
	return cached(s.cache, "session:"+text, func() (list []policy.Source, err error) {
		items := []json.RawMessage{json.RawMessage(text)}
		if strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &items); err != nil {
				return nil, fmt.Errorf("iam: session policy: %w", err)
			}
		}
		err = s.store.db.View(ctx, func(tx *state.Tx) error {
			list = []policy.Source{} // not nil: a session policy that is gone allows nothing
			for _, item := range items {
				src, err := s.sessionSource(tx, item)
				if isCode(err, "NoSuchEntity") {
					continue
				}
				if err != nil {
					return err
				}
				list = append(list, src)
			}
			return nil
		})
		return list, err
	})
}

func (s *Service) sessionSource(tx *state.Tx, item json.RawMessage) (policy.Source, error) {
	var arn string
	if json.Unmarshal(item, &arn) == nil {
		return s.managedSource(tx, arn)
	}
	doc, err := policy.Parse(item, policy.Identity)
	if err != nil {
		return policy.Source{}, fmt.Errorf("iam: session policy: %w", err)
	}
	return policy.Source{Name: "session policy", Document: doc}, nil
}

// circumstances are the global condition keys of a request.
func (s *Service) circumstances(ctx context.Context, who *identity) policy.Context {
	c := policy.NewContext(16 + len(who.tags))
	now := s.now().UTC()
	c.Set("aws:CurrentTime", now.Format(time.RFC3339))
	c.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	who.describe(&c)
	r := awsapi.RequestFrom(ctx)
	if r.Region != "" {
		c.Set("aws:RequestedRegion", r.Region)
	}
	if r.HTTP == nil {
		return c
	}
	c.Set("aws:SecureTransport", strconv.FormatBool(r.HTTP.TLS != nil))
	if host, _, err := net.SplitHostPort(r.HTTP.RemoteAddr); err == nil {
		c.Set("aws:SourceIp", host)
	}
	if agent := r.HTTP.UserAgent(); agent != "" {
		c.Set("aws:UserAgent", agent)
	}
	if referer := r.HTTP.Referer(); referer != "" {
		c.Set("aws:Referer", referer)
	}
	return c
}

// describe sets the keys that tell about the caller.
func (who *identity) describe(c *policy.Context) {
	p := &who.principal
	switch p.Kind {
	case policy.Anonymous:
		c.Set("aws:PrincipalType", "Anonymous")
		return
	case policy.Service:
		c.Set("aws:PrincipalIsAWSService", "true")
		c.Set("aws:PrincipalServiceName", p.Service)
		return
	case policy.Root:
		c.Set("aws:PrincipalType", "Account")
		c.Set("aws:PrincipalArn", p.ARN)
	case policy.User:
		c.Set("aws:PrincipalType", "User")
		c.Set("aws:PrincipalArn", p.ARN)
		c.Set("aws:username", lastName(p.ARN))
	case policy.RoleSession:
		c.Set("aws:PrincipalType", "AssumedRole")
		c.Set("aws:PrincipalArn", p.RoleARN)
	}
	c.Set("aws:PrincipalIsAWSService", "false")
	c.Set("aws:PrincipalAccount", p.Account)
	c.Set("aws:userid", p.ID)
	for _, t := range who.tags {
		c.Set("aws:PrincipalTag/"+t.Key, t.Value)
	}
}

// AuthorizeAssumeRole decides whether caller may assume a role, by the role's trust policy and the
// caller's own policies. A service is a caller of kind awsapi.Machine whose ARN is its name, e.g.
// "sagemaker.amazonaws.com". On success it tells the role's unique id and the longest session that
// the role permits; refusal, also of a role that does not exist, is an *awsapi.Error AccessDenied.
func (s *Service) AuthorizeAssumeRole(ctx context.Context, caller *awsapi.Caller, roleARN string, keys map[string][]string) (roleID string, longest time.Duration, err error) {
	who, err := s.identify(ctx, caller)
	if err != nil {
		return "", 0, err
	}
	role, err := cached(s.cache, "trust:"+roleARN, func() (*trust, error) { return s.loadTrust(ctx, roleARN) })
	switch {
	case isCode(err, "NoSuchEntity"):
		return "", 0, s.refuse(ctx, who, roleARN, policy.Decision{Layer: policy.ResourceLayer})
	case err != nil:
		return "", 0, err
	}
	circumstances := s.circumstances(ctx, who)
	for key, values := range keys {
		circumstances.Set(key, values...)
	}
	policies := who.policies
	policies.Resource = role.policy
	d := policy.EvaluateTrust(policies, &policy.Request{
		Principal: who.principal, Action: "sts:AssumeRole", Resource: roleARN, ResourceAccount: s.account, Context: circumstances,
	})
	if !d.Allowed {
		return "", 0, s.refuse(ctx, who, roleARN, d)
	}
	return role.id, role.longest, nil
}

// refuse words a refusal as STS does: without a reason, which would tell strangers about the role.
func (s *Service) refuse(ctx context.Context, who *identity, roleARN string, d policy.Decision) error {
	s.log.DebugContext(ctx, "role not assumed", slog.String("caller", who.name()),
		slog.String("role", roleARN), slog.String("decision", d.String()))
	return awsapi.Errorf("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s",
		who.name(), roleARN)
}

// trust is what assuming a role needs of it.
type trust struct {
	id      string
	longest time.Duration
	policy  []policy.Source
}

func (s *Service) loadTrust(ctx context.Context, roleARN string) (*trust, error) {
	row, err := s.viewRole(ctx, lastName(roleARN))
	if err != nil {
		return nil, err
	}
	if s.arn("role", row.Path, row.Name) != roleARN {
		return nil, awsapi.Errorf("NoSuchEntity", "The role %s cannot be found.", roleARN)
	}
	doc, err := policy.Parse([]byte(row.Trust), policy.Trust)
	if err != nil {
		return nil, fmt.Errorf("iam: stored trust policy of %s: %w", row.Name, err)
	}
	return &trust{
		id: row.ID, longest: time.Duration(row.MaxSession) * time.Second,
		policy: []policy.Source{{Name: "trust policy", Document: doc}},
	}, nil
}

// CheckSessionPolicy combines a session's inline policy and managed policies into the text that
// awsapi.Caller.SessionPolicy takes. Either may be absent. Errors are MalformedPolicyDocument, and
// NoSuchEntity for an unknown managed policy.
func (s *Service) CheckSessionPolicy(ctx context.Context, inline string, arns []string) (string, error) {
	var items []json.RawMessage
	if inline != "" {
		if _, err := checkDocument(inline, policy.Identity); err != nil {
			return "", err
		}
		items = append(items, json.RawMessage(inline))
	}
	err := s.store.db.View(ctx, func(tx *state.Tx) error {
		for _, arn := range arns {
			if _, err := s.managed(tx, arn); err != nil {
				return err
			}
			quoted, err := json.Marshal(arn)
			if err != nil {
				return err
			}
			items = append(items, quoted)
		}
		return nil
	})
	if err != nil || len(items) == 0 {
		return "", err
	}
	text, err := json.Marshal(items)
	return string(text), err
}

// isCode tells whether err is an *awsapi.Error of that code.
func isCode(err error, code string) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && e.Code == code
}
