package awsapi

import (
	"context"
	"net/http"
	"time"
)

// CallerKind says what sort of principal makes a call.
type CallerKind string

// The kinds of caller.
const (
	Root    CallerKind = "Root"    // the account itself: may do everything
	User    CallerKind = "User"    // an IAM user with an access key
	Role    CallerKind = "Role"    // a session of a role, by AssumeRole
	Machine CallerKind = "Service" // Musher itself, acting as one of its services
)

// Caller is the principal of a call.
type Caller struct {
	Kind          CallerKind
	Account       string
	ARN           string // "arn:aws:iam::123456789012:user/ada", or of the session for a role
	UserID        string
	AccessKeyID   string
	RoleARN       string // of the assumed role, kind Role only
	SessionPolicy string // JSON that narrows the session, or empty
}

// Request is what a handler may know of its call beside the input.
type Request struct {
	ID        string
	Service   string // the model's name
	Operation string
	Region    string // of the credential scope; any name is fine
	Account   string
	Caller    *Caller
	HTTP      *http.Request // nil for in-process calls
	Time      time.Time     // when the request arrived

	body *bodyCheck
}

// Checksums returns the checksums that the client declared for the body, by
// algorithm in lower case ("crc32", "sha256"), in base64. Those sent as
// trailers are there once the body was read to its end; by then all of them
// were verified. The map is empty if the client declared none.
func (r *Request) Checksums() map[string]string {
	if r.body == nil {
		return nil
	}
	return r.body.declared()
}

type requestKey struct{}

// RequestFrom returns the request that a handler's context belongs to. It is
// never nil: outside of a call it is an empty one.
func RequestFrom(ctx context.Context) *Request {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r
	}
	return &Request{}
}

// WithRequest returns a context for a handler; tests of handlers use it.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// Authenticator knows the access keys.
type Authenticator interface {
	// Credentials returns the secret of an access key and whom it stands for.
	// The session token is empty for long-lived keys. An unknown key is an
	// *Error InvalidClientTokenId, an outlived one ExpiredToken; the gateway
	// gives them the spelling of the service that was called.
	Credentials(ctx context.Context, accessKeyID, sessionToken string) (secret string, caller *Caller, err error)
}

// Authorizer decides whether a caller may do something.
type Authorizer interface {
	// Authorize returns nil if all permissions are granted, else an *Error
	// AccessDenied.
	Authorize(ctx context.Context, caller *Caller, permissions []Permission) error
}
