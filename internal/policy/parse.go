package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what a document is attached to; it decides which elements the document must and must
// not have.
type Kind uint8

const (
	Identity Kind = iota // of a user or role, a permissions boundary, or a session: no Principal
	Resource             // of a bucket and the like: with Principal and Resource
	Trust                // of a role, saying who may assume it: with Principal, no Resource
)

// Error says what is wrong with a document and where. Msg opens as IAM words it.
type Error struct {
	Path string // "Statement[1].Condition.StringEquals"; empty for the document as a whole
	Line int    // of the text, from 1; 0 where the text as such is well-formed JSON
	Msg  string
}

func (e *Error) Error() string {
	switch {
	case e.Path != "" && e.Line > 0:
		return fmt.Sprintf("%s (at %s, line %d)", e.Msg, e.Path, e.Line)
	case e.Path != "":
		return fmt.Sprintf("%s (at %s)", e.Msg, e.Path)
	case e.Line > 0:
		return fmt.Sprintf("%s (at line %d)", e.Msg, e.Line)
	}
	return e.Msg
}

// Document is a compiled policy document: immutable, safe for concurrent use.
type Document struct {
	statements []statement
}

// PrincipalARNs lists the ARNs of users, roles and sessions that the document names, in its order.
func (d *Document) PrincipalARNs() []string {
	var arns []string
	for i := range d.statements {
		if ps := d.statements[i].principals; ps != nil {
			arns = append(arns, ps.arns...)
		}
	}
	return arns
}

// ConditionKeys lists the keys that the document's conditions look at, as it spells them.
func (d *Document) ConditionKeys() []string {
	var keys []string
	for i := range d.statements {
		for j := range d.statements[i].conditions {
			keys = append(keys, d.statements[i].conditions[j].key)
		}
	}
	return keys
}

type statement struct {
	name         string // its Sid, or "#0" by position
	deny         bool
	principals   *principals // nil where the kind of document has none
	notPrincipal bool
	actions      []pattern
	notAction    bool
	resources    []arnPattern // none in a trust policy
	notResource  bool
	conditions   []condition
	anywhere     bool // a trust policy's statement: it stands for its role only
}

// Parse compiles a document, strictly: an element that is unknown, missing, doubled or of the
// wrong form is an *Error.
func Parse(text []byte, kind Kind) (*Document, error) {
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	if root.kind != objectValue {
		return nil, &Error{Msg: "Syntax errors in policy: the document must be a JSON object."}
	}
	p := parser{kind: kind}
	return p.document(root)
}

type parser struct {
	kind      Kind
	variables bool // the document's version knows policy variables
	sids      map[string]bool
}

func (p *parser) document(root value) (*Document, error) {
	if err := onlyMembers("", root, "Version", "Id", "Statement"); err != nil {
		return nil, err
	}
	if err := p.version(root); err != nil {
		return nil, err
	}
	if id, ok := root.member("Id"); ok && id.kind != textValue {
		return nil, &Error{Path: "Id", Msg: "Syntax errors in policy: Id must be a string."}
	}
	list, ok := root.member("Statement")
	if !ok {
		return nil, &Error{Msg: "Syntax errors in policy: Missing required field Statement."}
	}
	items := list.oneOrMore()
	if len(items) == 0 {
		return nil, &Error{Path: "Statement", Msg: "Syntax errors in policy: there must be at least one statement."}
	}
	p.sids = map[string]bool{}
	doc := &Document{statements: make([]statement, len(items))}
	for i, item := range items {
		path := "Statement"
		if list.kind == listValue {
			path = index(path, i)
		}
		st, err := p.statement(path, item)
		if err != nil {
			return nil, err
		}
		if st.name == "" {
			st.name = fmt.Sprintf("#%d", i)
		}
		doc.statements[i] = st
	}
	return doc, nil
}

func (p *parser) version(root value) error {
	v, ok := root.member("Version")
	switch {
	case !ok, v.kind == textValue && v.text == "2008-10-17":
		return nil
	case v.kind == textValue && v.text == "2012-10-17":
		p.variables = true
		return nil
	}
	return &Error{Path: "Version", Msg: "The policy must contain a valid version string."}
}

