package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// slowMatch is the wildcard rule written down plainly: exponential, and obviously right.
func slowMatch(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	first, width := utf8.DecodeRuneInString(pattern)
	switch first {
	case '*':
		return slowMatch(pattern[1:], s) || s != "" && slowMatch(pattern, s[runeWidth(s):])
	case '?':
		return s != "" && slowMatch(pattern[1:], s[runeWidth(s):])
	default:
		return strings.HasPrefix(s, pattern[:width]) && slowMatch(pattern[width:], s[width:])
	}
}

func runeWidth(s string) int {
	_, width := utf8.DecodeRuneInString(s)
	return width
}

func randomText(r *rand.Rand, alphabet string, most int) string {
	letters := []rune(alphabet)
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

func TestMatchEqualsThePlainRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 40_000 {
		pattern, s := randomText(r, "aabé*?", 8), randomText(r, "aabé", 10)
		p, err := compilePattern(pattern, syntax{wildcards: true})
		if err != nil {
			t.Fatal(err)
		}
		got, want := p.match(s, Context{}), slowMatch(pattern, s)
		if got != want {
			t.Fatalf("pattern %q on %q: got %v, want %v", pattern, s, got, want)
		}
		if got {
			matched++
		}
	}
	if matched < 500 {
		t.Fatalf("only %d of the random pairs matched: the test sees too little", matched)
	}
}

