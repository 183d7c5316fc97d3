package awsapi

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func signedRequest(t testing.TB, service, method, target string, header http.Header, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1"
	for k, v := range header {
		r.Header[k] = v
	}
	m := &ServiceModel{SigningName: service}
	SignV4(r, Credentials{exampleKey, exampleSecret, ""}, "r", m, hexSHA256(t, hex.EncodeToString([]byte(body))), vectorTime)
	return r
}

var (
	jsonHeader = http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"Toy.Echo"}}
	formHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
)

// A body in, the answer out: what a handler was given comes back through it.
func TestEcho(t *testing.T) {
	const at = `1795309323`
	tests := []struct {
		what, protocol, body, want string
	}{
		{"json scalars", ProtocolJSON,
			`{"Name":"ab","Count":10,"Ratio":0.25,"On":false,"When":1795309323.456,"Day":"2026-11-22T01:02:03Z","Data":"aGk=","Color":"red","other-name":"x","unknown":1}`,
			`{"Echo":{"Name":"ab","Count":10,"Ratio":0.25,"On":false,"When":1795309323.456,"Day":"2026-11-22T01:02:03Z","Data":"aGk=","Color":"red","other-name":"x"},"Parts":[],"At":` + at + `}`},
		{"json collections", ProtocolJSON,
			`{"Name":"ab","Words":["a","b"],"Sizes":{"z":1,"a":2},"Parts":[{"ID":"1","Next":{"ID":"2"},"Kids":[{"ID":"3"}]}],"Flat":[]}`,
			`{"Echo":{"Name":"ab","Words":["a","b"],"Flat":[],"Sizes":{"a":2,"z":1},"Parts":[{"ID":"1","Next":{"ID":"2"},"Kids":[{"ID":"3"}]}]},"Parts":[],"At":` + at + `}`},
		{"json nulls are absent", ProtocolJSON, `{"Name":"ab","Count":null,"Words":null,"Parts":null,"Color":null}`,
			`{"Echo":{"Name":"ab"},"Parts":[],"At":` + at + `}`},
		{"json whole number", ProtocolJSON, `{"Name":"ab","Ratio":3}`, `{"Echo":{"Name":"ab","Ratio":3.0},"Parts":[],"At":` + at + `}`},
		{"json large number", ProtocolJSON, `{"Name":"ab","Ratio":1e21}`, `{"Echo":{"Name":"ab","Ratio":1e+21},"Parts":[],"At":` + at + `}`},
		{"json text", ProtocolJSON, `{"Name":"ab","other-name":"\u00fc\ud83d\ude00\"\\\n\u0001"}`,
			`{"Echo":{"Name":"ab","other-name":"ü😀\"\\\n\u0001"},"Parts":[],"At":` + at + `}`},
		{"json numbers in other clothes", ProtocolJSON, `{"Name":"ab","Count":5.0,"Ratio":"Infinity","When":"2026-11-22T01:02:03Z"}`,
			`{"Echo":{"Name":"ab","Count":5,"Ratio":"Infinity","When":1795309323},"Parts":[],"At":` + at + `}`},
		{"query scalars", ProtocolQuery, `Action=Echo&Version=1&Name=ab&Count=10&Ratio=0.25&On=true&When=2026-11-22T01%3A02%3A03.456Z&Data=aGk%3D&other-name=a+b%2B%C3%BC`,
			`<EchoResponse xmlns="urn:toy"><EchoResult><Echo><Name>ab</Name><Count>10</Count><Ratio>0.25</Ratio><On>true</On><When>2026-11-22T01:02:03.456Z</When><Data>aGk=</Data><other-name>a b+ü</other-name></Echo><Parts></Parts><At>2026-11-22T01:02:03Z</At></EchoResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></EchoResponse>`},
		{"query collections", ProtocolQuery, `Action=Echo&Name=ab&Words.member.2=b&Words.member.1=a&Flat.1=x&Flat.10=z&Flat.9=y&Sizes.entry.1.key=k&Sizes.entry.1.value=3&Pairs.1.k=p&Pairs.1.v=q&Parts.member.1.ID=1&Parts.member.1.Next.ID=2`,
			`<EchoResponse xmlns="urn:toy"><EchoResult><Echo><Name>ab</Name><Words><member>a</member><member>b</member></Words><Flat>x</Flat><Flat>y</Flat><Flat>z</Flat><Sizes><entry><key>k</key><value>3</value></entry></Sizes><Parts><member><ID>1</ID><Next><ID>2</ID></Next></member></Parts><Pairs><k>p</k><v>q</v></Pairs></Echo><Parts></Parts><At>2026-11-22T01:02:03Z</At></EchoResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></EchoResponse>`},
		{"query empty list", ProtocolQuery, `Action=Echo&Name=ab&Words=&other-name=%3C%26%3E`,
			`<EchoResponse xmlns="urn:toy"><EchoResult><Echo><Name>ab</Name><Words></Words><other-name>&lt;&amp;&gt;</other-name></Echo><Parts></Parts><At>2026-11-22T01:02:03Z</At></EchoResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></EchoResponse>`},
		{"xml", ProtocolRESTXML, `<EchoRequest xmlns="urn:toy"><Name>ab</Name><Words><member>a</member></Words><Flat>x</Flat><Flat>y</Flat><Parts><member><ID>1</ID><Kids/></member></Parts><other-name> a&#13;<![CDATA[<b>]]> </other-name></EchoRequest>`,
			xmlHead + `<EchoResult xmlns="urn:toy"><Echo><Name>ab</Name><Words><member>a</member></Words><Flat>x</Flat><Flat>y</Flat><Parts><member><ID>1</ID><Kids></Kids></member></Parts><other-name> a&#xd;&lt;b&gt; </other-name></Echo><Parts></Parts><At>2026-11-22T01:02:03Z</At></EchoResult>`},
		{"rest-json", ProtocolRESTJSON, `{"Name":"ab"}`, `{"Echo":{"Name":"ab"},"Parts":[],"At":` + at + `}`},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			_, send := toyServer(t, test.protocol)
			header := jsonHeader
			if test.protocol == ProtocolQuery {
				header = formHeader
			}
			w := send("POST", "/", header, test.body)
			id := w.Header().Get("X-Amzn-Requestid")
			got := strings.ReplaceAll(w.Body.String(), id, "ID")
			if w.Code != 200 || got != test.want {
				t.Errorf("%d\n got %s\nwant %s", w.Code, got, test.want)
			}
		})
	}
}

