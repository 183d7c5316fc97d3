package demo

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/s3"
)

// trust lets SageMaker, and nobody else, act as the role.
const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// access is all that the role may do: list one bucket, read the photos and its
// jobs' models, write its jobs' models.
const access = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::` + name + `"},
	{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + name + `/*"},
	{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::` + name + `/` + outputPrefix + `/*"}]}`

// prepare makes bucket and role, and clears away what a run before left.
func (r *run) prepare(ctx context.Context) error {
	return r.step("prepare", func(*progress.Step) (string, error) {
		if err := errors.Join(r.stopJobs(ctx), r.removeEndpoint(ctx)); err != nil {
			return "", err
		}
		if err := r.makeBucket(ctx); err != nil {
			return "", err
		}
		if err := r.makeRole(ctx); err != nil {
			return "", err
		}
		old, err := ListObjects(ctx, r.Client, name, outputPrefix+"/")
		if err != nil {
			return "", err
		}
		return "bucket and role " + name, r.deleteObjects(ctx, old)
	})
}

func (r *run) makeBucket(ctx context.Context) error {
	_, err := awsclient.Do[s3.CreateBucketOutput](ctx, r.Client, s3.Model, "CreateBucket", &s3.CreateBucketInput{Bucket: name})
	if is(err, "BucketAlreadyOwnedByYou") {
		return nil
	}
	return err
}

func (r *run) makeRole(ctx context.Context) error {
	made, err := awsclient.Do[iam.CreateRoleOutput](ctx, r.Client, iam.Model, "CreateRole", &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust})
	switch {
	case err == nil:
		r.role = made.Role.Arn
	case is(err, "EntityAlreadyExists"):
		had, err := awsclient.Do[iam.GetRoleOutput](ctx, r.Client, iam.Model, "GetRole", &iam.GetRoleInput{RoleName: name})
		if err != nil {
			return err
		}
		r.role = had.Role.Arn
	default:
		return err
	}
	_, err = awsclient.Do[iam.PutRolePolicyOutput](ctx, r.Client, iam.Model, "PutRolePolicy", &iam.PutRolePolicyInput{RoleName: name, PolicyName: "one-bucket", PolicyDocument: access})
	return err
}

// is says whether a service answered with an error of this code.
func is(err error, code string) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && e.Code == code
}

