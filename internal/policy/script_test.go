package policy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musher/musher/internal/policy"
)

// TestScripts runs testdata/*.txt. A script is a list of commands, one a line; # starts a comment.
//
//	policy identity|resource|trust|boundary|session NAME    adds a document: the lines up to a lone }
//	forget                                                  drops all documents
//	as root | user NAME | role NAME/SESSION | service HOST | anonymous [in ACCOUNT]
//	with KEY=VALUE|VALUE …                                  the request's context; alone: none
//	ask ACTION RESOURCE [of ACCOUNT] -> DECISION            Evaluate
//	assume [of ACCOUNT] -> DECISION                         EvaluateTrust
//	bad identity|resource|trust                             a document, then: error TEXT
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := script{t: t, file: file, lines: bufio.NewScanner(bytes.NewReader(text))}
			for s.next() {
				s.run()
			}
			if s.checks == 0 {
				t.Fatal("the script checks nothing")
			}
		})
	}
}

const account = "123456789012"

type script struct {
	t         *testing.T
	file      string
	lines     *bufio.Scanner
	number    int
	line      string
	policies  policy.Policies
	principal policy.Principal
	context   policy.Context
	checks    int
}

func (s *script) next() bool {
	for s.lines.Scan() {
		s.number++
		s.line = strings.TrimSpace(s.lines.Text())
		if s.line != "" && !strings.HasPrefix(s.line, "#") {
			return true
		}
	}
	return false
}

func (s *script) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s: %s", s.file, s.number, s.line, fmt.Sprintf(format, args...))
}

func (s *script) run() {
	command, rest, _ := strings.Cut(s.line, " ")
	switch command {
	case "policy":
		s.addPolicy(rest)
	case "forget":
		s.policies = policy.Policies{}
	case "as":
		s.principal = s.parsePrincipal(strings.Fields(rest))
	case "with":
		s.context = s.parseContext(strings.Fields(rest))
	case "ask", "assume":
		s.ask(command, rest)
	case "bad":
		s.bad(rest)
	default:
		s.fatalf("unknown command")
	}
}

// document reads the lines up to a lone closing brace.
func (s *script) document() []byte {
	var text bytes.Buffer
	for s.lines.Scan() {
		s.number++
		text.WriteString(s.lines.Text() + "\n")
		if s.lines.Text() == "}" {
			break
		}
	}
	return text.Bytes()
}

func kindNamed(name string) policy.Kind {
	switch name {
	case "resource":
		return policy.Resource
	case "trust":
		return policy.Trust
	}
	return policy.Identity
}

func (s *script) addPolicy(rest string) {
	kind, name, _ := strings.Cut(rest, " ")
	doc, err := policy.Parse(s.document(), kindNamed(kind))
	if err != nil {
		s.fatalf("%v", err)
	}
	list := map[string]*[]policy.Source{
		"identity": &s.policies.Identity, "boundary": &s.policies.Boundary, "session": &s.policies.Session,
		"resource": &s.policies.Resource, "trust": &s.policies.Resource,
	}[kind]
	*list = append(*list, policy.Source{Name: name, Document: doc})
}

func (s *script) parsePrincipal(words []string) policy.Principal {
	in := account
	if n := len(words); n > 2 && words[n-2] == "in" {
		in, words = words[n-1], words[:n-2]
	}
	switch words[0] {
	case "root":
		return policy.Principal{Kind: policy.Root, Account: in, ARN: "arn:aws:iam::" + in + ":root", ID: in}
	case "user":
		return policy.Principal{Kind: policy.User, Account: in, ARN: "arn:aws:iam::" + in + ":user/" + words[1], ID: "AIDAEXAMPLE" + strings.ToUpper(words[1])}
	case "role":
		name, session, _ := strings.Cut(words[1], "/")
		return policy.Principal{
			Kind: policy.RoleSession, Account: in, ARN: "arn:aws:sts::" + in + ":assumed-role/" + words[1],
			RoleARN: "arn:aws:iam::" + in + ":role/" + name, ID: "AROAEXAMPLE" + strings.ToUpper(name) + ":" + session,
		}
	case "service":
		return policy.Principal{Kind: policy.Service, Service: words[1]}
	}
	return policy.Principal{}
}

func (s *script) parseContext(words []string) policy.Context {
	ctx := policy.NewContext(len(words))
	for _, word := range words {
		key, values, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			s.fatalf("%q is not KEY=VALUE", word)
		case values == "":
			ctx.Set(key)
		default:
			ctx.Set(key, strings.Split(values, "|")...)
		}
	}
	return ctx
}

func (s *script) ask(command, rest string) {
	question, want, ok := strings.Cut(rest, "-> ")
	if !ok {
		s.fatalf("no expected decision")
	}
	s.checks++
	words := strings.Fields(question)
	r := policy.Request{Principal: s.principal, Context: s.context}
	if n := len(words); n >= 2 && words[n-2] == "of" {
		r.ResourceAccount, words = words[n-1], words[:n-2]
	}
	decide := policy.Evaluate
	if command == "assume" {
		decide = policy.EvaluateTrust
		words = []string{"sts:AssumeRole", "arn:aws:iam::" + account + ":role/target"}
	}
	r.Action, r.Resource = words[0], words[1]
	d := decide(s.policies, &r)
	if got := d.String(); got != want {
		s.t.Errorf("%s:%d: %s: got %s", s.file, s.number, s.line, got)
	}
	if d.Allowed != (d.Reason(r.Action) == "") {
		s.t.Errorf("%s:%d: reason %q of decision %s", s.file, s.number, d.Reason(r.Action), d)
	}
}

func (s *script) bad(kind string) {
	text := s.document()
	if !s.next() || !strings.HasPrefix(s.line, "error ") {
		s.fatalf("expected: error TEXT")
	}
	s.checks++
	want := strings.TrimPrefix(s.line, "error ")
	if _, err := policy.Parse(text, kindNamed(kind)); err == nil || err.Error() != want {
		s.t.Errorf("%s:%d: got error: %v\nwant: %s", s.file, s.number, err, want)
	}
}
