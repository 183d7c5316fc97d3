package awsapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

// echoCBOR reads an Echo's input from a document in hexadecimal; spaces part it.
func echoCBOR(t *testing.T, document string) (*EchoInput, error) {
	t.Helper()
	body, err := hex.DecodeString(strings.ReplaceAll(document, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	m := toyModel(ProtocolCBOR)
	in := &EchoInput{}
	err = m.codec().decodeInput(&incoming{header: http.Header{}, body: body}, m.operation("Echo"), reflect.ValueOf(in).Elem(), &faults{})
	return in, err
}

// The same values in all the forms that RFC 8949 has for them.
func TestCBORForms(t *testing.T) {
	const name, count, ratio, when, data, words, on, sizes = "64 4E616D65", "65 436F756E74", "65 526174696F", "64 5768656E", "64 44617461", "65 576F726473", "62 4F6E", "65 53697A6573"
	at := time.Date(2026, 11, 22, 1, 2, 3, 500e6, time.UTC)
	for what, test := range map[string]struct {
		document string
		want     *EchoInput
	}{
		"nothing":                 {"", &EchoInput{}},
		"null":                    {"F6", &EchoInput{}},
		"text":                    {"A1" + name + "62 6162", &EchoInput{Name: "ab"}},
		"map without a length":    {"BF" + name + "62 6162 FF", &EchoInput{Name: "ab"}},
		"text in pieces":          {"A1" + name + "7F 61 61 61 62 FF", &EchoInput{Name: "ab"}},
		"integer":                 {"A1" + count + "05", &EchoInput{Count: ptr(int64(5))}},
		"integer of 8 bytes":      {"A1" + count + "1B 0000000000000005", &EchoInput{Count: ptr(int64(5))}},
		"negative integer":        {"A1" + count + "24", &EchoInput{Count: ptr(int64(-5))}},
		"integer as a double":     {"A1" + count + "FB 4014000000000000", &EchoInput{Count: ptr(int64(5))}},
		"half":                    {"A1" + ratio + "F9 3800", &EchoInput{Ratio: ptr(0.5)}},
		"single":                  {"A1" + ratio + "FA 3F000000", &EchoInput{Ratio: ptr(0.5)}},
		"double":                  {"A1" + ratio + "FB 3FE0000000000000", &EchoInput{Ratio: ptr(0.5)}},
		"double as an integer":    {"A1" + ratio + "02", &EchoInput{Ratio: ptr(2.0)}},
		"instant":                 {"A1" + when + "C1 FB 41DAC08FC2E00000", &EchoInput{When: ptr(at)}},
		"instant without its tag": {"A1" + when + "FB 41DAC08FC2E00000", &EchoInput{When: ptr(at)}},
		"instant, whole seconds":  {"A1" + when + "C1 1A 6B023F0B", &EchoInput{When: ptr(at.Truncate(time.Second))}},
		"bytes":                   {"A1" + data + "42 00FF", &EchoInput{Data: []byte{0, 255}}},
		"bytes in pieces":         {"A1" + data + "5F 41 00 41 FF FF", &EchoInput{Data: []byte{0, 255}}},
		"list":                    {"A1" + words + "82 61 61 61 62", &EchoInput{Words: []string{"a", "b"}}},
		"list without a length":   {"A1" + words + "9F 61 61 61 62 FF", &EchoInput{Words: []string{"a", "b"}}},
		"boolean":                 {"A1" + on + "F5", &EchoInput{On: ptr(true)}},
		"undefined":               {"A1" + on + "F7", &EchoInput{}},
		"absent as null":          {"A2" + on + "F6" + words + "F6", &EchoInput{}},
		"map":                     {"A1" + sizes + "A1 61 61 03", &EchoInput{Sizes: map[string]int64{"a": 3}}},
		"unknown members":         {"A2 61 78 A1 61 79 80" + on + "F4", &EchoInput{On: ptr(false)}},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := echoCBOR(t, test.document)
			if d := cmp.Diff(test.want, got); err != nil || d != "" {
				t.Error(err, d)
			}
		})
	}
}