func (p *parser) statement(path string, v value) (statement, error) {
	var st statement
	if v.kind != objectValue {
		return st, &Error{Path: path, Msg: "Syntax errors in policy: a statement must be a JSON object."}
	}
	if err := onlyMembers(path, v, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"); err != nil {
		return st, err
	}
	for _, step := range []func(string, value, *statement) error{p.sid, p.effect, p.principal, p.actions, p.resources, p.conditions} {
		if err := step(path, v, &st); err != nil {
			return st, err
		}
	}
	return st, nil
}

func (p *parser) sid(path string, v value, st *statement) error {
	sid, ok := v.member("Sid")
	if !ok {
		return nil
	}
	path = member(path, "Sid")
	if sid.kind != textValue {
		return &Error{Path: path, Msg: "Syntax errors in policy: Sid must be a string."}
	}
	if p.kind != Resource && strings.ContainsFunc(sid.text, notAlphanumeric) {
		return &Error{Path: path, Msg: fmt.Sprintf("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*: %q.", sid.text)}
	}
	if sid.text != "" && p.sids[sid.text] {
		return &Error{Path: path, Msg: fmt.Sprintf("Statement IDs (SID) in a single policy must be unique: %q.", sid.text)}
	}
	p.sids[sid.text] = true
	st.name = sid.text
	return nil
}

func notAlphanumeric(r rune) bool {
	return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
}

func (p *parser) effect(path string, v value, st *statement) error {
	effect, ok := v.member("Effect")
	switch {
	case !ok:
		return &Error{Path: path, Msg: "Syntax errors in policy: Missing required field Effect."}
	case effect.kind == textValue && effect.text == "Allow":
	case effect.kind == textValue && effect.text == "Deny":
		st.deny = true
	default:
		return &Error{Path: member(path, "Effect"), Msg: fmt.Sprintf("Syntax errors in policy: Effect must be Allow or Deny, not %q.", effect.text)}
	}
	return nil
}

func (p *parser) principal(path string, v value, st *statement) error {
	name, who, found, err := oneOf(path, v, "Principal", "NotPrincipal")
	switch {
	case err != nil:
		return err
	case p.kind == Identity && found:
		return &Error{Path: member(path, name), Msg: "Policy document should not specify a principal."}
	case p.kind == Identity:
		return nil
	case !found:
		return &Error{Path: path, Msg: "Missing required field Principal."}
	}
	st.notPrincipal = name == "NotPrincipal"
	if st.notPrincipal && (p.kind == Trust || !st.deny) {
		return &Error{Path: member(path, name), Msg: "NotPrincipal is allowed only with the effect Deny, and not in a trust policy."}
	}
	st.principals, err = compilePrincipals(member(path, name), who)
	return err
}

func (p *parser) actions(path string, v value, st *statement) error {
	name, list, found, err := oneOf(path, v, "Action", "NotAction")
	if err != nil {
		return err
	}
	actions, err := texts(member(path, name), list)
	if err != nil {
		return err
	}
	if !found || len(actions) == 0 {
		return &Error{Path: path, Msg: "Policy statement must contain actions."}
	}
	st.notAction = name == "NotAction"
	for _, action := range actions {
		compiled, err := p.action(action)
		if err != nil {
			return locate(member(path, name), err)
		}
		st.actions = append(st.actions, compiled)
	}
	return nil
}

func (p *parser) action(action string) (pattern, error) {
	vendor, operation, ok := strings.Cut(action, ":")
	switch {
	case action == "*" && p.kind != Trust:
	case !ok:
		return pattern{}, wrong("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.: %q.", action)
	case vendor == "" || strings.ContainsFunc(vendor, func(r rune) bool { return r != '-' && notAlphanumeric(r) }):
		return pattern{}, wrong("Vendor %s is not valid: %q.", vendor, action)
	case operation == "" || strings.ContainsFunc(operation, func(r rune) bool { return r != '*' && r != '?' && notAlphanumeric(r) }):
		return pattern{}, wrong("Invalid Action: %q.", action)
	case p.kind == Trust && !strings.EqualFold(vendor, "sts"):
		return pattern{}, wrong("AssumeRole policy may only specify STS AssumeRole actions: %q.", action)
	}
	return compilePattern(action, syntax{wildcards: true, fold: true})
}

