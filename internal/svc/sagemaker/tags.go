package sagemaker

import (
	"context"
	"slices"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// maxTags is how many tags a resource may carry.
const maxTags = 50

// Tags keeps the tags of all resources of the service, by ARN.
type Tags struct {
	db   *state.DB
	rows state.Table[tagSet]
}

type tagSet struct{ Tags []*Tag }

// NewTags declares the table and answers the tag operations on s.
func NewTags(db *state.DB, s *awsapi.Service) *Tags {
	t := &Tags{db: db, rows: state.NewTable[tagSet](db, "sagemaker_tags")}
	onResource := func(arn string, r *awsapi.Request) []awsapi.Permission {
		return []awsapi.Permission{{Action: "sagemaker:" + r.Operation, Resource: arn}}
	}
	awsapi.Handle(s, "AddTags", t.addTags, awsapi.Access(func(r *awsapi.Request, in *AddTagsInput) []awsapi.Permission {
		return onResource(in.ResourceArn, r)
	}))
	awsapi.Handle(s, "ListTags", t.listTags, awsapi.Access(func(r *awsapi.Request, in *ListTagsInput) []awsapi.Permission {
		return onResource(in.ResourceArn, r)
	}))
	awsapi.Handle(s, "DeleteTags", t.deleteTags, awsapi.Access(func(r *awsapi.Request, in *DeleteTagsInput) []awsapi.Permission {
		return onResource(in.ResourceArn, r)
	}))
	return t
}

// Create sets the tags that a new resource is created with.
func (t *Tags) Create(tx *state.Tx, arn string, tags []*Tag) error {
	if len(tags) == 0 {
		return nil
	}
	merged, err := merge(nil, tags)
	if err != nil {
		return err
	}
	return t.rows.Insert(tx, arn, &tagSet{merged})
}

// Delete forgets the tags of a deleted resource.
func (t *Tags) Delete(tx *state.Tx, arn string) error {
	if err := t.rows.Delete(tx, arn); err != nil && err != state.ErrNotFound { //nolint:errorlint // returned as it is
		return err
	}
	return nil
}

// Resources are created in the same transaction as their tags, but a resource
// without tags has no row: adding to an unknown ARN therefore cannot be told
// from adding to a bare one, and is allowed.
func (t *Tags) addTags(ctx context.Context, in *AddTagsInput) (*AddTagsOutput, error) {
	var out AddTagsOutput
	return &out, t.db.Update(ctx, func(tx *state.Tx) error {
		old, err := t.get(tx, in.ResourceArn)
		if err != nil {
			return err
		}
		out.Tags, err = merge(old, in.Tags)
		if err != nil {
			return err
		}
		return t.rows.Put(tx, in.ResourceArn, &tagSet{out.Tags})
	})
}

func (t *Tags) listTags(ctx context.Context, in *ListTagsInput) (*ListTagsOutput, error) {
	var out ListTagsOutput
	return &out, t.db.View(ctx, func(tx *state.Tx) (err error) {
		out.Tags, err = t.get(tx, in.ResourceArn)
		return err
	})
}

func (t *Tags) deleteTags(ctx context.Context, in *DeleteTagsInput) (*DeleteTagsOutput, error) {
	return nil, t.db.Update(ctx, func(tx *state.Tx) error {
		tags, err := t.get(tx, in.ResourceArn)
		if err != nil {
			return err
		}
		tags = slices.DeleteFunc(tags, func(tag *Tag) bool { return slices.Contains(in.TagKeys, tag.Key) })
		return t.rows.Put(tx, in.ResourceArn, &tagSet{tags})
	})
}

func (t *Tags) get(tx *state.Tx, arn string) ([]*Tag, error) {
	set, err := t.rows.Get(tx, arn)
	if err == state.ErrNotFound { //nolint:errorlint // the table returns it bare
		return []*Tag{}, nil
	}
	if err != nil {
		return nil, err
	}
	return set.Tags, nil
}

// merge adds tags to old ones; the same key takes the newer value.
func merge(old, added []*Tag) ([]*Tag, error) {
	out := slices.Clone(old)
	for i, tag := range added {
		if slices.ContainsFunc(added[:i], func(o *Tag) bool { return o.Key == tag.Key }) {
			return nil, Invalid("Duplicate tag key %q.", tag.Key)
		}
		out = slices.DeleteFunc(out, func(o *Tag) bool { return o.Key == tag.Key })
		out = append(out, tag)
	}
	if len(out) > maxTags {
		return nil, Invalid("A resource may carry %d tags at most, this one would carry %d.", maxTags, len(out))
	}
	slices.SortFunc(out, func(a, b *Tag) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}
