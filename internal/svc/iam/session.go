package iam

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// session is what a session token seals.
type session struct {
	Secret        string
	Expires       time.Time
	Kind          awsapi.CallerKind
	ARN           string
	UserID        string
	RoleARN       string `json:",omitempty"`
	SessionPolicy string `json:",omitempty"`
}

// sealer turns sessions into tokens and back, by AES-256-GCM.
type sealer struct{ aead cipher.AEAD }

// sealKeySize is in bytes.
const sealKeySize = 32

func newSealer(key []byte) (sealer, error) {
	if len(key) != sealKeySize {
		return sealer{}, fmt.Errorf("iam: the session key has %d bytes, not %d", len(key), sealKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("iam: session key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func newSealKey() []byte {
	key := make([]byte, sealKeySize)
	rand.Read(key)
	return key
}

// seal binds the token to its access key id, so that neither can be used with another's.
func (s sealer) seal(accessKeyID string, ses *session) (string, error) {
	plain, err := json.Marshal(ses)
	if err != nil {
		return "", fmt.Errorf("iam: seal a session: %w", err)
	}
	return base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(accessKeyID))), nil
}

var errForeignToken = errors.New("not a session token of this account")

func (s sealer) open(accessKeyID, token string) (*session, error) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, errForeignToken
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(accessKeyID))
	if err != nil {
		return nil, errForeignToken
	}
	ses := &session{}
	if err := json.Unmarshal(plain, ses); err != nil {
		return nil, errForeignToken
	}
	return ses, nil
}

// IssueSession makes temporary keys that stand for caller until expires. Whether the caller may
// have them is for the one who asks to know.
func (s *Service) IssueSession(_ context.Context, caller awsapi.Caller, expires time.Time) (accessKeyID, secret, token string, err error) {
	ses := &session{
		Secret: newSecret(), Expires: expires, Kind: caller.Kind, ARN: caller.ARN,
		UserID: caller.UserID, RoleARN: caller.RoleARN, SessionPolicy: caller.SessionPolicy,
	}
	accessKeyID = newAccessKeyID(temporaryPrefix)
	token, err = s.sealer.seal(accessKeyID, ses)
	return accessKeyID, ses.Secret, token, err
}

func (s *Service) sessionCredentials(accessKeyID, token string) (string, *awsapi.Caller, error) {
	ses, err := s.sealer.open(accessKeyID, token)
	if err != nil {
		return "", nil, errUnknownKey()
	}
	if !s.now().Before(ses.Expires) {
		return "", nil, awsapi.Errorf("ExpiredToken", "The security token included in the request is expired")
	}
	return ses.Secret, &awsapi.Caller{
		Kind: ses.Kind, Account: s.account, ARN: ses.ARN, UserID: ses.UserID,
		AccessKeyID: accessKeyID, RoleARN: ses.RoleARN, SessionPolicy: ses.SessionPolicy,
	}, nil
}
