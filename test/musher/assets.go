package musher

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/backbone"
)

// CacheDir is the cache that the servers of a test run share: MUSHER_CACHE,
// else the user's own, so that weights are fetched once on a machine.
func CacheDir(tb testing.TB) string {
	tb.Helper()
	if dir := os.Getenv("MUSHER_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "musher")
}

//nolint:gochecknoglobals // fetched once for a test run
var (
	assetsOnce  sync.Once
	assetsError error
)

// NeedAssets fetches what training and serving load, or skips the test where
// that cannot be had.
func NeedAssets(tb testing.TB) {
	tb.Helper()
	cache := CacheDir(tb)
	assetsOnce.Do(func() { assetsError = fetchAssets(cache) })
	if assetsError != nil {
		Skip(tb, "weights or libraries cannot be fetched: %v", assetsError)
	}
}

func fetchAssets(cache string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*generous)
	defer cancel()
	r, err := assets.New(cache, assets.Options{})
	if err != nil {
		return err
	}
	item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return err
	}
	if _, err := r.Fetch(ctx, item); err != nil {
		return err
	}
	_, _, err = backbone.Resolve(ctx, r, cache, "efficientnet-lite0")
	return err
}

// Shared is the folder of real photos that lies beside the repository:
// MUSHER_SHARED, else ../shared. Tests that need it skip where it is missing.
func Shared(tb testing.TB, path string) string {
	tb.Helper()
	dir := os.Getenv("MUSHER_SHARED")
	if dir == "" {
		dir = filepath.Join(Root(tb), "..", "shared")
	}
	full := filepath.Join(dir, path)
	if _, err := os.Stat(full); err != nil {
		tb.Skipf("this test needs real photos, and they are not here: %v", err)
	}
	return full
}
