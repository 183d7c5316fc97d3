package awsapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signature is what a request says about who signed it and how: parsed, not
// yet believed.
type signature struct {
	version     int  // 4 or 2
	presigned   bool // it stands in the query string
	accessKeyID string
	token       string

	// Version 4.
	day, region, service string
	headers              []string // signed ones, lower case
	stamp                string   // X-Amz-Date as sent
	time                 time.Time
	expires              time.Duration // of a presigned URL

	deadline  time.Time // presigned, version 2
	signature string
}

const (
	algorithmV4  = "AWS4-HMAC-SHA256"
	stampLayout  = "20060102T150405Z"
	maxPresigned = 7 * 24 * time.Hour
	maxAuthSize  = 8 << 10
)

// parseSignature finds a request's signature. It is nil, without an error, if
// the request is not signed at all.
func parseSignature(r *http.Request, query []param) (*signature, *Error) {
	if h := r.Header.Get("Authorization"); h != "" {
		if len(h) > maxAuthSize {
			return nil, Errorf("IncompleteSignature", "The Authorization header is too long")
		}
		if rest, ok := strings.CutPrefix(h, "AWS "); ok {
			return parseHeaderV2(r, rest)
		}
		return parseHeaderV4(r, h)
	}
	if a, ok := lookup(query, "X-Amz-Algorithm"); ok {
		return parseQueryV4(query, a)
	}
	_, id := lookup(query, "AWSAccessKeyId")
	_, sig := lookup(query, "Signature")
	if id && sig {
		return parseQueryV2(query)
	}
	return nil, nil
}

func parseHeaderV4(r *http.Request, h string) (*signature, *Error) {
	rest, ok := strings.CutPrefix(h, algorithmV4)
	if !ok || rest != "" && rest[0] != ' ' {
		return nil, Errorf("IncompleteSignature", "Unsupported Authorization Type")
	}
	s := &signature{version: 4}
	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	switch {
	case credential == "":
		return nil, Errorf("IncompleteSignature", "Authorization header requires 'Credential' parameter.")
	case s.signature == "":
		return nil, Errorf("IncompleteSignature", "Authorization header requires 'Signature' parameter.")
	case len(s.headers) == 0:
		return nil, Errorf("IncompleteSignature", "Authorization header requires 'SignedHeaders' parameter.")
	}
	if err := s.scope(credential); err != nil {
		return nil, err
	}
	s.token = r.Header.Get("X-Amz-Security-Token")
	return s, s.date(r)
}

