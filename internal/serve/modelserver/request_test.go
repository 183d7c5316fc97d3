package modelserver

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// Numbers are as precise as the model's, and no longer than needed.
func TestNumbersAreShortAndExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	logp := make([]float32, 1000)
	for i := range logp {
		logp[i] = -float32(math.Exp(rng.NormFloat64() * 4))
	}
	text, err := encode(nil, style{}, false, [][]float32{logp})
	if err != nil {
		t.Fatal(err)
	}
	var back [][]float32
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for i := range logp {
		if back[0][i] != logp[i] {
			t.Errorf("%g came back as %g", logp[i], back[0][i])
		}
	}
	for _, number := range strings.Split(strings.Trim(string(text), "[]"), ",") {
		mantissa, _, _ := strings.Cut(number, "e")
		if digits := strings.TrimLeft(strings.ReplaceAll(mantissa, ".", ""), "-0"); len(digits) > 9 {
			t.Errorf("%s is longer than a float32 needs", number)
		}
	}
}

// Whatever the body is: photos, or a refusal that the client can read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"url": "http://x/y.jpg"}`, `{"instances": [{"b64": "eA=="}, "s3://b/k", null]}`, `{"instances": {}}`, `[]`, `"x"`, "\xff\xd8\xff", "", " {",
	} {
		f.Add(0, []byte(seed))
		f.Add(2, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, k int, body []byte) {
		in, err := parse(kind(min(max(k, 0), 2)), body, 5)
		if err != nil {
			var p *problem
			if !errors.As(err, &p) || p.status < 400 || p.status > 499 || p.text == "" {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if n := len(in.photos); n < 1 || n > 5 || n > 1 && !in.list {
			t.Fatalf("%d photos, list %v", n, in.list)
		}
		for _, p := range in.photos {
			if (p.bytes != nil) == (p.url != "" || p.b64 != "") || p.url != "" && p.b64 != "" {
				t.Fatalf("a photo from %d bytes, %q and %q", len(p.bytes), p.url, p.b64)
			}
		}
	})
}

func FuzzStyle(f *testing.F) {
	f.Add("application/json; verbose, */*;q=0", "verbose=1;top_k=3")
	f.Add(";;,=,;q=", "=;,verbose=")
	f.Fuzz(func(t *testing.T, accept, attributes string) {
		s, err := styleOf(http.Header{"Accept": {accept}, http.CanonicalHeaderKey(customAttributes): {attributes}})
		if err == nil && s.topK < 1 {
			t.Fatalf("top %d", s.topK)
		}
		var p *problem
		if err != nil && !errors.As(err, &p) {
			t.Fatal(err)
		}
	})
}
