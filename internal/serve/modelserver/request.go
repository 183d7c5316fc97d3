package modelserver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const customAttributes = "X-Amzn-SageMaker-Custom-Attributes"

// style is how the client wants its answer.
type style struct {
	verbose bool
	topK    int
}

const defaultTopK = 5

// styleOf reads the Accept header and the custom attributes.
func styleOf(h http.Header) (style, error) {
	s := style{topK: defaultTopK}
	if err := s.accept(strings.Join(h.Values("Accept"), ",")); err != nil {
		return s, err
	}
	// Custom attributes are the client's own: only what is meant for us is read.
	for _, option := range strings.FieldsFunc(h.Get(customAttributes), func(r rune) bool { return r == ',' || r == ';' }) {
		if err := s.option(option); err != nil {
			return s, err
		}
	}
	return s, nil
}

// accept finds a range that JSON satisfies. Parameters need no value here:
// "application/json; verbose".
func (s *style) accept(header string) error {
	if strings.TrimSpace(header) == "" {
		return nil
	}
	for _, one := range strings.Split(header, ",") {
		parts := strings.Split(one, ";")
		switch strings.ToLower(strings.TrimSpace(parts[0])) {
		case "application/json", "application/*", "*/*":
		default:
			continue
		}
		if refused(parts[1:]) {
			continue
		}
		for _, option := range parts[1:] {
			if err := s.option(option); err != nil {
				return err
			}
		}
		return nil
	}
	return problemf(http.StatusNotAcceptable, "Accept: %.100q cannot be satisfied", header).withHint("answers are application/json")
}

// refused finds q=0.
func refused(parameters []string) bool {
	for _, p := range parameters {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if q, err := strconv.ParseFloat(value, 64); strings.EqualFold(name, "q") && err == nil && q <= 0 {
			return true
		}
	}
	return false
}

// option reads verbose, verbose=0|1|true|false or top_k=N, and passes over
// everything else.
func (s *style) option(text string) error {
	name, value, given := strings.Cut(strings.TrimSpace(text), "=")
	switch strings.TrimSpace(name) {
	case "verbose":
		on, err := strconv.ParseBool(strings.TrimSpace(value))
		if given && err != nil {
			return problemf(http.StatusBadRequest, "verbose=%.20q is neither true nor false", value)
		}
		s.verbose = on || !given
	case "top_k":
		k, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || k < 1 {
			return problemf(http.StatusBadRequest, "top_k=%.20q is no number from 1 on", value)
		}
		s.verbose, s.topK = true, k
	}
	return nil
}

// kind is what a body holds.
type kind int

const (
	sniffed kind = iota // the first byte tells
	photoBody
	jsonBody
)

// kindOf judges a content type.
func kindOf(header string) (kind, error) {
	name, _, _ := strings.Cut(header, ";")
	switch name = strings.ToLower(strings.TrimSpace(name)); {
	case name == "", name == "application/octet-stream", name == "binary/octet-stream":
		return sniffed, nil
	case name == "application/json":
		return jsonBody, nil
	case name == "application/x-image", strings.HasPrefix(name, "image/"):
		return photoBody, nil
	}
	return 0, problemf(http.StatusUnsupportedMediaType, "content type %.100q is not supported", header).
		withHint("send image/jpeg, image/png, image/webp or application/x-image, or application/json with {\"url\": …}")
}

// source is where a photo comes from: exactly one member is set.
type source struct {
	bytes []byte
	url   string
	b64   string
}

// input is a request's photos. list says whether they came as instances.
type input struct {
	photos []source
	list   bool
}

// place names a photo in an error.
func (in input) place(i int) string {
	if !in.list {
		return ""
	}
	return fmt.Sprintf("instances[%d]", i)
}

// parse finds the photos of a body.
func parse(k kind, body []byte, maxInstances int) (input, error) {
	if len(body) == 0 {
		return input{}, problemf(http.StatusBadRequest, "the request has no body").withHint("send a photo's bytes, or JSON with its URL")
	}
	if k == sniffed {
		k = photoBody
		if start := bytes.TrimLeft(body, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[' || start[0] == '"') {
			k = jsonBody // no image begins so
		}
	}
	if k == photoBody {
		return input{photos: []source{{bytes: body}}}, nil
	}
	return parseJSON(body, maxInstances)
}

const jsonHint = `send {"url": "https://…"}, or {"instances": [{"url": …}, {"b64": …}]}`

// instance is one photo in JSON.
type instance struct {
	URL *string `json:"url"`
	B64 *string `json:"b64"`
}

// UnmarshalJSON takes a bare string as the URL.
func (i *instance) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &i.URL)
	}
	type plain instance
	return json.Unmarshal(b, (*plain)(i))
}

func parseJSON(body []byte, maxInstances int) (input, error) {
	var doc struct {
		URL       *string    `json:"url"`
		B64       *string    `json:"b64"`
		Instances []instance `json:"instances"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return input{}, badJSON(err)
	}
	if doc.Instances == nil {
		photo, err := instance{doc.URL, doc.B64}.source()
		return input{photos: []source{photo}}, err
	}
	in := input{list: true}
	switch n := len(doc.Instances); {
	case doc.URL != nil || doc.B64 != nil:
		return in, problemf(http.StatusBadRequest, "the JSON has instances and a photo beside them").withHint(jsonHint)
	case n == 0:
		return in, problemf(http.StatusBadRequest, "instances is empty").withHint(jsonHint)
	case n > maxInstances:
		return in, problemf(http.StatusRequestEntityTooLarge, "%d instances; at most %d are taken", n, maxInstances).withHint("send several requests")
	}
	for i, one := range doc.Instances {
		photo, err := one.source()
		if err != nil {
			return in, explain(err).at(in.place(i))
		}
		in.photos = append(in.photos, photo)
	}
	return in, nil
}

func badJSON(err error) error {
	text := "the body is no JSON: " + err.Error()
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		text = fmt.Sprintf("the JSON has a %s where something else is expected", wrongType.Value)
		if wrongType.Field != "" {
			text += " (" + wrongType.Field + ")"
		}
	}
	return problemf(http.StatusBadRequest, "%s", text).withHint(jsonHint)
}

func (i instance) source() (source, error) {
	switch {
	case i.URL != nil && i.B64 != nil:
		return source{}, problemf(http.StatusBadRequest, "url and b64 are given for one photo").withHint(jsonHint)
	case i.URL != nil && *i.URL != "":
		return source{url: *i.URL}, nil
	case i.B64 != nil && *i.B64 != "":
		return source{b64: *i.B64}, nil
	}
	return source{}, problemf(http.StatusBadRequest, "the JSON names no photo: neither url nor b64 nor instances").withHint(jsonHint)
}

// decodeB64 reads base64 with or without its padding.
func decodeB64(text string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "b64 is no base64: %v", err)
	}
	return b, nil
}