func TestBadCBOR(t *testing.T) {
	const name, count, when, words = "64 4E616D65", "65 436F756E74", "64 5768656E", "65 576F726473"
	for what, test := range map[string]struct{ document, says string }{
		"cut off":                 {"A1" + name, "EOF"},
		"something after":         {"A0 A0", "extraneous"},
		"list at the top":         {"80", "not a CBOR map"},
		"integer as a name":       {"A1 01 02", "cannot unmarshal"},
		"text that is not UTF-8":  {"A1" + name + "61 FF", "UTF-8"},
		"integer for text":        {"A1" + name + "05", "A integer can not be converted to a String"},
		"text for an integer":     {"A1" + count + "61 35", "A text string can not be converted to an integer"},
		"fraction for an integer": {"A1" + count + "F9 3E00", "A float"},
		"more than 32 bits":       {"A1" + count + "1B 0000000080000000", "A integer can not be converted"},
		"more than 64 bits":       {"A1" + count + "1B FFFFFFFFFFFFFFFF", "overflow"},
		"bignum":                  {"A1" + count + "C2 42 0100", "value of another type"},
		"instant out of reach":    {"A1" + when + "C1 FB 7E37E43C8800759C", "overflows"},
		"instant in no year":      {"A1" + when + "C1 FB 4261C37937E08000", "Timestamp"},
		"instant that is not":     {"A1" + when + "C1 F9 7E00", "Timestamp"},
		"map for a list":          {"A1" + words + "A0", "Unexpected map"},
		"list for a map":          {"A1 65 53697A6573 80", "Unexpected array"},
		"too deep":                {strings.Repeat("81", 100) + "00", "max nested level"},
		"a length out of reach":   {"A1" + words + "9B 7FFFFFFFFFFFFFFF", "exceeded max number of elements"},
		"many":                    {"A1" + words + "9A 00100000" + strings.Repeat("60", 1<<20), "exceeded max number of elements"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := echoCBOR(t, test.document)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %s in it", err, test.says)
			}
		})
	}
}

func FuzzCBOR(f *testing.F) {
	q, err := EncodeRequest(toyModel(ProtocolCBOR), "Echo", &EchoInput{
		Name: "ab", Count: ptr(int64(3)), Ratio: ptr(0.5), When: ptr(vectorTime), Data: []byte{1},
		Parts: []*Part{{ID: "1"}}, Sizes: map[string]int64{"a": 1},
	})
	if err != nil {
		f.Fatal(err)
	}
	fuzzDecode(f, ProtocolCBOR, string(q.Body), "\xbf\x64Name\x7f\x61a\x61b\xff\xff")
}

