package awsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Values of X-Amz-Content-Sha256 that are not a hash.
const (
	unsignedPayload          = "UNSIGNED-PAYLOAD"
	streamingSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	emptyHash                = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// keyCache keeps derived signing keys: one derivation is four HMACs, and a
// client uses the same key all day.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID][]byte
}

type keyID struct{ secret, day, region, service string }

// maxKeys bounds the cache; beyond it, it starts over.
const maxKeys = 1024

func (c *keyCache) get(id keyID) []byte {
	c.mu.RLock()
	key := c.keys[id]
	c.mu.RUnlock()
	if key != nil {
		return key
	}
	key = deriveKey(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = map[keyID][]byte{}
	}
	c.keys[id] = key
	return key
}

func deriveKey(id keyID) []byte {
	k := hmacSHA256([]byte("AWS4"+id.secret), id.day)
	k = hmacSHA256(k, id.region)
	k = hmacSHA256(k, id.service)
	return hmacSHA256(k, "aws4_request")
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s *signature) scopeText() string {
	return s.day + "/" + s.region + "/" + s.service + "/aws4_request"
}

// verifyV4 checks a version 4 signature against the key of the caller.
// payload is the hash that was signed, or one of the constants above.
func (s *signature) verifyV4(m *ServiceModel, r *http.Request, query []param, payload string, key []byte) *Error {
	if m.isS3() {
		if err := s.coversHeaders(r); err != nil {
			return err
		}
	} else if !slices.Contains(s.headers, "host") {
		return Errorf("IncompleteSignature", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	rest := s.canonicalRest(r, query, payload)
	var canonical, toSign string
	for _, path := range canonicalPaths(m, r.URL) {
		canonical = r.Method + "\n" + path + "\n" + rest
		toSign = stringToSign(s.stamp, s.scopeText(), canonical)
		want := hex.EncodeToString(hmacSHA256(key, toSign))
		if hmac.Equal([]byte(want), []byte(s.signature)) {
			return nil
		}
	}
	return mismatch(m, s, toSign, canonical)
}

// coversHeaders makes sure that nobody on the way added an x-amz header: S3
// acts on those.
func (s *signature) coversHeaders(r *http.Request) *Error {
	missing := func(name string) *Error {
		return Errorf("AccessDenied", "There were headers present in the request which were not signed").With("HeadersNotSigned", name)
	}
	if !slices.Contains(s.headers, "host") {
		return missing("host")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && lower != "x-amz-content-sha256" && !slices.Contains(s.headers, lower) {
			return missing(lower)
		}
	}
	return nil
}

func stringToSign(stamp, scope, canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return algorithmV4 + "\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
}

// canonicalRest is the canonical request from the query string on.
func (s *signature) canonicalRest(r *http.Request, query []param, payload string) string {
	b := make([]byte, 0, 1024)
	b = appendCanonicalQuery(b, query)
	b = append(b, '\n')
	for _, name := range s.headers {
		b = append(append(b, name...), ':')
		b = appendCanonicalValue(b, signedValues(r, name))
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return string(append(b, payload...))
}

func signedValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		if v := r.Header.Values("Content-Length"); len(v) > 0 {
			return v
		}
		return []string{itoa(r.ContentLength)}
	case "transfer-encoding":
		return r.TransferEncoding
	}
	return r.Header.Values(name)
}

// appendCanonicalValue trims each value and joins runs of blanks into one.
func appendCanonicalValue(b []byte, values []string) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		v = strings.Trim(v, " \t")
		if !strings.Contains(v, "  ") && !strings.Contains(v, "\t") {
			b = append(b, v...)
			continue
		}
		b = append(b, strings.Join(strings.Fields(v), " ")...)
	}
	return b
}

