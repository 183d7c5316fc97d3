package iam

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// Options of New. Account is required.
type Options struct {
	Account string // 12 digits

	// The root's access key. Given, both are, and they replace the one on record; else the one on
	// record is used, and at first start one is made.
	RootAccessKey, RootSecretKey string

	Log *slog.Logger     // nil: none
	Now func() time.Time // nil: time.Now
}

// Service is the account's IAM. It implements awsapi.Authenticator and awsapi.Authorizer.
type Service struct {
	account    string
	store      store
	cache      *cache
	root       secretRow
	sealer     sealer
	everything []policy.Source // the root's implicit policy
	aws        map[string]awsPolicy
	log        *slog.Logger
	now        func() time.Time
}

// New opens the account's IAM in db.
func New(ctx context.Context, db *state.DB, opts Options) (*Service, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Service{account: opts.Account, store: newStore(db), cache: newCache(), log: opts.Log, now: opts.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.aws, err = loadAWSPolicies(); err != nil {
		return nil, err
	}
	admin := s.aws["arn:aws:iam::aws:policy/AdministratorAccess"]
	s.everything = []policy.Source{{Name: "root", Document: admin.compiled}}
	if err := s.loadSecrets(ctx, opts); err != nil {
		return nil, fmt.Errorf("iam: open: %w", err)
	}
	return s, nil
}

var (
	accountForm   = regexp.MustCompile(`^[0-9]{12}$`)
	accessKeyForm = regexp.MustCompile(`^\w{16,128}$`)
)

// minSecret is how short a given root secret may be, in bytes.
const minSecret = 8

func (o *Options) check() error {
	switch {
	case !accountForm.MatchString(o.Account):
		return fmt.Errorf("iam: account %q is not 12 digits", o.Account)
	case o.RootAccessKey == "" && o.RootSecretKey == "":
		return nil
	case o.RootAccessKey == "" || o.RootSecretKey == "":
		return errors.New("iam: of the root's access key and secret key only one is given")
	case !accessKeyForm.MatchString(o.RootAccessKey):
		return fmt.Errorf("iam: root access key %q is not 16 to 128 letters, digits and underscores", o.RootAccessKey)
	case strings.HasPrefix(o.RootAccessKey, temporaryPrefix):
		return fmt.Errorf("iam: root access key %q begins as temporary keys do", o.RootAccessKey)
	case len(o.RootSecretKey) < minSecret:
		return fmt.Errorf("iam: the root secret key is shorter than %d characters", minSecret)
	}
	return nil
}

// loadSecrets reads the root's access key and the key of session tokens, making what is missing.
func (s *Service) loadSecrets(ctx context.Context, opts Options) error {
	return s.store.db.Update(ctx, func(tx *state.Tx) error {
		root, err := s.secret(tx, "root", func() secretRow {
			return secretRow{AccessKeyID: newAccessKeyID(keyPrefix), Secret: newSecret()}
		})
		if err != nil {
			return err
		}
		if opts.RootAccessKey != "" && *root != (secretRow{opts.RootAccessKey, opts.RootSecretKey}) {
			root = &secretRow{opts.RootAccessKey, opts.RootSecretKey}
			if err := s.store.secrets.Put(tx, "root", root); err != nil {
				return err
			}
		}
		s.root = *root
		seal, err := s.secret(tx, "seal", func() secretRow {
			return secretRow{Secret: base64.StdEncoding.EncodeToString(newSealKey())}
		})
		if err != nil {
			return err
		}
		key, err := base64.StdEncoding.DecodeString(seal.Secret)
		if err != nil {
			return err
		}
		s.sealer, err = newSealer(key)
		return err
	})
}

func (s *Service) secret(tx *state.Tx, name string, invent func() secretRow) (*secretRow, error) {
	row, err := s.store.secrets.Get(tx, name)
	if errors.Is(err, state.ErrNotFound) {
		made := invent()
		return &made, s.store.secrets.Put(tx, name, &made)
	}
	return row, err
}
