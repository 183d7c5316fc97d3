// Package features runs a frozen backbone over photos, once for each photo that
// the machine ever meets.
//
// It hides the extraction pipeline and a cache folder that processes share:
//
//	x := features.New(features.Config{Cache: dir, Backbone: bb, …})
//	set, err := x.Features(ctx, paths)   // set.Rows[i] belongs to paths[i]
//
// A feature vector is known by the backbone's bytes, the preprocessing recipe
// (with the JPEG decoder behind it) and the SHA-256 of the photo's file: names
// and places of files do not matter.
//
// # Who computes
//
//	hash files ─► read cache ─► all there ─────────────────────────────► done
//	                 │ some missing
//	                 ▼
//	          wait for the lock ─► read cache again ─► compute the rest ─► done
//	                                                   (segments appear as they fill)
//
// The lock is flock(2) on a file of the cache folder: of trials that start
// together one computes and the others wait and read. A process that dies gives
// the lock back, and its finished segments remain.
//
// # Computing
//
// One session with a single thread is run from one goroutine per core, one photo
// at a time: on a CPU that is faster than batches or than operators spread over
// threads, because every core works all the time and a photo's activations stay
// in its cache. Each goroutine decodes, resizes and runs its own photo, so while
// one core decodes another infers, and no core ever waits for another's half of
// the work; files are read ahead by a further goroutine.
//
// # The cache folder
//
//	CACHE/KEY/lock               the lock
//	CACHE/KEY/NAME.feat          a segment: up to 1,024 feature vectors
//
// A segment is written whole: temporary file, flush, rename. Its layout, in the
// machine's byte order:
//
//	0   8 bytes   "MUSHFEAT"
//	8   uint32    1, which also tells the byte order
//	12  uint32    D, floats in a vector
//	16  uint32    N, vectors
//	20  uint32    CRC-32C of bytes 0–19 and of the index
//	24            index: N × (SHA-256 of the photo, CRC-32C of the vector)
//	24 + 36·N     N × D × float32
//
// A file of the wrong length, or whose checksum is wrong, is not a segment and
// is deleted by the next process that computes; a vector whose checksum is wrong
// is computed again. All segments together are kept under a size
// (Config.MaxBytes); those unused for longest go first.
package features
