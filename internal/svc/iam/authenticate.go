package iam

import (
	"context"
	"errors"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// RootKey returns the access key of the account itself.
func (s *Service) RootKey() (accessKeyID, secret string) { return s.root.AccessKeyID, s.root.Secret }

// Credentials implements awsapi.Authenticator.
func (s *Service) Credentials(ctx context.Context, accessKeyID, sessionToken string) (string, *awsapi.Caller, error) {
	switch {
	case strings.HasPrefix(accessKeyID, temporaryPrefix):
		return s.sessionCredentials(accessKeyID, sessionToken)
	case sessionToken != "":
		return "", nil, errUnknownKey()
	case accessKeyID == s.root.AccessKeyID:
		return s.root.Secret, s.rootCaller(), nil
	}
	key, err := cached(s.cache, "key:"+accessKeyID, func() (*userKey, error) { return s.loadKey(ctx, accessKeyID) })
	if err != nil {
		return "", nil, err
	}
	caller := key.caller // a copy: the gateway's to change
	return key.secret, &caller, nil
}

func (s *Service) rootCaller() *awsapi.Caller {
	return &awsapi.Caller{
		Kind: awsapi.Root, Account: s.account, ARN: "arn:aws:iam::" + s.account + ":root",
		UserID: s.account, AccessKeyID: s.root.AccessKeyID,
	}
}

// userKey is an active access key of a user that exists.
type userKey struct {
	secret string
	caller awsapi.Caller
}

func (s *Service) loadKey(ctx context.Context, accessKeyID string) (*userKey, error) {
	var key *keyRow
	var user *userRow
	err := s.store.db.View(ctx, func(tx *state.Tx) (err error) {
		if key, err = s.store.keys.Get(tx, accessKeyID); err != nil {
			return err
		}
		user, err = s.store.user(tx, key.User)
		return err
	})
	switch {
	case errors.Is(err, state.ErrNotFound), err == nil && !key.Active:
		return nil, errUnknownKey()
	case err != nil:
		return nil, err
	}
	return &userKey{secret: key.Secret, caller: awsapi.Caller{
		Kind: awsapi.User, Account: s.account, ARN: s.arn("user", user.Path, user.Name),
		UserID: user.ID, AccessKeyID: key.ID,
	}}, nil
}

// errUnknownKey is the one answer to a key that is unknown, inactive, or comes with a token that
// is not its own: which of them it was is nobody's business.
func errUnknownKey() error {
	return awsapi.Errorf("InvalidClientTokenId", "The security token included in the request is invalid.")
}
