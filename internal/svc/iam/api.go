package iam

import (
	"context"

	"github.com/musher/musher/internal/awsapi"
)

// API returns the service's operations for a gateway.
func (s *Service) API() *awsapi.Service {
	a := awsapi.NewService(Model)

	// Users and their keys. Where UserName is optional, the caller's own is meant.
	on(a, "CreateUser", s.createUser, s.newUser)
	on(a, "GetUser", s.getUser, func(r *awsapi.Request, in *GetUserInput) need { return s.ownUser(r, in.UserName) })
	on(a, "ListUsers", s.listUsers, func(_ *awsapi.Request, in *ListUsersInput) need { return s.under("user", in.PathPrefix) })
	on(a, "DeleteUser", s.deleteUser, func(_ *awsapi.Request, in *DeleteUserInput) need { return s.onUser(in.UserName) })
	on(a, "CreateAccessKey", s.createAccessKey, func(r *awsapi.Request, in *CreateAccessKeyInput) need { return s.ownUser(r, in.UserName) })
	on(a, "ListAccessKeys", s.listAccessKeys, func(r *awsapi.Request, in *ListAccessKeysInput) need { return s.ownUser(r, in.UserName) })
	on(a, "UpdateAccessKey", s.updateAccessKey, func(r *awsapi.Request, in *UpdateAccessKeyInput) need { return s.ownUser(r, in.UserName) })
	on(a, "DeleteAccessKey", s.deleteAccessKey, func(r *awsapi.Request, in *DeleteAccessKeyInput) need { return s.ownUser(r, in.UserName) })
	on(a, "PutUserPolicy", s.putUserPolicy, func(_ *awsapi.Request, in *PutUserPolicyInput) need { return s.onUser(in.UserName) })
	on(a, "GetUserPolicy", s.getUserPolicy, func(_ *awsapi.Request, in *GetUserPolicyInput) need { return s.onUser(in.UserName) })
	on(a, "ListUserPolicies", s.listUserPolicies, func(_ *awsapi.Request, in *ListUserPoliciesInput) need { return s.onUser(in.UserName) })
	on(a, "DeleteUserPolicy", s.deleteUserPolicy, func(_ *awsapi.Request, in *DeleteUserPolicyInput) need { return s.onUser(in.UserName) })
	on(a, "AttachUserPolicy", s.attachUserPolicy, func(_ *awsapi.Request, in *AttachUserPolicyInput) need {
		return s.onUser(in.UserName).with("iam:PolicyARN", &in.PolicyArn)
	})
	on(a, "DetachUserPolicy", s.detachUserPolicy, func(_ *awsapi.Request, in *DetachUserPolicyInput) need {
		return s.onUser(in.UserName).with("iam:PolicyARN", &in.PolicyArn)
	})
	on(a, "ListAttachedUserPolicies", s.listAttachedUserPolicies, func(_ *awsapi.Request, in *ListAttachedUserPoliciesInput) need {
		return s.onUser(in.UserName)
	})

	// Roles.
	on(a, "CreateRole", s.createRole, s.newRole)
	on(a, "GetRole", s.getRole, func(_ *awsapi.Request, in *GetRoleInput) need { return s.onRole(in.RoleName) })
	on(a, "ListRoles", s.listRoles, func(_ *awsapi.Request, in *ListRolesInput) need { return s.under("role", in.PathPrefix) })
	on(a, "DeleteRole", s.deleteRole, func(_ *awsapi.Request, in *DeleteRoleInput) need { return s.onRole(in.RoleName) })
	on(a, "UpdateAssumeRolePolicy", s.updateAssumeRolePolicy, func(_ *awsapi.Request, in *UpdateAssumeRolePolicyInput) need { return s.onRole(in.RoleName) })
	on(a, "PutRolePolicy", s.putRolePolicy, func(_ *awsapi.Request, in *PutRolePolicyInput) need { return s.onRole(in.RoleName) })
	on(a, "GetRolePolicy", s.getRolePolicy, func(_ *awsapi.Request, in *GetRolePolicyInput) need { return s.onRole(in.RoleName) })
	on(a, "ListRolePolicies", s.listRolePolicies, func(_ *awsapi.Request, in *ListRolePoliciesInput) need { return s.onRole(in.RoleName) })
	on(a, "DeleteRolePolicy", s.deleteRolePolicy, func(_ *awsapi.Request, in *DeleteRolePolicyInput) need { return s.onRole(in.RoleName) })
	on(a, "AttachRolePolicy", s.attachRolePolicy, func(_ *awsapi.Request, in *AttachRolePolicyInput) need {
		return s.onRole(in.RoleName).with("iam:PolicyARN", &in.PolicyArn)
	})
	on(a, "DetachRolePolicy", s.detachRolePolicy, func(_ *awsapi.Request, in *DetachRolePolicyInput) need {
		return s.onRole(in.RoleName).with("iam:PolicyARN", &in.PolicyArn)
	})
	on(a, "ListAttachedRolePolicies", s.listAttachedRolePolicies, func(_ *awsapi.Request, in *ListAttachedRolePoliciesInput) need {
		return s.onRole(in.RoleName)
	})

	// Managed policies.
	on(a, "CreatePolicy", s.createPolicy, func(_ *awsapi.Request, in *CreatePolicyInput) need {
		return need{resource: s.arn("policy", pathOr(in.Path), in.PolicyName)}
	})
	on(a, "GetPolicy", s.getPolicy, func(_ *awsapi.Request, in *GetPolicyInput) need { return need{resource: in.PolicyArn} })
	on(a, "GetPolicyVersion", s.getPolicyVersion, func(_ *awsapi.Request, in *GetPolicyVersionInput) need { return need{resource: in.PolicyArn} })
	on(a, "ListPolicies", s.listPolicies, func(_ *awsapi.Request, in *ListPoliciesInput) need { return s.under("policy", in.PathPrefix) })
	on(a, "ListEntitiesForPolicy", s.listEntitiesForPolicy, func(_ *awsapi.Request, in *ListEntitiesForPolicyInput) need {
		return need{resource: in.PolicyArn}
	})
	on(a, "SimulatePrincipalPolicy", s.simulatePrincipalPolicy, func(_ *awsapi.Request, in *SimulatePrincipalPolicyInput) need {
		return need{resource: in.PolicySourceArn}
	})
	on(a, "DeletePolicy", s.deletePolicy, func(_ *awsapi.Request, in *DeletePolicyInput) need { return need{resource: in.PolicyArn} })
	return a
}

