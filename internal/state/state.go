package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the database driver
)

// Errors of this package; compare with errors.Is.
var (
	ErrNotFound = errors.New("state: no such row")
	ErrExists   = errors.New("state: row exists")
	ErrClosed   = errors.New("state: database is closed")
)

const (
	readers   = 4   // snapshots that may be open at once
	batchSize = 256 // updates that may share one commit
)

// DB is an open database.
type DB struct {
	sql     *sql.DB
	updates chan *update
	idle    chan *session // readers not in use

	closing chan struct{}
	closed  chan struct{}
	once    sync.Once

	mu     sync.Mutex
	tables map[string]bool
}

type update struct {
	ctx  context.Context
	fn   func(*Tx) error
	err  error
	done chan struct{}
	// A panic of fn belongs to the goroutine that called Update.
	panicked any
}

// Open opens the database file at path, and creates it with its folder where
// it is missing.
func Open(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("state: open: %w", err)
	}
	handle, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", path, err)
	}
	db := &DB{
		sql: handle, updates: make(chan *update, batchSize), idle: make(chan *session, readers),
		closing: make(chan struct{}), closed: make(chan struct{}), tables: map[string]bool{},
	}
	writer, err := db.newSession()
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("state: open %s: %w", path, err)
	}
	for range readers {
		reader, err := db.newSession()
		if err != nil {
			handle.Close()
			return nil, fmt.Errorf("state: open %s: %w", path, err)
		}
		db.idle <- reader
	}
	go db.write(writer)
	return db, nil
}

func dsn(path string) string {
	pragmas := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)",
		"cache_size(-8000)", "wal_autocheckpoint(2000)",
	}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas.Encode()
}

// Close waits for the updates and views under way and closes the file. Only
// the first call does something.
func (db *DB) Close() (err error) {
	db.once.Do(func() {
		close(db.closing)
		<-db.closed
		for range readers {
			(<-db.idle).close()
		}
		err = db.sql.Close()
	})
	return err
}

// Update runs fn in a transaction and returns when its changes are durable.
// Where fn returns an error, nothing of it stays.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case <-db.closing:
		return ErrClosed
	default:
	}
	select {
	case db.updates <- u:
	case <-db.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-u.done:
	case <-db.closed:
		// The writer may have taken it in its last round.
		select {
		case <-u.done:
		default:
			return ErrClosed
		}
	}
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// View runs fn on a snapshot.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	select {
	case <-db.closing:
		return ErrClosed
	default:
	}
	var s *session
	select {
	case s = <-db.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { db.idle <- s }()
	if err := s.exec("BEGIN"); err != nil {
		return fmt.Errorf("state: view: %w", err)
	}
	defer s.exec("ROLLBACK") //nolint:errcheck // a snapshot has nothing to lose
	return fn(&Tx{s: s})
}

// write is the one writer: it gathers what has arrived and commits it at once.
func (db *DB) write(s *session) {
	defer close(db.closed)
	defer s.close()
	for {
		select {
		case u := <-db.updates:
			db.commit(s, db.gather(u))
		case <-db.closing:
			for {
				select {
				case u := <-db.updates:
					db.commit(s, db.gather(u))
				default:
					return
				}
			}
		}
	}
}

func (db *DB) gather(first *update) []*update {
	batch := []*update{first}
	for len(batch) < batchSize {
		select {
		case u := <-db.updates:
			batch = append(batch, u)
		default:
			return batch
		}
	}
	return batch
}

func (db *DB) commit(s *session, batch []*update) {
	err := s.exec("BEGIN IMMEDIATE")
	if err == nil {
		for _, u := range batch {
			u.run(s)
		}
		if err = s.exec("COMMIT"); err != nil {
			s.exec("ROLLBACK") //nolint:errcheck // the commit's error is the one to tell
		}
	}
	for _, u := range batch {
		if err != nil && u.err == nil {
			u.err = fmt.Errorf("state: commit: %w", err)
		}
		close(u.done)
	}
}

// run executes one update inside the batch's transaction; its savepoint lets
// it fail without its neighbours.
func (u *update) run(s *session) {
	if u.err = u.ctx.Err(); u.err != nil {
		return
	}
	if u.err = s.exec("SAVEPOINT one"); u.err != nil {
		return
	}
	defer func() {
		u.panicked = recover()
		if u.err != nil || u.panicked != nil {
			s.exec("ROLLBACK TO one") //nolint:errcheck // RELEASE below fails as well then
		}
		if err := s.exec("RELEASE one"); err != nil && u.err == nil {
			u.err = err
		}
	}()
	u.err = u.fn(&Tx{s: s, writable: true})
}

// session is one connection with its prepared statements.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (db *DB) newSession() (*session, error) {
	conn, err := db.sql.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

func (s *session) close() {
	for _, st := range s.stmts {
		st.Close()
	}
	s.conn.Close()
}

func (s *session) prepare(query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		s.stmts[query] = st
	}
	return st, err
}

func (s *session) exec(query string, args ...any) error {
	st, err := s.prepare(query)
	if err != nil {
		return err
	}
	_, err = st.Exec(args...)
	return err
}

// Key joins the parts of a composite key so that its order is the order of
// the parts, one after the other. A part must not hold a NUL byte, except the
// last one.
func Key(parts ...string) string { return strings.Join(parts, "\x00") }

// Ping tells whether the database can be read.
func (db *DB) Ping(ctx context.Context) error {
	return db.View(ctx, func(tx *Tx) error { return tx.s.exec("SELECT 1") })
}
