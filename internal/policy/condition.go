package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one key of one operator of a Condition block.
type condition struct {
	key      string
	set      setOperator
	ifExists bool
	isNull   bool // the operator Null, which looks at the key's presence only
	negated  bool // StringNotEquals and its like: true where no value fits
	values   []matcher
}

type setOperator uint8

const (
	noSet setOperator = iota
	forAllValues
	forAnyValue
)

// matcher tells whether one value of the request fits one value of the policy.
type matcher interface {
	match(value string, ctx Context) bool
}

// holds evaluates the condition as "Multivalued context keys" and "Condition operators" of the
// IAM user guide have it.
func (c *condition) holds(ctx Context) bool {
	got, present := ctx.Get(c.key)
	present = present && len(got) > 0
	if c.isNull {
		return c.fits(strconv.FormatBool(!present), ctx)
	}
	if !present {
		// A missing key fails a plain comparison and passes a negated one; over no values at all,
		// "for all" is true and "for any" is false.
		return c.ifExists || c.set == forAllValues || c.set == noSet && c.negated
	}
	switch {
	case c.set == forAllValues, c.set == noSet && c.negated:
		for _, v := range got {
			if c.fits(v, ctx) == c.negated {
				return false
			}
		}
		return true
	default:
		for _, v := range got {
			if c.fits(v, ctx) != c.negated {
				return true
			}
		}
		return false
	}
}

// fits reports whether any value of the policy fits, negation aside.
func (c *condition) fits(value string, ctx Context) bool {
	for _, m := range c.values {
		if m.match(value, ctx) {
			return true
		}
	}
	return false
}

// compileCondition compiles one operator's name and one key with its values.
func compileCondition(operator, key string, values []string, variables bool) (condition, error) {
	c := condition{key: key}
	name := operator
	if prefix, rest, ok := strings.Cut(name, ":"); ok {
		name = rest
		switch prefix {
		case "ForAllValues":
			c.set = forAllValues
		case "ForAnyValue":
			c.set = forAnyValue
		default:
			return c, wrong("Invalid Condition type : %s.", operator)
		}
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	c.isNull = name == "Null"
	if c.isNull && (c.ifExists || c.set != noSet) {
		return c, wrong("Invalid Condition type : %s.", operator)
	}
	compile, negated, ok := operatorNamed(name)
	if !ok {
		return c, wrong("Invalid Condition type : %s.", operator)
	}
	c.negated = negated
	for _, v := range values {
		m, err := compile(v, variables)
		if err != nil {
			return c, err
		}
		c.values = append(c.values, m)
	}
	return c, nil
}

type compiler func(value string, variables bool) (matcher, error)

// operatorNamed returns how to compile an operator's values, and whether it negates.
func operatorNamed(name string) (compile compiler, negated, ok bool) {
	switch name {
	case "StringEquals", "StringNotEquals":
		compile = text(syntax{})
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		compile = text(syntax{fold: true})
	case "StringLike", "StringNotLike":
		compile = text(syntax{wildcards: true})
	case "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike":
		compile = arnText
	case "Bool", "Null":
		compile = boolean
	case "BinaryEquals":
		compile = binary
	case "IpAddress", "NotIpAddress":
		compile = address
	default:
		if rest, found := strings.CutPrefix(name, "Numeric"); found {
			compile = ordered(rest, parseNumber, "numeric value")
		} else if rest, found := strings.CutPrefix(name, "Date"); found {
			compile = ordered(rest, parseDate, "date")
		}
	}
	return compile, strings.Contains(name, "Not"), compile != nil
}

func text(syn syntax) compiler {
	return func(value string, variables bool) (matcher, error) {
		s := syn
		s.variables = variables
		p, err := compilePattern(value, s)
		return textMatcher{p, s.fold}, err
	}
}

type textMatcher struct {
	pattern
	unicodeFold bool
}

func (m textMatcher) match(value string, ctx Context) bool {
	if m.unicodeFold {
		value = strings.ToLower(value)
	}
	return m.pattern.match(value, ctx)
}

func arnText(value string, variables bool) (matcher, error) {
	p, err := compileARN(value, syntax{variables: variables}, false)
	return arnMatcher{p}, err
}

type arnMatcher struct{ arnPattern }

func (m arnMatcher) match(value string, ctx Context) bool {
	a := splitARN(value)
	return m.arnPattern.match(&a, ctx)
}

func boolean(value string, _ bool) (matcher, error) {
	want := strings.ToLower(value)
	if want != "true" && want != "false" {
		return nil, wrong("%q is neither true nor false.", value)
	}
	return boolMatcher(want), nil
}

type boolMatcher string

func (m boolMatcher) match(value string, _ Context) bool { return strings.EqualFold(value, string(m)) }

func binary(value string, _ bool) (matcher, error) {
	if _, err := base64.StdEncoding.DecodeString(value); err != nil {
		return nil, wrong("%q is not base64.", value)
	}
	return binaryMatcher(value), nil
}

// binaryMatcher compares base64 texts: the encoding is unique, so the bytes need not be decoded.
type binaryMatcher string

func (m binaryMatcher) match(value string, _ Context) bool { return value == string(m) }

func address(value string, _ bool) (matcher, error) {
	if prefix, err := netip.ParsePrefix(value); err == nil && !prefix.Addr().Is4In6() {
		return addressMatcher(prefix.Masked()), nil
	}
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.Zone() != "" {
		return nil, wrong("%q is not an IP address or a range of them.", value)
	}
	addr = addr.Unmap()
	return addressMatcher(netip.PrefixFrom(addr, addr.BitLen())), nil
}

type addressMatcher netip.Prefix

func (m addressMatcher) match(value string, _ Context) bool {
	addr, err := netip.ParseAddr(value)
	return err == nil && netip.Prefix(m).Contains(addr.Unmap())
}

// ordered compiles the six comparisons of numbers and dates. A request's value that cannot be
// parsed fits nothing.
func ordered(comparison string, parse func(string) (float64, bool), noun string) compiler {
	var holds func(got, want float64) bool
	switch comparison {
	case "Equals", "NotEquals":
		holds = func(got, want float64) bool { return got == want }
	case "LessThan":
		holds = func(got, want float64) bool { return got < want }
	case "LessThanEquals":
		holds = func(got, want float64) bool { return got <= want }
	case "GreaterThan":
		holds = func(got, want float64) bool { return got > want }
	case "GreaterThanEquals":
		holds = func(got, want float64) bool { return got >= want }
	default:
		return nil
	}
	return func(value string, _ bool) (matcher, error) {
		want, ok := parse(value)
		if !ok {
			return nil, wrong("%q is not a valid %s.", value, noun)
		}
		return orderedMatcher{want, parse, holds}, nil
	}
}

type orderedMatcher struct {
	want  float64
	parse func(string) (float64, bool)
	holds func(got, want float64) bool
}

func (m orderedMatcher) match(value string, _ Context) bool {
	got, ok := m.parse(value)
	return ok && m.holds(got, m.want)
}

// parseNumber reads a decimal number; Go's hexadecimal, underscored, infinite and NaN forms are none.
func parseNumber(text string) (float64, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// parseDate reads one of the W3C profiles of ISO 8601, or seconds since 1970, into seconds since 1970.
func parseDate(text string) (float64, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, text); err == nil {
			return float64(t.UnixMicro()) / 1e6, true
		}
	}
	return parseNumber(text)
}
