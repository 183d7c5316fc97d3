package s3

import (
	"log/slog"
	"sync"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// Service is the bucket service.
type Service struct {
	schema
	db         *state.DB
	blobs      Blobs
	authorizer awsapi.Authorizer
	log        *slog.Logger

	confess sync.Once // says that nothing is encrypted
}

// New returns the service. It declares its tables in the database, so there
// can be one per database.
func New(d Deps) *Service {
	log := d.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{schema: newSchema(d.DB), db: d.DB, blobs: d.Blobs, authorizer: d.Authorizer, log: log}
}

// API binds the operations for a gateway.
func (s *Service) API() *awsapi.Service {
	api := awsapi.NewService(Model)
	s.handleBuckets(api)
	s.handleObjects(api)
	s.handleMultipart(api)
	s.handleTagging(api)
	return api
}

func (s *Service) handleBuckets(api *awsapi.Service) {
	awsapi.Handle(api, "CreateBucket", s.createBucket,
		needs("s3:CreateBucket", func(in *CreateBucketInput) string { return bucketARN(in.Bucket) }))
	awsapi.Handle(api, "HeadBucket", s.headBucket,
		needs("s3:ListBucket", func(in *HeadBucketInput) string { return bucketARN(in.Bucket) }))
	awsapi.Handle(api, "DeleteBucket", s.deleteBucket,
		needs("s3:DeleteBucket", func(in *DeleteBucketInput) string { return bucketARN(in.Bucket) }))
	awsapi.Handle(api, "ListBuckets", s.listBuckets,
		needs("s3:ListAllMyBuckets", func(*ListBucketsInput) string { return "*" }))
	awsapi.Handle(api, "GetBucketLocation", s.getBucketLocation,
		needs("s3:GetBucketLocation", func(in *GetBucketLocationInput) string { return bucketARN(in.Bucket) }))
	awsapi.Handle(api, "GetBucketVersioning", s.getBucketVersioning,
		needs("s3:GetBucketVersioning", func(in *GetBucketVersioningInput) string { return bucketARN(in.Bucket) }))

	awsapi.Handle(api, "ListObjects", s.listObjects,
		awsapi.Access(func(_ *awsapi.Request, in *ListObjectsInput) []awsapi.Permission {
			return []awsapi.Permission{listPermission(in.Bucket, in.Prefix, in.Delimiter, in.MaxKeys)}
		}))
	awsapi.Handle(api, "ListObjectsV2", s.listObjectsV2,
		awsapi.Access(func(_ *awsapi.Request, in *ListObjectsV2Input) []awsapi.Permission {
			return []awsapi.Permission{listPermission(in.Bucket, in.Prefix, in.Delimiter, in.MaxKeys)}
		}))
}

func (s *Service) handleObjects(api *awsapi.Service) {
	awsapi.Handle(api, "PutObject", s.putObject,
		awsapi.Access(func(_ *awsapi.Request, in *PutObjectInput) []awsapi.Permission {
			return writePermissions(in.Bucket, in.Key, in.Tagging, in.IfMatch)
		}))
	awsapi.Handle(api, "GetObject", s.getObject,
		needs("s3:GetObject", func(in *GetObjectInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "HeadObject", s.headObject,
		needs("s3:GetObject", func(in *HeadObjectInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "DeleteObject", s.deleteObject,
		needs("s3:DeleteObject", func(in *DeleteObjectInput) string { return objectARN(in.Bucket, in.Key) }))
	// Each key is decided alone: those that are denied are errors in a
	// successful answer.
	awsapi.Handle(api, "DeleteObjects", s.deleteObjects,
		awsapi.Access(func(*awsapi.Request, *DeleteObjectsInput) []awsapi.Permission { return nil }))
	awsapi.Handle(api, "CopyObject", s.copyObject,
		awsapi.Access(func(_ *awsapi.Request, in *CopyObjectInput) []awsapi.Permission {
			return copyPermissions(in.CopySource, writePermissions(in.Bucket, in.Key, in.Tagging, in.IfMatch))
		}))
}

func (s *Service) handleMultipart(api *awsapi.Service) {
	awsapi.Handle(api, "CreateMultipartUpload", s.createMultipartUpload,
		awsapi.Access(func(_ *awsapi.Request, in *CreateMultipartUploadInput) []awsapi.Permission {
			return writePermissions(in.Bucket, in.Key, in.Tagging, nil)
		}))
	awsapi.Handle(api, "UploadPart", s.uploadPart,
		needs("s3:PutObject", func(in *UploadPartInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "UploadPartCopy", s.uploadPartCopy,
		awsapi.Access(func(_ *awsapi.Request, in *UploadPartCopyInput) []awsapi.Permission {
			return copyPermissions(in.CopySource, writePermissions(in.Bucket, in.Key, nil, nil))
		}))
	awsapi.Handle(api, "CompleteMultipartUpload", s.completeMultipartUpload,
		awsapi.Access(func(_ *awsapi.Request, in *CompleteMultipartUploadInput) []awsapi.Permission {
			return writePermissions(in.Bucket, in.Key, nil, in.IfMatch)
		}))
	awsapi.Handle(api, "AbortMultipartUpload", s.abortMultipartUpload,
		needs("s3:AbortMultipartUpload", func(in *AbortMultipartUploadInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "ListMultipartUploads", s.listMultipartUploads,
		needs("s3:ListBucketMultipartUploads", func(in *ListMultipartUploadsInput) string { return bucketARN(in.Bucket) }))
	awsapi.Handle(api, "ListParts", s.listParts,
		needs("s3:ListMultipartUploadParts", func(in *ListPartsInput) string { return objectARN(in.Bucket, in.Key) }))
}

func (s *Service) handleTagging(api *awsapi.Service) {
	awsapi.Handle(api, "GetObjectTagging", s.getObjectTagging,
		needs("s3:GetObjectTagging", func(in *GetObjectTaggingInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "PutObjectTagging", s.putObjectTagging,
		needs("s3:PutObjectTagging", func(in *PutObjectTaggingInput) string { return objectARN(in.Bucket, in.Key) }))
	awsapi.Handle(api, "DeleteObjectTagging", s.deleteObjectTagging,
		needs("s3:DeleteObjectTagging", func(in *DeleteObjectTaggingInput) string { return objectARN(in.Bucket, in.Key) }))
}
