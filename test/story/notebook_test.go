package story

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// notebook is an executed notebook.
type notebook struct {
	Cells []cell `json:"cells"`
}

type cell struct {
	Kind     string `json:"cell_type"`
	Metadata struct {
		Tags []string `json:"tags"`
	} `json:"metadata"`
	Source  text     `json:"source"`
	Outputs []output `json:"outputs"`
}

type output struct {
	Text text            `json:"text"` // of a stream
	Data map[string]text `json:"data"` // of a value that was shown, by MIME type
}

// text is written as one string or as a list of lines.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	var lines []string
	if json.Unmarshal(raw, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	var one string
	err := json.Unmarshal(raw, &one)
	*t = text(one)
	return err
}

func readNotebook(t *testing.T, path string) notebook {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var n notebook
	if err := json.Unmarshal(raw, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// printed is what the cell with a tag printed and showed.
func (n notebook) printed(t *testing.T, tag string) string {
	t.Helper()
	for _, c := range n.Cells {
		for _, have := range c.Metadata.Tags {
			if have == tag {
				return c.printed()
			}
		}
	}
	t.Fatalf("no cell has the tag %q", tag)
	return ""
}

func (c cell) printed() string {
	var b strings.Builder
	for _, o := range c.Outputs {
		b.WriteString(string(o.Text))
		b.WriteString(string(o.Data["text/plain"]))
	}
	return b.String()
}

// transcript is the whole notebook as a reader sees it.
func (n notebook) transcript() string {
	var b strings.Builder
	for _, c := range n.Cells {
		if c.Kind == "code" {
			b.WriteString("In:  " + strings.ReplaceAll(string(c.Source), "\n", "\n     ") + "\n" + c.printed() + "\n")
		}
	}
	return b.String()
}
