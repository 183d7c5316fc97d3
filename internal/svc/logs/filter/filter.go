// Package filter matches log events with the filter patterns of CloudWatch
// Logs.
//
//	ERROR timeout          both texts, in any order and case sensitively
//	"not found"            a text with spaces or signs in it
//	-DEBUG                 not that text
//	?ERROR ?WARN           one of the texts at least
//	%5\d\d%                a regular expression
//	{ $.code >= 500 && ($.user.id = "a*" || $.tags[0] NOT EXISTS) }
//
// A pattern in braces matches events that are JSON objects. Its comparisons
// are = != < <= > >=, IS NULL, IS TRUE, IS FALSE, EXISTS and NOT EXISTS; a
// star in a text stands for any characters.
//
// The patterns of fields between spaces, [ip, user, …], are not supported.
package filter

import (
	"fmt"
	"regexp"
	"strings"
)

// Filter is a parsed pattern.
type Filter struct{ match func(message string) bool }

// Match tells whether an event is wanted.
func (f *Filter) Match(message string) bool { return f.match(message) }

// Parse reads a pattern. The empty one matches everything.
func Parse(pattern string) (*Filter, error) {
	switch text := strings.TrimSpace(pattern); {
	case strings.HasPrefix(text, "{"):
		return parseJSON(text)
	case strings.HasPrefix(text, "["):
		return nil, fmt.Errorf("patterns of fields in brackets are not supported: use terms, or a pattern in braces for events in JSON")
	default:
		return parseTerms(text)
	}
}

// term is a text or an expression to be found in a message.
type term func(message string) bool

// terms are those of a pattern, by what they ask for.
type terms struct{ all, none, any []term }

func parseTerms(text string) (*Filter, error) {
	var t terms
	for text = skipSpace(text); text != ""; text = skipSpace(text) {
		to := &t.all
		switch text[0] {
		case '-':
			to, text = &t.none, text[1:]
		case '?':
			to, text = &t.any, text[1:]
		}
		found, rest, err := parseTerm(text)
		if err != nil {
			return nil, err
		}
		*to, text = append(*to, found), rest
	}
	return &Filter{t.match}, nil
}

// match looks for the terms. Optional ones count only if there are no others,
// as in the service.
func (t terms) match(message string) bool {
	for _, has := range t.all {
		if !has(message) {
			return false
		}
	}
	for _, has := range t.none {
		if has(message) {
			return false
		}
	}
	for _, has := range t.any {
		if has(message) {
			return true
		}
	}
	return len(t.any) == 0 || len(t.all)+len(t.none) > 0
}

func parseTerm(text string) (found term, rest string, err error) {
	switch {
	case strings.HasPrefix(text, `"`):
		word, rest, err := quoted(text)
		if err != nil {
			return nil, "", err
		}
		return contains(word), rest, nil
	case strings.HasPrefix(text, "%"):
		e, rest, err := expression(text)
		if err != nil {
			return nil, "", err
		}
		return e.MatchString, rest, nil
	}
	end := strings.IndexAny(text, " \t\r\n")
	if end < 0 {
		end = len(text)
	}
	word := text[:end]
	if word == "" {
		return nil, "", fmt.Errorf("a - or ? must be followed by a term")
	}
	if strings.ContainsFunc(word, special) {
		return nil, "", fmt.Errorf("invalid character(s) in term %q: write it in double quotes", word)
	}
	return contains(word), text[end:], nil
}

// special tells whether a sign must be written in quotes.
func special(r rune) bool { return strings.ContainsRune(`"'{}[]()&|<>=!,;%\`, r) }

func contains(word string) term {
	return func(message string) bool { return strings.Contains(message, word) }
}

// quoted reads a text in double quotes; a backslash takes the next sign as it is.
func quoted(text string) (word, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i == len(text) {
				return "", "", errUnclosed
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", errUnclosed
}

var errUnclosed = fmt.Errorf("a double quote is not closed")

// expression reads a regular expression between percent signs.
func expression(text string) (e *regexp.Regexp, rest string, err error) {
	source, rest, closed := strings.Cut(text[1:], "%")
	if !closed {
		return nil, "", fmt.Errorf("a regular expression must end in %%")
	}
	if strings.ContainsAny(source, "()") {
		return nil, "", fmt.Errorf("a regular expression must have no parentheses in it")
	}
	if e, err = regexp.Compile(source); err != nil {
		return nil, "", fmt.Errorf("malformed regular expression: %w", err)
	}
	return e, rest, nil
}

func skipSpace(s string) string { return strings.TrimLeft(s, " \t\r\n") }
