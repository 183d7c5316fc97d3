package channel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// The types of a Request.
const (
	S3Prefix              = "S3Prefix"
	ManifestFile          = "ManifestFile"
	AugmentedManifestFile = "AugmentedManifestFile"
)

// Request is one channel of a job, for one of its instances.
type Request struct {
	URI        string   // of a prefix, a key, or a manifest
	Type       string   // S3Prefix (empty too), ManifestFile, AugmentedManifestFile
	Attributes []string // AugmentedManifestFile: what of each line is fed, in this order

	Sharded             bool // ShardedByS3Key: only this instance's share
	Instance, Instances int  // 0 … Instances-1

	Gunzip   bool    // CompressionType Gzip: each object is decompressed
	RecordIO bool    // RecordWrapperType RecordIO: each object becomes a record; Pipe mode only
	Shuffle  *uint64 // ShuffleConfig's seed: another order each epoch; Pipe mode only
}

// piece is some bytes of a channel: an object, or a text out of a manifest.
type piece struct {
	file
	text []byte // if it is not nil, there is no object
}

// record is what stays together when records are shared out or shuffled: an
// object, or the attributes of one line.
type record []piece

// records finds all that the request is about, for all instances, in order.
func (s *Stage) records(ctx context.Context, as *awsapi.Caller, r Request) ([]record, error) {
	if r.Type == AugmentedManifestFile {
		return s.augmented(ctx, as, r)
	}
	files, err := s.files(ctx, as, r)
	out := make([]record, len(files))
	for i, f := range files {
		out[i] = record{{file: f}}
	}
	return out, err
}

// files finds the objects of a prefix or a manifest.
func (s *Stage) files(ctx context.Context, as *awsapi.Caller, r Request) ([]file, error) {
	bucket, key, err := sagemaker.SplitS3URI(r.URI)
	if err != nil {
		return nil, err
	}
	switch r.Type {
	case "", S3Prefix:
		return s.list(ctx, as, bucket, key)
	case ManifestFile:
		return s.manifest(ctx, as, bucket, key)
	case AugmentedManifestFile:
		return nil, fmt.Errorf("%s %w: an AugmentedManifestFile is for InputMode Pipe alone", r.URI, ErrBadInput)
	}
	return nil, fmt.Errorf("%w: no S3DataType is called %q", ErrBadInput, r.Type)
}

// manifest finds the objects that a manifest names.
func (s *Stage) manifest(ctx context.Context, as *awsapi.Caller, bucket, key string) ([]file, error) {
	body, _, err := s.objects.Get(ctx, as, bucket, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	prefix, names, err := parseManifest(body)
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s %w", bucket, key, err)
	}
	files := make([]file, len(names))
	for i, name := range names {
		files[i].bucket, files[i].Key, err = sagemaker.SplitS3URI(prefix + name)
		if err != nil {
			return nil, fmt.Errorf("s3://%s/%s %w: %w", bucket, key, ErrBadInput, err)
		}
		files[i].name = strings.TrimLeft(name, "/")
	}
	return files, s.head(ctx, as, files)
}

// head fills in what S3 says of the objects, and so makes sure that the caller
// may read each.
func (s *Stage) head(ctx context.Context, as *awsapi.Caller, files []file) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range files {
		f := &files[i]
		group.Go(func() (err error) {
			f.Object, err = s.objects.Head(ctx, as, f.bucket, f.Key)
			return err
		})
	}
	return group.Wait()
}

// augmented reads the lines of an augmented manifest.
func (s *Stage) augmented(ctx context.Context, as *awsapi.Caller, r Request) ([]record, error) {
	bucket, key, err := sagemaker.SplitS3URI(r.URI)
	if err != nil {
		return nil, err
	}
	body, _, err := s.objects.Get(ctx, as, bucket, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	records, err := parseAugmented(body, r.Attributes)
	if err != nil {
		return nil, fmt.Errorf("%s %w", r.URI, err)
	}
	return records, nil
}

// share is what of a channel one instance gets: every nth of the whole.
func share[T any](r Request, all []T) []T {
	if !r.Sharded || r.Instances < 2 {
		return all
	}
	var mine []T
	for i := r.Instance; i < len(all); i += r.Instances {
		mine = append(mine, all[i])
	}
	return mine
}

// shuffled is the order of an epoch, the same on all instances.
func shuffled(r Request, all []record, epoch int) []record {
	if r.Shuffle == nil {
		return all
	}
	all = slices.Clone(all)
	order := rand.New(rand.NewPCG(*r.Shuffle, uint64(epoch)))
	order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// unzipped names files as they are once decompressed.
func unzipped(files []file) []file {
	files = slices.Clone(files)
	for i := range files {
		if base, ok := strings.CutSuffix(files[i].name, ".gz"); ok && path.Base(base) != "." && !strings.HasSuffix(base, "/") {
			files[i].name = base
		}
	}
	return files
}

// once drops the files that a manifest names again.
func once(files []file) []file {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(files), func(f file) bool {
		again := seen[f.bucket+"/"+f.Key]
		seen[f.bucket+"/"+f.Key] = true
		return again
	})
}