func TestMatchIsNotExponential(t *testing.T) {
	p, err := compilePattern(strings.Repeat("*a", 200)+"b", syntax{wildcards: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.match(strings.Repeat("a", 5000), Context{}) {
		t.Fatal("matched without the closing b")
	}
}

// world makes random documents and requests from so small an alphabet that they often meet.
type world struct{ *rand.Rand }

func (w world) pick(list ...string) string { return list[w.IntN(len(list))] }

func (w world) statement(effect string) string {
	action := w.pick("s3:Get*", "s3:GetObject", "s3:*", "*", "s3:Put*", "iam:*")
	resource := w.pick("*", "arn:aws:s3:::a/*", "arn:aws:s3:::b/*", "arn:aws:s3:::*", "arn:aws:s3:::a/x")
	condition := w.pick("{}", `{"StringEquals": {"t:k": "v"}}`, `{"StringNotEquals": {"t:k": "v"}}`, `{"Null": {"t:k": "true"}}`)
	return fmt.Sprintf(`{"Effect": %q, %q: %q, %q: %q, "Condition": %s}`, effect,
		w.pick("Action", "Action", "NotAction"), action, w.pick("Resource", "Resource", "NotResource"), resource, condition)
}

func (w world) statements(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = w.statement(w.pick("Allow", "Allow", "Deny"))
	}
	return list
}

func (w world) request() *Request {
	r := &Request{
		Principal: Principal{Kind: User, Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice"},
		Action:    w.pick("s3:GetObject", "s3:PutObject", "iam:ListUsers"),
		Resource:  w.pick("arn:aws:s3:::a/x", "arn:aws:s3:::b/y", "*"),
	}
	if w.IntN(2) == 0 {
		r.Context.Set("t:k", w.pick("v", "w"))
	}
	return r
}

func sources(t *testing.T, statements ...string) []Source {
	t.Helper()
	doc, err := Parse([]byte(`{"Version": "2012-10-17", "Statement": [`+strings.Join(statements, ",")+`]}`), Identity)
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{Name: "p", Document: doc}}
}

func TestEvaluationProperties(t *testing.T) {
	w := world{rand.New(rand.NewPCG(3, 4))}
	allowed := 0
	for range 1_500 {
		list, r := w.statements(1+w.IntN(4)), w.request()
		before := Evaluate(Policies{Identity: sources(t, list...)}, r)
		if before.Allowed {
			allowed++
		}

		deny := Evaluate(Policies{Identity: sources(t, append(list[:len(list):len(list)], w.statement("Deny"))...)}, r)
		if deny.Allowed && !before.Allowed {
			t.Fatalf("a further Deny allowed %+v under %v", r, list)
		}
		allow := Evaluate(Policies{Identity: sources(t, append(list[:len(list):len(list)], w.statement("Allow"))...)}, r)
		if before.Allowed && !allow.Allowed || before.Explicit != allow.Explicit {
			t.Fatalf("a further Allow turned %v into %v for %+v under %v", before, allow, r, list)
		}
		limits := sources(t, w.statements(2)...)
		for _, p := range []Policies{
			{Identity: sources(t, list...), Boundary: limits},
			{Identity: sources(t, list...), Session: limits},
		} {
			both := Evaluate(p, r).Allowed
			if limit := Evaluate(Policies{Identity: limits}, r).Allowed; both != (before.Allowed && limit) {
				t.Fatalf("limited: %v, though alone %v and the limit %v, for %+v under %v", both, before.Allowed, limit, r, list)
			}
		}
		w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if mixed := Evaluate(Policies{Identity: sources(t, list...)}, r); mixed.Allowed != before.Allowed || mixed.Explicit != before.Explicit {
			t.Fatalf("the order of statements matters: %v, then %v", before, mixed)
		}
	}
	if allowed < 150 || allowed > 1350 {
		t.Fatalf("%d of 1500 requests were allowed: the test sees too little", allowed)
	}
}

// FuzzParse checks that no text breaks the parser, and that what it takes can be evaluated.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":["*","arn:aws:s3:::${aws:username, 'x'}"]}}`), uint8(0))
	f.Add([]byte(`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["123456789012"]},"NotAction":"*","NotResource":"arn:aws:sqs"}]}`), uint8(1))
	f.Add([]byte(`{"Statement":[{"Effect":"Allow","Principal":{"Service":"a.b"},"Action":"sts:AssumeRole","Condition":{"ForAnyValue:IpAddressIfExists":{"a:b":["::1/3"]},"DateLessThan":{"a:c":1e3}}}]}`), uint8(2))
	f.Fuzz(func(t *testing.T, text []byte, kind uint8) {
		doc, err := Parse(text, Kind(kind%3))
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		src := []Source{{Name: "p", Document: doc}}
		r := world{rand.New(rand.NewPCG(1, 1))}.request()
		r.Context.Set("a:b", "::1", "x")
		for _, p := range []Policies{{Identity: src}, {Resource: src}, {Identity: src, Boundary: src, Session: src}} {
			if d := Evaluate(p, r); d.Allowed && d.Policy != "p" {
				t.Fatalf("allowed by nobody: %+v", d)
			}
			EvaluateTrust(p, r)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "aXbYc", true)
	f.Add("${a:b}*${?}", "value?", false)
	f.Fuzz(func(t *testing.T, text, s string, fold bool) {
		ctx := NewContext(1)
		ctx.Set("a:b", "value")
		p, err := compilePattern(text, syntax{wildcards: true, variables: true, fold: fold})
		if err != nil {
			return
		}
		got := p.match(s, ctx)
		if fold || strings.Contains(text, "$") || len(text)+len(s) > 24 || !utf8.ValidString(s) || !utf8.ValidString(text) {
			return // beyond the plain rule, or too slow for it
		}
		if want := slowMatch(text, s); got != want {
			t.Fatalf("pattern %q on %q: got %v, want %v", text, s, got, want)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	doc, err := Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]},
		{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "arn:aws:sagemaker:*:123456789012:*"},
		{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/*", "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}},
		{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::homes/${aws:username}/*"},
		{"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}`), Identity)
	if err != nil {
		b.Fatal(err)
	}
	ctx := NewContext(8)
	ctx.Set("aws:SourceIp", "127.0.0.1")
	ctx.Set("aws:SecureTransport", "true")
	ctx.Set("aws:username", "alice")
	ctx.Set("iam:PassedToService", "sagemaker.amazonaws.com")
	p := Policies{Identity: []Source{{Name: "p", Document: doc}}}
	for _, c := range []struct{ name, action, resource string }{
		{"plain", "s3:GetObject", "arn:aws:s3:::photos/a/b/c.jpg"},
		{"variable", "s3:GetObject", "arn:aws:s3:::homes/alice/c.jpg"},
		{"condition", "iam:PassRole", "arn:aws:iam::123456789012:role/trainer"},
		{"denied", "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:f"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := &Request{Principal: Principal{Kind: User, Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice"},
				Action: c.action, Resource: c.resource, Context: ctx}
			b.ReportAllocs()
			for b.Loop() {
				Evaluate(p, r)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::photos/*", "Condition": {"StringEquals": {"aws:x": "y"}}}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text, Identity); err != nil {
			b.Fatal(err)
		}
	}
}