func TestBadInputs(t *testing.T) {
	one := "1 validation error detected: "
	tests := []struct {
		what, protocol, body string
		code                 string
		text                 string
	}{
		{"not json", ProtocolJSON, `{`, "SerializationException", "not JSON"},
		{"json array", ProtocolJSON, `[]`, "SerializationException", "not a JSON object"},
		{"two documents", ProtocolJSON, `{} {}`, "SerializationException", "after"},
		{"not UTF-8", ProtocolJSON, "{\"Name\":\"\xff\"}", "SerializationException", "UTF-8"},
		{"number for text", ProtocolJSON, `{"Name":5}`, "SerializationException", "NUMBER_VALUE can not be converted to a String"},
		{"text for number", ProtocolJSON, `{"Name":"ab","Count":"5"}`, "SerializationException", "STRING_VALUE can not be converted to an Integer"},
		{"fraction for integer", ProtocolJSON, `{"Name":"ab","Count":1.5}`, "SerializationException", "DECIMAL_VALUE"},
		{"too large an integer", ProtocolJSON, `{"Name":"ab","Count":4294967296}`, "SerializationException", "Integer"},
		{"object for list", ProtocolJSON, `{"Name":"ab","Words":{}}`, "SerializationException", "START_OBJECT"},
		{"list for text", ProtocolJSON, `{"Name":["ab"]}`, "SerializationException", "Start of list"},
		{"not base64", ProtocolJSON, `{"Name":"ab","Data":"*"}`, "SerializationException", "base64"},
		{"a year too far", ProtocolJSON, `{"Name":"ab","When":1e300}`, "SerializationException", "not a time"},

		{"absent", ProtocolJSON, ``, "ValidationException", one + "Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"too short", ProtocolJSON, `{"Name":"a"}`, "ValidationException", one + "Value 'a' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"too long", ProtocolJSON, `{"Name":"aaaaaaaaa"}`, "ValidationException", one + "Value 'aaaaaaaaa' at 'name' failed to satisfy constraint: Member must have length less than or equal to 8"},
		{"pattern", ProtocolJSON, `{"Name":"a b"}`, "ValidationException", one + "Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z_]+"},
		{"too large", ProtocolJSON, `{"Name":"ab","Count":11}`, "ValidationException", one + "Value '11' at 'count' failed to satisfy constraint: Member must have value less than or equal to 10"},
		{"enumeration", ProtocolJSON, `{"Name":"ab","Color":"blue"}`, "ValidationException", one + "Value 'blue' at 'color' failed to satisfy constraint: Member must satisfy enum value set: [red, green]"},
		{"list length", ProtocolJSON, `{"Name":"ab","Words":["a","b","c","d"]}`, "ValidationException", one + "Value '[a, b, c, d]' at 'words' failed to satisfy constraint: Member must have length less than or equal to 3"},
		{"list item", ProtocolJSON, `{"Name":"ab","Words":["a","B"]}`, "ValidationException", one + "Value '[a, B]' at 'words' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 5, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [a-z]+]"},
		{"map key", ProtocolJSON, `{"Name":"ab","Sizes":{"long":1}}`, "ValidationException", one + "Value '{long=1}' at 'sizes' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 3]"},
		{"map value", ProtocolJSON, `{"Name":"ab","Sizes":{"a":10}}`, "ValidationException", one + "Value '{a=10}' at 'sizes' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 9]"},
		{"secret", ProtocolJSON, `{"Name":"ab","Secret":"hush!"}`, "ValidationException", one + "Value at 'secret' failed to satisfy constraint: Member must have length less than or equal to 3"},
		{"inside", ProtocolJSON, `{"Name":"ab","Parts":[{"ID":"1"},{"Next":{"ID":""}}]}`, "ValidationException", "2 validation errors detected: Value null at 'parts.2.member.iD' failed to satisfy constraint: Member must not be null; Value '' at 'parts.2.member.next.iD' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"null item", ProtocolJSON, `{"Name":"ab","Parts":[null]}`, "ValidationException", one + "Value null at 'parts.1.member' failed to satisfy constraint: Member must not be null"},

		{"query", ProtocolQuery, `Action=Echo&Name=a+b`, "ValidationError", one + "Value 'a b' at 'name'"},
		{"query number", ProtocolQuery, `Action=Echo&Name=ab&Count=x`, "MalformedInput", "not an integer"},
		{"query structure as value", ProtocolQuery, `Action=Echo&Name.x=ab`, "MalformedInput", "parts"},
		{"query without value", ProtocolQuery, `Action=Echo&Name=ab&Sizes.entry.1.key=a`, "MalformedInput", "without a key or a value"},
		{"query too deep", ProtocolQuery, `Action=Echo&Name=ab&` + strings.Repeat("a.", 70) + `=1`, "MalformedInput", "deep"},
		{"query without action", ProtocolQuery, `Name=ab`, "MissingAction", "Action"},
		{"query unknown action", ProtocolQuery, `Action=Nothing`, "InvalidAction", "Could not find operation Nothing for version 2026-01-01"},
		{"query unsupported action", ProtocolQuery, `Action=Destroy`, "InvalidAction", "Musher does not support toy:Destroy yet"},

		{"not xml", ProtocolRESTXML, `<a`, "MalformedXML", ""},
		{"xml unclosed", ProtocolRESTXML, `<a><b></a>`, "MalformedXML", ""},
		{"xml two roots", ProtocolRESTXML, `<a/><b/>`, "MalformedXML", ""},
		{"xml text", ProtocolRESTXML, `hello`, "MalformedXML", ""},
		{"xml document type", ProtocolRESTXML, `<!DOCTYPE a [<!ENTITY x "y">]><a><Name>&x;</Name></a>`, "MalformedXML", ""},
		{"xml too deep", ProtocolRESTXML, strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100), "MalformedXML", ""},
		{"xml number", ProtocolRESTXML, `<a><Name>ab</Name><Count>x</Count></a>`, "MalformedXML", ""},
		{"xml elements for value", ProtocolRESTXML, `<a><Name><b/></Name></a>`, "MalformedXML", ""},
		{"xml constraint", ProtocolRESTXML, `<a><Name>a</Name></a>`, "MalformedXML", ""},

		{"too much", ProtocolJSON, `{"Name":"` + strings.Repeat("x", 5000) + `"}`, "RequestEntityTooLargeException", "4096"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			g, send := toyServer(t, test.protocol)
			header := jsonHeader
			if test.protocol == ProtocolQuery {
				header = formHeader
			}
			w := send("POST", "/", header, test.body)
			e := g.services[0].model.codec().decodeError(g.services[0].model, &message{status: w.Code, header: w.Header(), body: w.Body.Bytes()})
			if e.Code != test.code || !strings.Contains(e.Message, test.text) || w.Code < 400 || w.Code > 499 {
				t.Errorf("%d %s: %s\nwant %s: %s", w.Code, e.Code, e.Message, test.code, test.text)
			}
		})
	}
}