// An instant goes out as tag 1 with a double.
func TestCBORInstant(t *testing.T) {
	m := toyModel(ProtocolCBOR)
	a, err := m.codec().encodeOutput(m.operation("Echo"), reflect.ValueOf(EchoOutput{At: vectorTime}), "")
	if err != nil {
		t.Fatal(err)
	}
	const want = "A2" + "624174" + "C1FB41DAC08FC2C00000" + "655061727473" + "80"
	if got := fmt.Sprintf("%X", a.body); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// manyTongued is the toy in every protocol that a service without paths has.
func manyTongued() *Service {
	m := toyModel(ProtocolJSON)
	m.Name, m.SigningName = "toys", "toys"
	m.Also = []string{ProtocolCBOR, ProtocolQuery}
	s := NewService(m)
	Handle(s, "Echo", func(_ context.Context, in *EchoInput) (*EchoOutput, error) {
		if in.Name == "outof" {
			return nil, Errorf("OutOfToysException", "none left")
		}
		return &EchoOutput{Echo: in, At: vectorTime}, nil
	})
	return s
}

func TestRequestDecidesProtocol(t *testing.T) {
	g := NewGateway(Config{Authenticator: oneKey{}, Authorizer: denyNamed{}, Now: func() time.Time { return vectorTime }, MaxBody: 4096},
		toyService(ProtocolQuery), manyTongued())
	for _, m := range g.services[1].faces {
		for name, want := range map[string]struct {
			code  string // in the protocol
			query string // in the header for those who left the query protocol
		}{
			"ab":    {},
			"outof": {"OutOfToysException", "OutOfToys;Sender"},
			"a b":   {"ValidationError", "ValidationError;Sender"},
		} {
			q, err := EncodeRequest(m, "Echo", &EchoInput{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			q.Header.Set("X-Amzn-Query-Mode", "true")
			for encoding, body := range map[string]string{"identity": string(q.Body), "gzip": gzipped(string(q.Body))} {
				q.Header.Set("Content-Encoding", encoding)
				for _, signed := range []bool{true, false} {
					r := signedRequest(t, "toys", q.Method, q.Path, q.Header, body)
					if !signed {
						r.Header.Del("Authorization")
					}
					w := httptest.NewRecorder()
					g.ServeHTTP(w, r)
					var out EchoOutput
					err := DecodeResponse(m, "Echo", w.Result(), &out)
					checkTongue(t, m, signed, want.code, want.query, w.Header(), err)
					if signed && name == "ab" && (out.Echo == nil || out.Echo.Name != "ab") {
						t.Errorf("%s: %v", m.Protocol, out)
					}
				}
			}
		}
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

func checkTongue(t *testing.T, m *ServiceModel, signed bool, code, query string, h http.Header, err error) {
	t.Helper()
	if !signed {
		code, query = "MissingAuthenticationToken", "MissingAuthenticationToken;Sender"
	}
	if m.Protocol == ProtocolQuery && code == "OutOfToysException" {
		code = "OutOfToys"
	}
	got := ""
	if e, ok := err.(*Error); ok { //nolint:errorlint // DecodeResponse gives it bare
		got = e.Code
	} else if err != nil {
		t.Errorf("%s: %v", m.Protocol, err)
	}
	if commonOr(got) != code && got != "OutOfToys" || got == "" && code != "" {
		t.Errorf("%s: code %s, want %s", m.Protocol, got, code)
	}
	if header := h.Get("X-Amzn-Query-Error"); header != query {
		t.Errorf("%s: header %q, want %q", m.Protocol, header, query)
	}
}

// A body that unpacks to more than is allowed is refused before it is whole,
// and so is one that is packed otherwise.
func TestCompressedBodies(t *testing.T) {
	bomb := gzipped(strings.Repeat("\x00", 1<<20))
	for _, test := range []struct{ encoding, body, code string }{
		{"gzip", bomb, "RequestEntityTooLargeException"},
		{"gzip", "{}", "SerializationException"},
		{"gzip", bomb[:12], "SerializationException"},
		{"br", "{}", "SerializationException"},
		{"identity", `{"Name":"ab"}`, ""},
	} {
		g, send := toyServer(t, ProtocolJSON)
		header := jsonHeader.Clone()
		header.Set("Content-Encoding", test.encoding)
		w := send("POST", "/", header, test.body)
		err := DecodeResponse(g.services[0].model, "Echo", w.Result(), &EchoOutput{})
		if got := errorCode(err); got != test.code {
			t.Errorf("%s of %d bytes: %v, want %s", test.encoding, len(test.body), err, test.code)
		}
	}
}

func errorCode(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // DecodeResponse gives it bare
		return e.Code
	}
	return ""
}

// What nothing here serves is told in the client's own protocol.
func TestStrangerInCBOR(t *testing.T) {
	g, _ := toyServer(t, ProtocolJSON)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, signedRequest(t, "arczonalshift", "POST", "/service/Shift/operation/List", http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}}, ""))
	var members map[string]any
	if err := cbor.Unmarshal(w.Body.Bytes(), &members); err != nil || w.Code != 400 || !strings.Contains(members["message"].(string), "does not serve arczonalshift") {
		t.Errorf("%d %v %v", w.Code, members, err)
	}
}
