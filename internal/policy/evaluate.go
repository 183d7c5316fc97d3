package policy

import "fmt"

// Layer is a kind of policy in its role during one evaluation.
type Layer uint8

const (
	IdentityLayer Layer = iota
	ResourceLayer
	BoundaryLayer
	SessionLayer
)

func (l Layer) String() string {
	return [...]string{"identity", "resource", "boundary", "session"}[l]
}

// Source is a document under the name by which a decision refers to it.
type Source struct {
	Name     string
	Document *Document
}

// Policies is all that applies to one request.
type Policies struct {
	Identity []Source // of the user (and groups) or of the role
	Resource []Source // of the resource asked for
	Boundary []Source // permissions boundary: at most one; nil means none is set
	Session  []Source // passed in when the session was made; nil means none were
}

// Decision is the answer, with what led to it.
type Decision struct {
	Allowed   bool
	Explicit  bool   // denied by a Deny statement, rather than for want of an Allow
	Layer     Layer  // which policies decided
	Policy    string // the Source's name; empty where no statement matched
	Statement string // its Sid, or "#0" by position; empty where no statement matched
}

// String is the decision for logs and tests: `deny explicit identity guard#NoDelete`.
func (d Decision) String() string {
	verdict := "deny implicit"
	switch {
	case d.Allowed:
		verdict = "allow"
	case d.Explicit:
		verdict = "deny explicit"
	}
	if d.Policy == "" {
		return fmt.Sprintf("%s %s", verdict, d.Layer)
	}
	return fmt.Sprintf("%s %s %s/%s", verdict, d.Layer, d.Policy, d.Statement)
}

// Reason is the closing half of AWS's "… is not authorized to perform …" message; empty for an
// allowed request.
func (d Decision) Reason(action string) string {
	if d.Allowed {
		return ""
	}
	article, name := "an", "identity-based policy"
	switch d.Layer {
	case ResourceLayer:
		article, name = "a", "resource-based policy"
	case BoundaryLayer:
		article, name = "a", "permissions boundary"
	case SessionLayer:
		article, name = "a", "session policy"
	}
	if d.Explicit {
		return fmt.Sprintf("with an explicit deny in %s %s", article, name)
	}
	return fmt.Sprintf("because no %s allows the %s action", name, action)
}

// Evaluate decides one request. The empty Policies deny everything.
func Evaluate(p Policies, r *Request) Decision {
	q := newQuery(r)
	foreign := crossesAccounts(r)
	return evaluate(&p, &q, foreign, foreign)
}

// EvaluateTrust decides whether the principal may assume the role whose trust policy is
// p.Resource. The trust policy has to let it in; where that names only the account, the
// principal's own policies have to allow it as well.
func EvaluateTrust(p Policies, r *Request) Decision {
	q := newQuery(r)
	return evaluate(&p, &q, true, crossesAccounts(r))
}

// crossesAccounts reports whether a principal of one account asks for another's resource. Services
// and anonymous callers have no account whose policies could speak for them.
func crossesAccounts(r *Request) bool {
	return r.ResourceAccount != "" && r.Principal.Account != "" && r.ResourceAccount != r.Principal.Account
}

// evaluate is the chart of the package comment. resourceMust: the resource's own policy has to
// allow; identityMust: the caller's policies have to allow however closely the resource names it.
func evaluate(p *Policies, q *query, resourceMust, identityMust bool) Decision {
	if d, denied := explicitDeny(p, q); denied {
		return d
	}
	granted, level := q.grantOf(p.Resource)
	if resourceMust && level == noGrant {
		return Decision{Layer: ResourceLayer}
	}
	if level == directGrant && !identityMust {
		return granted
	}
	d, allowed := q.allowIn(IdentityLayer, p.Identity)
	if !allowed {
		if level < roleGrant || identityMust {
			return d
		}
		d = granted
	}
	// What an identity policy or a grant to the role gives, a boundary and a session policy cut down.
	for _, limit := range [...]struct {
		layer   Layer
		sources []Source
	}{{BoundaryLayer, p.Boundary}, {SessionLayer, p.Session}} {
		if limit.sources == nil {
			continue
		}
		if none, ok := q.allowIn(limit.layer, limit.sources); !ok {
			return none
		}
	}
	return d
}

