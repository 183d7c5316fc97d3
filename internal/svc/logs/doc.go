// Package logs is CloudWatch Logs: groups of streams of events, and files that
// become events as they grow.
//
// Answered here: CreateLogGroup, DescribeLogGroups, DeleteLogGroup,
// PutRetentionPolicy, DeleteRetentionPolicy, CreateLogStream,
// DescribeLogStreams, DeleteLogStream, PutLogEvents, GetLogEvents,
// FilterLogEvents; TagResource, UntagResource, ListTagsForResource and the
// older TagLogGroup, UntagLogGroup, ListTagsLogGroup.
//
// # Events
//
// A stream's events have an order: by time, and among those of one time by the
// number that each got when it came. They lie in chunks of about 32 KiB, one
// row each, whose key is the place of its first event. Chunks never overlap:
// what comes late is merged into the chunks that it belongs to. So a page of
// events is a scan, forwards or backwards, from wherever a token points.
//
// A token is a gap between two events, not an event. What comes later falls to
// one side of the gap or the other, and no reader sees it twice.
//
// # Files
//
//	Follow ──► followed, lines become events ──► Finish ──► fed
//	                  ▲ a restart resumes here
//
// One goroutine looks at all followed files five times a second. A line and
// the new offset in its file are committed at once, so a server that is killed
// neither loses nor repeats a line. The file itself is the buffer: bytes that
// make no whole line yet stay where they are, and are read again.
package logs
