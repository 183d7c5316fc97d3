package policy

import (
	"fmt"
	"strings"
)

// principals is a compiled Principal or NotPrincipal element.
type principals struct {
	everyone bool
	accounts []string // whole accounts, by number
	arns     []string // users, roles, role sessions
	ids      []string // unique ids: what AWS shows for a deleted user or role
	services []string
}

// grant says how closely a resource policy's statement names the caller; each level includes those
// below it.
type grant uint8

const (
	noGrant      grant = iota
	accountGrant       // the caller's account: it may pass the permission on by identity policies
	roleGrant          // the role behind the caller's session, or everyone while a role is in use
	directGrant        // the caller itself
)

// names returns how closely the element names p.
func (ps *principals) names(p *Principal) grant {
	switch {
	case p.Kind == Anonymous:
		if ps.everyone {
			return directGrant
		}
		return noGrant
	case p.Kind == Service:
		if ps.everyone || has(ps.services, p.Service) {
			return directGrant
		}
		return noGrant
	case has(ps.arns, p.ARN), has(ps.ids, p.ID), p.Kind == Root && has(ps.accounts, p.Account):
		return directGrant
	case p.Kind == RoleSession && (ps.everyone || has(ps.arns, p.RoleARN) || has(ps.ids, roleID(p.ID))):
		return roleGrant
	case ps.everyone:
		return directGrant
	case has(ps.accounts, p.Account):
		return accountGrant
	}
	return noGrant
}

// spares reports whether a NotPrincipal element lists p completely: AWS wants the account listed
// beside the user, and the account and the role beside a role session.
func (ps *principals) spares(p *Principal) bool {
	if ps.everyone {
		return true
	}
	switch p.Kind {
	case Anonymous:
		return false
	case Service:
		return has(ps.services, p.Service)
	case Root:
		return has(ps.accounts, p.Account)
	case RoleSession:
		return has(ps.accounts, p.Account) && has(ps.arns, p.RoleARN) && has(ps.arns, p.ARN)
	default:
		return has(ps.accounts, p.Account) && has(ps.arns, p.ARN)
	}
}

// roleID is the first half of a role session's unique id.
func roleID(id string) string {
	role, _, _ := strings.Cut(id, ":")
	return role
}

func has(list []string, s string) bool {
	if s == "" {
		return false
	}
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// compilePrincipals compiles "*" or {"AWS": …, "Service": …}.
func compilePrincipals(path string, v value) (*principals, error) {
	ps := &principals{}
	if v.kind == textValue && v.text == "*" {
		ps.everyone = true
		return ps, nil
	}
	if v.kind != objectValue || len(v.names) == 0 {
		return nil, &Error{Path: path, Msg: `Invalid principal in policy: it must be "*" or an object such as {"AWS": …}.`}
	}
	for i, kind := range v.names {
		names, err := texts(member(path, kind), v.items[i])
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, &Error{Path: member(path, kind), Msg: "Invalid principal in policy: the list is empty."}
		}
		for _, name := range names {
			if !ps.add(kind, name) {
				return nil, &Error{Path: member(path, kind), Msg: fmt.Sprintf("Invalid principal in policy: %q:%q.", kind, name)}
			}
		}
	}
	return ps, nil
}

// add adds one name of one kind; false means that it is not a principal.
func (ps *principals) add(kind, name string) bool {
	switch kind {
	case "AWS":
		return ps.addAWS(name)
	case "Service":
		if name == "*" {
			return false
		}
		ps.services = append(ps.services, name)
		return strings.Contains(name, ".") && !strings.ContainsAny(name, "*? /")
	case "Federated", "CanonicalUser":
		// Known to the grammar; nobody who could call this server is of these kinds, so none match.
		return name != ""
	}
	return false
}

func (ps *principals) addAWS(name string) bool {
	if name == "*" {
		ps.everyone = true
		return true
	}
	if isAccount(name) {
		ps.accounts = append(ps.accounts, name)
		return true
	}
	if isUniqueID(name) {
		ps.ids = append(ps.ids, name)
		return true
	}
	a := splitARN(name)
	if !a.valid || a.segments[3] != "" || !isAccount(a.segments[4]) || strings.ContainsAny(name, "*?") {
		return false
	}
	service, resource := a.segments[2], a.segments[5]
	kind, rest, _ := strings.Cut(resource, "/")
	switch {
	case service == "iam" && resource == "root":
		ps.accounts = append(ps.accounts, a.segments[4])
		return true
	case service == "iam" && (kind == "user" || kind == "role") && rest != "",
		service == "sts" && kind == "assumed-role" && strings.Contains(rest, "/"),
		service == "sts" && kind == "federated-user" && rest != "":
		ps.arns = append(ps.arns, name)
		return true
	}
	return false
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// isUniqueID recognises ids of users (AIDA…) and roles (AROA…).
func isUniqueID(s string) bool {
	return len(s) >= 16 && (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA")) &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
