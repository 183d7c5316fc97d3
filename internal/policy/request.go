package policy

import "strings"

// Request is one question: may this principal do this action on this resource?
type Request struct {
	Principal Principal
	Action    string // "s3:GetObject"; compared without regard to case
	Resource  string // an ARN, or "*" for an action that has no resource
	// ResourceAccount owns the resource; empty means the principal's own account.
	ResourceAccount string
	Context         Context
}

// PrincipalKind is what kind of identity signs a request.
type PrincipalKind uint8

const (
	Anonymous   PrincipalKind = iota // nobody: an unsigned request
	Root                             // the account itself
	User                             // an IAM user
	RoleSession                      // temporary credentials of a role
	Service                          // an AWS service acting for itself
)

// Principal is who asks.
type Principal struct {
	Kind    PrincipalKind
	Account string // 12 digits; empty for Anonymous and Service
	ARN     string // of the root, user or role session (arn:aws:sts::…:assumed-role/NAME/SESSION)
	RoleARN string // of the role behind a RoleSession
	ID      string // unique id, e.g. AIDA…; of a role session AROA…:SESSION
	Service string // "sagemaker.amazonaws.com" for a Service
}

// Context holds the values that conditions and policy variables look at. A key's case does not
// matter. The zero Context is empty. A plain copy shares what it holds: Clone before changing it.
type Context struct{ entries []entry }

type entry struct {
	key    string
	values []string
}

// NewContext returns an empty Context with room for n keys.
func NewContext(n int) Context { return Context{entries: make([]entry, 0, n)} }

// Set gives key its values, replacing earlier ones. No values at all means present but empty,
// as a multi-valued key may be.
func (c *Context) Set(key string, values ...string) {
	for i := range c.entries {
		if strings.EqualFold(c.entries[i].key, key) {
			c.entries[i].values = values
			return
		}
	}
	c.entries = append(c.entries, entry{key, values})
}

// Clone returns an independent copy with room for n more keys.
func (c Context) Clone(n int) Context {
	return Context{entries: append(make([]entry, 0, len(c.entries)+n), c.entries...)}
}

// Get returns a key's values and whether the key is present. A request carries about a dozen keys
// and most policies look at none, so a list beats building a map for every request.
func (c Context) Get(key string) ([]string, bool) {
	for i := range c.entries {
		if strings.EqualFold(c.entries[i].key, key) {
			return c.entries[i].values, true
		}
	}
	return nil, false
}

// single returns the value of a key that has exactly one: only such keys may stand in variables.
func (c Context) single(key string) (string, bool) {
	v, _ := c.Get(key)
	if len(v) != 1 {
		return "", false
	}
	return v[0], true
}
