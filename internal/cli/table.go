package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table writes rows in columns, with a heading.
func table(w io.Writer, heading []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		// The last cell of a row ends no column, so nothing is filled up behind it.
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// facts writes names and values; those without a value are left out.
func facts(w io.Writer, rows [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
		}
	}
	return t.Flush()
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func clockOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return clock(*t)
}

// writeJSON writes an answer of the API as one value, without the members that
// the service did not send.
func writeJSON(w io.Writer, answer any) error {
	raw, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(prune(v))
}

// prune drops members that are null.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
				continue
			}
			v[name] = prune(member)
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}

func orEmpty[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
