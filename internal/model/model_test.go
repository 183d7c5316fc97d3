package model

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/musher/musher/internal/vision"
)

func good() Info {
	return Info{Labels: []string{"a", "b"}, Preprocess: vision.ImageNet(), Backbone: "resnet18", Serving: &Serving{MaxBatch: 8}}
}

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, InfoFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func marshal(t *testing.T, i Info) string {
	t.Helper()
	b, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRead(t *testing.T) {
	want := good()
	got, err := Read(write(t, marshal(t, want)))
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
}

func TestReadBad(t *testing.T) {
	change := func(f func(*Info)) string {
		i := good()
		f(&i)
		return marshal(t, i)
	}
	for name, c := range map[string]struct{ text, says string }{
		"no JSON":      {"{", "unexpected end"},
		"no labels":    {change(func(i *Info) { i.Labels = nil }), "no labels"},
		"no recipe":    {change(func(i *Info) { i.Preprocess = vision.Preprocess{Filter: i.Preprocess.Filter} }), "crop"},
		"bad recipe":   {change(func(i *Info) { i.Preprocess.Std[0] = 0 }), "std"},
		"huge recipe":  {change(func(i *Info) { i.Preprocess.Resize = math.MaxInt32 }), "resize"},
		"odd hint":     {change(func(i *Info) { i.Serving.Workers = -1 }), "negative"},
		"another type": {`{"labels": "a"}`, "labels"},
	} {
		if _, err := Read(write(t, c.text)); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), InfoFile) {
			t.Errorf("%s: %v, want it to name the file and to say %q", name, err, c.says)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty folder: %v", err)
	}
}
