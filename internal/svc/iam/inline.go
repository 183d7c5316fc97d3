package iam

import (
	"context"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

func (s *Service) putUserPolicy(ctx context.Context, in *PutUserPolicyInput) (*PutUserPolicyOutput, error) {
	return &PutUserPolicyOutput{}, s.changeUser(ctx, in.UserName, func(_ *state.Tx, row *userRow) error {
		return row.putInline("user", in.PolicyName, in.PolicyDocument, maxUserInline)
	})
}

func (s *Service) putRolePolicy(ctx context.Context, in *PutRolePolicyInput) (*PutRolePolicyOutput, error) {
	return &PutRolePolicyOutput{}, s.changeRole(ctx, in.RoleName, func(_ *state.Tx, row *roleRow) error {
		return row.putInline("role", in.PolicyName, in.PolicyDocument, maxRoleInline)
	})
}

func (s *Service) getUserPolicy(ctx context.Context, in *GetUserPolicyInput) (*GetUserPolicyOutput, error) {
	row, err := s.viewUser(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	text, err := row.inline("user", in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &GetUserPolicyOutput{UserName: row.Name, PolicyName: in.PolicyName, PolicyDocument: *escapeDocument(text)}, nil
}

func (s *Service) getRolePolicy(ctx context.Context, in *GetRolePolicyInput) (*GetRolePolicyOutput, error) {
	row, err := s.viewRole(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	text, err := row.inline("role", in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &GetRolePolicyOutput{RoleName: row.Name, PolicyName: in.PolicyName, PolicyDocument: *escapeDocument(text)}, nil
}

func (s *Service) listUserPolicies(ctx context.Context, in *ListUserPoliciesInput) (*ListUserPoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	row, err := s.viewUser(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	names, n := slicePage(row.inlineNames(), p, itself)
	return &ListUserPoliciesOutput{PolicyNames: names, IsTruncated: n.isTruncated(), Marker: n.marker()}, nil
}

func (s *Service) listRolePolicies(ctx context.Context, in *ListRolePoliciesInput) (*ListRolePoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	row, err := s.viewRole(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	names, n := slicePage(row.inlineNames(), p, itself)
	return &ListRolePoliciesOutput{PolicyNames: names, IsTruncated: n.isTruncated(), Marker: n.marker()}, nil
}

func (s *Service) deleteUserPolicy(ctx context.Context, in *DeleteUserPolicyInput) (*DeleteUserPolicyOutput, error) {
	return &DeleteUserPolicyOutput{}, s.changeUser(ctx, in.UserName, func(_ *state.Tx, row *userRow) error {
		return row.deleteInline("user", in.PolicyName)
	})
}

func (s *Service) deleteRolePolicy(ctx context.Context, in *DeleteRolePolicyInput) (*DeleteRolePolicyOutput, error) {
	return &DeleteRolePolicyOutput{}, s.changeRole(ctx, in.RoleName, func(_ *state.Tx, row *roleRow) error {
		return row.deleteInline("role", in.PolicyName)
	})
}

// inline returns one inline policy's document.
func (h *holder) inline(kind, name string) (string, error) {
	text, ok := h.Inline[name]
	if !ok {
		return "", awsapi.Errorf("NoSuchEntity", "The %s policy with name %s cannot be found.", kind, name)
	}
	return text, nil
}

// putInline adds or replaces an inline policy; quota bounds the size of all of them together.
func (h *holder) putInline(kind, name, text string, quota int) error {
	if _, err := checkDocument(text, policy.Identity); err != nil {
		return err
	}
	if h.Inline == nil {
		h.Inline = map[string]string{}
	}
	h.Inline[name] = text
	size := 0
	for _, doc := range h.Inline {
		size += policySize(doc)
	}
	if size > quota {
		return awsapi.Errorf("LimitExceeded", "Maximum policy size of %d bytes exceeded for %s %s", quota, kind, h.Name)
	}
	return nil
}

func (h *holder) deleteInline(kind, name string) error {
	if _, err := h.inline(kind, name); err != nil {
		return err
	}
	delete(h.Inline, name)
	return nil
}
