package logs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// standard is the class of a group that names none.
const standard = "STANDARD"

// retentions are the numbers of days that PutRetentionPolicy takes.
func retentions() []int64 {
	return []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
}

func (s *Service) handleGroups() {
	awsapi.Handle(s.api, "CreateLogGroup", s.createLogGroup, awsapi.Access(func(r *awsapi.Request, in *CreateLogGroupInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
	awsapi.Handle(s.api, "DeleteLogGroup", s.deleteLogGroup, awsapi.Access(func(r *awsapi.Request, in *DeleteLogGroupInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
	awsapi.Handle(s.api, "DescribeLogGroups", s.describeLogGroups, awsapi.Access(func(r *awsapi.Request, _ *DescribeLogGroupsInput) []awsapi.Permission {
		return needs(r, "", "")
	}))
	awsapi.Handle(s.api, "PutRetentionPolicy", s.putRetentionPolicy, awsapi.Access(func(r *awsapi.Request, in *PutRetentionPolicyInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
	awsapi.Handle(s.api, "DeleteRetentionPolicy", s.deleteRetentionPolicy, awsapi.Access(func(r *awsapi.Request, in *DeleteRetentionPolicyInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, "")
	}))
}

func (s *Service) createLogGroup(ctx context.Context, in *CreateLogGroupInput) (*CreateLogGroupOutput, error) {
	g := &group{
		Name: in.LogGroupName, Created: millis(), Class: or(in.LogGroupClass, standard), Key: or(in.KmsKeyId, ""),
		Protected: or(in.DeletionProtectionEnabled, false), Tags: in.Tags,
	}
	err := s.update(ctx, func(tx *state.Tx) error { return s.groups.Insert(tx, g.Name, g) })
	if errors.Is(err, state.ErrExists) {
		return nil, awsapi.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	return nil, err
}

// deleteLogGroup deletes what a file is still followed into as well: its next
// line makes the group anew, as it would in the cloud.
func (s *Service) deleteLogGroup(ctx context.Context, in *DeleteLogGroupInput) (*DeleteLogGroupOutput, error) {
	return nil, s.update(ctx, func(tx *state.Tx) error {
		g, err := s.group(tx, in.LogGroupName)
		if err != nil {
			return err
		}
		if g.Protected {
			return awsapi.Errorf("ValidationException", "The log group %s is protected against deletion.", g.Name)
		}
		streams, err := s.all(tx, g.Name, "")
		if err != nil {
			return err
		}
		for name, st := range streams {
			if err := s.drop(tx, state.Key(g.Name, name), st); err != nil {
				return err
			}
		}
		return s.groups.Delete(tx, g.Name)
	})
}

func (s *Service) putRetentionPolicy(ctx context.Context, in *PutRetentionPolicyInput) (*PutRetentionPolicyOutput, error) {
	if !slices.Contains(retentions(), in.RetentionInDays) {
		return nil, invalid("retentionInDays cannot be %d: choose one of %v.", in.RetentionInDays, retentions())
	}
	return nil, s.keep(ctx, in.LogGroupName, in.RetentionInDays)
}

func (s *Service) deleteRetentionPolicy(ctx context.Context, in *DeleteRetentionPolicyInput) (*DeleteRetentionPolicyOutput, error) {
	return nil, s.keep(ctx, in.LogGroupName, 0)
}

// keep sets how many days a group's events are kept.
func (s *Service) keep(ctx context.Context, name string, days int64) error {
	return s.update(ctx, func(tx *state.Tx) error {
		g, err := s.group(tx, name)
		if err != nil {
			return err
		}
		g.Days = days
		return s.groups.Put(tx, name, g)
	})
}

func (s *Service) describeLogGroups(ctx context.Context, in *DescribeLogGroupsInput) (*DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	named := map[string]bool{}
	for _, id := range in.LogGroupIdentifiers {
		named[groupOf(id)] = true
	}
	after, err := openToken[string](in.NextToken)
	if err != nil {
		return nil, err
	}
	wants := func(g *group) bool {
		return strings.Contains(g.Name, or(in.LogGroupNamePattern, "")) &&
			(len(named) == 0 || named[g.Name]) && (in.LogGroupClass == nil || *in.LogGroupClass == g.Class)
	}
	r, size := awsapi.RequestFrom(ctx), int(or(in.Limit, 50))
	out := &DescribeLogGroupsOutput{LogGroups: []*LogGroup{}}
	return out, s.view(ctx, func(tx *state.Tx) error {
		return s.groups.Scan(tx, state.Range{Prefix: or(in.LogGroupNamePrefix, ""), After: after}, func(_ string, g *group) (bool, error) {
			if !wants(g) {
				return true, nil
			}
			if len(out.LogGroups) == size {
				out.NextToken = new(sealToken(*out.LogGroups[size-1].LogGroupName))
				return false, nil
			}
			out.LogGroups = append(out.LogGroups, g.describe(r))
			return true, nil
		})
	})
}

func (g *group) describe(r *awsapi.Request) *LogGroup {
	arn := groupARN(r, g.Name)
	out := &LogGroup{
		LogGroupName: &g.Name, Arn: new(arn + ":*"), LogGroupArn: &arn, CreationTime: &g.Created, StoredBytes: &g.Bytes,
		MetricFilterCount: new(int64(0)), LogGroupClass: &g.Class, DeletionProtectionEnabled: &g.Protected,
	}
	if g.Days > 0 {
		out.RetentionInDays = &g.Days
	}
	if g.Key != "" {
		out.KmsKeyId = &g.Key
	}
	return out
}

// groupOf is the name of the group that an ARN, with or without a star at its
// end, or a name stands for.
func groupOf(identifier string) string {
	if _, name, ok := strings.Cut(identifier, ":log-group:"); ok && strings.HasPrefix(identifier, "arn:") {
		return strings.TrimSuffix(name, ":*")
	}
	return identifier
}

// chosen is the group of a request that may name it in two ways.
func chosen(name, identifier *string) (string, error) {
	switch {
	case name != nil && identifier != nil:
		return "", invalid("LogGroup name and LogGroup identifier are mutually exclusive parameters.")
	case name != nil:
		return *name, nil
	case identifier != nil:
		return groupOf(*identifier), nil
	}
	return "", invalid("One of the parameters logGroupName and logGroupIdentifier is required.")
}

// needsChosen is needs for such a request.
func needsChosen(r *awsapi.Request, name, identifier *string, stream string) []awsapi.Permission {
	group, err := chosen(name, identifier)
	if err != nil {
		group = "" // the handler refuses the request
	}
	return needs(r, group, stream)
}

// expiry is the first place whose event has not expired.
func (g *group) expiry(now time.Time) position { return position{T: g.oldest(now)} }
