package channel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// ErrBadInput means that an object is not what the channel says that it is.
var ErrBadInput = errors.New("does not fit its channel")

const (
	maxManifest = 256 << 20 // bytes: what it names has to fit into memory
	maxLine     = 16 << 20  // of an augmented manifest
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBadInput}, args...)...)
}

// parseManifest reads a manifest: a JSON array of {"prefix": "s3://…"} and of
// strings, each of which makes an object's URI when put behind the prefix.
func parseManifest(r io.Reader) (prefix string, names []string, err error) {
	limited := &io.LimitedReader{R: r, N: maxManifest + 1}
	raw, err := io.ReadAll(limited)
	if err != nil {
		return "", nil, err
	}
	if limited.N <= 0 {
		return "", nil, bad("a manifest may have %d MB", maxManifest>>20)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return "", nil, bad("a manifest is a JSON array: %v", err)
	}
	if len(entries) == 0 {
		return "", nil, bad("the manifest is empty")
	}
	var first struct {
		Prefix string `json:"prefix"`
	}
	if err := json.Unmarshal(entries[0], &first); err != nil || first.Prefix == "" {
		return "", nil, bad(`a manifest begins with {"prefix": "s3://bucket/some/prefix/"}, not with %.100s`, entries[0])
	}
	if _, _, err := sagemaker.SplitS3URI(first.Prefix); err != nil {
		return "", nil, bad("the manifest's prefix: %v", err)
	}
	if len(entries) == 1 {
		return "", nil, bad("the manifest names no objects")
	}
	for i, e := range entries[1:] {
		var name *string
		if err := json.Unmarshal(e, &name); err != nil || name == nil {
			return "", nil, bad("entry %d of the manifest is no string: %.100s", i+2, e)
		}
		names = append(names, *name)
	}
	return first.Prefix, names, nil
}

// parseAugmented reads an augmented manifest, a JSON object a line. Of each
// line it takes the attributes asked for: the object that one named "…-ref"
// points to, the text of any other.
func parseAugmented(r io.Reader, attributes []string) (out []record, err error) {
	if len(attributes) == 0 {
		return nil, bad("AttributeNames says what of an augmented manifest is wanted, and is empty")
	}
	limited := &io.LimitedReader{R: r, N: maxManifest + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		rec, err := parseLine(lines.Bytes(), attributes)
		if err != nil {
			return nil, bad("line %d: %v", n, err)
		}
		out = append(out, rec)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, bad("a line of an augmented manifest may have %d MB", maxLine>>20)
	case err != nil:
		return nil, err
	case limited.N <= 0:
		return nil, bad("an augmented manifest may have %d MB", maxManifest>>20)
	case len(out) == 0:
		return nil, bad("the augmented manifest is empty")
	}
	return out, nil
}

func parseLine(line []byte, attributes []string) (rec record, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(line, &all); err != nil || all == nil {
		return nil, fmt.Errorf("it is no JSON object: %.100q", line)
	}
	for _, name := range attributes {
		value, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("it has no attribute %q", name)
		}
		p, err := parseAttribute(name, value)
		if err != nil {
			return nil, err
		}
		rec = append(rec, p)
	}
	return rec, nil
}

func parseAttribute(name string, value json.RawMessage) (p piece, err error) {
	var text *string
	isText := json.Unmarshal(value, &text) == nil && text != nil
	if strings.HasSuffix(name, "-ref") {
		if !isText {
			return p, fmt.Errorf("the attribute %q is not an S3 URI", name)
		}
		p.bucket, p.Key, err = sagemaker.SplitS3URI(*text)
		if err == nil && p.Key == "" {
			err = fmt.Errorf("%q names no object", *text)
		}
		return p, err
	}
	if isText {
		p.text = []byte(*text)
		return p, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return p, err
	}
	p.text = compact.Bytes()
	return p, nil
}
