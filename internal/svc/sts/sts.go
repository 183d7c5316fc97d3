package sts

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Options of New. Account and Identities are required.
type Options struct {
	Account    string
	Identities Identities
	Now        func() time.Time // nil: time.Now
}

// Service is the account's STS.
type Service struct {
	account    string
	identities Identities
	now        func() time.Time
}

// New returns the account's STS.
func New(opts Options) *Service {
	s := &Service{account: opts.Account, identities: opts.Identities, now: opts.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// maxSessionName is in characters, all of them ASCII.
const maxSessionName = 64

var (
	roleARNForm     = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:role/([!-~]+/)?[\w+=,.@-]{1,64}$`)
	sessionNameForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// RoleSession gives a service of this process the credentials of a role, as a training job of
// SageMaker has them. The role's trust policy must let servicePrincipal ("sagemaker.amazonaws.com")
// assume it; it is asked with aws:SourceAccount set to the account. The session lasts as long as
// the service says: in AWS, services renew theirs past the role's MaxSessionDuration. A role that
// does not exist or does not trust the service is an error that wraps an *awsapi.Error AccessDenied.
// A session name longer than AWS's 64 characters is cut to them: services make theirs from names
// that may be as long, and nothing depends on its being unique.
func (s *Service) RoleSession(ctx context.Context, roleARN, sessionName, servicePrincipal string, duration time.Duration) (Credentials, *awsapi.Caller, error) {
	sessionName = sessionName[:min(len(sessionName), maxSessionName)]
	service := &awsapi.Caller{Kind: awsapi.Machine, Account: s.account, ARN: servicePrincipal}
	switch {
	case !roleARNForm.MatchString(roleARN):
		return Credentials{}, nil, fmt.Errorf("sts: assume role: %w", awsapi.Errorf("ValidationError", "%s is invalid", roleARN))
	case !sessionNameForm.MatchString(sessionName):
		return Credentials{}, nil, fmt.Errorf("sts: assume role %s: malformed session name %q", roleARN, sessionName)
	case duration <= 0:
		return Credentials{}, nil, fmt.Errorf("sts: assume role %s: no session lasts %v", roleARN, duration)
	}
	id, _, err := s.identities.AuthorizeAssumeRole(ctx, service, roleARN, map[string][]string{
		"aws:SourceAccount": {s.account}, "sts:RoleSessionName": {sessionName},
	})
	if err != nil {
		return Credentials{}, nil, fmt.Errorf("sts: assume role %s: %w", roleARN, err)
	}
	caller := s.roleCaller(roleARN, id, sessionName)
	creds, err := s.issue(ctx, &caller, duration)
	return creds, &caller, err
}

// roleCaller is who a role's session is.
func (s *Service) roleCaller(roleARN, roleID, sessionName string) awsapi.Caller {
	name := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	return awsapi.Caller{
		Kind: awsapi.Role, Account: s.account, RoleARN: roleARN,
		ARN:    "arn:aws:sts::" + s.account + ":assumed-role/" + name + "/" + sessionName,
		UserID: roleID + ":" + sessionName,
	}
}

// issue makes credentials for caller and notes their access key in it.
func (s *Service) issue(ctx context.Context, caller *awsapi.Caller, duration time.Duration) (Credentials, error) {
	// Answers carry whole seconds, and the token must not die before the moment they name.
	expires := s.now().Add(duration).UTC().Truncate(time.Second)
	id, secret, token, err := s.identities.IssueSession(ctx, *caller, expires)
	if err != nil {
		return Credentials{}, fmt.Errorf("sts: issue credentials: %w", err)
	}
	caller.AccessKeyID = id
	return Credentials{AccessKeyId: id, SecretAccessKey: secret, SessionToken: token, Expiration: expires}, nil
}
