package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Tx is a transaction; it is valid only inside the function it was given to.
type Tx struct {
	s        *session
	writable bool
}

// Table is a set of rows of one type. It holds no rows itself, so it may be
// copied and used from anywhere.
type Table[T any] struct {
	name                       string
	get, insert, put, del, cnt string
}

var tableName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// NewTable declares a table and creates it where it is missing. The name is
// part of the program: a malformed one, or one declared twice, panics.
func NewTable[T any](db *DB, name string) Table[T] {
	if !tableName.MatchString(name) {
		panic("state: malformed table name " + name)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.tables[name] {
		panic("state: table declared twice: " + name)
	}
	db.tables[name] = true
	err := db.Update(context.Background(), func(tx *Tx) error {
		return tx.s.exec("CREATE TABLE IF NOT EXISTS " + name + " (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
	})
	if err != nil {
		panic(fmt.Sprintf("state: create table %s: %v", name, err))
	}
	return Table[T]{
		name:   name,
		get:    "SELECT v FROM " + name + " WHERE k = ?",
		insert: "INSERT INTO " + name + " (k, v) VALUES (?, ?) ON CONFLICT (k) DO NOTHING",
		put:    "INSERT INTO " + name + " (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
		del:    "DELETE FROM " + name + " WHERE k = ?",
		cnt:    "SELECT count(*) FROM " + name,
	}
}

// Get returns the row under key, or ErrNotFound.
func (t Table[T]) Get(tx *Tx, key string) (*T, error) {
	st, err := tx.s.prepare(t.get)
	if err != nil {
		return nil, t.wrap("get", err)
	}
	var raw []byte
	switch err := st.QueryRow([]byte(key)).Scan(&raw); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, t.wrap("get", err)
	}
	return t.decode(raw)
}

// Insert adds a row, or returns ErrExists.
func (t Table[T]) Insert(tx *Tx, key string, row *T) error {
	n, err := t.write(tx, t.insert, key, row)
	if err == nil && n == 0 {
		return ErrExists
	}
	return err
}

// Put adds or replaces a row.
func (t Table[T]) Put(tx *Tx, key string, row *T) error {
	_, err := t.write(tx, t.put, key, row)
	return err
}

// Modify reads the row under key, lets fn change it and puts it back; the
// changed row is returned.
func (t Table[T]) Modify(tx *Tx, key string, fn func(*T) error) (*T, error) {
	row, err := t.Get(tx, key)
	if err != nil {
		return nil, err
	}
	if err := fn(row); err != nil {
		return nil, err
	}
	return row, t.Put(tx, key, row)
}

// Delete removes a row, or returns ErrNotFound.
func (t Table[T]) Delete(tx *Tx, key string) error {
	n, err := t.run(tx, t.del, []byte(key))
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// Count returns the number of rows.
func (t Table[T]) Count(tx *Tx) (n int, err error) {
	st, err := tx.s.prepare(t.cnt)
	if err == nil {
		err = st.QueryRow().Scan(&n)
	}
	return n, t.wrap("count", err)
}

// Range says which rows a scan visits, and in which order.
type Range struct {
	Prefix  string // only keys that start with it
	From    string // only keys >= From (where it is not empty)
	After   string // only keys > After (where it is not empty)
	Before  string // only keys < Before (where it is not empty)
	Reverse bool   // from the last key to the first
}

// Scan visits rows in the order of their keys until fn returns false. The
// rows come as they are needed, so stopping early costs nothing.
func (t Table[T]) Scan(tx *Tx, r Range, fn func(key string, row *T) (more bool, err error)) error {
	query, args := t.scanQuery(r)
	st, err := tx.s.prepare(query)
	if err != nil {
		return t.wrap("scan", err)
	}
	rows, err := st.Query(args...)
	if err != nil {
		return t.wrap("scan", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, raw sql.RawBytes
		if err := rows.Scan(&key, &raw); err != nil {
			return t.wrap("scan", err)
		}
		row, err := t.decode(raw)
		if err != nil {
			return err
		}
		if more, err := fn(string(key), row); err != nil || !more {
			return err
		}
	}
	return t.wrap("scan", rows.Err())
}

func (t Table[T]) scanQuery(r Range) (query string, args []any) {
	query = "SELECT k, v FROM " + t.name + " WHERE k >= ?"
	args = []any{[]byte(max(r.Prefix, r.From))}
	if r.After != "" {
		query += " AND k > ?"
		args = append(args, []byte(r.After))
	}
	if end := r.end(); end != nil {
		query += " AND k < ?"
		args = append(args, end)
	}
	query += " ORDER BY k"
	if r.Reverse {
		query += " DESC"
	}
	return query, args
}

// end returns the first key behind the range, or nil where there is none.
func (r Range) end() []byte {
	end := prefixEnd(r.Prefix)
	if r.Before != "" && (end == nil || r.Before < string(end)) {
		return []byte(r.Before)
	}
	return end
}

// prefixEnd returns the first key behind all keys with the prefix, or nil
// where there is none.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

func (t Table[T]) write(tx *Tx, query, key string, row *T) (int64, error) {
	raw, err := json.Marshal(row)
	if err != nil {
		return 0, t.wrap("encode", err)
	}
	return t.run(tx, query, []byte(key), raw)
}

func (t Table[T]) run(tx *Tx, query string, args ...any) (int64, error) {
	if !tx.writable {
		return 0, t.wrap("write", errors.New("the transaction is a view"))
	}
	st, err := tx.s.prepare(query)
	if err != nil {
		return 0, t.wrap("write", err)
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, t.wrap("write", err)
	}
	return res.RowsAffected()
}

func (t Table[T]) decode(raw []byte) (*T, error) {
	row := new(T)
	if err := json.Unmarshal(raw, row); err != nil {
		return nil, t.wrap("decode", err)
	}
	return row, nil
}

func (t Table[T]) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("state: %s %s: %w", what, t.name, err)
}
