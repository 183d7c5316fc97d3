package s3

import (
	"context"

	"github.com/musher/musher/internal/state"
)

func (s *Service) getObjectTagging(ctx context.Context, in *GetObjectTaggingInput) (*GetObjectTaggingOutput, error) {
	o, err := s.lookUp(ctx, in.Bucket, in.Key, in.ExpectedBucketOwner, in.VersionId, conditions{})
	if err != nil {
		return nil, err
	}
	out := &GetObjectTaggingOutput{TagSet: []*Tag{}}
	for _, t := range o.Tags {
		out.TagSet = append(out.TagSet, &t)
	}
	return out, nil
}

func (s *Service) putObjectTagging(ctx context.Context, in *PutObjectTaggingInput) (*PutObjectTaggingOutput, error) {
	var tags []Tag
	for _, t := range in.Tagging.TagSet {
		tags = append(tags, *t)
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	return nil, s.setTags(ctx, in.Bucket, in.Key, in.ExpectedBucketOwner, in.VersionId, tags)
}

func (s *Service) deleteObjectTagging(ctx context.Context, in *DeleteObjectTaggingInput) (*DeleteObjectTaggingOutput, error) {
	return nil, s.setTags(ctx, in.Bucket, in.Key, in.ExpectedBucketOwner, in.VersionId, nil)
}

// setTags replaces an object's tags; its time stays.
func (s *Service) setTags(ctx context.Context, bucket, key string, owner, version *string, tags []Tag) error {
	if _, err := s.lookUp(ctx, bucket, key, owner, version, conditions{}); err != nil {
		return err
	}
	return s.update(ctx, func(t *tables) error {
		o, err := t.object(bucket, key)
		if err != nil {
			return err
		}
		if o == nil {
			return noSuchKey(key)
		}
		o.Tags = tags
		return t.objects.Put(t.tx, state.Key(bucket, key), o)
	})
}