func TestRESTBindings(t *testing.T) {
	_, send := toyServer(t, ProtocolRESTJSON)
	header := http.Header{"X-Meta-Breed": {"pug"}, "X-Color": {"red"}, "X-Since": {"Sun, 22 Nov 2026 01:02:03 GMT"}, "Content-Type": {"x/y"}}
	for target, want := range map[string]string{
		"/box/path?limit=5":            "box|path",
		"/b%2Fx/a//b/../%2e/c%20%2B/?": "b/x|a//b/.././c +/",
		"/box//":                       "box|/",
		"/box/%C3%BC?tag=a&tag=b":      "box|ü",
	} {
		w := send("PUT", target, header, "raw")
		if w.Code != 202 || w.Header().Get("ETag") != want || w.Body.String() != `{"Message":"raw"}` {
			t.Errorf("%s: %d %q %s", target, w.Code, w.Header(), w.Body)
		}
		if got := w.Header()["x-meta-breed"]; len(got) != 1 || got[0] != "pug" { //nolint:staticcheck // sent as spelled
			t.Errorf("%s: metadata %q", target, w.Header())
		}
	}
	tests := []struct {
		method, target, header string
		status                 int
		text                   string
	}{
		{"PUT", "/box/p?limit=x", "", 400, "SerializationException"},
		{"PUT", "/box/p?limit=3000000000", "", 400, "SerializationException"},
		{"PUT", "/box/p", "blue", 400, "at 'color'"},
		{"DELETE", "/box", "", 404, "Musher does not support toy:Destroy yet"},
		{"GET", "/box", "", 404, "Could not find operation"},
		{"PUT", "/box?doc&part=1", "", 404, "Musher does not support toy:Describe yet"}, // modelled, but nobody handles it
	}
	for _, test := range tests {
		h := http.Header{}
		if test.header != "" {
			h.Set("X-Color", test.header)
		}
		if w := send(test.method, test.target, h, ""); w.Code != test.status || !strings.Contains(w.Body.String(), test.text) {
			t.Errorf("%s %s: %d %s", test.method, test.target, w.Code, w.Body)
		}
	}
}