// query is a request with what every statement would otherwise work out again.
type query struct {
	*Request
	resource arn
}

func newQuery(r *Request) query { return query{Request: r, resource: splitARN(r.Resource)} }

func explicitDeny(p *Policies, q *query) (Decision, bool) {
	for layer, sources := range [...][]Source{p.Identity, p.Resource, p.Boundary, p.Session} {
		for i := range sources {
			for j := range sources[i].Document.statements {
				st := &sources[i].Document.statements[j]
				if st.deny && q.matches(st) && (st.principals == nil || q.denies(st)) {
					return Decision{Explicit: true, Layer: Layer(layer), Policy: sources[i].Name, Statement: st.name}, true
				}
			}
		}
	}
	return Decision{}, false
}

// Matching lists the statements, of whatever layer, that speak of a request: those that allow it
// are Allowed, those that deny it Explicit. Evaluate decides; this tells what there was to decide on.
func Matching(p Policies, r *Request) []Decision {
	q := newQuery(r)
	var all []Decision
	for layer, sources := range [...][]Source{p.Identity, p.Resource, p.Boundary, p.Session} {
		for i := range sources {
			for j := range sources[i].Document.statements {
				st := &sources[i].Document.statements[j]
				if q.matches(st) && (st.principals == nil || q.means(st)) {
					all = append(all, Decision{
						Allowed: !st.deny, Explicit: st.deny, Layer: Layer(layer), Policy: sources[i].Name, Statement: st.name,
					})
				}
			}
		}
	}
	return all
}

// means reports whether a statement of a resource policy is about the caller.
func (q *query) means(st *statement) bool {
	if st.deny {
		return q.denies(st)
	}
	return st.principals.names(&q.Principal) != noGrant
}

// denies reports whether a Deny statement of a resource policy is meant for the caller. A Deny on
// the account reaches everyone in it.
func (q *query) denies(st *statement) bool {
	if st.notPrincipal {
		return !st.principals.spares(&q.Principal)
	}
	return st.principals.names(&q.Principal) != noGrant
}

// allowIn looks for the first Allow in the caller's own policies of one layer.
func (q *query) allowIn(layer Layer, sources []Source) (Decision, bool) {
	for i := range sources {
		for j := range sources[i].Document.statements {
			st := &sources[i].Document.statements[j]
			if !st.deny && st.principals == nil && q.matches(st) {
				return Decision{Allowed: true, Layer: layer, Policy: sources[i].Name, Statement: st.name}, true
			}
		}
	}
	return Decision{Layer: layer}, false
}

// grantOf looks for the Allow in the resource's policies that names the caller most closely.
func (q *query) grantOf(sources []Source) (Decision, grant) {
	best, level := Decision{Layer: ResourceLayer}, noGrant
	for i := range sources {
		for j := range sources[i].Document.statements {
			st := &sources[i].Document.statements[j]
			if st.deny || st.principals == nil {
				continue
			}
			if g := st.principals.names(&q.Principal); g > level && q.matches(st) {
				best, level = Decision{Allowed: true, Layer: ResourceLayer, Policy: sources[i].Name, Statement: st.name}, g
			}
		}
	}
	return best, level
}

// matches reports whether a statement speaks of this action, this resource and these circumstances.
func (q *query) matches(st *statement) bool {
	return q.action(st) && q.resourceIn(st) && q.conditions(st)
}

func (q *query) action(st *statement) bool {
	for i := range st.actions {
		if st.actions[i].match(q.Action, Context{}) {
			return !st.notAction
		}
	}
	return st.notAction
}

func (q *query) resourceIn(st *statement) bool {
	if st.anywhere {
		return true
	}
	for i := range st.resources {
		if st.resources[i].match(&q.resource, q.Context) {
			return !st.notResource
		}
	}
	return st.notResource
}

func (q *query) conditions(st *statement) bool {
	for i := range st.conditions {
		if !st.conditions[i].holds(q.Context) {
			return false
		}
	}
	return true
}