func appendCanonicalQuery(b []byte, query []param) []byte {
	pairs := make([][2]string, 0, len(query))
	for _, p := range query {
		if p.key != "X-Amz-Signature" {
			pairs = append(pairs, [2]string{URIEncode(p.key, false), URIEncode(p.value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p[0]...), '='), p[1]...)
	}
	return b
}

// canonicalPaths are the forms that clients sign a path in: S3's once escaped
// (by their own idea of which characters need it), others' twice.
func canonicalPaths(m *ServiceModel, u *url.URL) []string {
	sent := u.EscapedPath()
	if sent == "" {
		sent = "/"
	}
	once := sent
	if u.Path != "" {
		once = URIEncode(u.Path, true)
	}
	if m.isS3() {
		if once == sent {
			return []string{sent}
		}
		return []string{once, sent}
	}
	twice := URIEncode(sent, true)
	if twice == sent {
		return []string{sent}
	}
	return []string{twice, sent}
}

// Credentials are what a client signs with. Token is empty for long-lived keys.
type Credentials struct{ AccessKeyID, SecretAccessKey, Token string }

// SignV4 signs a request in its headers. payload is the hex SHA-256 of the
// body, or UNSIGNED-PAYLOAD; path and query must be as they will be sent.
func SignV4(r *http.Request, c Credentials, region string, m *ServiceModel, payload string, now time.Time) {
	s := newSignature(c, region, m, now)
	r.Header.Set("X-Amz-Date", s.stamp)
	if m.isS3() {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if c.Token != "" {
		r.Header.Set("X-Amz-Security-Token", c.Token)
	}
	s.headers = signedHeaders(r)
	r.Header.Set("Authorization", algorithmV4+" Credential="+c.AccessKeyID+"/"+s.scopeText()+
		", SignedHeaders="+strings.Join(s.headers, ";")+", Signature="+s.sign(m, r, payload, c.SecretAccessKey))
}

// PresignV4 signs a request in its URL, which is good for the time given, at
// most seven days. The headers that the request has must be sent along.
func PresignV4(r *http.Request, c Credentials, region string, m *ServiceModel, expires time.Duration, now time.Time) {
	s := newSignature(c, region, m, now)
	s.headers = signedHeaders(r)
	query := parseQuery(r.URL.RawQuery)
	query = append(query,
		param{"X-Amz-Algorithm", algorithmV4},
		param{"X-Amz-Credential", c.AccessKeyID + "/" + s.scopeText()},
		param{"X-Amz-Date", s.stamp},
		param{"X-Amz-Expires", itoa(int64(expires / time.Second))},
		param{"X-Amz-SignedHeaders", strings.Join(s.headers, ";")},
	)
	if c.Token != "" {
		query = append(query, param{"X-Amz-Security-Token", c.Token})
	}
	payload := emptyHash
	if m.isS3() {
		payload = unsignedPayload
	}
	r.URL.RawQuery = string(appendCanonicalQuery(nil, query))
	r.URL.RawQuery += "&X-Amz-Signature=" + s.sign(m, r, payload, c.SecretAccessKey)
}

func newSignature(c Credentials, region string, m *ServiceModel, now time.Time) *signature {
	stamp := now.UTC().Format(stampLayout)
	return &signature{accessKeyID: c.AccessKeyID, day: stamp[:8], region: region, service: m.SigningName, stamp: stamp}
}

// signedHeaders are those that a client signs: what the service acts on.
func signedHeaders(r *http.Request) []string {
	names := []string{"host"}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") || lower == "content-type" || lower == "content-md5" {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return names
}

func (s *signature) sign(m *ServiceModel, r *http.Request, payload, secret string) string {
	rest := s.canonicalRest(r, parseQuery(r.URL.RawQuery), payload)
	canonical := r.Method + "\n" + canonicalPaths(m, r.URL)[0] + "\n" + rest
	key := deriveKey(keyID{secret, s.day, s.region, s.service})
	return hex.EncodeToString(hmacSHA256(key, stringToSign(s.stamp, s.scopeText(), canonical)))
}