func (p *parser) resources(path string, v value, st *statement) error {
	name, list, found, err := oneOf(path, v, "Resource", "NotResource")
	if err != nil {
		return err
	}
	if p.kind == Trust {
		if found {
			return &Error{Path: member(path, name), Msg: "Has prohibited field " + name + "."}
		}
		st.anywhere = true
		return nil
	}
	resources, err := texts(member(path, name), list)
	if err != nil {
		return err
	}
	if !found || len(resources) == 0 {
		return &Error{Path: path, Msg: "Policy statement must contain resources."}
	}
	st.notResource = name == "NotResource"
	for _, resource := range resources {
		compiled, err := compileARN(resource, syntax{variables: p.variables}, p.kind == Resource)
		if err != nil {
			if errors.Is(err, errNotARN) {
				return &Error{Path: member(path, name), Msg: fmt.Sprintf("Resource %v.", err)}
			}
			return locate(member(path, name), err)
		}
		st.resources = append(st.resources, compiled)
	}
	return nil
}

func (p *parser) conditions(path string, v value, st *statement) error {
	block, ok := v.member("Condition")
	if !ok {
		return nil
	}
	path = member(path, "Condition")
	if block.kind != objectValue {
		return &Error{Path: path, Msg: "Syntax errors in policy: Condition must be a JSON object."}
	}
	for i, operator := range block.names {
		keys, path := block.items[i], member(path, operator)
		if keys.kind != objectValue {
			return &Error{Path: path, Msg: "Syntax errors in policy: a condition operator's value must be a JSON object."}
		}
		for j, key := range keys.names {
			c, err := p.condition(operator, key, keys.items[j])
			if err != nil {
				return locate(member(path, key), err)
			}
			st.conditions = append(st.conditions, c)
		}
	}
	return nil
}

func (p *parser) condition(operator, key string, v value) (condition, error) {
	if vendor, name, ok := strings.Cut(key, ":"); !ok || vendor == "" || name == "" {
		return condition{}, wrong("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.: %q.", key)
	}
	var values []string
	for _, item := range v.oneOrMore() {
		switch item.kind {
		case textValue, numberValue, boolValue:
			values = append(values, item.text)
		default:
			return condition{}, wrong("Syntax errors in policy: a condition's value must be a string, number or boolean, or a list of them.")
		}
	}
	if len(values) == 0 {
		return condition{}, wrong("Syntax errors in policy: a condition needs at least one value.")
	}
	return compileCondition(operator, key, values, p.variables)
}

// wrong is an Error whose place the caller knows.
func wrong(format string, args ...any) *Error { return &Error{Msg: fmt.Sprintf(format, args...)} }

// locate gives an error of a value's compiler its place in the document.
func locate(path string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Path: path, Msg: e.Msg}
	}
	return &Error{Path: path, Msg: fmt.Sprintf("Syntax errors in policy: %v.", err)}
}

// onlyMembers refuses members that the grammar does not know.
func onlyMembers(path string, v value, known ...string) error {
	for _, name := range v.names {
		if !has(known, name) {
			return &Error{Path: path, Msg: fmt.Sprintf("Syntax errors in policy: unknown field %q; known are %s.", name, strings.Join(known, ", "))}
		}
	}
	return nil
}

// oneOf returns the member that goes by either name, refusing both at once.
func oneOf(path string, v value, name, opposite string) (string, value, bool, error) {
	first, hasFirst := v.member(name)
	second, hasSecond := v.member(opposite)
	switch {
	case hasFirst && hasSecond:
		return "", value{}, false, &Error{Path: path, Msg: fmt.Sprintf("Syntax errors in policy: a statement cannot have both %s and %s.", name, opposite)}
	case hasSecond:
		return opposite, second, true, nil
	default:
		return name, first, hasFirst, nil
	}
}

// texts returns a string, or a list of strings, as a list. The absent value gives none.
func texts(path string, v value) ([]string, error) {
	if v.kind == nullValue {
		return nil, nil
	}
	var list []string
	for _, item := range v.oneOrMore() {
		if item.kind != textValue {
			return nil, &Error{Path: path, Msg: "Syntax errors in policy: the value must be a string or a list of strings."}
		}
		list = append(list, item.text)
	}
	return list, nil
}
