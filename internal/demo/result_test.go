package demo

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func result() *Result {
	trial := func(rate, decay, smoothing, batch string) map[string]string {
		return map[string]string{"learning_rate": rate, "weight_decay": decay, "label_smoothing": smoothing, "mini_batch_size": batch}
	}
	return &Result{
		TuningJob: "demo-251231-235959-tune", Endpoint: name,
		Trials: []Trial{
			{Status: "Completed", Hyperparameters: trial("0.000502437", "0.1415", "0.09604", "64"), Accuracy: 0.95, Seconds: 1.24},
			{Status: "Failed", Hyperparameters: trial("0.00987654", "1", "0.0523", "32"), Seconds: 0.3},
			{Status: "Completed", Hyperparameters: trial("0.002", "0.0305", "0.15", "16"), Accuracy: 0.975, Seconds: 12.07, Best: true},
		},
		Example: Example{
			Photo: "test/006.Golden_retriever/0001.jpg", Class: "006.Golden_retriever", SameByURL: true,
			Labels: []Label{{"006.Golden_retriever", 0.7991}, {"001.Affenpinscher", 0.0341}},
		},
		Steps:      []StepTime{{"upload", 1.24, "460 photos, 9.5 MB"}, {"tuning", 98.2, "3 trials, best validation:accuracy 0.9750"}},
		TestPhotos: 80, TestRight: 75, TestAccuracy: 0.9375,
	}
}

const want = `Trials of demo-251231-235959-tune:
         learning  weight      label  mini batch  validation
  trial      rate   decay  smoothing        size    accuracy  seconds
      1  0.000502   0.141      0.096          64      0.9500      1.2
      2   0.00988       1     0.0523          32      Failed      0.3
      3     0.002  0.0305       0.15          16      0.9750     12.1 best

Test accuracy of the best trial's model: 0.9375
(75 of 80 photos right, asked through the endpoint)

test/006.Golden_retriever/0001.jpg,
sent as bytes and as a URL: the same answer:
  ✓ 006.Golden_retriever   79.9 %  ████████████████████████
    001.Affenpinscher       3.4 %  █

Time that the steps took:
     1.2 s  upload    460 photos, 9.5 MB
      98 s  tuning    3 trials, best validation:accuracy 0.9750
      99 s  in all
`

func TestWrite(t *testing.T) {
	var out strings.Builder
	if err := result().Write(&out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// An answer that is not the same is said loudly.
func TestWriteOther(t *testing.T) {
	r := result()
	r.Example.SameByURL = false
	var out strings.Builder
	if err := r.Write(&out); err != nil || !strings.Contains(out.String(), "ITS URL WAS ANSWERED DIFFERENTLY") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteFails(t *testing.T) {
	for _, room := range []int{0, 100, 600} {
		if err := result().Write(&full{room}); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

func TestSame(t *testing.T) {
	a := []Label{{"a", 0.5}, {"b", 0.3}}
	for _, c := range []struct {
		b    []Label
		want bool
	}{
		{[]Label{{"a", 0.50004}, {"b", 0.3}}, true},
		{[]Label{{"a", 0.51}, {"b", 0.3}}, false},
		{[]Label{{"b", 0.5}, {"a", 0.3}}, false},
		{[]Label{{"a", 0.5}}, false},
	} {
		if got := same(a, c.b); got != c.want {
			t.Errorf("same(%v) = %v", c.b, got)
		}
	}
}
