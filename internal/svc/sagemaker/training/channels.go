package training

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// channelsFor are the channels that an instance gets: a channel may be for
// some groups only.
func channelsFor(job *Job, i instance) []*sagemaker.Channel {
	var out []*sagemaker.Channel
	for _, c := range job.Request.InputDataConfig {
		if isFor(c, i) {
			out = append(out, c)
		}
	}
	return out
}

func isFor(c *sagemaker.Channel, i instance) bool {
	groups := c.DataSource.S3DataSource.InstanceGroupNames
	return len(groups) == 0 || slices.Contains(groups, i.Group)
}

func inputMode(job *Job, c *sagemaker.Channel) string {
	return sagemaker.Or(c.InputMode, job.Request.AlgorithmSpecification.TrainingInputMode)
}

func inputKey(i instance, channel string) string { return i.host() + "/" + channel }

// request says what an instance gets of a channel: all of it, or its share
// among the instances that the channel is for.
func request(job *Job, i instance, c *sagemaker.Channel) channel.Request {
	s3 := c.DataSource.S3DataSource
	r := channel.Request{
		URI: s3.S3Uri, Type: s3.S3DataType, Attributes: s3.AttributeNames,
		Sharded:  sagemaker.Or(s3.S3DataDistributionType, "") == "ShardedByS3Key",
		Gunzip:   sagemaker.Or(c.CompressionType, "") == "Gzip",
		RecordIO: sagemaker.Or(c.RecordWrapperType, "") == "RecordIO",
	}
	if c.ShuffleConfig != nil {
		seed := uint64(c.ShuffleConfig.Seed)
		r.Shuffle = &seed
	}
	for _, other := range job.instances() {
		if !isFor(c, other) {
			continue
		}
		if other.Number < i.Number {
			r.Instance++
		}
		r.Instances++
	}
	return r
}

// bring stages the channels of all instances, except for pipes, and returns
// their folders by host and channel.
func (f *Family) bring(ctx context.Context, caller *awsapi.Caller, job *Job) (map[string]string, error) {
	folders := map[string]string{}
	whole := map[string]string{} // by channel: every instance has the same
	for _, i := range job.instances() {
		for _, c := range channelsFor(job, i) {
			if inputMode(job, c) == "Pipe" {
				continue
			}
			r := request(job, i, c)
			folder := whole[c.ChannelName]
			if folder == "" {
				var err error
				if folder, err = f.Stage.Bring(ctx, caller, r, func(int64, int64) {}); err != nil {
					return nil, fmt.Errorf("data download failed for channel %s: %w", c.ChannelName, err)
				}
			}
			if !r.Sharded {
				whole[c.ChannelName] = folder
			}
			folders[inputKey(i, c.ChannelName)] = folder
		}
	}
	return folders, nil
}

// pipes makes the first pipe of each channel that an instance reads so.
func (f *Family) pipes(ctx context.Context, caller *awsapi.Caller, job *Job, i instance) (made []*channel.Pipe, err error) {
	for _, c := range channelsFor(job, i) {
		if inputMode(job, c) != "Pipe" {
			continue
		}
		p, err := f.Stage.Pipe(ctx, caller, request(job, i, c), filepath.Join(f.folder(job, i), "input/data"), c.ChannelName)
		if err != nil {
			return nil, fmt.Errorf("data download failed for channel %s: %w", c.ChannelName, err)
		}
		made = append(made, p)
	}
	return made, nil
}

// piped tells whether an instance reads pipes.
func piped(job *Job, i instance) bool {
	return slices.ContainsFunc(channelsFor(job, i), func(c *sagemaker.Channel) bool { return inputMode(job, c) == "Pipe" })
}
