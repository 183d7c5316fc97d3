// Package progress tells people and programs how far long work has come.
//
// It hides how that looks. Work is told as steps, one after the other or side
// by side, and the same calls give bars on a terminal, plain lines in a log
// file and JSON objects for programs:
//
//	r := progress.New(os.Stderr, progress.Options{})
//	defer r.Close()
//	s := r.Step("upload")
//	s.Total(460, "photos")
//	for … { s.Add(1) }
//	s.Done("460 photos, 9.5 MB")
//
// A step begins with Step and ends with Done or Fail, once; what is told after
// that is dropped. All calls are safe for several goroutines, and cheap: a
// rendering looks at a step a few times a second, however often it changes.
//
//	rendering  where                                  how often
//	bars       a terminal that can move its cursor    8 times a second, while the step runs
//	lines      everything else                        after 2 s, then every 5 s, and at the end
//	JSON       asked for                              at the start, 4 times a second, and at the end
//
// Colours are used on terminals only, and not where NO_COLOR is set.
package progress
