package runtimes

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed images.txt runtimes.txt recipes/*.txt
var data embed.FS

const builtinName = "builtin"

// table is what images.txt and runtimes.txt say.
type table struct {
	images   []imageLine
	runtimes []known
}

// imageLine leads images to a runtime. The expression is made when it is needed
// first: a server that starts has no time for it.
type imageLine struct {
	pattern, runtime string
	expression       func() *regexp.Regexp
}

// known is a runtime that every server knows, and the modules that it needs.
type known struct {
	name  string
	needs []string
}

func readTable(from fs.FS) (*table, error) {
	t := &table{}
	err := readLines(from, "runtimes.txt", func(name, modules string) error {
		k := known{name: name}
		if modules != "-" {
			k.needs = strings.Split(modules, ",")
		}
		t.runtimes = append(t.runtimes, k)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, readLines(from, "images.txt", func(pattern, name string) error {
		if t.find(name) == nil {
			return fmt.Errorf("no runtime is called %q", name)
		}
		t.images = append(t.images, imageLine{pattern, name, sync.OnceValue(func() *regexp.Regexp {
			expression, err := compile(pattern)
			if err != nil {
				panic(err) // of a line of images.txt, which has no empty words
			}
			return expression
		})})
		return nil
	})
}

// readLines visits the lines of a file, two words each.
func readLines(from fs.FS, file string, visit func(first, second string) error) error {
	text, err := fs.ReadFile(from, file)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		err := fmt.Errorf("%d words, not two", len(words))
		if len(words) == 2 {
			err = visit(words[0], words[1])
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", file, i+1, err)
		}
	}
	return nil
}

func (t *table) find(name string) *known {
	if i := slices.IndexFunc(t.runtimes, func(k known) bool { return k.name == name }); i >= 0 {
		return &t.runtimes[i]
	}
	return nil
}

// nameOf is the runtime that the first fitting line leads to, or empty.
func (t *table) nameOf(image string) string {
	for _, line := range t.images {
		if line.expression().MatchString(image) {
			return line.runtime
		}
	}
	return ""
}

// patterns are those that lead to a runtime.
func (t *table) patterns(name string) (out []string) {
	for _, line := range t.images {
		if line.runtime == name {
			out = append(out, line.pattern)
		}
	}
	return out
}

// modules are all that any runtime needs.
func (t *table) modules() (out []string) {
	for _, k := range t.runtimes {
		out = append(out, k.needs...)
	}
	return out
}

const awsRegistry = `[0-9]{12}\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?`

// compile makes a pattern of images.txt, or one of the user's, into an
// expression.
func compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || strings.ContainsAny(pattern, " \t\n") {
		return nil, fmt.Errorf("%q is no pattern for images", pattern)
	}
	rest, aws := strings.CutPrefix(pattern, "{aws}/")
	expr := strings.ReplaceAll(regexp.QuoteMeta(rest), `\*`, `[^/]*`)
	if aws {
		expr = awsRegistry + "/" + expr
	}
	// A colon before the last slash is a registry's port.
	if !strings.ContainsAny(path.Base(pattern), ":@") {
		expr = strings.ReplaceAll(expr, `[^/]*`, `[^/:@]*`) + `(?::[\w.-]+)?(?:@[\w.+-]+:[0-9a-fA-F]+)?`
	}
	return regexp.Compile("^(?:" + expr + ")$")
}
