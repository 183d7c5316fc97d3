package backbone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/pth"
)

// Resolve returns the file of a backbone's model (with the one output
// "features") and its SHA-256 in hex. The weights come through the resolver; the
// model is built once and kept below cacheDir/backbones under a name that tells
// the weights and the builder's version, with its checksum beside it. A file
// that does not match is built again. Two processes that build the same model at
// once write the same bytes.
func Resolve(ctx context.Context, r *assets.Resolver, cacheDir, name string) (path, sum string, err error) {
	spec, err := Get(name)
	if err != nil {
		return "", "", err
	}
	file := fmt.Sprintf("%s-v%d.onnx", spec.Item.Key(), builderVersion)
	path = filepath.Join(cacheDir, "backbones", file)
	if sum, ok := intact(path); ok {
		return path, sum, nil
	}
	model, err := buildFile(ctx, r, spec)
	if err != nil {
		return "", "", fmt.Errorf("backbone %s: %w", name, err)
	}
	sum = checksum(model)
	err = errors.Join(writeWhole(path, model), writeWhole(path+".sha256", []byte(sum)))
	if err != nil {
		return "", "", fmt.Errorf("backbone %s: %w", name, err)
	}
	return path, sum, nil
}

// intact reports whether a model is there and what its checksum says it is.
// Hashing takes some 15 ms for 18 MB, less than the session that is made of it.
func intact(path string) (sum string, ok bool) {
	model, err := os.ReadFile(path)
	want, err2 := os.ReadFile(path + ".sha256")
	if err != nil || err2 != nil {
		return "", false
	}
	sum = checksum(model)
	return sum, sum == string(want)
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// buildFile fetches the weights and makes the model.
func buildFile(ctx context.Context, r *assets.Resolver, spec Spec) ([]byte, error) {
	weights, err := r.Fetch(ctx, spec.Item)
	if err != nil {
		return nil, err
	}
	state, err := pth.Open(weights, pth.Limits{})
	if err != nil {
		return nil, err
	}
	return Build(spec, state)
}

// writeWhole gives a file its name only when all of it is on disk.
func writeWhole(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
