package channel

import (
	"context"

	"github.com/musher/musher/internal/awsapi"
)

// Source is an object of a channel.
type Source struct {
	Bucket, Key string
	Name        string // the path that it would have in the channel's folder
	Size        int64  // bytes
}

// Find lists the objects that Bring would bring, and leaves them where they are.
func (s *Stage) Find(ctx context.Context, as *awsapi.Caller, r Request) ([]Source, error) {
	files, err := s.files(ctx, as, r)
	if err != nil {
		return nil, err
	}
	files = share(r, once(files))
	found := make([]Source, len(files))
	for i, f := range files {
		found[i] = Source{Bucket: f.bucket, Key: f.Key, Name: f.name, Size: f.Size}
	}
	return found, nil
}
