// Package state keeps Musher's tables: what is desired and what was observed.
//
// One SQLite file holds all tables. A row is a Go value, stored as JSON under
// a key; keys are ordered by their bytes, so a composite key made with [Key]
// can be scanned by prefix. There are no other indexes: a service that needs
// a second order keeps a second table.
//
//	jobs := state.NewTable[Job](db, "training_jobs")
//	err := db.Update(ctx, func(tx *state.Tx) error { return jobs.Insert(tx, name, &job) })
//
// Update returns once the change is on disk (write-ahead log, synchronous
// FULL). Updates that arrive together share one commit and so one fsync; each
// still succeeds or fails alone, because each runs in its own savepoint.
// View sees one consistent snapshot and never waits for writers.
//
// The functions given to Update and View must be quick and must not call
// Update or View again: there is one writer.
package state