// need is what an operation asks for: its own action, on a resource, under further condition keys.
type need struct {
	resource string
	keys     map[string][]string
}

// with adds a condition key, where it has a value.
func (n need) with(key string, value *string) need {
	if value == nil {
		return n
	}
	if n.keys == nil {
		n.keys = map[string][]string{}
	}
	n.keys[key] = []string{*value}
	return n
}

// on binds an operation to its handler and to what it needs.
func on[In, Out any](a *awsapi.Service, op string, handle func(context.Context, *In) (*Out, error), needs func(*awsapi.Request, *In) need) {
	awsapi.Handle(a, op, handle, awsapi.Access(func(r *awsapi.Request, in *In) []awsapi.Permission {
		n := needs(r, in)
		return []awsapi.Permission{{Action: "iam:" + op, Resource: n.resource, Context: n.keys}}
	}))
}

func (s *Service) newUser(_ *awsapi.Request, in *CreateUserInput) need {
	return need{resource: s.arn("user", pathOr(in.Path), in.UserName)}.with("iam:PermissionsBoundary", in.PermissionsBoundary)
}

func (s *Service) newRole(_ *awsapi.Request, in *CreateRoleInput) need {
	return need{resource: s.arn("role", pathOr(in.Path), in.RoleName)}.with("iam:PermissionsBoundary", in.PermissionsBoundary)
}

// onUser is the user's ARN with its path; one that does not exist counts as having none.
func (s *Service) onUser(name string) need { return need{resource: s.holderARN("user", name)} }

func (s *Service) onRole(name string) need { return need{resource: s.holderARN("role", name)} }

func (s *Service) holderARN(kind, name string) string {
	arn, err := cached(s.cache, "arn:"+kind+":"+name, func() (string, error) { return s.findARN(kind, name) })
	if err != nil {
		// The handler will meet the same error and tell it; until then this is the likeliest ARN.
		return s.arn(kind, "/", name)
	}
	return arn
}

// ownUser is the named user's ARN, or else the caller's own.
func (s *Service) ownUser(r *awsapi.Request, name *string) need {
	switch {
	case name != nil:
		return s.onUser(*name)
	case r.Caller != nil && r.Caller.Kind != awsapi.Role:
		return need{resource: r.Caller.ARN}
	}
	return need{resource: "*"}
}

// under is what a listing needs: all entities of a kind below a path.
func (s *Service) under(kind string, prefix *string) need {
	return need{resource: s.arn(kind, pathOr(prefix), "")}
}

// pathOr is the path given, or else "/".
func pathOr(path *string) string {
	if path == nil {
		return "/"
	}
	return *path
}
