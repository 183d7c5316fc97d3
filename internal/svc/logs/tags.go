package logs

import (
	"context"
	"maps"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// maxTags is how many tags a group may carry.
const maxTags = 50

func (s *Service) handleTags() {
	onResource := func(r *awsapi.Request, arn string) []awsapi.Permission {
		return []awsapi.Permission{{Action: "logs:" + r.Operation, Resource: arn}}
	}
	awsapi.Handle(s.api, "TagResource", s.tagResource, awsapi.Access(func(r *awsapi.Request, in *TagResourceInput) []awsapi.Permission {
		return onResource(r, in.ResourceArn)
	}))
	awsapi.Handle(s.api, "UntagResource", s.untagResource, awsapi.Access(func(r *awsapi.Request, in *UntagResourceInput) []awsapi.Permission {
		return onResource(r, in.ResourceArn)
	}))
	awsapi.Handle(s.api, "ListTagsForResource", s.listTagsForResource, awsapi.Access(func(r *awsapi.Request, in *ListTagsForResourceInput) []awsapi.Permission {
		return onResource(r, in.ResourceArn)
	}))
	awsapi.Handle(s.api, "TagLogGroup", s.tagLogGroup, awsapi.Access(func(r *awsapi.Request, in *TagLogGroupInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
	awsapi.Handle(s.api, "UntagLogGroup", s.untagLogGroup, awsapi.Access(func(r *awsapi.Request, in *UntagLogGroupInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
	awsapi.Handle(s.api, "ListTagsLogGroup", s.listTagsLogGroup, awsapi.Access(func(r *awsapi.Request, in *ListTagsLogGroupInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
}

func (s *Service) tagResource(ctx context.Context, in *TagResourceInput) (*TagResourceOutput, error) {
	return nil, s.tag(ctx, groupOf(in.ResourceArn), in.Tags, nil)
}

func (s *Service) tagLogGroup(ctx context.Context, in *TagLogGroupInput) (*TagLogGroupOutput, error) {
	return nil, s.tag(ctx, in.LogGroupName, in.Tags, nil)
}

func (s *Service) untagResource(ctx context.Context, in *UntagResourceInput) (*UntagResourceOutput, error) {
	return nil, s.tag(ctx, groupOf(in.ResourceArn), nil, in.TagKeys)
}

func (s *Service) untagLogGroup(ctx context.Context, in *UntagLogGroupInput) (*UntagLogGroupOutput, error) {
	return nil, s.tag(ctx, in.LogGroupName, nil, in.Tags)
}

func (s *Service) listTagsForResource(ctx context.Context, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	tags, err := s.tags(ctx, groupOf(in.ResourceArn))
	return &ListTagsForResourceOutput{Tags: tags}, err
}

func (s *Service) listTagsLogGroup(ctx context.Context, in *ListTagsLogGroupInput) (*ListTagsLogGroupOutput, error) {
	tags, err := s.tags(ctx, in.LogGroupName)
	return &ListTagsLogGroupOutput{Tags: tags}, err
}

// tag sets and removes tags of a group.
func (s *Service) tag(ctx context.Context, name string, set map[string]string, remove []string) error {
	return s.update(ctx, func(tx *state.Tx) error {
		g, err := s.group(tx, name)
		if err != nil {
			return err
		}
		if g.Tags == nil {
			g.Tags = map[string]string{}
		}
		maps.Copy(g.Tags, set)
		for _, key := range remove {
			delete(g.Tags, key)
		}
		if len(g.Tags) > maxTags {
			return awsapi.Errorf("TooManyTagsException", "A log group may carry %d tags at most, this one would carry %d.", maxTags, len(g.Tags))
		}
		return s.groups.Put(tx, name, g)
	})
}

func (s *Service) tags(ctx context.Context, name string) (tags map[string]string, err error) {
	err = s.view(ctx, func(tx *state.Tx) error {
		g, err := s.group(tx, name)
		if err == nil {
			tags = g.Tags
		}
		return err
	})
	return tags, err
}
