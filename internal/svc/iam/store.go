package iam

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// holder is what users and roles have in common: a name, and policies.
type holder struct {
	Name     string
	Path     string // "/" or "/team/"
	ID       string
	Created  time.Time
	Tags     []tag             `json:",omitempty"`
	Boundary string            `json:",omitempty"` // ARN of the permissions boundary
	Inline   map[string]string `json:",omitempty"` // documents by policy name
	Attached []string          `json:",omitempty"` // ARNs of managed policies, sorted
}

type tag struct{ Key, Value string }

type userRow struct {
	holder
	Keys []string `json:",omitempty"` // ids of the user's access keys, oldest first
}

type roleRow struct {
	holder
	Trust       string // document that says who may assume the role
	Description string `json:",omitempty"`
	MaxSession  int64  // seconds
}

// keyRow is an access key.
type keyRow struct {
	ID, Secret, User string
	Active           bool
	Created          time.Time
}

// policyRow is a managed policy of the account.
type policyRow struct {
	Name, Path, ID string
	Document       string
	Description    string `json:",omitempty"`
	Created        time.Time
	Tags           []tag `json:",omitempty"`
}

// secretRow is something that the account has exactly one of.
type secretRow struct {
	AccessKeyID string `json:",omitempty"`
	Secret      string
}

// Rows are keyed by lower-case names: IAM's names are unique without regard to case.
type store struct {
	db       *state.DB
	users    state.Table[userRow]
	keys     state.Table[keyRow] // by access key id
	roles    state.Table[roleRow]
	policies state.Table[policyRow]
	secrets  state.Table[secretRow]
}

func newStore(db *state.DB) store {
	return store{
		db:       db,
		users:    state.NewTable[userRow](db, "iam_users"),
		keys:     state.NewTable[keyRow](db, "iam_access_keys"),
		roles:    state.NewTable[roleRow](db, "iam_roles"),
		policies: state.NewTable[policyRow](db, "iam_policies"),
		secrets:  state.NewTable[secretRow](db, "iam_secrets"),
	}
}

func rowKey(name string) string { return strings.ToLower(name) }

// update runs a change and, once it is durable, lets all cached answers go.
func (s *Service) update(ctx context.Context, fn func(*state.Tx) error) error {
	err := s.store.db.Update(ctx, fn)
	s.cache.forget()
	return err
}

func (st *store) user(tx *state.Tx, name string) (*userRow, error) {
	row, err := st.users.Get(tx, rowKey(name))
	if errors.Is(err, state.ErrNotFound) || err == nil && row.Name != name {
		return nil, awsapi.Errorf("NoSuchEntity", "The user with name %s cannot be found.", name)
	}
	return row, err
}

func (st *store) role(tx *state.Tx, name string) (*roleRow, error) {
	row, err := st.roles.Get(tx, rowKey(name))
	if errors.Is(err, state.ErrNotFound) || err == nil && row.Name != name {
		return nil, awsapi.Errorf("NoSuchEntity", "The role with name %s cannot be found.", name)
	}
	return row, err
}

// changeUser reads a user, changes it by fn, and writes it back.
func (s *Service) changeUser(ctx context.Context, name string, fn func(*state.Tx, *userRow) error) error {
	return s.update(ctx, func(tx *state.Tx) error {
		row, err := s.store.user(tx, name)
		if err != nil {
			return err
		}
		if err := fn(tx, row); err != nil {
			return err
		}
		return s.store.users.Put(tx, rowKey(name), row)
	})
}

// changeRole reads a role, changes it by fn, and writes it back.
func (s *Service) changeRole(ctx context.Context, name string, fn func(*state.Tx, *roleRow) error) error {
	return s.update(ctx, func(tx *state.Tx) error {
		row, err := s.store.role(tx, name)
		if err != nil {
			return err
		}
		if err := fn(tx, row); err != nil {
			return err
		}
		return s.store.roles.Put(tx, rowKey(name), row)
	})
}

// viewUser reads a user.
func (s *Service) viewUser(ctx context.Context, name string) (row *userRow, err error) {
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err = s.store.user(tx, name)
		return err
	})
	return row, err
}

// viewRole reads a role.
func (s *Service) viewRole(ctx context.Context, name string) (row *roleRow, err error) {
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err = s.store.role(tx, name)
		return err
	})
	return row, err
}

func (h *holder) inlineNames() []string { return slices.Sorted(maps.Keys(h.Inline)) }

// arn builds the ARN of something with a path: "user", "role" or "policy".
func (s *Service) arn(kind, path, name string) string {
	return "arn:aws:iam::" + s.account + ":" + kind + path + name
}

// lastName returns the name at the end of an ARN with a path.
func lastName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
