package s3

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// conditions are those of a read, or of the source of a copy. Times count in
// whole seconds.
type conditions struct {
	ifMatch, ifNoneMatch               *string
	ifModifiedSince, ifUnmodifiedSince *time.Time
}

// check says whether an object may be read: nil, or PreconditionFailed, or
// NotModified. As in RFC 9110, a condition on the ETag makes the one on the
// time of the same direction irrelevant.
func (c conditions) check(o *object) error {
	switch {
	case c.ifMatch != nil && !etagMatches(*c.ifMatch, o.ETag):
		return preconditionFailed("If-Match")
	case c.ifMatch == nil && c.ifUnmodifiedSince != nil && o.Modified.After(*c.ifUnmodifiedSince):
		return preconditionFailed("If-Unmodified-Since")
	case c.ifNoneMatch != nil && etagMatches(*c.ifNoneMatch, o.ETag):
		return notModified(o)
	case c.ifNoneMatch == nil && c.ifModifiedSince != nil && !o.Modified.After(*c.ifModifiedSince):
		return notModified(o)
	}
	return nil
}

func notModified(o *object) error {
	e := awsapi.Errorf("NotModified", "Not Modified").WithStatus(http.StatusNotModified)
	e = e.WithHeader("ETag", quoted(o.ETag)).WithHeader("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	if o.CacheControl != "" {
		e = e.WithHeader("Cache-Control", o.CacheControl)
	}
	return e
}

// etagMatches compares an ETag with a header's list of them.
func etagMatches(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || unquoted(candidate) == etag {
			return true
		}
	}
	return false
}

// checkWrite decides about a conditional write; old is nil where nothing is
// there.
func checkWrite(key string, old *object, ifMatch, ifNoneMatch *string) error {
	switch {
	case ifNoneMatch != nil && *ifNoneMatch != "*":
		return notImplemented("If-None-Match with an ETag on a write")
	case ifNoneMatch != nil && old != nil:
		return preconditionFailed("If-None-Match")
	case ifMatch != nil && old == nil:
		return noSuchKey(key)
	case ifMatch != nil && !etagMatches(*ifMatch, old.ETag):
		return preconditionFailed("If-Match")
	}
	return nil
}

// span is the part of an object that is read.
type span struct {
	off, n  int64
	partial bool // it was asked for as a part, so the answer is 206
}

// spanOf finds what a read asks for, by range or by part number.
func spanOf(o *object, rangeHeader *string, partNumber *int64) (span, error) {
	switch {
	case rangeHeader != nil && partNumber != nil:
		return span{}, invalidRequest("Cannot specify both Range header and partNumber query parameter")
	case partNumber != nil:
		return partSpan(o, *partNumber)
	case rangeHeader != nil:
		return rangeSpan(*rangeHeader, o.Size)
	}
	return span{n: o.Size}, nil
}

// rangeSpan reads a Range header. One that is malformed or asks for several
// ranges counts as none.
func rangeSpan(header string, size int64) (span, error) {
	first, last, ok := parseRange(header)
	if !ok {
		return span{n: size}, nil
	}
	if first < 0 { // a suffix: the last so many bytes
		first, last = max(0, size-last), size-1
	} else if last < 0 || last >= size {
		last = size - 1
	}
	if first >= size || last < first {
		return span{}, awsapi.Errorf("InvalidRange", "The requested range is not satisfiable").
			WithStatus(http.StatusRequestedRangeNotSatisfiable).
			With("RangeRequested", header).With("ActualObjectSize", size).
			WithHeader("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
	}
	return span{off: first, n: last - first + 1, partial: true}, nil
}

// parseRange reads "bytes=first-last"; first is -1 for a suffix of length
// last, last is -1 for an open end.
func parseRange(header string) (first, last int64, ok bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return 0, 0, false
	}
	from, to, ok := strings.Cut(spec, "-")
	if !ok || from == "" && to == "" {
		return 0, 0, false
	}
	first, last = -1, -1
	var err error
	if from != "" {
		first, err = parseCount(from)
	}
	if to != "" && err == nil {
		last, err = parseCount(to)
	}
	if err != nil || from != "" && to != "" && last < first {
		return 0, 0, false
	}
	return first, last, true
}

func parseCount(digits string) (int64, error) {
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err
}

// partSpan is a part of the multipart upload that made the object; any other
// object is one part.
func partSpan(o *object, number int64) (span, error) {
	if number < 1 || number > maxPartNumber {
		return span{}, invalidArgument("partNumber", "Part number must be an integer between 1 and %d, inclusive", maxPartNumber)
	}
	if number > int64(max(1, o.PartsCount)) {
		return span{}, awsapi.Errorf("InvalidPartNumber", "The requested partnumber is not satisfiable").
			WithStatus(http.StatusRequestedRangeNotSatisfiable).With("ActualPartCount", max(1, o.PartsCount))
	}
	if o.PartsCount == 0 {
		return span{n: o.Size, partial: true}, nil
	}
	var off int64
	for _, p := range o.Parts[:number-1] {
		off += p.Size
	}
	return span{off: off, n: o.Parts[number-1].Size, partial: true}, nil
}

// contentRange is the header of a partial answer, nil for a whole one.
func (s span) contentRange(size int64) *string {
	if !s.partial || s.n == 0 {
		return nil
	}
	return new("bytes " + strconv.FormatInt(s.off, 10) + "-" + strconv.FormatInt(s.off+s.n-1, 10) + "/" + strconv.FormatInt(size, 10))
}
