package sts

import (
	"context"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// API returns the service's operations for a gateway. None needs a permission by itself: who may
// assume a role is decided by AssumeRole, with the role at hand.
func (s *Service) API() *awsapi.Service {
	a := awsapi.NewService(Model)
	awsapi.Handle(a, "GetCallerIdentity", s.getCallerIdentity, free[GetCallerIdentityInput]())
	awsapi.Handle(a, "GetSessionToken", s.getSessionToken, free[GetSessionTokenInput]())
	awsapi.Handle(a, "AssumeRole", s.assumeRole, free[AssumeRoleInput]())
	return a
}

func free[In any]() awsapi.Option {
	return awsapi.Access(func(*awsapi.Request, *In) []awsapi.Permission { return nil })
}

func (s *Service) getCallerIdentity(ctx context.Context, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	caller, err := signedBy(ctx)
	if err != nil {
		return nil, err
	}
	return &GetCallerIdentityOutput{Account: &caller.Account, Arn: &caller.ARN, UserId: &caller.UserID}, nil
}

// Durations of sessions, as AWS sets them.
const (
	defaultRoleSession = time.Hour
	longestChained     = time.Hour // for a role assumed with a role's credentials
	defaultUserSession = 12 * time.Hour
	longestRootSession = time.Hour // longer wishes are cut, not refused
)

func (s *Service) getSessionToken(ctx context.Context, in *GetSessionTokenInput) (*GetSessionTokenOutput, error) {
	caller, err := signedBy(ctx)
	switch {
	case err != nil:
		return nil, err
	case caller.Kind == awsapi.Role || strings.HasPrefix(caller.AccessKeyID, "ASIA"):
		return nil, awsapi.Errorf("AccessDenied", "Cannot call GetSessionToken with session credentials")
	}
	if err := refuseMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	duration := durationOr(in.DurationSeconds, defaultUserSession)
	if caller.Kind == awsapi.Root {
		duration = min(duration, longestRootSession)
	}
	session := *caller
	creds, err := s.issue(ctx, &session, duration)
	if err != nil {
		return nil, err
	}
	return &GetSessionTokenOutput{Credentials: &creds}, nil
}

func (s *Service) assumeRole(ctx context.Context, in *AssumeRoleInput) (*AssumeRoleOutput, error) {
	caller, err := signedBy(ctx)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	keys := map[string][]string{"sts:RoleSessionName": {in.RoleSessionName}}
	if in.ExternalId != nil {
		keys["sts:ExternalId"] = []string{*in.ExternalId}
	}
	roleID, longest, err := s.identities.AuthorizeAssumeRole(ctx, caller, in.RoleArn, keys)
	if err != nil {
		return nil, err
	}
	duration, err := in.duration(caller, longest)
	if err != nil {
		return nil, err
	}
	session := s.roleCaller(in.RoleArn, roleID, in.RoleSessionName)
	if session.SessionPolicy, err = s.identities.CheckSessionPolicy(ctx, orEmpty(in.Policy), in.policyARNs()); err != nil {
		return nil, err
	}
	creds, err := s.issue(ctx, &session, duration)
	if err != nil {
		return nil, err
	}
	return &AssumeRoleOutput{
		Credentials:      &creds,
		AssumedRoleUser:  &AssumedRoleUser{Arn: session.ARN, AssumedRoleId: session.UserID},
		PackedPolicySize: packedSize(session.SessionPolicy),
	}, nil
}

// maxSessionPolicy bounds a session's inline policy, in characters.
const maxSessionPolicy = 2048

// check refuses what the model's own rules let through.
func (in *AssumeRoleInput) check() error {
	switch {
	case !roleARNForm.MatchString(in.RoleArn):
		return awsapi.Errorf("ValidationError", "%s is invalid", in.RoleArn)
	case len(orEmpty(in.Policy)) > maxSessionPolicy:
		return awsapi.Errorf("PackedPolicyTooLarge", "Packed size of session policy exceeds the limit of %d characters", maxSessionPolicy)
	case len(in.PolicyArns) > 10:
		return awsapi.Errorf("ValidationError", "A session takes at most 10 managed policies")
	case len(in.Tags) > 0 || len(in.TransitiveTagKeys) > 0:
		return awsapi.Errorf("ValidationError", "Session tags are not supported")
	case in.SourceIdentity != nil:
		return awsapi.Errorf("ValidationError", "SourceIdentity is not supported")
	case len(in.ProvidedContexts) > 0:
		return awsapi.Errorf("ValidationError", "ProvidedContexts are not supported")
	}
	return refuseMFA(in.SerialNumber, in.TokenCode)
}

func (in *AssumeRoleInput) duration(caller *awsapi.Caller, longest time.Duration) (time.Duration, error) {
	d := durationOr(in.DurationSeconds, defaultRoleSession)
	switch {
	case caller.Kind == awsapi.Role && d > longestChained:
		return 0, awsapi.Errorf("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case d > longest:
		return 0, awsapi.Errorf("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return d, nil
}

func (in *AssumeRoleInput) policyARNs() []string {
	var arns []string
	for _, p := range in.PolicyArns {
		arns = append(arns, orEmpty(p.Arn))
	}
	return arns
}

// packedSize is how much of the room for session policies is used, in percent.
func packedSize(policy string) *int64 {
	if policy == "" {
		return nil
	}
	percent := min(100, int64(1+len(policy)*100/(2*maxSessionPolicy)))
	return &percent
}

// refuseMFA answers calls that come with a code of an MFA device: there are none.
func refuseMFA(serial, code *string) error {
	if serial == nil && code == nil {
		return nil
	}
	return awsapi.Errorf("AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code. MFA devices are not supported.")
}

// signedBy is the caller; all operations of STS here need one.
func signedBy(ctx context.Context) (*awsapi.Caller, error) {
	if caller := awsapi.RequestFrom(ctx).Caller; caller != nil {
		return caller, nil
	}
	return nil, awsapi.Errorf("MissingAuthenticationToken", "Request is missing Authentication Token")
}

func durationOr(seconds *int64, otherwise time.Duration) time.Duration {
	if seconds == nil {
		return otherwise
	}
	return time.Duration(*seconds) * time.Second
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
