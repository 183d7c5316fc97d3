package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const toy = `{
 "metadata": {"apiVersion": "2026-01-01", "endpointPrefix": "toy", "protocol": "rest-json", "xmlNamespace": {"uri": "urn:toy"}},
 "operations": {
  "Put": {"name": "Put", "http": {"method": "PUT", "requestUri": "/{Name}/{Key+}?x", "responseCode": 201},
          "input": {"shape": "PutRequest"}, "output": {"shape": "Tree"}, "errors": [{"shape": "Gone"}],
          "httpChecksum": {"requestAlgorithmMember": "Sum", "requestChecksumRequired": true}},
  "Stop": {"name": "Stop", "http": {"method": "POST", "requestUri": "/stop"}},
  "Other": {"name": "Other", "http": {"method": "GET", "requestUri": "/other"}}
 },
 "shapes": {
  "PutRequest": {"type": "structure", "required": ["name", "Key"], "payload": "Body", "members": {
    "name": {"shape": "Name", "location": "uri", "locationName": "Name"},
    "Key": {"shape": "Text", "location": "uri", "locationName": "Key"},
    "Body": {"shape": "Blob", "streaming": true},
    "Kind": {"shape": "Kind", "location": "querystring", "locationName": "kind"},
    "Free": {"shape": "Free", "location": "header", "locationName": "x-free"},
    "Size": {"shape": "Int", "location": "header", "locationName": "x-size", "idempotencyToken": true}}},
  "Tree": {"type": "structure", "members": {
    "zeta": {"shape": "Text"}, "alpha": {"shape": "Model", "documentation": "<p>text</p>"}, "Kids": {"shape": "Trees"}, "When": {"shape": "Time"}}},
  "Trees": {"type": "list", "member": {"shape": "Tree", "locationName": "kid"}, "min": 1, "flattened": true},
  "Model": {"type": "structure", "required": ["On"], "members": {"On": {"shape": "Bool"}, "Map": {"shape": "Map"}}},
  "Map": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Float"}, "max": 3},
  "Name": {"type": "string", "min": 1, "max": 63, "pattern": "[a-z\"` + "`" + `]+"},
  "Text": {"type": "string"}, "Blob": {"type": "blob"}, "Int": {"type": "integer"}, "Float": {"type": "float"}, "Bool": {"type": "boolean"},
  "Time": {"type": "timestamp", "timestampFormat": "iso8601"},
  "Kind": {"type": "string", "enum": ["a", "b"]}, "Free": {"type": "string", "enum": ["c"]},
  "Gone": {"type": "structure", "members": {}, "exception": true, "error": {"code": "IsGone", "httpStatusCode": 410}}
 }}`

func generate(t *testing.T, config string) string {
	t.Helper()
	models := &models{fstest.MapFS{"toy/2026-01-01/service-2.json": {Data: []byte(toy)}}}
	configs, err := parseServices(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.load(configs[0].model)
	if err != nil {
		t.Fatal(err)
	}
	code, err := emit(configs[0], m)
	if err != nil {
		t.Fatal(err)
	}
	code, err = format.Source(code)
	if err != nil {
		t.Fatal(err)
	}
	return string(code)
}

func TestEmit(t *testing.T) {
	const config = "service toys toy # a comment\nop Stop Put\nopen Free\nactions plays\nmax Int 7\nroot Put Root\nunwrapped Put\n"
	code := generate(t, config)
	for range 5 {
		if generate(t, config) != code {
			t.Fatal("the output depends on chance")
		}
	}
	flat := strings.Join(strings.Fields(code), " ")
	for _, want := range []string{
		"package toys",
		`SigningName: "toy", ActionPrefix: "plays",`,
		`{Name: "Put", Method: "PUT", URI: "/{Name}/{Key+}?x", Status: 201, Input: reflect.TypeFor[PutInput](), Output: reflect.TypeFor[PutOutput](), Errors: []string{"Gone"}, ResultRoot: "Root", Unwrapped: true, Checksummed: true, ChecksumRequired: true, }`,
		`{Name: "Other", Method: "GET", URI: "/other"},`,
		`{Shape: "Gone", Code: "IsGone", Status: 410},`,
		`"Kind": {"a", "b"},`,
		"type StopInput struct { }",
		"Body io.Reader `aws:\"Body,in=payload\"`",
		"Kind *string `aws:\"kind,member=Kind,in=query\" enum:\"Kind\"`",
		"Free *string `aws:\"x-free,member=Free,in=header\"`",
		"Size *int64 `aws:\"x-size,member=Size,in=header,token,max=7,int32\"`",
		"Zeta *string `aws:\"zeta\"` Alpha *ModelShape `aws:\"alpha\"` Kids []*Tree `aws:\"Kids,min=1,flat\" item.aws:\"kid\"` When *time.Time `aws:\"When,time=iso8601\"`",
		"type ModelShape struct { On bool `aws:\"On,required\"` Map map[string]float64",
		`"aws:\"Name,member=name,required,in=uri,min=1,max=63\" pattern:\"[a-z\\\"` + "`" + `]+\""`,
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, no := range []string{"<p>", `"Free": {`} {
		if strings.Contains(code, no) {
			t.Errorf("found: %s", no)
		}
	}
	if t.Failed() {
		t.Log(code)
	}
}

func TestProtocols(t *testing.T) {
	for listed, want := range map[string]string{
		"":                              "old []",
		"smithy-rpc-v2-cbor json query": "json [smithy-rpc-v2-cbor query]",
		"query":                         "query []",
		"carrier-pigeon":                "old []",
	} {
		main, also := protocols(metadata{Protocol: "old", Protocols: strings.Fields(listed)})
		if got := fmt.Sprint(main, " ", also); got != want {
			t.Errorf("%q: %s, want %s", listed, got, want)
		}
	}
}

func TestParseServices(t *testing.T) {
	for _, bad := range []string{"op X", "service a b\nfoo", "service a b\nmax X y", "service a b\nroot X"} {
		if _, err := parseServices(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := parseServices(services); err != nil {
		t.Error(err)
	}
}

// TestCommittedTypes makes sure that what is checked in is what the generator
// writes; it needs the models.
func TestCommittedTypes(t *testing.T) {
	botocore := os.Getenv("BOTOCORE")
	if botocore == "" {
		t.Skip("BOTOCORE names no botocore wheel or folder")
	}
	out := t.TempDir()
	if err := run(botocore, out); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*", "types.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		got, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(out, f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../../svc", rel))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes", rel)
		}
	}
}
