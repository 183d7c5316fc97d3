package s3

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
)

// code is the code of an S3 error, "" for none, or the error itself.
func code(err error) string {
	var known *awsapi.Error
	if errors.As(err, &known) {
		return known.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestBucketNames(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "my-bucket.v2": true, "123": true, "a.b": true, strings.Repeat("a", 63): true,
		"ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-abc": false, "abc-": false,
		".abc": false, "a..b": false, "192.168.5.4": false, "xn--abc": false, "abc-s3alias": false,
		"sthree-abc": false, "amzn-s3-demo-x": false, "abc--ol-s3": false, "abc.mrap": false, "": false, "a b": false,
	} {
		if got := validBucketName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestBucketRegion(t *testing.T) {
	for _, tt := range []struct{ signed, constraint, want, code string }{
		{"us-east-1", "", "us-east-1", ""},
		{"", "", "us-east-1", ""},
		{"us-east-1", "eu-central-1", "eu-central-1", ""},
		{"us-east-1", "EU", "eu-west-1", ""},
		{"us-east-1", "us-east-1", "", "InvalidLocationConstraint"},
		{"eu-central-1", "eu-central-1", "eu-central-1", ""},
		{"eu-central-1", "", "", "IllegalLocationConstraintException"},
		{"eu-central-1", "us-west-2", "", "IllegalLocationConstraintException"},
	} {
		c := &CreateBucketConfiguration{LocationConstraint: optional(tt.constraint)}
		got, err := bucketRegion(tt.signed, c)
		if got != tt.want || code(err) != tt.code {
			t.Errorf("%s with %q: %q, %q", tt.signed, tt.constraint, got, code(err))
		}
	}
}

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		header string
		size   int64
		want   string
	}{
		{"bytes=0-4", 10, "0+5 bytes 0-4/10"},
		{"bytes=5-", 10, "5+5 bytes 5-9/10"},
		{"bytes=-3", 10, "7+3 bytes 7-9/10"},
		{"bytes=-30", 10, "0+10 bytes 0-9/10"},
		{"bytes=9-100", 10, "9+1 bytes 9-9/10"},
		{"bytes=0-0", 10, "0+1 bytes 0-0/10"},
		{"bytes=10-", 10, "InvalidRange"},
		{"bytes=-0", 10, "InvalidRange"},
		{"bytes=0-", 0, "InvalidRange"},
		{"bytes=-5", 0, "InvalidRange"},
		{"bytes=5-4", 10, "0+10 whole"},
		{"bytes=0-1,3-4", 10, "0+10 whole"},
		{"bytes=a-b", 10, "0+10 whole"},
		{"bytes=-", 10, "0+10 whole"},
		{"bytes=+1-2", 10, "0+10 whole"},
		{"items=0-1", 10, "0+10 whole"},
		{"bytes=0-99999999999999999999", 10, "0+10 whole"},
	} {
		at, err := rangeSpan(tt.header, tt.size)
		got := code(err)
		if err == nil {
			got = fmt.Sprintf("%d+%d whole", at.off, at.n)
			if r := at.contentRange(tt.size); r != nil {
				got = fmt.Sprintf("%d+%d %s", at.off, at.n, *r)
			}
		}
		if got != tt.want {
			t.Errorf("%s of %d: %s, want %s", tt.header, tt.size, got, tt.want)
		}
	}
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-4", int64(10))
	f.Add("bytes=-3", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			t.Skip()
		}
		at, err := rangeSpan(header, size)
		if err == nil && (at.off < 0 || at.n < 0 || at.off+at.n > size) {
			t.Errorf("%q of %d: %+v", header, size, at)
		}
	})
}

func TestPartSpan(t *testing.T) {
	whole := &object{Size: 7, Parts: []blob.Part{{Size: 7}}}
	parts := &object{Size: 7, PartsCount: 2, Parts: []blob.Part{{Size: 5}, {Size: 2}}}
	for _, tt := range []struct {
		o      *object
		number int64
		want   string
	}{
		{whole, 1, "{0 7 true}"}, {whole, 2, "InvalidPartNumber"}, {whole, 0, "InvalidArgument"}, {whole, 10_001, "InvalidArgument"},
		{parts, 1, "{0 5 true}"}, {parts, 2, "{5 2 true}"}, {parts, 3, "InvalidPartNumber"},
	} {
		at, err := partSpan(tt.o, tt.number)
		got := code(err)
		if err == nil {
			got = fmt.Sprint(at)
		}
		if got != tt.want {
			t.Errorf("part %d: %s, want %s", tt.number, got, tt.want)
		}
	}
}

