package assets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
)

// Item says what a thing is, how to recognise its bytes, and where it can be
// had. It is data: the items that Musher knows are listed in catalog.go.
type Item struct {
	Name string // for people and for the cache folder, for example "efficientnet-lite0-weights"
	File string // the file's name in the cache and in the operator's folder

	// What the file's bytes must be. An item without any of the two is served
	// as it came: only data that the user named himself may do without.
	SHA256       string // hex
	SHA256Prefix string // leading hex digits, for publishers that put them into the file's name

	Size     int64  // bytes; 0: unknown
	MaxBytes int64  // refuse to download more; 0: 16 GiB
	PathEnv  string // variable by which the user may name the file himself

	Wheel *Wheel   // the wheel that holds the file, if one does
	URLs  []string // public addresses, tried in order
}

// Wheel is one wheel of a Python project, chosen for a fixed interpreter and
// platform so that every machine, whatever Python it has, gets the same bytes.
type Wheel struct {
	Project, Version string
	File             string // the wheel's file name
	SHA256           string // of the wheel; hex
	Size             int64  // bytes
	Member           string // path of the file inside the wheel

	// Target is empty for wheels of pure Python: those fit everywhere.
	Target *Target
}

// Target is an interpreter and a platform as package clients name them.
type Target struct {
	Python     string // "3.12"
	ABI        string // "cp312"
	Platform   string // pip's name: "manylinux_2_28_x86_64"
	UVPlatform string // uv's name: "x86_64-manylinux_2_28"
}

// ErrChecksum is wrapped when bytes are not what the item promises.
var ErrChecksum = errors.New("wrong checksum")

// FromURL describes a file that the user named by its address. Nothing is known
// about its bytes, so the address alone identifies it in the cache.
func FromURL(rawURL string) (Item, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Item{}, fmt.Errorf("assets: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return Item{}, fmt.Errorf("assets: %q is no http or https address", rawURL)
	}
	file := path.Base(u.Path)
	if file == "." || file == "/" {
		file = "download"
	}
	return Item{Name: cleanName(file), File: cleanName(file), URLs: []string{rawURL}}, nil
}

// Key is the item's folder name in the cache. It changes whenever the bytes
// that the item stands for change.
func (it Item) Key() string {
	switch {
	case it.SHA256 != "":
		return it.Name + "-" + it.SHA256[:12]
	case it.SHA256Prefix != "":
		return it.Name + "-" + it.SHA256Prefix
	case it.Wheel != nil:
		return it.Name + "-" + it.Wheel.Version
	default:
		sum := sha256.Sum256([]byte(strings.Join(it.URLs, "\n")))
		return it.Name + "-" + hex.EncodeToString(sum[:6])
	}
}

// check hashes the file at name and compares size and checksum with what the
// item promises. It returns the checksum.
func (it Item) check(name string) (string, error) {
	sum, size, err := hashFile(name)
	if err != nil {
		return "", err
	}
	if it.Size > 0 && size != it.Size {
		return "", fmt.Errorf("%s has %d bytes instead of %d: %w", path.Base(name), size, it.Size, ErrChecksum)
	}
	if !it.accepts(sum) {
		return "", fmt.Errorf("%s has SHA-256 %s instead of %s: %w", path.Base(name), sum, it.wants(), ErrChecksum)
	}
	return sum, nil
}

// accepts reports whether a file with this SHA-256 is the item.
func (it Item) accepts(sum string) bool {
	if it.SHA256 != "" {
		return sum == it.SHA256
	}
	return strings.HasPrefix(sum, it.SHA256Prefix)
}

func (it Item) wants() string {
	if it.SHA256 != "" {
		return it.SHA256
	}
	return it.SHA256Prefix + "…"
}

func (it Item) maxBytes() int64 {
	if it.MaxBytes > 0 {
		return it.MaxBytes
	}
	return 16 << 30
}

// validate catches mistakes in the catalogue and names that would leave the
// cache folder.
func (it Item) validate() error {
	if it.Name == "" || it.Name != cleanName(it.Name) {
		return fmt.Errorf("assets: bad item name %q", it.Name)
	}
	if it.File == "" || it.File != cleanName(it.File) {
		return fmt.Errorf("assets: item %s: bad file name %q", it.Name, it.File)
	}
	if it.SHA256 != "" && len(it.SHA256) != sha256.Size*2 {
		return fmt.Errorf("assets: item %s: SHA-256 has %d digits", it.Name, len(it.SHA256))
	}
	return nil
}

// cleanName keeps what is safe in a file name on every system.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-+", r):
			return r
		}
		return '_'
	}, s)
	return strings.TrimLeft(s, ".")
}

func hashFile(name string) (sum string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
