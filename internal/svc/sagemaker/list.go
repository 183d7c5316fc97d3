package sagemaker

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/state"
)

// Listing is what the List operations have in common. Absent filters are nil.
type Listing struct {
	NameContains                  *string
	CreatedAfter, CreatedBefore   *time.Time
	ModifiedAfter, ModifiedBefore *time.Time
	StatusEquals                  *string
	SortBy                        string // Name, Status, CreationTime or LastModifiedTime
	Descending                    bool
	MaxResults                    *int64
	NextToken                     *string
}

// Entry is what a listing looks at in a row.
type Entry struct {
	Name, Status      string
	Created, Modified time.Time
	Value             float64 // what SortBy "Value" sorts by
}

// position is a place in a sorted listing. It names the last entry given, so
// rows that come and go between two pages neither repeat nor hide others.
type position struct {
	Key  string  `json:"k"`
	Num  float64 `json:"n"`
	Name string  `json:"a"`
}

const pageSize = 10 // of every List operation here, where MaxResults is absent

// Page filters, sorts and cuts rows. The order of rows does not matter.
func (l Listing) Page(rows []Entry) (page []Entry, next *string, err error) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(e Entry) bool { return !l.wants(e) })
	slices.SortFunc(rows, func(a, b Entry) int { return l.compare(l.place(a), l.place(b)) })
	if l.NextToken != nil && *l.NextToken != "" {
		after, err := parseToken(*l.NextToken)
		if err != nil {
			return nil, nil, err
		}
		rows = slices.DeleteFunc(rows, func(e Entry) bool { return l.compare(l.place(e), after) <= 0 })
	}
	size := pageSize
	if l.MaxResults != nil {
		size = int(*l.MaxResults)
	}
	if len(rows) <= size {
		return rows, nil, nil
	}
	token := l.place(rows[size-1]).token()
	return rows[:size], &token, nil
}

// Rows reads a page of a table, of the rows that have a name to be listed by.
func Rows[T any](ctx context.Context, db *state.DB, table state.Table[T], l Listing, entry func(*T) Entry) (rows []*T, next *string, err error) {
	all := map[string]*T{}
	var entries []Entry
	err = db.View(ctx, func(tx *state.Tx) error {
		return table.Scan(tx, state.Range{}, func(_ string, row *T) (bool, error) {
			if e := entry(row); e.Name != "" {
				all[e.Name] = row
				entries = append(entries, e)
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	page, next, err := l.Page(entries)
	for _, e := range page {
		rows = append(rows, all[e.Name])
	}
	return rows, next, err
}

func (l Listing) wants(e Entry) bool {
	switch {
	case l.NameContains != nil && !strings.Contains(strings.ToLower(e.Name), strings.ToLower(*l.NameContains)),
		l.StatusEquals != nil && e.Status != *l.StatusEquals,
		l.CreatedAfter != nil && !e.Created.After(*l.CreatedAfter),
		l.CreatedBefore != nil && !e.Created.Before(*l.CreatedBefore),
		l.ModifiedAfter != nil && !e.Modified.After(*l.ModifiedAfter),
		l.ModifiedBefore != nil && !e.Modified.Before(*l.ModifiedBefore):
		return false
	}
	return true
}

// place gives the entry's place; times are compared as text of fixed width.
func (l Listing) place(e Entry) position {
	const width = "2006-01-02T15:04:05.000000000Z"
	p := position{Name: e.Name}
	switch l.SortBy {
	case "Name":
	case "Status":
		p.Key = e.Status
	case "LastModifiedTime":
		p.Key = e.Modified.UTC().Format(width)
	case "Value", "FinalObjectiveMetricValue":
		p.Num = e.Value
	default:
		p.Key = e.Created.UTC().Format(width)
	}
	return p
}

func (l Listing) compare(a, b position) int {
	c := cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Num, b.Num), cmp.Compare(a.Name, b.Name))
	if l.Descending {
		return -c
	}
	return c
}

func (p position) token() string {
	raw, _ := json.Marshal(p) //nolint:errchkjson // NaN is never placed
	return base64.RawURLEncoding.EncodeToString(raw)
}

func parseToken(s string) (p position, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, Invalid("Invalid NextToken: it is not one that this operation gave.")
	}
	return p, nil
}
