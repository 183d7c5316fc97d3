package iam

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

func (s *Service) createUser(ctx context.Context, in *CreateUserInput) (*CreateUserOutput, error) {
	row := &userRow{holder: holder{
		Name: in.UserName, Path: pathOr(in.Path), ID: newID(userPrefix), Created: s.now().UTC(),
		Tags: tagsFrom(in.Tags), Boundary: orEmpty(in.PermissionsBoundary),
	}}
	err := s.update(ctx, func(tx *state.Tx) error {
		if err := roomIn(tx, s.store.users, "UsersPerAccount", maxUsers); err != nil {
			return err
		}
		if err := s.checkBoundary(tx, row.Boundary); err != nil {
			return err
		}
		err := s.store.users.Insert(tx, rowKey(row.Name), row)
		if errors.Is(err, state.ErrExists) {
			return awsapi.Errorf("EntityAlreadyExists", "User with name %s already exists.", row.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &CreateUserOutput{User: s.userOut(row)}, nil
}

func (s *Service) getUser(ctx context.Context, in *GetUserInput) (*GetUserOutput, error) {
	caller := awsapi.RequestFrom(ctx).Caller
	if in.UserName == nil && caller != nil && caller.Kind == awsapi.Root {
		return &GetUserOutput{User: &User{Path: "/", UserName: "root", UserId: s.account, Arn: caller.ARN}}, nil
	}
	name, err := userNamed(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	row, err := s.viewUser(ctx, name)
	if err != nil {
		return nil, err
	}
	return &GetUserOutput{User: s.userOut(row)}, nil
}

func (s *Service) listUsers(ctx context.Context, in *ListUsersInput) (*ListUsersOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var users []*User
	var n next
	err = s.store.db.View(ctx, func(tx *state.Tx) (err error) {
		users, n, err = scanPage(tx, s.store.users, p, func(row *userRow) (*User, bool) {
			out := s.userOut(row)
			out.Tags = nil // as in AWS, a listing leaves them out
			return out, strings.HasPrefix(row.Path, pathOr(in.PathPrefix))
		})
		return err
	})
	return &ListUsersOutput{Users: users, IsTruncated: n.isTruncated(), Marker: n.marker()}, err
}

func (s *Service) deleteUser(ctx context.Context, in *DeleteUserInput) (*DeleteUserOutput, error) {
	return &DeleteUserOutput{}, s.update(ctx, func(tx *state.Tx) error {
		row, err := s.store.user(tx, in.UserName)
		switch {
		case err != nil:
			return err
		case len(row.Keys) > 0:
			return awsapi.Errorf("DeleteConflict", "Cannot delete entity, must delete access keys first.")
		case len(row.Attached) > 0:
			return awsapi.Errorf("DeleteConflict", "Cannot delete entity, must detach all policies first.")
		case len(row.Inline) > 0:
			return awsapi.Errorf("DeleteConflict", "Cannot delete entity, must delete policies first.")
		}
		return s.store.users.Delete(tx, rowKey(row.Name))
	})
}

func (s *Service) userOut(row *userRow) *User {
	return &User{
		Path: row.Path, UserName: row.Name, UserId: row.ID, Arn: s.arn("user", row.Path, row.Name),
		CreateDate: row.Created, Tags: tagsOut(row.Tags), PermissionsBoundary: boundaryOut(row.Boundary),
	}
}

// userNamed is the user that a call is about: the one it names, or else the caller.
func userNamed(ctx context.Context, name *string) (string, error) {
	if name != nil {
		return *name, nil
	}
	caller := awsapi.RequestFrom(ctx).Caller
	if caller == nil || caller.Kind != awsapi.User {
		return "", awsapi.Errorf("ValidationError", "Must specify userName when calling with non-User credentials")
	}
	return lastName(caller.ARN), nil
}

func (s *Service) createAccessKey(ctx context.Context, in *CreateAccessKeyInput) (*CreateAccessKeyOutput, error) {
	name, err := userNamed(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	key := &keyRow{ID: newAccessKeyID(keyPrefix), Secret: newSecret(), User: name, Active: true, Created: s.now().UTC()}
	err = s.changeUser(ctx, name, func(tx *state.Tx, row *userRow) error {
		if len(row.Keys) >= maxKeysPerUser {
			return overQuota("AccessKeysPerUser", maxKeysPerUser)
		}
		row.Keys = append(row.Keys, key.ID)
		return s.store.keys.Insert(tx, key.ID, key)
	})
	if err != nil {
		return nil, err
	}
	return &CreateAccessKeyOutput{AccessKey: &AccessKey{
		UserName: key.User, AccessKeyId: key.ID, Status: key.status(), SecretAccessKey: key.Secret, CreateDate: &key.Created,
	}}, nil
}

func (s *Service) listAccessKeys(ctx context.Context, in *ListAccessKeysInput) (*ListAccessKeysOutput, error) {
	name, err := userNamed(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &ListAccessKeysOutput{AccessKeyMetadata: []*AccessKeyMetadata{}}
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err := s.store.user(tx, name)
		if err != nil {
			return err
		}
		ids, n := slicePage(slices.Sorted(slices.Values(row.Keys)), p, itself)
		out.IsTruncated, out.Marker = n.isTruncated(), n.marker()
		for _, id := range ids {
			key, err := s.store.keys.Get(tx, id)
			if err != nil {
				return err
			}
			out.AccessKeyMetadata = append(out.AccessKeyMetadata, key.metadata())
		}
		return nil
	})
	return out, err
}

func (s *Service) updateAccessKey(ctx context.Context, in *UpdateAccessKeyInput) (*UpdateAccessKeyOutput, error) {
	if in.Status == "Expired" {
		return nil, awsapi.Errorf("InvalidInput", "A key's status can be set to Active or Inactive only.")
	}
	return &UpdateAccessKeyOutput{}, s.changeKey(ctx, in.UserName, in.AccessKeyId, func(tx *state.Tx, _ *userRow, key *keyRow) error {
		key.Active = in.Status == "Active"
		return s.store.keys.Put(tx, key.ID, key)
	})
}

func (s *Service) deleteAccessKey(ctx context.Context, in *DeleteAccessKeyInput) (*DeleteAccessKeyOutput, error) {
	return &DeleteAccessKeyOutput{}, s.changeKey(ctx, in.UserName, in.AccessKeyId, func(tx *state.Tx, row *userRow, key *keyRow) error {
		row.Keys = slices.DeleteFunc(row.Keys, func(id string) bool { return id == key.ID })
		return s.store.keys.Delete(tx, key.ID)
	})
}

// changeKey changes one of a user's access keys.
func (s *Service) changeKey(ctx context.Context, user *string, id string, fn func(*state.Tx, *userRow, *keyRow) error) error {
	name, err := userNamed(ctx, user)
	if err != nil {
		return err
	}
	return s.changeUser(ctx, name, func(tx *state.Tx, row *userRow) error {
		if !slices.Contains(row.Keys, id) {
			return awsapi.Errorf("NoSuchEntity", "The Access Key with id %s cannot be found.", id)
		}
		key, err := s.store.keys.Get(tx, id)
		if err != nil {
			return err
		}
		return fn(tx, row, key)
	})
}

func (k *keyRow) status() string {
	if k.Active {
		return "Active"
	}
	return "Inactive"
}

func (k *keyRow) metadata() *AccessKeyMetadata {
	status := k.status()
	return &AccessKeyMetadata{UserName: &k.User, AccessKeyId: &k.ID, Status: &status, CreateDate: &k.Created}
}