// ListObjects gives all objects below a prefix, by key from the prefix on.
func ListObjects(ctx context.Context, c *awsclient.Client, bucket, prefix string) ([]File, error) {
	var files []File
	in := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix}
	for {
		out, err := awsclient.Do[s3.ListObjectsV2Output](ctx, c, s3.Model, "ListObjectsV2", in)
		if err != nil {
			return nil, err
		}
		for _, o := range out.Contents {
			files = append(files, File{Name: or(o.Key, ""), Size: or(o.Size, 0), ETag: strings.Trim(or(o.ETag, ""), `"`)})
		}
		if out.NextContinuationToken == nil {
			return files, nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// OpenBucket lists the data set at s3://bucket/prefix.
func OpenBucket(ctx context.Context, c *awsclient.Client, uri string) (*Photos, error) {
	bucket, prefix := splitURI(uri)
	if bucket == "" {
		return nil, &DataError{fmt.Sprintf("%s names no bucket", uri), "write s3://bucket/prefix"}
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	objects, err := ListObjects(ctx, c, bucket, prefix)
	if is(err, "NoSuchBucket") {
		return nil, &DataError{fmt.Sprintf("there is no bucket %s", bucket), "`musher ls buckets` lists those that there are"}
	}
	if err != nil {
		return nil, err
	}
	for i := range objects {
		objects[i].Name = objects[i].Name[len(prefix):]
	}
	return Arrange("s3://"+bucket+"/"+prefix, objects)
}

func splitURI(uri string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return bucket, key
}

// workers is how many photos are sent at once.
const workers = 8

// upload brings the photos into the bucket, as they are on disk: those that
// are there with the same content stay, those that are no longer on disk go.
func (r *run) upload(ctx context.Context) error {
	return r.step("upload", func(s *progress.Step) (string, error) {
		there, err := ListObjects(ctx, r.Client, name, r.Photos.Name+"/")
		if err != nil {
			return "", err
		}
		old := map[string]File{}
		for _, o := range there {
			old[o.Name] = o
		}
		s.Total(int64(len(r.Photos.All)), "photos")
		sent, bytes, err := r.send(ctx, s, old)
		if err != nil {
			return "", err
		}
		for _, f := range r.Photos.All {
			delete(old, r.Photos.Key(f))
		}
		var gone []File
		for _, o := range old {
			gone = append(gone, o)
		}
		r.result.Uploaded = sent
		return uploaded(sent, bytes, len(r.Photos.All)), r.deleteObjects(ctx, gone)
	})
}

func uploaded(sent, bytes int64, all int) string {
	switch {
	case sent == 0:
		return fmt.Sprintf("all %d photos are there from before", all)
	case sent < int64(all):
		return fmt.Sprintf("%d photos, %s; %d are there from before", sent, progress.Size(bytes), int64(all)-sent)
	}
	return fmt.Sprintf("%d photos, %s", sent, progress.Size(bytes))
}

// send puts the photos that the bucket does not have yet.
func (r *run) send(ctx context.Context, s *progress.Step, old map[string]File) (sent, bytes int64, err error) {
	var photos, size atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, f := range r.Photos.All {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			key := r.Photos.Key(f)
			put, err := r.putIfNew(ctx, f, key, old[key])
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			s.Add(1)
			if put {
				photos.Add(1)
				s.Detail("%s", progress.Size(size.Add(f.Size)))
			}
			return nil
		})
	}
	err = group.Wait()
	return photos.Load(), size.Load(), err
}

func (r *run) putIfNew(ctx context.Context, f Photo, key string, old File) (put bool, err error) {
	if strings.HasPrefix(r.Photos.From, "s3://") {
		if old.ETag != "" && old.ETag == f.ETag {
			return false, nil
		}
		_, err := awsclient.Do[s3.CopyObjectOutput](ctx, r.Client, s3.Model, "CopyObject", &s3.CopyObjectInput{
			Bucket: name, Key: key, CopySource: awsapi.URIEncode(strings.TrimPrefix(r.Photos.From, "s3://")+f.Name, true),
		})
		return true, err
	}
	file, err := os.Open(filepath.Join(r.Photos.From, filepath.FromSlash(f.Name)))
	if err != nil {
		return false, err
	}
	defer file.Close()
	if old.ETag != "" && old.Size == f.Size {
		same, err := hasMD5(file, old.ETag)
		if err != nil || same {
			return false, err
		}
	}
	kind := contentType(f.Name)
	_, err = awsclient.Do[s3.PutObjectOutput](ctx, r.Client, s3.Model, "PutObject", &s3.PutObjectInput{Bucket: name, Key: key, Body: file, ContentType: &kind})
	return true, err
}

// hasMD5 compares a file with an ETag, and leaves it at its start.
func hasMD5(f *os.File, etag string) (bool, error) {
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)) == etag, err
}

// deleteObjects removes objects of the demo's bucket, a thousand a call.
func (r *run) deleteObjects(ctx context.Context, gone []File) error {
	const most = 1000
	quiet := true
	for len(gone) > 0 {
		n := min(most, len(gone))
		in := &s3.DeleteObjectsInput{Bucket: name, Delete: &s3.Delete{Quiet: &quiet}}
		for _, o := range gone[:n] {
			in.Delete.Objects = append(in.Delete.Objects, &s3.ObjectIdentifier{Key: o.Name})
		}
		out, err := awsclient.Do[s3.DeleteObjectsOutput](ctx, r.Client, s3.Model, "DeleteObjects", in)
		if err != nil {
			return err
		}
		if len(out.Errors) > 0 {
			return fmt.Errorf("cannot delete %s: %s", or(out.Errors[0].Key, ""), or(out.Errors[0].Message, ""))
		}
		gone = gone[n:]
	}
	return nil
}

// read gives a photo's bytes, as they are in the demo's bucket.
func (r *run) read(ctx context.Context, f Photo) ([]byte, error) {
	out, err := awsclient.Do[s3.GetObjectOutput](ctx, r.Client, s3.Model, "GetObject", &s3.GetObjectInput{Bucket: name, Key: r.Photos.Key(f)})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (r *run) uri(part string) string { return "s3://" + path.Join(name, r.Photos.Name, part) + "/" }
