package state

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

type row struct{ N int }

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestRows(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "sub dir?#", "state.db")
	db := open(t, path)
	rows := NewTable[row](db, "rows")
	update := func(fn func(*Tx) error) error { return db.Update(ctx, fn) }

	if err := update(func(tx *Tx) error { return rows.Insert(tx, "a", &row{1}) }); err != nil {
		t.Fatal(err)
	}
	if err := update(func(tx *Tx) error { return rows.Insert(tx, "a", &row{2}) }); !errors.Is(err, ErrExists) {
		t.Fatalf("second insert: %v, want ErrExists", err)
	}
	boom := errors.New("boom")
	if err := update(func(tx *Tx) error { rows.Put(tx, "a", &row{3}); return boom }); !errors.Is(err, boom) {
		t.Fatalf("failing update: %v, want boom", err)
	}
	if err := update(func(tx *Tx) error { return rows.Delete(tx, "b") }); !errors.Is(err, ErrNotFound) {
		t.Fatalf("delete of a missing row: %v, want ErrNotFound", err)
	}
	if err := db.View(ctx, func(tx *Tx) error { return rows.Put(tx, "v", &row{}) }); err == nil {
		t.Fatal("a view could write")
	}
	db.Close()
	if err := update(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Fatalf("update after close: %v, want ErrClosed", err)
	}

	again := open(t, path)
	kept := NewTable[row](again, "rows")
	var got *row
	if err := again.View(ctx, func(tx *Tx) (err error) { got, err = kept.Get(tx, "a"); return }); err != nil || got.N != 1 {
		t.Fatalf("after reopening: %v, %v; want the first insert", got, err)
	}
}

func TestScan(t *testing.T) {
	ctx := context.Background()
	db := open(t, filepath.Join(t.TempDir(), "db"))
	rows := NewTable[row](db, "rows")
	keys := []string{"", "a", Key("a", "x"), Key("a", "y"), Key("ab", "x"), "b", "\xff", "\xff\xff"}
	if err := db.Update(ctx, func(tx *Tx) error {
		for i, k := range keys {
			if err := rows.Insert(tx, k, &row{i}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    Range
		want []int
	}{
		{Range{}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{Range{Reverse: true}, []int{7, 6, 5, 4, 3, 2, 1, 0}},
		{Range{Prefix: "a"}, []int{1, 2, 3, 4}},
		{Range{Prefix: Key("a", "")}, []int{2, 3}},
		{Range{Prefix: "a", After: Key("a", "x")}, []int{3, 4}},
		{Range{Prefix: "a", From: Key("a", "y")}, []int{3, 4}},
		{Range{Prefix: "\xff"}, []int{6, 7}},
		{Range{Prefix: "zz"}, nil},
		{Range{From: "b", Reverse: true}, []int{7, 6, 5}},
		{Range{Before: "b"}, []int{0, 1, 2, 3, 4}},
		{Range{Prefix: "a", Before: Key("a", "y"), Reverse: true}, []int{2, 1}},
		{Range{Prefix: "a", Before: "x"}, []int{1, 2, 3, 4}},
	} {
		var got []int
		err := db.View(ctx, func(tx *Tx) error {
			return rows.Scan(tx, c.r, func(key string, r *row) (bool, error) {
				if key != keys[r.N] {
					t.Errorf("key %q holds row %d", key, r.N)
				}
				// A look-up during a scan must not disturb it.
				if _, err := rows.Get(tx, "b"); err != nil {
					return false, err
				}
				got = append(got, r.N)
				return true, nil
			})
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v; want %v", c.r, got, err, c.want)
		}
	}
}

// Updates that share a commit must not share their fate.
func TestConcurrentUpdates(t *testing.T) {
	ctx := context.Background()
	db := open(t, filepath.Join(t.TempDir(), "db"))
	rows := NewTable[row](db, "rows")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			func() {
				defer func() {
					if p := recover(); (p != nil) != (i%5 == 1) {
						t.Errorf("update %d: recovered %v", i, p)
					}
				}()
				err := db.Update(ctx, func(tx *Tx) error {
					if err := rows.Put(tx, fmt.Sprint(i), &row{i}); err != nil {
						return err
					}
					switch i % 5 {
					case 0:
						return errors.New("no")
					case 1:
						panic("never")
					}
					return nil
				})
				if (err != nil) != (i%5 == 0) {
					t.Errorf("update %d: %v", i, err)
				}
			}()
			if err := db.View(ctx, func(tx *Tx) error {
				_, err := rows.Get(tx, fmt.Sprint(i))
				if errors.Is(err, ErrNotFound) == (i%5 > 1) {
					return fmt.Errorf("read after update %d: %w", i, err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var n int
	if err := db.View(ctx, func(tx *Tx) (err error) { n, err = rows.Count(tx); return }); err != nil || n != 120 {
		t.Fatalf("%d rows, %v; want 120", n, err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "db"))
	rows := NewTable[row](db, "rows")
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			var n atomic.Int64 // SQLite does not write a row that did not change
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := row{int(n.Add(1))}
					if err := db.Update(context.Background(), func(tx *Tx) error { return rows.Put(tx, "k", &r) }); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
