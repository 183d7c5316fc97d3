package s3

import (
	"reflect"
	"strings"
	"unicode/utf8"
)

// value is what an optional member holds, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// optional is a member that is absent when it is zero.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func anySet(members ...*string) bool {
	for _, m := range members {
		if m != nil {
			return true
		}
	}
	return false
}

// copyMembers copies the members that two structs have in common, by name. The
// generated types repeat long lists of members from operation to operation;
// this says "the same here".
func copyMembers(to, from any) {
	dst, src := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for i := range dst.NumField() {
		if f := src.FieldByName(dst.Type().Field(i).Name); f.IsValid() {
			dst.Field(i).Set(f)
		}
	}
}

// quoted is an ETag as it travels.
func quoted(etag string) string { return `"` + etag + `"` }

// unquoted is an ETag as it is stored.
func unquoted(etag string) string { return strings.Trim(etag, `"`) }

// maxKeyBytes is the length of the longest key.
const maxKeyBytes = 1024

// checkKey refuses keys that S3 can't hold. NUL is refused as well: it can't
// be written in XML, and it separates the parts of this service's row keys.
func checkKey(key string) error {
	if len(key) > maxKeyBytes {
		return badRequest("KeyTooLongError", "Your key is too long").With("MaxSizeAllowed", maxKeyBytes).With("Size", len(key))
	}
	if !utf8.ValidString(key) || strings.Contains(key, "\x00") {
		return badRequest("InvalidURI", "Couldn't parse the specified URI.")
	}
	return nil
}
