// Package s3 is the bucket service: S3's rest-xml API over an index of rows
// (internal/state) and bytes on disk (internal/blob).
//
// # Operations
//
//	buckets    CreateBucket HeadBucket ListBuckets DeleteBucket GetBucketLocation GetBucketVersioning
//	objects    PutObject GetObject HeadObject DeleteObject DeleteObjects CopyObject
//	listing    ListObjects ListObjectsV2
//	multipart  CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload
//	           AbortMultipartUpload ListMultipartUploads ListParts
//	tags       GetObjectTagging PutObjectTagging DeleteObjectTagging
//
// Versions, ACLs, object lock, customer-provided keys and archive storage
// classes are not supported: a request that asks for one of them is refused,
// never served as if it had not asked. Buckets behave as new ones of the real
// service do (owner enforced, versioning never enabled). Encryption with
// AES256 or aws:kms is recorded and echoed so that SDKs which insist on it
// work, and the log says once that the bytes are not encrypted.
//
// # Life of an object
//
//	                 UploadPart             Complete
//	CreateMultipart ───────────▶ parts ────────────────┐
//	                               │ Abort             ▼
//	                               ▼        PutObject  object row ──▶ replaced or deleted
//	                             gone  ───────────────▶ │                   │
//	                                                    ▼                   ▼
//	                                               list of blobs      blobs deleted
//
// Bytes come first, rows after: a blob is on disk before the row that refers
// to it is committed, and a blob is deleted after the row that referred to it
// is gone. An object is a list of blobs, so completing a multipart upload
// moves references and no bytes. What a crash leaves between the two steps is
// an orphaned blob, which Sweep removes after the next start.
//
// # Who may do what
//
// Each operation names the IAM actions and ARNs it needs (access.go). A caller
// who may not list the bucket gets AccessDenied, not NoSuchKey, for a key that
// does not exist, so that keys can't be guessed.
package s3
