package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

func (s *Service) attachRolePolicy(ctx context.Context, in *AttachRolePolicyInput) (*AttachRolePolicyOutput, error) {
	return &AttachRolePolicyOutput{}, s.changeRole(ctx, in.RoleName, func(tx *state.Tx, row *roleRow) error {
		return s.attach(tx, &row.holder, in.PolicyArn, "PoliciesPerRole")
	})
}

func (s *Service) attachUserPolicy(ctx context.Context, in *AttachUserPolicyInput) (*AttachUserPolicyOutput, error) {
	return &AttachUserPolicyOutput{}, s.changeUser(ctx, in.UserName, func(tx *state.Tx, row *userRow) error {
		return s.attach(tx, &row.holder, in.PolicyArn, "PoliciesPerUser")
	})
}

// attach adds a managed policy, unless it is attached already. quota is the quota's name.
func (s *Service) attach(tx *state.Tx, h *holder, arn, quota string) error {
	if _, err := s.managed(tx, arn); isCode(err, "NoSuchEntity") {
		return awsapi.Errorf("NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
	} else if err != nil {
		return err
	}
	at, attached := slices.BinarySearch(h.Attached, arn)
	switch {
	case attached:
		return nil
	case len(h.Attached) >= maxAttached:
		return overQuota(quota, maxAttached)
	}
	h.Attached = slices.Insert(h.Attached, at, arn)
	return nil
}

func (s *Service) detachRolePolicy(ctx context.Context, in *DetachRolePolicyInput) (*DetachRolePolicyOutput, error) {
	return &DetachRolePolicyOutput{}, s.changeRole(ctx, in.RoleName, func(_ *state.Tx, row *roleRow) error {
		return row.detach(in.PolicyArn)
	})
}

func (s *Service) detachUserPolicy(ctx context.Context, in *DetachUserPolicyInput) (*DetachUserPolicyOutput, error) {
	return &DetachUserPolicyOutput{}, s.changeUser(ctx, in.UserName, func(_ *state.Tx, row *userRow) error {
		return row.detach(in.PolicyArn)
	})
}

func (h *holder) detach(arn string) error {
	at, attached := slices.BinarySearch(h.Attached, arn)
	if !attached {
		return awsapi.Errorf("NoSuchEntity", "Policy %s was not found.", arn)
	}
	h.Attached = slices.Delete(h.Attached, at, at+1)
	return nil
}

func (s *Service) listAttachedRolePolicies(ctx context.Context, in *ListAttachedRolePoliciesInput) (*ListAttachedRolePoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	row, err := s.viewRole(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	list, n := row.attachedPage(in.PathPrefix, p)
	return &ListAttachedRolePoliciesOutput{AttachedPolicies: list, IsTruncated: n.isTruncated(), Marker: n.marker()}, nil
}

func (s *Service) listAttachedUserPolicies(ctx context.Context, in *ListAttachedUserPoliciesInput) (*ListAttachedUserPoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	row, err := s.viewUser(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	list, n := row.attachedPage(in.PathPrefix, p)
	return &ListAttachedUserPoliciesOutput{AttachedPolicies: list, IsTruncated: n.isTruncated(), Marker: n.marker()}, nil
}

func (h *holder) attachedPage(prefix *string, p page) ([]*AttachedPolicy, next) {
	arns := slices.DeleteFunc(h.Attached, func(arn string) bool { return !strings.HasPrefix(policyPath(arn), pathOr(prefix)) })
	arns, n := slicePage(arns, p, itself)
	list := []*AttachedPolicy{}
	for _, arn := range arns {
		name := lastName(arn)
		list = append(list, &AttachedPolicy{PolicyArn: &arn, PolicyName: &name})
	}
	return list, n
}

// entity is who uses a policy: a "Role" or a "User".
type entity struct {
	kind string
	*holder
}

// listEntitiesForPolicy lists who has a managed policy attached, or as its boundary. There are at
// most a few thousand users and roles, and few ask.
func (s *Service) listEntitiesForPolicy(ctx context.Context, in *ListEntitiesForPolicyInput) (*ListEntitiesForPolicyOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var all []entity
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		if _, err := s.managed(tx, in.PolicyArn); err != nil {
			return err
		}
		add := func(kind string, h *holder) (bool, error) {
			if in.wants(kind, h) {
				all = append(all, entity{kind, h})
			}
			return true, nil
		}
		err := s.store.roles.Scan(tx, state.Range{}, func(_ string, row *roleRow) (bool, error) { return add("Role", &row.holder) })
		if err != nil {
			return err
		}
		return s.store.users.Scan(tx, state.Range{}, func(_ string, row *userRow) (bool, error) { return add("User", &row.holder) })
	})
	if err != nil {
		return nil, err
	}
	listed, n := slicePage(all, p, func(e entity) string { return e.kind + " " + rowKey(e.Name) })
	out := &ListEntitiesForPolicyOutput{
		PolicyGroups: []*PolicyGroup{}, PolicyRoles: []*PolicyRole{}, PolicyUsers: []*PolicyUser{},
		IsTruncated: n.isTruncated(), Marker: n.marker(),
	}
	for _, e := range listed {
		if e.kind == "Role" {
			out.PolicyRoles = append(out.PolicyRoles, &PolicyRole{RoleName: &e.Name, RoleId: &e.ID})
		} else {
			out.PolicyUsers = append(out.PolicyUsers, &PolicyUser{UserName: &e.Name, UserId: &e.ID})
		}
	}
	return out, nil
}

// wants applies the listing's filters to a "Role" or "User".
func (in *ListEntitiesForPolicyInput) wants(kind string, h *holder) bool {
	_, attached := slices.BinarySearch(h.Attached, in.PolicyArn)
	boundary := h.Boundary == in.PolicyArn
	switch orEmpty(in.PolicyUsageFilter) {
	case "PermissionsPolicy":
		boundary = false
	case "PermissionsBoundary":
		attached = false
	}
	if in.EntityFilter != nil && !strings.HasSuffix(*in.EntityFilter, "Policy") && *in.EntityFilter != kind {
		return false // LocalManagedPolicy and AWSManagedPolicy speak of the policy, which is given
	}
	return (attached || boundary) && strings.HasPrefix(h.Path, pathOr(in.PathPrefix))
}
