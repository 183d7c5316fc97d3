package awsapi

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// This file holds scalars as text: in headers, paths, query strings, forms and
// XML.

const (
	formatISO  = "iso8601"
	formatHTTP = "rfc822"
	formatUnix = "unixTimestamp"
)

const isoLayout = "2006-01-02T15:04:05.000Z"

// setText parses text into a scalar.
func setText(s *shape, dst reflect.Value, text string) error {
	switch s.kind {
	case kindString:
		dst.SetString(text)
	case kindInt:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, s.bits)
		if err != nil {
			return fmt.Errorf("%q is not an integer of %d bits", text, s.bits)
		}
		dst.SetInt(n)
	case kindFloat:
		f, err := parseFloat(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		dst.SetFloat(f)
	case kindBool:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "true":
			dst.SetBool(true)
		case "false":
			dst.SetBool(false)
		default:
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case kindTime:
		t, err := parseTime(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		dst.Set(reflect.ValueOf(t))
	case kindBlob:
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("not base64: %w", err)
		}
		dst.SetBytes(b)
	default:
		return fmt.Errorf("a value was found where there is none")
	}
	return nil
}

// appendText formats a scalar. defaultTime is the protocol's own format.
func appendText(b []byte, s *shape, v reflect.Value, defaultTime string) []byte {
	switch s.kind {
	case kindString:
		return append(b, v.String()...)
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case kindFloat:
		return appendFloat(b, v.Float(), s.bits)
	case kindBool:
		return strconv.AppendBool(b, v.Bool())
	case kindTime:
		format := s.time
		if format == "" {
			format = defaultTime
		}
		return appendTime(b, v.Interface().(time.Time), format)
	case kindBlob:
		return base64.StdEncoding.AppendEncode(b, v.Bytes())
	}
	panic("awsapi: no text for a compound value")
}

func parseFloat(s string) (float64, error) {
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "xX_pP") {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}

func appendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

// appendTime formats an instant; milliseconds are the finest that AWS sends.
func appendTime(b []byte, t time.Time, format string) []byte {
	t = t.UTC()
	switch format {
	case formatHTTP:
		return t.AppendFormat(b, http.TimeFormat)
	case formatUnix:
		return appendEpoch(b, t)
	}
	if t.Nanosecond() < int(time.Millisecond) {
		return t.AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(b, isoLayout)
}

// appendEpoch writes seconds since 1970 with up to three decimals.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', 3, 64)
}

var timeLayouts = []string{
	time.RFC3339Nano, http.TimeFormat, "Mon, 2 Jan 2006 15:04:05.999999999 GMT",
	"20060102T150405Z", "2006-01-02T15:04:05.999999999", "2006-01-02",
	time.RFC850, time.ANSIC, time.RFC1123Z,
}

// parseTime takes any of the forms that AWS clients send, whichever one the
// model asks for: the real services do the same.
func parseTime(s string) (time.Time, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if f, err := parseFloat(s); err == nil {
		return epoch(f)
	}
	return time.Time{}, fmt.Errorf("%q is not a time", s)
}

func epoch(seconds float64) (time.Time, error) {
	const year10000 = 253402300800
	if !(seconds >= -62135596800 && seconds < year10000) {
		return time.Time{}, fmt.Errorf("%v is not a time", seconds)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}