// What EncodeRequest writes, a gateway reads, and DecodeResponse reads its
// answer; in every protocol.
func TestClientAndServerAgree(t *testing.T) {
	in := &EchoInput{
		Name: "ab", Count: ptr(int64(3)), Ratio: ptr(1e-7), On: ptr(true), When: ptr(vectorTime), Day: ptr(vectorTime),
		Data: []byte{0, 255}, Color: ptr("green"), Words: []string{"a", "b"}, Flat: []string{"x", "y"}, Sizes: map[string]int64{"a": 1, "b": 2},
		Parts: []*Part{{ID: "1", Next: &Part{ID: "2"}, Kids: []*Part{{ID: "3"}}}, {ID: "4 &<>"}}, Renamed: ptr("ü \"<&>'"),
		Pairs: map[string]string{"p": "q r"},
	}
	for protocol := range codecs {
		t.Run(protocol, func(t *testing.T) {
			g, _ := toyServer(t, protocol)
			m := g.services[0].model
			q, err := EncodeRequest(m, "Echo", in)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, signedRequest(t, "toy", q.Method, q.Path, q.Header, string(q.Body)))
			var out EchoOutput
			if err := DecodeResponse(m, "Echo", w.Result(), &out); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(in, out.Echo); d != "" {
				t.Error(d)
			}
			if !out.At.Equal(vectorTime) || out.Parts == nil || len(out.Parts) != 0 {
				t.Errorf("at %v, parts %v", out.At, out.Parts)
			}
		})
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	for protocol := range codecs {
		for name, want := range map[string]struct {
			code   string
			status int
			text   string
		}{
			"outof":  {"OutOfToys", 409, `no more "<toys>"`},
			"panic":  {"InternalFailure", 500, "unknown error"},
			"broken": {"InternalFailure", 500, "unknown error"},
			"denied": {"AccessDenied", 403, "arn:toy:denied"},
		} {
			g, _ := toyServer(t, protocol)
			m := g.services[0].model
			q, err := EncodeRequest(m, "Echo", &EchoInput{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, signedRequest(t, "toy", q.Method, q.Path, q.Header, string(q.Body)))
			err = DecodeResponse(m, "Echo", w.Result(), &EchoOutput{})
			e, ok := err.(*Error)
			if !ok || !strings.Contains(e.Message, want.text) || strings.Contains(e.Message, "/etc") {
				t.Fatalf("%s %s: %v", protocol, name, err)
			}
			status := want.status
			if (protocol == ProtocolJSON || protocol == ProtocolCBOR) && name == "denied" {
				status = 400
			}
			if commonOr(e.Code) != want.code || e.Status != status {
				t.Errorf("%s %s: %d %s", protocol, name, e.Status, e.Code)
			}
			if name == "outof" && fmt.Sprint(e.Field("Left")) != "0" {
				t.Errorf("%s: field %#v", protocol, e.Fields)
			}
		}
	}
}

func commonOr(code string) string {
	if c, ok := commonCode[code]; ok {
		return c
	}
	return code
}

func TestUnknownService(t *testing.T) {
	g, _ := toyServer(t, ProtocolJSON)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, signedRequest(t, "dynamodb", "POST", "/", http.Header{"X-Amz-Target": {"DynamoDB.ListTables"}}, "{}"))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Musher does not serve dynamodb") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func fuzzDecode(f *testing.F, protocol string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	m := toyModel(protocol)
	op := m.operation("Echo")
	f.Fuzz(func(t *testing.T, body []byte) {
		in := reflect.New(op.Input)
		found := &faults{}
		err := m.codec().decodeInput(&incoming{header: http.Header{}, body: body, form: parseQuery(string(body))}, op, in.Elem(), found)
		if err != nil {
			return
		}
		found.validate(op.in, in.Elem(), true)
		if len(found.list) > 0 {
			_ = found.message()
			return
		}
		// What was read and is valid can be written and read again.
		q, err := m.codec().encodeInput(op, in.Elem())
		if err != nil {
			t.Fatal(err)
		}
		again := reflect.New(op.Input)
		if err := m.codec().decodeInput(&incoming{header: http.Header{}, body: q.body, form: parseQuery(string(q.body))}, op, again.Elem(), &faults{}); err != nil {
			if protocol == ProtocolRESTXML && bytes.ContainsFunc(q.body, func(r rune) bool { return r == '&' }) {
				return // control characters cannot be told in XML
			}
			t.Fatalf("%v\n%q\n%q", err, body, q.body)
		}
	})
}

