package hosting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/musher/musher/internal/artifact"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// fetchModels unpacks the models of the pending deployment. Instances share a
// folder per artifact; it is named by the artifact's URI and ETag, so that a
// model trained anew under the same key is another one.
func (f *Family) fetchModels(ctx context.Context, row *Endpoint) error {
	for i, v := range row.Pending.Variants {
		if v.Folder != "" {
			if _, err := os.Stat(v.Folder); err == nil {
				continue
			}
		}
		folder, err := f.fetchModel(ctx, &v.Model)
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.VariantName, err)
		}
		err = f.update(ctx, row, func(_ time.Time, e *Endpoint) {
			if e.Pending != nil {
				e.Pending.Variants[i].Folder = folder
			}
		})
		if err != nil {
			return err
		}
		if row.Pending == nil {
			return nil // it is being deleted
		}
	}
	return nil
}

func (f *Family) fetchModel(ctx context.Context, m *sagemaker.CreateModelInput) (string, error) {
	uri, err := modelURI(container(m))
	if err != nil {
		return "", err
	}
	bucket, key, err := sagemaker.SplitS3URI(uri)
	if err != nil {
		return "", err
	}
	caller, err := f.Roles.Session(ctx, *m.ExecutionRoleArn, sessionName)
	if err != nil {
		return "", err
	}
	object, err := f.Objects.Head(ctx, caller, bucket, key)
	if err != nil {
		return "", fmt.Errorf("could not access model data at %s as the role %s: %w", uri, *m.ExecutionRoleArn, err)
	}
	sum := sha256.Sum256([]byte(uri + "\x00" + object.ETag))
	folder := filepath.Join(f.ModelsDir, hex.EncodeToString(sum[:16]))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	body, _, err := f.Objects.Get(ctx, caller, bucket, key)
	if err != nil {
		return "", fmt.Errorf("could not read model data at %s: %w", uri, err)
	}
	defer body.Close()
	if err := os.MkdirAll(f.ModelsDir, 0o700); err != nil {
		return "", err
	}
	half, err := os.MkdirTemp(f.ModelsDir, "half-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := artifact.Unpack(body, half, artifact.DefaultLimits); err != nil {
		return "", fmt.Errorf("could not unpack model data at %s: %w", uri, err)
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return "", err
	}
	err = os.Rename(half, folder)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		err = nil // another variant was faster
	}
	return folder, err
}