func TestConditions(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := &object{ETag: "abc", Modified: at}
	before, after := at.Add(-time.Second), at.Add(time.Second)
	const changed, same = "PreconditionFailed", "NotModified"
	for i, tt := range []struct {
		c    conditions
		want string
	}{
		{conditions{}, ""},
		{conditions{ifMatch: new(`"abc"`)}, ""},
		{conditions{ifMatch: new("abc")}, ""},
		{conditions{ifMatch: new("*")}, ""},
		{conditions{ifMatch: new(`"x", "abc"`)}, ""},
		{conditions{ifMatch: new(`"x"`)}, changed},
		{conditions{ifNoneMatch: new(`"x"`)}, ""},
		{conditions{ifNoneMatch: new(`"abc"`)}, same},
		{conditions{ifNoneMatch: new(`W/"abc"`)}, same},
		{conditions{ifModifiedSince: &before}, ""},
		{conditions{ifModifiedSince: &at}, same},
		{conditions{ifModifiedSince: &after}, same},
		{conditions{ifUnmodifiedSince: &before}, changed},
		{conditions{ifUnmodifiedSince: &at}, ""},
		{conditions{ifMatch: new("abc"), ifUnmodifiedSince: &before}, ""},
		{conditions{ifNoneMatch: new("x"), ifModifiedSince: &after}, ""},
		{conditions{ifMatch: new("abc"), ifNoneMatch: new("abc")}, same},
	} {
		if got := code(tt.c.check(o)); got != tt.want {
			t.Errorf("%d: %q, want %q", i, got, tt.want)
		}
	}
}

