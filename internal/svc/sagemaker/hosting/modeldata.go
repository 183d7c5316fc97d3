package hosting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/musher/musher/internal/artifact"
	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// source is where files of a model lie; without a URI there are none.
type source struct {
	uri    string
	packed bool // in a tar.gz, else as they are
}

// modelSource is where a container's model lies.
func modelSource(c *sagemaker.ContainerDefinition) (source, error) {
	switch data := c.ModelDataSource; {
	case c.ModelDataUrl != nil && data != nil:
		return source{}, sagemaker.Invalid("Give ModelDataUrl or ModelDataSource, not both.")
	case c.ModelDataUrl != nil:
		return archive("ModelDataUrl", *c.ModelDataUrl)
	case data == nil || data.S3DataSource == nil:
		return source{}, nil
	case data.S3DataSource.HubAccessConfig != nil || data.S3DataSource.ManifestS3Uri != nil:
		return source{}, sagemaker.Invalid("ModelDataSource: HubAccessConfig and ManifestS3Uri are not supported yet: name the files by S3Uri.")
	case data.S3DataSource.CompressionType == "Gzip":
		return archive("S3Uri", data.S3DataSource.S3Uri)
	default:
		_, _, err := sagemaker.SplitS3URI(data.S3DataSource.S3Uri)
		if err != nil {
			return source{}, sagemaker.Invalid("Invalid S3Uri: %v.", err)
		}
		return source{uri: data.S3DataSource.S3Uri}, nil
	}
}

// submitDirectory says where a model's script is: in a folder of the model, or
// in an archive of its own.
const submitDirectory = "SAGEMAKER_SUBMIT_DIRECTORY"

// codeSource is where the script lies, if not in the model.
func codeSource(c *sagemaker.ContainerDefinition) (source, error) {
	uri := c.Environment[submitDirectory]
	if !strings.HasPrefix(uri, "s3://") {
		return source{}, nil
	}
	return archive(submitDirectory, uri)
}

func archive(field, uri string) (source, error) {
	if _, key, err := sagemaker.SplitS3URI(uri); err != nil || key == "" {
		return source{}, sagemaker.Invalid("Invalid %s: %q does not name an object of a bucket (s3://bucket/key).", field, uri)
	}
	return source{uri: uri, packed: true}, nil
}

// fetch brings what the variants of the pending deployment serve. The row may
// turn out to be deleted meanwhile: then it has no pending deployment.
func (f *Family) fetch(ctx context.Context, row *Endpoint) error {
	for i := 0; row.Pending != nil && i < len(row.Pending.Variants); i++ {
		v := row.Pending.Variants[i]
		if v.fetched() {
			continue
		}
		if err := f.fetchVariant(ctx, &v); err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.VariantName, err)
		}
		err := f.update(ctx, row, func(_ time.Time, e *Endpoint) {
			if e.Pending != nil {
				e.Pending.Variants[i].Folder, e.Pending.Variants[i].Code = v.Folder, v.Code
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *Variant) fetched() bool {
	if v.Folder == "" {
		return false
	}
	for _, folder := range []string{v.Folder, v.Code} {
		if _, err := os.Stat(folder); folder != "" && err != nil {
			return false
		}
	}
	return true
}

func (f *Family) fetchVariant(ctx context.Context, v *Variant) error {
	role := *v.Model.ExecutionRoleArn
	caller, err := f.Roles.Session(ctx, role, sessionName)
	if err != nil {
		return err
	}
	model, err := modelSource(v.container())
	if err != nil {
		return err
	}
	code, err := codeSource(v.container())
	if err != nil {
		return err
	}
	if v.Folder, err = f.folder(ctx, caller, model); err != nil {
		return fmt.Errorf("could not access model data at %s as the role %s: %w", model.uri, role, err)
	}
	if code.uri == "" {
		return nil
	}
	if v.Code, err = f.folder(ctx, caller, code); err != nil {
		return fmt.Errorf("could not access the script at %s as the role %s: %w", code.uri, role, err)
	}
	return nil
}

// folder returns the folder that holds a source's files. Instances share it.
func (f *Family) folder(ctx context.Context, caller *awsapi.Caller, s source) (string, error) {
	if s.uri == "" {
		none := filepath.Join(f.ModelsDir, "none")
		return none, os.MkdirAll(none, 0o755)
	}
	if !s.packed {
		return f.Stage.Folder(ctx, caller, s.uri, func(_, _ int64) {})
	}
	return f.unpack(ctx, caller, s.uri)
}

// unpack returns the folder of an archive's files. It is named by the archive's
// URI and ETag, so that a model trained anew under the same key is another one.
func (f *Family) unpack(ctx context.Context, caller *awsapi.Caller, uri string) (string, error) {
	bucket, key, err := sagemaker.SplitS3URI(uri)
	if err != nil {
		return "", err
	}
	object, err := f.Objects.Head(ctx, caller, bucket, key)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(f.ModelsDir, named(uri, object.ETag))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	body, _, err := f.Objects.Get(ctx, caller, bucket, key)
	if err != nil {
		return "", err
	}
	defer body.Close()
	half, err := os.MkdirTemp(f.ModelsDir, "half-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := artifact.Unpack(body, half, artifact.DefaultLimits); err != nil {
		return "", fmt.Errorf("could not unpack it: %w", err)
	}
	return folder, settle(half, folder)
}

// settle gives a finished folder its name. Where somebody was faster, theirs
// stays.
func settle(half, folder string) error {
	if err := os.Chmod(half, 0o755); err != nil {
		return err
	}
	err := os.Rename(half, folder)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// named is a folder's name for what it was made from.
func named(from ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(from, "\x00")))
	return hex.EncodeToString(sum[:16])
}