// scope parses KEY/20261122/eu-west-1/s3/aws4_request.
func (s *signature) scope(credential string) *Error {
	parts := strings.Split(credential, "/")
	if len(parts) < 5 || parts[len(parts)-1] != "aws4_request" {
		return Errorf("IncompleteSignature", "Credential must have at least 5 slash-delimited elements ending in aws4_request, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	n := len(parts)
	s.accessKeyID = strings.Join(parts[:n-4], "/")
	s.day, s.region, s.service = parts[n-4], parts[n-3], parts[n-2]
	return nil
}

// clip bounds what an error repeats of a request.
func clip(s string) string {
	if len(s) > 256 {
		return s[:256]
	}
	return s
}

func (s *signature) date(r *http.Request) *Error {
	s.stamp = r.Header.Get("X-Amz-Date")
	if s.stamp == "" {
		if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			s.stamp = t.UTC().Format(stampLayout)
		}
	}
	if s.stamp == "" {
		return Errorf("IncompleteSignature", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	t, err := time.Parse(stampLayout, s.stamp)
	if err != nil {
		return Errorf("IncompleteSignature", "Date must be in ISO-8601 'basic format'. Got '%s'.", clip(s.stamp))
	}
	s.time = t
	return nil
}

func parseQueryV4(query []param, algorithm string) (*signature, *Error) {
	bad := func(format string, args ...any) (*signature, *Error) {
		return nil, Errorf("AuthorizationQueryParametersError", format, args...).WithStatus(http.StatusBadRequest)
	}
	if algorithm != algorithmV4 {
		return bad("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	get := func(k string) string { v, _ := lookup(query, k); return v }
	s := &signature{
		version: 4, presigned: true,
		token: get("X-Amz-Security-Token"), signature: get("X-Amz-Signature"), stamp: get("X-Amz-Date"),
	}
	credential, headers, expires := get("X-Amz-Credential"), get("X-Amz-SignedHeaders"), get("X-Amz-Expires")
	if credential == "" || headers == "" || s.signature == "" || s.stamp == "" {
		return bad("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
	}
	if err := s.scope(credential); err != nil {
		return bad("Error parsing the X-Amz-Credential parameter; %s", err.Message)
	}
	s.headers = strings.Split(headers, ";")
	var err error
	if s.time, err = time.Parse(stampLayout, s.stamp); err != nil {
		return bad("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if expires == "" && s.service != "s3" {
		expires = "900" // what the other services take it for
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	switch {
	case err != nil:
		return bad("X-Amz-Expires should be a number")
	case seconds < 0:
		return bad("X-Amz-Expires must be non-negative")
	case seconds > int64(maxPresigned/time.Second):
		return bad("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	s.expires = time.Duration(seconds) * time.Second
	return s, nil
}

// inTime tells whether the request was signed now, give or take the skew that
// the service allows, or whether its presigned URL is still good.
func (s *signature) inTime(m *ServiceModel, now time.Time) *Error {
	if s.version == 4 && s.day != s.stamp[:8] {
		return s.wrongDay(m)
	}
	if s.presigned {
		return s.stillGood(now)
	}
	if m.isS3() {
		const most = 15 * time.Minute
		if d := now.Sub(s.time); d > most || d < -most {
			return Errorf("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.").
				With("RequestTime", s.time.Format(time.RFC3339)).With("ServerTime", now.UTC().Format(time.RFC3339)).
				With("MaxAllowedSkewMilliseconds", most.Milliseconds())
		}
		return nil
	}
	const most = 5 * time.Minute
	stamp := func(t time.Time) string { return t.UTC().Format(stampLayout) }
	if s.time.Before(now.Add(-most)) {
		return Errorf("SignatureDoesNotMatch", "Signature expired: %s is now earlier than %s (%s - 5 min.)", stamp(s.time), stamp(now.Add(-most)), stamp(now))
	}
	if s.time.After(now.Add(most)) {
		return Errorf("SignatureDoesNotMatch", "Signature not yet current: %s is still later than %s (%s + 5 min.)", stamp(s.time), stamp(now.Add(most)), stamp(now))
	}
	return nil
}

func (s *signature) wrongDay(m *ServiceModel) *Error {
	text := "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + clip(s.day) + "' != '" + s.stamp[:8] + "', from '" + s.stamp + "'."
	switch {
	case m.isS3() && s.presigned:
		return Errorf("AuthorizationQueryParametersError", "%s", text).WithStatus(http.StatusBadRequest)
	case m.isS3():
		return Errorf("AuthorizationHeaderMalformed", "%s", text).WithStatus(http.StatusBadRequest)
	}
	return Errorf("SignatureDoesNotMatch", "%s", text)
}

func (s *signature) stillGood(now time.Time) *Error {
	deadline := s.deadline
	if s.version == 4 {
		deadline = s.time.Add(s.expires)
		if s.time.After(now.Add(15 * time.Minute)) {
			return Errorf("AccessDenied", "Request is not valid yet")
		}
	}
	if now.After(deadline) {
		e := Errorf("AccessDenied", "Request has expired")
		if s.version == 4 {
			e = e.With("X-Amz-Expires", int64(s.expires/time.Second))
		}
		return e.With("Expires", deadline.UTC().Format(time.RFC3339)).With("ServerTime", now.UTC().Format(time.RFC3339))
	}
	return nil
}

// mismatch is the answer to a signature that is not ours. S3 shows what was
// signed, for whoever has to find out why; so do we.
func mismatch(m *ServiceModel, s *signature, toSign, canonical string) *Error {
	e := Errorf("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	if m.isS3() {
		e = e.With("AWSAccessKeyId", s.accessKeyID).With("StringToSign", toSign).With("SignatureProvided", clip(s.signature))
		if canonical != "" {
			e = e.With("CanonicalRequest", canonical)
		}
	}
	return e
}
