// Package blob keeps bytes on disk: written whole or not at all, checksummed
// on the way in, flushed before they are acknowledged, and never changed
// afterwards.
//
// A blob has no name but the random [ID] that Put returns; what it belongs to
// is recorded elsewhere, in a database row. The order is always the same:
//
//	put bytes → commit the row that refers to them     (a crash between: an orphan)
//	commit the row that no longer does → Delete         (a crash between: an orphan)
//
// so that a row never refers to bytes that are missing, and all that a crash
// can leave is an orphan, which [Store.Sweep] removes at the next start. An ID
// begins with the number of times the store was opened, so Sweep can tell what
// an earlier process left from what this one is writing without trusting any
// clock.
//
// An object may be a list of blobs (the parts of a multipart upload):
// [Store.Reader] reads a range of their concatenation, so putting parts
// together never rewrites a byte. Whoever is reading keeps reading: Delete of
// a blob that a Reader holds is carried out when the Reader is closed.
// [Store.Link] makes a second blob of the same bytes without copying them.
//
// On disk:
//
//	DIR/lock          held (flock) while the store is open
//	DIR/generation    how often it was opened
//	DIR/tmp/          what is being written; emptied when the store is opened
//	DIR/00 … DIR/ff/  blobs, by the last two digits of their ID
//
// A put is: write to tmp, fsync the file, rename into its folder, fsync the
// folder. Flushes of concurrent puts are not gathered here, because the file
// system's journal already does it: with 10 writers of 15 KB files, one fsync
// each plus one of the folder was as fast as syncfs for a whole group
// (which would also wait for everybody else's dirty pages) and faster than a
// single flushing goroutine.
package blob
