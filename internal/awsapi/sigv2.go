package awsapi

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version 2 signatures live on in S3's presigned URLs, which boto3 and the
// first aws CLI make unless told otherwise, and in some old clients' headers.

func parseQueryV2(query []param) (*signature, *Error) {
	get := func(k string) string { v, _ := lookup(query, k); return v }
	s := &signature{
		version: 2, presigned: true, service: "s3",
		accessKeyID: get("AWSAccessKeyId"), signature: get("Signature"), stamp: get("Expires"),
		token: get("x-amz-security-token"),
	}
	seconds, err := strconv.ParseInt(s.stamp, 10, 64)
	if err != nil {
		return nil, Errorf("AccessDenied", "Invalid date (should be seconds since epoch): %s", clip(s.stamp))
	}
	s.deadline = time.Unix(seconds, 0)
	return s, nil
}

func parseHeaderV2(r *http.Request, rest string) (*signature, *Error) {
	id, sig, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, Errorf("InvalidArgument", "Authorization header is invalid -- one and only one ' ' (space) required").WithStatus(http.StatusBadRequest)
	}
	s := &signature{version: 2, service: "s3", accessKeyID: id, signature: sig, token: r.Header.Get("X-Amz-Security-Token")}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
		s.stamp = date
	}
	t, err := parseTime(date)
	if err != nil {
		return nil, Errorf("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
	}
	s.time = t
	return s, nil
}

// verifyV2 checks a version 2 signature. bucket is set for virtual-hosted
// requests, whose path lacks it.
func (s *signature) verifyV2(m *ServiceModel, r *http.Request, query []param, bucket, secret string) *Error {
	var toSign string
	for _, path := range resourcesV2(r.URL, bucket) {
		toSign = s.stringToSignV2(r, query, path)
		h := hmac.New(sha1.New, []byte(secret))
		h.Write([]byte(toSign))
		want := base64.StdEncoding.EncodeToString(h.Sum(nil))
		if hmac.Equal([]byte(want), []byte(s.signature)) {
			return nil
		}
	}
	return mismatch(m, s, toSign, "")
}

// resourcesV2 are the forms of the path that clients sign.
func resourcesV2(u *url.URL, bucket string) []string {
	prefix := ""
	if bucket != "" {
		prefix = "/" + bucket
	}
	sent, plain := prefix+u.EscapedPath(), prefix+URIEncode(u.Path, true)
	if sent == plain {
		return []string{sent}
	}
	return []string{sent, plain}
}

func (s *signature) stringToSignV2(r *http.Request, query []param, resource string) string {
	// A presigned URL carries as parameters what would else be headers.
	get := func(name string) string {
		if v := r.Header.Get(name); v != "" {
			return v
		}
		if s.presigned {
			v, _ := lookup(query, strings.ToLower(name))
			return v
		}
		return ""
	}
	return r.Method + "\n" + get("Content-Md5") + "\n" + get("Content-Type") + "\n" + s.stamp + "\n" +
		s.amzHeadersV2(r, query) + resource + subresourcesV2(query)
}

func (s *signature) amzHeadersV2(r *http.Request, query []param) string {
	lines := map[string]string{}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			lines[lower] = strings.Join(values, ",")
		}
	}
	for _, p := range query {
		if s.presigned && strings.HasPrefix(p.key, "x-amz-") {
			lines[p.key] = p.value
		}
	}
	names := make([]string, 0, len(lines))
	for n := range lines {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n + ":" + strings.TrimSpace(lines[n]) + "\n")
	}
	return b.String()
}

// signedV2 are the query keys that belong to the resource.
var signedV2 = map[string]bool{
	"accelerate": true, "acl": true, "analytics": true, "cors": true, "defaultObjectAcl": true, "delete": true,
	"inventory": true, "lifecycle": true, "location": true, "logging": true, "metrics": true, "notification": true,
	"partNumber": true, "policy": true, "replication": true, "requestPayment": true, "response-cache-control": true,
	"response-content-disposition": true, "response-content-encoding": true, "response-content-language": true,
	"response-content-type": true, "response-expires": true, "restore": true, "select": true, "select-type": true,
	"storageClass": true, "tagging": true, "torrent": true, "uploadId": true, "uploads": true, "versionId": true,
	"versioning": true, "versions": true, "website": true, "object-lock": true, "retention": true, "legal-hold": true,
}

func subresourcesV2(query []param) string {
	var parts []string
	for _, p := range query {
		switch {
		case !signedV2[p.key]:
		case p.value == "":
			parts = append(parts, p.key)
		default:
			parts = append(parts, p.key+"="+p.value)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return "?" + strings.Join(parts, "&")
}