func FuzzJSON(f *testing.F) {
	fuzzDecode(f, ProtocolJSON, `{"Name":"ab","Count":1,"Parts":[{"ID":"1"}],"When":1.5,"Data":"aGk="}`, `{"Name":"ab","Sizes":{"a":1}}`)
}

func FuzzQuery(f *testing.F) {
	fuzzDecode(f, ProtocolQuery, `Name=ab&Words.member.1=a&Sizes.entry.1.key=k&Sizes.entry.1.value=3`, `Name=ab&Parts.member.1.ID=1`)
}

func FuzzXML(f *testing.F) {
	fuzzDecode(f, ProtocolRESTXML, `<a><Name>ab</Name><Words><member>x</member></Words></a>`, `<a><Name>ab</Name><Pairs><k>1</k><v>2</v></Pairs></a>`)
}

func BenchmarkGateway(b *testing.B) {
	for _, protocol := range []string{ProtocolJSON, ProtocolQuery} {
		b.Run(protocol, func(b *testing.B) {
			g, _ := toyServer(b, protocol)
			q, err := EncodeRequest(g.services[0].model, "Echo", &EchoInput{Name: "ab", Count: ptr(int64(3)), Words: []string{"a", "b"}, Parts: []*Part{{ID: "1"}}})
			if err != nil {
				b.Fatal(err)
			}
			r := signedRequest(b, "toy", q.Method, q.Path, q.Header, string(q.Body))
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				r.Body = newBodyOf(q.Body)
				g.ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
