package s3

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxMetadataBytes is how much user metadata an object may have: names and
// values together.
const maxMetadataBytes = 2048

// headers are the members that PutObject, CopyObject and CreateMultipartUpload
// have in common, with the names of the generated types.
type headers struct {
	CacheControl, ContentDisposition, ContentEncoding, ContentLanguage, ContentType *string
	Expires, WebsiteRedirectLocation, Tagging, StorageClass, ACL                    *string
	GrantFullControl, GrantRead, GrantReadACP, GrantWriteACP                        *string
	ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext                      *string
	SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5                         *string
	ObjectLockMode, ObjectLockLegalHoldStatus                                       *string
	ObjectLockEventHold                                                             *string
	BucketKeyEnabled                                                                *bool
	Metadata                                                                        map[string]string
}

// attributes validates what the client says about an object.
func (s *Service) attributes(in any) (attributes, error) {
	h := &headers{}
	copyMembers(h, in)
	if err := h.refuse(); err != nil {
		return attributes{}, err
	}
	tags, err := parseTagging(value(h.Tagging))
	if err != nil {
		return attributes{}, err
	}
	a := attributes{
		CacheControl: value(h.CacheControl), ContentDisposition: value(h.ContentDisposition),
		ContentEncoding: storedEncoding(value(h.ContentEncoding)), ContentLanguage: value(h.ContentLanguage),
		ContentType: value(h.ContentType), Expires: value(h.Expires), WebsiteRedirect: value(h.WebsiteRedirectLocation),
		Metadata: h.Metadata, Tags: tags, StorageClass: value(h.StorageClass),
		Encryption: encryption{
			Algorithm: value(h.ServerSideEncryption), KMSKeyID: value(h.SSEKMSKeyId),
			Context: value(h.SSEKMSEncryptionContext), BucketKey: value(h.BucketKeyEnabled),
		},
	}
	if a.Encryption.Algorithm != "" {
		s.confess.Do(func() {
			s.log.Warn("s3: server-side encryption was asked for; it is recorded and echoed, but nothing is encrypted", "algorithm", a.Encryption.Algorithm)
		})
	}
	return a, nil
}

// refuse finds what can't be honoured.
func (h *headers) refuse() error {
	size := 0
	for name, v := range h.Metadata {
		size += len(name) + len(v)
	}
	acl := value(h.ACL)
	switch {
	case size > maxMetadataBytes:
		return badRequest("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size").
			With("Size", size).With("MaxSizeAllowed", maxMetadataBytes)
	case acl != "" && acl != "private" && acl != "bucket-owner-full-control",
		anySet(h.GrantFullControl, h.GrantRead, h.GrantReadACP, h.GrantWriteACP):
		return badRequest("AccessControlListNotSupported", "The bucket does not allow ACLs")
	case h.SSECustomerAlgorithm != nil:
		return notImplemented("encryption with customer-provided keys")
	case anySet(h.SSECustomerKey, h.SSECustomerKeyMD5):
		return invalidArgument("x-amz-server-side-encryption", "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.")
	case anySet(h.ObjectLockMode, h.ObjectLockLegalHoldStatus, h.ObjectLockEventHold):
		return invalidRequest("Bucket is missing Object Lock Configuration")
	case !slices.Contains([]string{"", "AES256", "aws:kms", "aws:kms:dsse"}, value(h.ServerSideEncryption)):
		return invalidArgument("x-amz-server-side-encryption", "The encryption method specified is not supported")
	case h.SSEKMSKeyId != nil && !strings.HasPrefix(value(h.ServerSideEncryption), "aws:kms"):
		return invalidArgument("x-amz-server-side-encryption", "Server Side Encryption with KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
	}
	return checkStorageClass(value(h.StorageClass))
}

// checkStorageClass accepts the classes whose objects can be read at any time.
func checkStorageClass(class string) error {
	switch class {
	case "", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR":
		return nil
	}
	return badRequest("InvalidStorageClass", "The storage class you specified is not valid").With("StorageClassRequested", class)
}

// storedEncoding removes aws-chunked, which describes the request and not the
// object.
func storedEncoding(header string) string {
	if !strings.Contains(header, "aws-chunked") {
		return header
	}
	var kept []string
	for coding := range strings.SplitSeq(header, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && coding != "aws-chunked" {
			kept = append(kept, coding)
		}
	}
	return strings.Join(kept, ", ")
}

// Limits of object tags.
const (
	maxTags       = 10
	maxTagKey     = 128 // characters
	maxTagContent = 256 // characters
)

// parseTagging reads tags written as a query string.
func parseTagging(header string) ([]Tag, error) {
	if header == "" {
		return nil, nil
	}
	pairs, err := url.ParseQuery(header)
	if err != nil {
		return nil, invalidArgument("x-amz-tagging", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	var tags []Tag
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		for _, v := range pairs[key] {
			tags = append(tags, Tag{Key: key, Value: v})
		}
	}
	return tags, checkTags(tags)
}

func checkTags(tags []Tag) error {
	if len(tags) > maxTags {
		return badRequest("BadRequest", "Object tags cannot be greater than %d", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		n := utf8.RuneCountInString(t.Key)
		switch {
		case n == 0 || n > maxTagKey || strings.HasPrefix(t.Key, "aws:"):
			return badRequest("InvalidTag", "The TagKey you have provided is invalid").With("TagKey", t.Key)
		case utf8.RuneCountInString(t.Value) > maxTagContent:
			return badRequest("InvalidTag", "The TagValue you have provided is invalid").With("TagKey", t.Key)
		case seen[t.Key]:
			return badRequest("InvalidTag", "Cannot provide multiple Tags with the same key").With("TagKey", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}
