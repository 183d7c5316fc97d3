package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/assets/digits"
)

// DataEnv names the data set where --data does not.
const DataEnv = "MUSHER_DATA"

// Sources are where data sets come from.
type Sources struct {
	Getenv func(string) string
	// Tree fetches and unpacks a zip, once.
	Tree func(context.Context, assets.Item) (dir string, err error)
	// Digits gives the folder of the handwritten digits.
	Digits func(context.Context) (dir string, err error)
}

// NewSources fetches with a resolver and keeps what it fetches in its cache.
func NewSources(getenv func(string) string, r *assets.Resolver, cache string) Sources {
	return Sources{
		Getenv: getenv,
		Tree: func(ctx context.Context, it assets.Item) (string, error) {
			return r.FetchTree(ctx, it, assets.Limits{})
		},
		Digits: func(ctx context.Context) (string, error) { return digits.Fetch(ctx, r, cache) },
	}
}

// Locate finds the data set that was asked for, and brings it onto this
// machine: the answer is a folder, or the s3:// address that was given. The
// remark says what was taken instead where the default cannot be had.
func (s Sources) Locate(ctx context.Context, asked string) (where, remark string, err error) {
	if asked == "" {
		asked = s.Getenv(DataEnv)
	}
	u, err := url.Parse(asked)
	switch {
	case asked == "":
		return s.byDefault(ctx)
	case err == nil && u.Scheme == "s3":
		return asked, "", nil
	case err == nil && (u.Scheme == "http" || u.Scheme == "https"):
		it, err := assets.FromURL(asked)
		if err != nil {
			return "", "", err
		}
		dir, err := s.Tree(ctx, it)
		return dir, "", err
	case err == nil && len(u.Scheme) > 1 && strings.Contains(asked, "://"):
		return "", "", &DataError{fmt.Sprintf("--data %s: %s addresses are not understood", asked, u.Scheme), "give a folder, the http(s) address of a zip, or s3://bucket/prefix"}
	}
	return asked, "", nil
}

// byDefault is the reference project's photos, or the digits where those
// cannot be reached.
func (s Sources) byDefault(ctx context.Context) (where, remark string, err error) {
	dogs := assets.DogImages()
	dir, err := s.Tree(ctx, dogs)
	if err == nil || ctx.Err() != nil {
		return dir, "", err
	}
	dir, err2 := s.Digits(ctx)
	if err2 != nil {
		return "", "", withoutData(err, err2)
	}
	return dir, fmt.Sprintf("The dog photos cannot be reached (%s), so this run uses real handwritten digits; --data names photos of your own.", host(dogs)), nil
}

func host(it assets.Item) string {
	if u, err := url.Parse(it.URLs[0]); err == nil {
		return u.Host
	}
	return it.URLs[0]
}

func withoutData(dogs, digits error) error {
	return &DataError{
		fmt.Sprintf("no data set can be had: %v; and %v", errors.Join(dogs), digits),
		"name a folder of photos with --data, or in " + DataEnv,
	}
}
