//go:build linux

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/musher/musher/internal/runner"
)

// access is what the command may do with an entry of its view.
type access int

const (
	readOnly access = iota
	readWrite
	device // read and write and control, but nothing is created
)

// entry is one folder or file of the host that the command sees.
type entry struct {
	source string // on the host, free of symbolic links
	target string // where the command finds it
	access access
	file   bool
	given  bool // by the spec, so that a mistake in it is the spec's
	yields bool // gives way to an entry below its target
}

// link is a symbolic link in the private root, such as /bin → usr/bin.
type link struct{ at, to string }

// view is all that the command sees of the file system. Entries are in the
// order in which they have to be mounted: parents before children.
type view struct {
	entries []entry
	links   []link
}

// systemFolders hold programs and libraries. Those that a machine lacks are
// left out, those that are links become links.
var systemFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/sys"}

// systemFiles are the parts of /etc that programs need to resolve names, check
// certificates, load libraries and tell the time. It is a list of what is
// given, not of what is withheld, because secrets live in /etc as well.
var systemFiles = []string{
	"/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/gai.conf", "/etc/group", "/etc/host.conf",
	"/etc/hostname", "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
	"/etc/magic", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd",
	"/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/protocols", "/etc/resolv.conf", "/etc/services",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/terminfo", "/etc/timezone",
}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// reserved targets are built by the sandbox itself.
var reserved = []string{"/proc", "/dev", "/sys"}

// TempFolder is the private temporary folder of work in dir. Inside a private
// root it is /tmp as well, if nothing else that the work sees lies in /tmp.
func TempFolder(dir string) string { return filepath.Join(dir, "tmp") }

// plan decides what c's command sees. Later entries take the place of earlier
// ones with the same target, so a mount may replace a system folder.
func plan(c Config) (view, error) {
	v := systemView(c)
	for _, m := range c.Mounts {
		e, err := mountEntry(m)
		if err != nil {
			return view{}, err
		}
		if c.Isolation == None && e.target != filepath.Clean(m.Source) {
			return view{}, fmt.Errorf("mount of %s at %s: this machine gives no mount namespace, so a folder can only be seen at its own path", m.Source, m.Target)
		}
		v.entries = append(v.entries, e)
	}
	dir, err := hostEntry(c.Dir, c.Dir, readWrite)
	if err != nil {
		return view{}, fmt.Errorf("working folder: %w", err)
	}
	v.entries = append(v.entries, dir)
	v.arrange()
	return v, nil
}

func systemView(c Config) view {
	var v view
	v.addSystem(readOnly, systemFolders...)
	v.addSystem(readOnly, systemFiles...)
	v.addSystem(readOnly, c.System...)
	v.addSystem(device, devices...)
	v.addSystem(device, c.Devices...)
	if c.Isolation != None {
		v.entries = append(v.entries, entry{source: TempFolder(c.Dir), target: "/tmp", access: readWrite, given: true, yields: true})
		v.links = append(v.links, link{"/var/tmp", "/tmp"})
	}
	return v
}

// addSystem adds what exists of paths. A folder of the root that is a link on
// the host (/bin on a merged-/usr system) stays one.
func (v *view) addSystem(a access, paths ...string) {
	for _, p := range paths {
		if to, err := os.Readlink(p); err == nil && filepath.Dir(p) == "/" {
			v.links = append(v.links, link{p, to})
			continue
		}
		if e, err := hostEntry(p, p, a); err == nil {
			e.given = false
			v.entries = append(v.entries, e)
		}
	}
}

func mountEntry(m runner.Mount) (entry, error) {
	target := filepath.Clean(cmp.Or(m.Target, m.Source))
	if target == "/" || slices.ContainsFunc(reserved, func(r string) bool { return within(target, r) }) {
		return entry{}, fmt.Errorf("mount at %s: that path is the sandbox's own", target)
	}
	a := readWrite
	if m.ReadOnly {
		a = readOnly
	}
	e, err := hostEntry(m.Source, target, a)
	if err != nil {
		return entry{}, fmt.Errorf("mount of %s: %w", m.Source, err)
	}
	return e, nil
}

func hostEntry(source, target string, a access) (entry, error) {
	if !filepath.IsAbs(source) || !filepath.IsAbs(target) {
		return entry{}, errors.New("path is not absolute")
	}
	real, err := filepath.EvalSymlinks(source)
	if err != nil {
		return entry{}, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return entry{}, err
	}
	return entry{source: real, target: filepath.Clean(target), access: a, file: !info.IsDir(), given: true}, nil
}

// arrange keeps the last entry of each target and sorts parents first.
func (v *view) arrange() {
	last := map[string]entry{}
	for _, e := range v.entries {
		last[e.target] = e
	}
	all := slices.SortedFunc(maps.Values(last), func(a, b entry) int { return cmp.Compare(a.target, b.target) })
	v.entries = slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return e.yields && hasBelow(all, e.target) })
}

// hasBelow tells whether something is mounted below target. In the command's
// own temporary folder a mount point for it would stay behind.
func hasBelow(entries []entry, target string) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.target != target && within(e.target, target) })
}

// hostPath tells which host path the command would reach at p.
func (v *view) hostPath(p string) (string, bool) {
	for _, l := range v.links {
		if within(p, l.at) {
			p = filepath.Join("/", l.to, strings.TrimPrefix(p, l.at))
		}
	}
	for _, e := range slices.Backward(v.entries) { // the deepest entry that holds p comes first
		if within(p, e.target) {
			return filepath.Join(e.source, strings.TrimPrefix(p, e.target)), true
		}
	}
	return p, false
}

// within tells whether p is folder or lies below it.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, strings.TrimSuffix(folder, "/")+"/")
}
