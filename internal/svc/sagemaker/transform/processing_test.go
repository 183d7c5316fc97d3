package transform

import (
	"bytes"
	"strings"
	"testing"

	"github.com/musher/musher/internal/svc/sagemaker"
)

func TestProcessing(t *testing.T) {
	const csv, lines = "text/csv", "application/jsonlines"
	for name, c := range map[string]struct {
		kind          string
		input, output string
		join          bool
		records       string
		sent          string // to the model
		answer        string
		accept        string
		want          string // or, after "! ", what an error says
	}{
		"nothing":               {kind: csv, records: "1, 2", sent: "1, 2", answer: "a,b", want: "a,b"},
		"columns go":            {kind: csv, input: "$[1:]", records: "id1,2,3\nid2,\"4,5\",6", sent: "2,3\n\"4,5\",6", answer: "0\n1", want: "0\n1"},
		"one column":            {kind: csv, input: "$[0]", records: "1,2", sent: "1", answer: "x", want: "x"},
		"join":                  {kind: csv, join: true, records: "1,2\n3,4", sent: "1,2\n3,4", answer: "0.5\n\n0.25\n", want: "1,2,0.5\n3,4,0.25"},
		"id and answer":         {kind: csv, input: "$[1:]", output: "$[0,-1]", join: true, records: "id1,2", sent: "2", answer: "0.5,0.9\n", want: "id1,0.9"},
		"output only":           {kind: "image/png", output: "$.label", records: "x", sent: "x", answer: `{"label": "cat"}`, accept: "application/json", want: `"cat"`},
		"member":                {kind: lines, input: "$.x", records: "{\"id\": 1, \"x\": [1.50]}", sent: "[1.50]", answer: "1", want: "1"},
		"join objects":          {kind: lines, join: true, records: "{\"id\": 1.0}\n{}", sent: "{\"id\": 1.0}\n{}", answer: "[1]\n[2]", want: "{\"id\":1.0,\"SageMakerOutput\":[1]}\n{\"SageMakerOutput\":[2]}"},
		"join others":           {kind: lines, join: true, records: "[1, 2]", sent: "[1, 2]", answer: "\"a\"", want: `{"SageMakerInput":[1,2],"SageMakerOutput":"a"}`},
		"join a whole":          {kind: "application/json; charset=utf-8", output: "$.SageMakerOutput.p", join: true, records: "{\n}", sent: "{\n}", answer: `{"p": 1}`, accept: "application/json", want: "1"},
		"too few answers":       {kind: csv, join: true, records: "1\n2", sent: "1\n2", answer: "1", want: "! answered 1 lines to 2 records"},
		"answer of another":     {kind: csv, join: true, records: "1", sent: "1", answer: "1", accept: lines, want: "! cannot be joined"},
		"answer of a stranger":  {kind: csv, output: "$[0]", records: "1", sent: "1", answer: "1", accept: "text/html", want: "! cannot look into"},
		"answer is no JSON":     {kind: lines, output: "$[0]", records: "1", sent: "1", answer: "x", want: "! is not JSON"},
		"answer lacks it":       {kind: lines, output: "$.p", records: "1", sent: "1", answer: "{}", want: `! OutputFilter: $['p']: there is no "p"`},
		"record lacks it":       {kind: csv, input: "$[4]", records: "1,2", sent: "! InputFilter: $[4]: there is no element 4 among 2"},
		"record is no JSON":     {kind: lines, input: "$.x", records: "x", sent: "! is not JSON"},
		"nothing of a row left": {kind: csv, input: "$[5:]", records: "1,2", sent: "", answer: "x", want: "x"},
	} {
		in := &sagemaker.CreateTransformJobInput{
			TransformInput: &sagemaker.TransformInput{ContentType: &c.kind},
			DataProcessing: &sagemaker.DataProcessing{},
		}
		join := "Input"
		if c.join {
			in.DataProcessing.JoinSource = &join
		}
		if c.input != "" {
			in.DataProcessing.InputFilter = &c.input
		}
		if c.output != "" {
			in.DataProcessing.OutputFilter = &c.output
		}
		p, err := newProcessing(in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		records := bytes.Split([]byte(c.records), []byte("\n"))
		if c.kind == "application/json; charset=utf-8" {
			records = [][]byte{[]byte(c.records)}
		}
		sent, err := p.before(records)
		if !wanted(string(bytes.Join(sent, []byte("\n"))), err, c.sent) {
			t.Errorf("%s: %q is sent, %v; want %q", name, sent, err, c.sent)
		}
		if err != nil {
			continue
		}
		if c.accept == "" {
			c.accept = c.kind
		}
		got, err := p.after(records, []byte(c.answer), c.accept)
		if !wanted(string(got), err, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func wanted(got string, err error, want string) bool {
	if says, wrong := strings.CutPrefix(want, "! "); wrong {
		return err != nil && strings.Contains(err.Error(), says)
	}
	return err == nil && got == want
}
