package iam

import (
	"encoding/base64"
	"slices"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// page is one request of a paginated list: at most limit items behind the one called after.
type page struct {
	after string
	limit int
}

// defaultPage is how many items IAM lists where MaxItems is absent.
const defaultPage = 100

func newPage(marker *string, maxItems *int64) (page, error) {
	p := page{limit: defaultPage}
	if maxItems != nil {
		p.limit = int(*maxItems)
	}
	if marker != nil {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil || len(after) == 0 {
			return p, awsapi.Errorf("ValidationError", "Invalid Marker.")
		}
		p.after = string(after)
	}
	return p, nil
}

// next is the closing half of a listing: whether there is more, and where it goes on.
type next struct {
	truncated bool
	last      string
}

func (n next) isTruncated() *bool { return &n.truncated }

func (n next) marker() *string {
	if !n.truncated {
		return nil
	}
	m := base64.RawURLEncoding.EncodeToString([]byte(n.last))
	return &m
}

// scanPage lists a table's rows in the order of their keys. Rows for which item returns false are
// not listed.
func scanPage[Row, Item any](tx *state.Tx, table state.Table[Row], p page, item func(*Row) (Item, bool)) (list []Item, n next, err error) {
	list = []Item{}
	err = table.Scan(tx, state.Range{After: p.after}, func(key string, row *Row) (bool, error) {
		it, listed := item(row)
		if !listed {
			return true, nil
		}
		if len(list) == p.limit {
			n.truncated = true
			return false, nil
		}
		list, n.last = append(list, it), key
		return true, nil
	})
	return list, n, err
}

// slicePage lists items that are sorted by key.
func slicePage[Item any](items []Item, p page, key func(Item) string) ([]Item, next) {
	start := slices.IndexFunc(items, func(it Item) bool { return key(it) > p.after })
	if start < 0 {
		return []Item{}, next{}
	}
	items = items[start:]
	if len(items) <= p.limit {
		return items, next{}
	}
	items = items[:p.limit]
	return items, next{truncated: true, last: key(items[len(items)-1])}
}

func itself(s string) string { return s }