func TestWriteConditions(t *testing.T) {
	o := &object{ETag: "abc"}
	for _, tt := range []struct {
		old                  *object
		ifMatch, ifNoneMatch *string
		want                 string
	}{
		{nil, nil, nil, ""}, {o, nil, nil, ""},
		{nil, nil, new("*"), ""}, {o, nil, new("*"), "PreconditionFailed"},
		{o, new("abc"), nil, ""}, {o, new("x"), nil, "PreconditionFailed"}, {nil, new("abc"), nil, "NoSuchKey"},
		{o, nil, new("abc"), "NotImplemented"},
	} {
		if got := code(checkWrite("k", tt.old, tt.ifMatch, tt.ifNoneMatch)); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestCopySource(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{"bucket/key", "bucket key "}, {"/bucket/key", "bucket key "}, {"bucket/a//b", "bucket a//b "},
		{"bucket/a%2Fb%20c%3F", "bucket a/b c? "}, {"bucket/a+b", "bucket a+b "},
		{"bucket/key?versionId=null", "bucket key "}, {"bucket/key?versionId=x", "  InvalidArgument"},
		{"bucket", "  InvalidArgument"}, {"/key", "  InvalidArgument"}, {"bucket/", "  InvalidArgument"}, {"b/%zz", "  InvalidArgument"},
	} {
		bucket, key, err := parseCopySource(tt.source)
		if got := bucket + " " + key + " " + code(err); got != tt.want {
			t.Errorf("%s: %q", tt.source, got)
		}
	}
}

func FuzzCopySource(f *testing.F) {
	f.Add("bucket/a%2Fb?versionId=null")
	f.Fuzz(func(t *testing.T, source string) {
		bucket, key, err := parseCopySource(source)
		if (err == nil) != (bucket != "" && key != "") {
			t.Errorf("%q: %q %q %v", source, bucket, key, err)
		}
	})
}

func TestCopyRange(t *testing.T) {
	for header, want := range map[string]string{
		"bytes=0-4": "{0 5 false} ", "bytes=9-9": "{9 1 false} ", "bytes=0-10": "{0 0 false} InvalidArgument",
		"bytes=-3": "{0 0 false} InvalidArgument", "bytes=3-": "{0 0 false} InvalidArgument", "0-4": "{0 0 false} InvalidArgument",
	} {
		at, err := copyRange(&header, 10)
		if got := fmt.Sprint(at) + " " + code(err); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
}

func TestTags(t *testing.T) {
	for header, want := range map[string]string{
		"": "[] ", "a=1&b=2": "[{a 1} {b 2}] ", "a=%20x": "[{a  x}] ", "a": "[{a }] ",
		"a=1&a=2": "InvalidTag", "=x": "InvalidTag", "aws:x=1": "InvalidTag", "%zz=1": "InvalidArgument",
		strings.Repeat("k", 129) + "=1": "InvalidTag", "k=" + strings.Repeat("v", 257): "InvalidTag",
		"a&b&c&d&e&f&g&h&i&j&k": "BadRequest",
	} {
		tags, err := parseTagging(header)
		got := code(err)
		if err == nil {
			got = fmt.Sprint(tags) + " "
		}
		if got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestStoredEncoding(t *testing.T) {
	for header, want := range map[string]string{"": "", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip,br": "gzip,br", "aws-chunked, gzip,br": "gzip, br"} {
		if got := storedEncoding(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}

func TestRefusedAttributes(t *testing.T) {
	for name, tt := range map[string]struct {
		in   *PutObjectInput
		want string
	}{
		"nothing":       {&PutObjectInput{}, ""},
		"owner's acl":   {&PutObjectInput{ACL: new("bucket-owner-full-control")}, ""},
		"kms":           {&PutObjectInput{ServerSideEncryption: new("aws:kms"), SSEKMSKeyId: new("key")}, ""},
		"public":        {&PutObjectInput{ACL: new("public-read")}, "AccessControlListNotSupported"},
		"grant":         {&PutObjectInput{GrantRead: new("id=x")}, "AccessControlListNotSupported"},
		"own key":       {&PutObjectInput{SSECustomerAlgorithm: new("AES256")}, "NotImplemented"},
		"key without":   {&PutObjectInput{SSECustomerKey: new("key")}, "InvalidArgument"},
		"lock":          {&PutObjectInput{ObjectLockMode: new("GOVERNANCE")}, "InvalidRequest"},
		"encryption":    {&PutObjectInput{ServerSideEncryption: new("rot13")}, "InvalidArgument"},
		"key alone":     {&PutObjectInput{SSEKMSKeyId: new("key")}, "InvalidArgument"},
		"archive":       {&PutObjectInput{StorageClass: new("GLACIER")}, "InvalidStorageClass"},
		"much metadata": {&PutObjectInput{Metadata: map[string]string{"k": strings.Repeat("v", 2048)}}, "MetadataTooLarge"},
	} {
		h := &headers{}
		copyMembers(h, tt.in)
		if got := code(h.refuse()); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestUploadSum(t *testing.T) {
	for _, tt := range []struct{ algorithm, kind, want string }{
		{"", "", " FULL_OBJECT "},
		{"CRC32", "", "CRC32 COMPOSITE "}, {"crc32", "FULL_OBJECT", "CRC32 FULL_OBJECT "},
		{"CRC64NVME", "", "CRC64NVME FULL_OBJECT "}, {"CRC64NVME", "COMPOSITE", "  InvalidRequest"},
		{"SHA256", "", "SHA256 COMPOSITE "}, {"SHA256", "FULL_OBJECT", "  InvalidRequest"},
		{"", "COMPOSITE", "  InvalidRequest"}, {"XXHASH3", "", "  NotImplemented"},
	} {
		a, kind, err := uploadSum(optional(tt.algorithm), optional(tt.kind))
		if got := fmt.Sprint(a, " ", kind, " ", code(err)); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.algorithm, tt.kind, got, tt.want)
		}
	}
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a//b": "", "日本": "", "\x01": "", strings.Repeat("ä", 512): "",
		strings.Repeat("ä", 512) + "x": "KeyTooLongError", "a\x00": "InvalidURI", "\xff": "InvalidURI",
	} {
		if got := code(checkKey(key)); got != want {
			t.Errorf("%q: %q", key, got)
		}
	}
}

// TestMembers fails where a generated type lacks a member that is copied or
// set by name.
func TestMembers(t *testing.T) {
	for _, in := range []any{&PutObjectInput{}, &UploadPartInput{}, &CompleteMultipartUploadInput{}, &CompletedPart{}} {
		if _, err := claims(in); err != nil {
			t.Error(err)
		}
	}
	for _, out := range []any{
		&PutObjectOutput{}, &UploadPartOutput{}, &HeadObjectOutput{}, &GetObjectOutput{},
		&CompleteMultipartUploadOutput{}, &CopyObjectResult{}, &CopyPartResult{}, &Part{},
	} {
		for _, a := range algorithms {
			setSum(out, a, "sum")
		}
	}
}
