package iam

import (
	"context"
	"errors"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// defaultMaxSession is how long a role's sessions may last unless it says otherwise, in seconds.
const defaultMaxSession = 3600

func (s *Service) createRole(ctx context.Context, in *CreateRoleInput) (*CreateRoleOutput, error) {
	row := &roleRow{
		holder: holder{
			Name: in.RoleName, Path: pathOr(in.Path), ID: newID(rolePrefix), Created: s.now().UTC(),
			Tags: tagsFrom(in.Tags), Boundary: orEmpty(in.PermissionsBoundary),
		},
		Trust: in.AssumeRolePolicyDocument, Description: orEmpty(in.Description), MaxSession: defaultMaxSession,
	}
	if in.MaxSessionDuration != nil {
		row.MaxSession = *in.MaxSessionDuration
	}
	err := s.update(ctx, func(tx *state.Tx) error {
		if err := roomIn(tx, s.store.roles, "RolesPerAccount", maxRoles); err != nil {
			return err
		}
		if err := s.checkTrust(tx, row.Trust); err != nil {
			return err
		}
		if err := s.checkBoundary(tx, row.Boundary); err != nil {
			return err
		}
		err := s.store.roles.Insert(tx, rowKey(row.Name), row)
		if errors.Is(err, state.ErrExists) {
			return awsapi.Errorf("EntityAlreadyExists", "Role with name %s already exists.", row.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &CreateRoleOutput{Role: s.roleOut(row)}, nil
}

func (s *Service) getRole(ctx context.Context, in *GetRoleInput) (*GetRoleOutput, error) {
	row, err := s.viewRole(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	return &GetRoleOutput{Role: s.roleOut(row)}, nil
}

func (s *Service) listRoles(ctx context.Context, in *ListRolesInput) (*ListRolesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var roles []*Role
	var n next
	err = s.store.db.View(ctx, func(tx *state.Tx) (err error) {
		roles, n, err = scanPage(tx, s.store.roles, p, func(row *roleRow) (*Role, bool) {
			out := s.roleOut(row)
			out.Tags, out.PermissionsBoundary = nil, nil // as in AWS, a listing leaves them out
			return out, strings.HasPrefix(row.Path, pathOr(in.PathPrefix))
		})
		return err
	})
	return &ListRolesOutput{Roles: roles, IsTruncated: n.isTruncated(), Marker: n.marker()}, err
}

func (s *Service) deleteRole(ctx context.Context, in *DeleteRoleInput) (*DeleteRoleOutput, error) {
	return &DeleteRoleOutput{}, s.update(ctx, func(tx *state.Tx) error {
		row, err := s.store.role(tx, in.RoleName)
		switch {
		case err != nil:
			return err
		case len(row.Attached) > 0:
			return awsapi.Errorf("DeleteConflict", "Cannot delete entity, must detach all policies first.")
		case len(row.Inline) > 0:
			return awsapi.Errorf("DeleteConflict", "Cannot delete entity, must delete policies first.")
		}
		return s.store.roles.Delete(tx, rowKey(row.Name))
	})
}

func (s *Service) updateAssumeRolePolicy(ctx context.Context, in *UpdateAssumeRolePolicyInput) (*UpdateAssumeRolePolicyOutput, error) {
	return &UpdateAssumeRolePolicyOutput{}, s.changeRole(ctx, in.RoleName, func(tx *state.Tx, row *roleRow) error {
		row.Trust = in.PolicyDocument
		return s.checkTrust(tx, row.Trust)
	})
}

func (s *Service) roleOut(row *roleRow) *Role {
	return &Role{
		Path: row.Path, RoleName: row.Name, RoleId: row.ID, Arn: s.arn("role", row.Path, row.Name), CreateDate: row.Created,
		AssumeRolePolicyDocument: escapeDocument(row.Trust), Description: orNil(row.Description),
		MaxSessionDuration: &row.MaxSession, PermissionsBoundary: boundaryOut(row.Boundary), Tags: tagsOut(row.Tags),
	}
}

// checkTrust refuses a trust policy that does not parse, or that names a user or role of this
// account that does not exist.
func (s *Service) checkTrust(tx *state.Tx, text string) error {
	if policySize(text) > maxTrustDocument {
		return overQuota("ACLSizePerRole", maxTrustDocument)
	}
	doc, err := checkDocument(text, policy.Trust)
	if err != nil {
		return err
	}
	for _, arn := range doc.PrincipalARNs() {
		for _, kind := range []string{"user", "role"} {
			if !strings.HasPrefix(arn, s.arn(kind, "/", "")) {
				continue
			}
			row, err := s.holder(tx, kind, lastName(arn))
			if isCode(err, "NoSuchEntity") || err == nil && s.arn(kind, row.Path, row.Name) != arn {
				return awsapi.Errorf("MalformedPolicyDocument", "Invalid principal in policy: %q:%q", "AWS", arn)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBoundary refuses a permissions boundary that is no managed policy.
func (s *Service) checkBoundary(tx *state.Tx, arn string) error {
	if arn == "" {
		return nil
	}
	_, err := s.managed(tx, arn)
	return err
}

// findARN looks a user or role up by name.
func (s *Service) findARN(kind, name string) (arn string, err error) {
	err = s.store.db.View(context.Background(), func(tx *state.Tx) error {
		row, err := s.holder(tx, kind, name)
		if err == nil {
			arn = s.arn(kind, row.Path, row.Name)
		}
		return err
	})
	return arn, err
}

func boundaryOut(arn string) *AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	kind := "PermissionsBoundaryPolicy"
	return &AttachedPermissionsBoundary{PermissionsBoundaryArn: &arn, PermissionsBoundaryType: &kind}
}

func tagsFrom(in []*Tag) []tag {
	var tags []tag
	for _, t := range in {
		tags = append(tags, tag{t.Key, t.Value})
	}
	return tags
}

func tagsOut(tags []tag) []*Tag {
	var out []*Tag
	for _, t := range tags {
		out = append(out, &Tag{Key: t.Key, Value: t.Value})
	}
	return out
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
