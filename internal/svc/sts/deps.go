package sts

import (
	"context"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Identities is what sts needs to know of the account's users and roles.
type Identities interface {
	// AuthorizeAssumeRole decides whether caller may assume the role, under condition keys beyond
	// the global ones. A service is a caller of kind awsapi.Machine whose ARN is the service's name.
	// It returns the role's unique id and how long its sessions may last. A refusal is an
	// *awsapi.Error AccessDenied.
	AuthorizeAssumeRole(ctx context.Context, caller *awsapi.Caller, roleARN string, keys map[string][]string) (roleID string, longest time.Duration, err error)

	// CheckSessionPolicy makes what awsapi.Caller.SessionPolicy takes from a document and from ARNs
	// of managed policies; both may be empty.
	CheckSessionPolicy(ctx context.Context, document string, arns []string) (string, error)

	// IssueSession makes temporary keys that stand for caller until expires.
	IssueSession(ctx context.Context, caller awsapi.Caller, expires time.Time) (accessKeyID, secret, token string, err error)
}
