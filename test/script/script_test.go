package script_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/musher/musher/test/musher"
)

func TestScripts(t *testing.T) {
	binary, cache := musher.Binary(t), musher.CacheDir(t)
	// A short path: a Unix socket's may have a hundred characters.
	root, err := os.MkdirTemp("", "ms-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	testscript.Run(t, testscript.Params{
		Dir: ".", WorkdirRoot: root,
		Setup: func(e *testscript.Env) error {
			bin := filepath.Join(e.WorkDir, ".bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("MUSHER_CACHE", cache)
			for _, name := range []string{"MUSHER_ASSETS", "MUSHER_ONNXRUNTIME"} {
				e.Setenv(name, os.Getenv(name))
			}
			return os.Symlink(binary, filepath.Join(bin, "musher"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "photos": photos, "match": match,
		},
		Condition: func(name string) (bool, error) {
			if name != "assets" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return haveAssets(t, binary, cache), nil
		},
	})
}

// haveAssets says why not, so that a skipped script has a reason.
func haveAssets(t *testing.T, binary, cache string) bool {
	out, err := exec.Command(binary, "fetch", "--cache", cache).CombinedOutput()
	if err != nil {
		t.Logf("libraries and weights cannot be had: %s", out)
	}
	return err == nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// patience is long, for machines with much other work.
const patience = 2 * time.Minute

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found, err := filepath.Glob(ts.MkAbs(args[0])); err == nil && len(found) > 0 {
			return
		}
	}
	ts.Fatalf("%s does not appear", args[0])
}

func match(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: match VARIABLE PATTERN")
	}
	found, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("nothing matches %s", args[1])
	}
	ts.Setenv(args[0], filepath.Base(found[0]))
}

func photos(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: photos DIR CLASSES EACH")
	}
	classes, err := strconv.Atoi(args[1])
	ts.Check(err)
	each, err := strconv.Atoi(args[2])
	ts.Check(err)
	random := rand.New(rand.NewPCG(1, 2))
	for c := range classes {
		dir := filepath.Join(ts.MkAbs(args[0]), fmt.Sprintf("class-%d", c))
		ts.Check(os.MkdirAll(dir, 0o755))
		for i := range each {
			ts.Check(paint(filepath.Join(dir, fmt.Sprintf("%02d.png", i)), c, random))
		}
	}
}

func paint(path string, class int, random *rand.Rand) error {
	const side = 64
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		rgb := [3]uint8{}
		for j := range rgb {
			rgb[j] = uint8(80*((class>>j)&1) + 60 + random.IntN(60))
		}
		img.Set(i%side, i/side, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, img), f.Close())
}
