package training

import (
	"context"
	"fmt"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// supported refuses channels that cannot be brought yet.
func supported(c *sagemaker.Channel, mode string) error {
	s3 := c.DataSource.S3DataSource
	switch {
	case mode == "Pipe":
		return sagemaker.Invalid("Channel %q: InputMode Pipe is not supported yet: use File or FastFile.", c.ChannelName)
	case s3.S3DataType != "S3Prefix":
		return sagemaker.Invalid("Channel %q: S3DataType %s is not supported yet: use S3Prefix.", c.ChannelName, s3.S3DataType)
	case sagemaker.Or(s3.S3DataDistributionType, "FullyReplicated") != "FullyReplicated":
		return sagemaker.Invalid("Channel %q: S3DataDistributionType %s is not supported yet: use FullyReplicated.", c.ChannelName, *s3.S3DataDistributionType)
	case sagemaker.Or(c.CompressionType, "None") != "None":
		return sagemaker.Invalid("Channel %q: CompressionType %s is not supported yet.", c.ChannelName, *c.CompressionType)
	}
	return nil
}

// bring stages the channels of all instances and returns their folders by
// host and channel.
func (f *Family) bring(ctx context.Context, caller *awsapi.Caller, job *Job) (map[string]string, error) {
	folders := map[string]string{}
	brought := map[string]string{} // by channel
	for _, i := range job.instances() {
		for _, c := range channelsFor(job, i) {
			folder, ok := brought[c.ChannelName]
			if !ok {
				var err error
				folder, err = f.Stage.Folder(ctx, caller, c.DataSource.S3DataSource.S3Uri, func(int64, int64) {})
				if err != nil {
					return nil, fmt.Errorf("data download failed for channel %s: %w", c.ChannelName, err)
				}
				brought[c.ChannelName] = folder
			}
			folders[inputKey(i, c.ChannelName)] = folder
		}
	}
	return folders, nil
}

func inputKey(i instance, channel string) string { return i.host() + "/" + channel }
