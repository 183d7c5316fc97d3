package transform

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// encoding is what of a record's format matters to filters.
type encoding int

const (
	opaque encoding = iota // filters can't look into it
	rows                   // CSV: a line is an array of strings
	docs                   // JSON: a line, or the whole
)

// format tells a content type's encoding.
func format(contentType string) encoding {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "text/csv":
		return rows
	case "application/json", "application/jsonlines", "application/x-jsonlines":
		return docs
	}
	return opaque
}

// processing is what DataProcessing asks for.
type processing struct {
	input, output path
	join          bool     // put records and answers together
	from          encoding // of records
}

// newProcessing returns nil where nothing is to be done.
func newProcessing(in *sagemaker.CreateTransformJobInput) (*processing, error) {
	asked := in.DataProcessing
	if asked == nil {
		return nil, nil
	}
	p := &processing{
		join: sagemaker.Or(asked.JoinSource, "None") == "Input",
		from: format(sagemaker.Or(in.TransformInput.ContentType, "")),
	}
	var err error
	if p.input, err = parsePath(sagemaker.Or(asked.InputFilter, "$")); err != nil {
		return nil, fmt.Errorf("InputFilter: %w", err)
	}
	if p.output, err = parsePath(sagemaker.Or(asked.OutputFilter, "$")); err != nil {
		return nil, fmt.Errorf("OutputFilter: %w", err)
	}
	if !p.join && !p.input.narrows() && !p.output.narrows() {
		return nil, nil
	}
	return p, nil
}

// before is what of the records goes to the model.
func (p *processing) before(records [][]byte) ([][]byte, error) {
	if p == nil || !p.input.narrows() {
		return records, nil
	}
	out := make([][]byte, len(records))
	for i, record := range records {
		doc, err := decode(p.from, record)
		if err == nil {
			doc, err = p.input.of(doc)
		}
		if err == nil {
			out[i], err = encode(p.from, doc)
		}
		if err != nil {
			return nil, fmt.Errorf("InputFilter: %w", err)
		}
	}
	return out, nil
}

// after makes the output of records out of the model's answer to them.
func (p *processing) after(records [][]byte, answer []byte, contentType string) ([]byte, error) {
	if p == nil || !p.join && !p.output.narrows() {
		return answer, nil
	}
	to := format(contentType)
	switch {
	case to == opaque:
		return nil, fmt.Errorf("the model answered %q, which DataProcessing cannot look into", contentType)
	case p.join && to != p.from:
		return nil, fmt.Errorf("the model answered %q, which cannot be joined with input of another kind", contentType)
	}
	answers, err := apart(answer, len(records))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(records))
	for i := range records {
		if out[i], err = p.one(to, records[i], answers[i]); err != nil {
			return nil, err
		}
	}
	return bytes.Join(out, []byte("\n")), nil
}

// one makes the output of one record.
func (p *processing) one(as encoding, record, answer []byte) ([]byte, error) {
	doc, err := decode(as, answer)
	if err != nil {
		return nil, fmt.Errorf("the model's answer: %w", err)
	}
	if p.join {
		source, err := decode(as, record)
		if err != nil {
			return nil, fmt.Errorf("the input: %w", err)
		}
		if doc, err = joined(as, source, doc); err != nil {
			return nil, err
		}
	}
	if doc, err = p.output.of(doc); err != nil {
		return nil, fmt.Errorf("OutputFilter: %w", err)
	}
	return encode(as, doc)
}

// apart takes an answer to n records apart, line by line.
func apart(answer []byte, n int) ([][]byte, error) {
	if n == 1 {
		return [][]byte{bytes.TrimSpace(answer)}, nil
	}
	var lines [][]byte
	for line := range bytes.Lines(answer) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) != n {
		return nil, fmt.Errorf("the model answered %d lines to %d records: set BatchStrategy to SingleRecord, or let it answer a line for each", len(lines), n)
	}
	return lines, nil
}

// decode reads a record as JSON; a row of CSV is an array of strings.
func decode(as encoding, record []byte) (json.RawMessage, error) {
	if as == docs {
		if !json.Valid(record) {
			return nil, fmt.Errorf("%.100q is not JSON", record)
		}
		return record, nil
	}
	r := csv.NewReader(bytes.NewReader(record))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	fields, err := r.ReadAll()
	if err != nil || len(fields) != 1 {
		return nil, fmt.Errorf("%.100q is not a row of CSV", record)
	}
	return json.Marshal(fields[0])
}

// encode writes what decode has read, or a part of it, on one line.
func encode(as encoding, doc json.RawMessage) ([]byte, error) {
	if as == docs {
		var b bytes.Buffer
		err := json.Compact(&b, doc)
		return b.Bytes(), err
	}
	var fields []string
	if err := json.Unmarshal(doc, &fields); err != nil {
		var field string
		if err := json.Unmarshal(doc, &field); err != nil {
			return nil, err
		}
		fields = []string{field}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(fields); err != nil {
		return nil, err
	}
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), w.Error()
}

// joined puts a record and its answer together as SageMaker does: the fields of
// a row behind those of the other, the answer as a member of an object, and
// anything else side by side.
func joined(as encoding, record, answer json.RawMessage) (json.RawMessage, error) {
	if as == rows {
		var left, right []json.RawMessage
		if err := json.Unmarshal(record, &left); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(answer, &right); err != nil {
			return nil, err
		}
		return array(append(left, right...)), nil
	}
	const member = `"SageMakerOutput":`
	record = bytes.TrimSpace(record)
	inner, isObject := bytes.CutPrefix(record, []byte("{"))
	if !isObject {
		return fmt.Appendf(nil, `{"SageMakerInput":%s,%s%s}`, record, member, answer), nil
	}
	inner = bytes.TrimSpace(bytes.TrimSuffix(inner, []byte("}")))
	if len(inner) > 0 {
		inner = append(bytes.Clone(inner), ',')
	}
	return fmt.Appendf(nil, `{%s%s%s}`, inner, member, answer), nil
}
