package sagemaker

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func entries(n int) []Entry {
	born := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	out := make([]Entry, n)
	for i := range out {
		out[i] = Entry{
			Name: fmt.Sprintf("job-%02d", i), Status: []string{"Completed", "Failed", "InProgress"}[i%3],
			Created: born.Add(time.Duration(i/2) * time.Second), Modified: born.Add(-time.Duration(i) * time.Minute), Value: float64(i % 4),
		}
	}
	return out
}

func names(page []Entry) (out []string) {
	for _, e := range page {
		out = append(out, e.Name)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// Pages, put together, are the whole listing in its order, whatever it is
// sorted by and however many entries are equal in that.
func TestPagesAddUp(t *testing.T) {
	for _, by := range []string{"Name", "Status", "CreationTime", "LastModifiedTime", "Value"} {
		for _, descending := range []bool{false, true} {
			l := Listing{SortBy: by, Descending: descending, MaxResults: ptr(int64(100))}
			whole, next, err := l.Page(entries(23))
			if err != nil || next != nil || len(whole) != 23 {
				t.Fatalf("%s: %d entries, next %v, %v", by, len(whole), next, err)
			}
			var got []string
			l.MaxResults = ptr(int64(4))
			for {
				page, next, err := l.Page(entries(23))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, names(page)...)
				if next == nil {
					break
				}
				l.NextToken = next
			}
			if !slices.Equal(got, names(whole)) {
				t.Errorf("by %s, descending %v: the pages hold %v, the whole %v", by, descending, got, names(whole))
			}
		}
	}
}

// An entry that goes between two pages hides no other one.
func TestPageAfterItsLastEntryIsGone(t *testing.T) {
	l := Listing{SortBy: "Name", MaxResults: ptr(int64(3))}
	_, next, err := l.Page(entries(6))
	if err != nil {
		t.Fatal(err)
	}
	l.NextToken = next
	left := slices.DeleteFunc(entries(6), func(e Entry) bool { return e.Name == "job-02" })
	page, _, err := l.Page(left)
	if want := []string{"job-03", "job-04", "job-05"}; err != nil || !slices.Equal(names(page), want) {
		t.Fatalf("%v, %v; want %v", names(page), err, want)
	}
}

func TestFilters(t *testing.T) {
	born := entries(1)[0].Created
	for name, c := range map[string]struct {
		l    Listing
		want []string
	}{
		"name":    {Listing{NameContains: ptr("B-0")}, []string{"job-00", "job-01", "job-02", "job-03", "job-04", "job-05"}},
		"status":  {Listing{StatusEquals: ptr("Failed")}, []string{"job-01", "job-04"}},
		"created": {Listing{CreatedAfter: ptr(born), CreatedBefore: ptr(born.Add(2 * time.Second))}, []string{"job-02", "job-03"}},
	} {
		page, _, err := c.l.Page(entries(6))
		if err != nil || !slices.Equal(names(page), c.want) {
			t.Errorf("%s: %v, %v; want %v", name, names(page), err, c.want)
		}
	}
	if _, _, err := (Listing{NextToken: ptr("made up")}).Page(entries(3)); err == nil {
		t.Error("a token that nobody gave was taken")
	}
}

func TestSplitS3URI(t *testing.T) {
	for uri, want := range map[string][2]string{
		"s3://b/k":        {"b", "k"},
		"s3://b":          {"b", ""},
		"s3://b/a//b/%41": {"b", "a//b/%41"},
		"s3://b/p/":       {"b", "p/"},
	} {
		bucket, key, err := SplitS3URI(uri)
		if err != nil || bucket != want[0] || key != want[1] {
			t.Errorf("%s: %q, %q, %v; want %q", uri, bucket, key, err, want)
		}
	}
	for _, uri := range []string{"", "b/k", "https://b/k", "s3:///k", "s3://"} {
		if _, _, err := SplitS3URI(uri); err == nil {
			t.Errorf("%q was taken for an S3 URI", uri)
		}
	}
}
