package spot

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musher/musher/internal/state"
)

func TestDue(t *testing.T) {
	every, some, all, none := int64(600), 0.1, 1.0, 0.0
	for _, c := range []struct {
		name   string
		rule   Rehearsal
		up     time.Duration
		chance float64
		want   bool
	}{
		{"early", Rehearsal{EveryInSeconds: &every}, 599 * time.Second, 0.99, false},
		{"on time", Rehearsal{EveryInSeconds: &every}, 600 * time.Second, 0, true},
		{"unlucky", Rehearsal{ProbabilityPerHour: &some}, 0, 0.99999, true},
		{"lucky", Rehearsal{ProbabilityPerHour: &some}, time.Hour, 0.9999, false},
		{"certain", Rehearsal{ProbabilityPerHour: &all}, 0, 0, true},
		{"never", Rehearsal{ProbabilityPerHour: &none}, time.Hour, 0.9999999, false},
	} {
		if got := c.rule.due(c.up, c.chance); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Within an hour, as many instances go as the probability says.
func TestProbabilityIsPerHour(t *testing.T) {
	p, dice := 0.25, rand.New(rand.NewPCG(1, 2))
	rule := Rehearsal{ProbabilityPerHour: &p}
	gone := 0
	const instances = 300
	for range instances {
		for range int(time.Hour / tick) {
			if rule.due(0, dice.Float64()) {
				gone++
				break
			}
		}
	}
	if share := float64(gone) / instances; share < 0.18 || share > 0.32 {
		t.Errorf("%.3f of the instances went", share)
	}
}

// jobs is one job that comes up again at once.
type jobs struct {
	since time.Time
	gone  []time.Duration // after how long
}

func (j *jobs) Interrupt(context.Context, string, Interruption) error {
	j.gone = append(j.gone, time.Since(j.since))
	j.since = time.Now()
	return nil
}

func (j *jobs) Running(context.Context) ([]Running, error) {
	return []Running{{Job: "job", InstanceType: "ml.m5.large", Since: j.since}}, nil
}

func TestRehearsalGoesOn(t *testing.T) {
	db, err := state.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fake := &jobs{}
	s := New(Deps{DB: db, Jobs: fake, Log: slog.New(slog.DiscardHandler)})
	for kind, every := range map[string]int64{"ml.m5.large": 600, "ml.m5.xlarge": 1} {
		in := &PutRehearsalInput{Rehearsal: &Rehearsal{InstanceType: kind, EveryInSeconds: &every}}
		if _, err := s.put(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		fake.since = time.Now()
		for range 1900 {
			time.Sleep(tick)
			if err := s.rehearse(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if len(fake.gone) != 3 || fake.gone[0] != 10*time.Minute || fake.gone[2] != 10*time.Minute {
			t.Errorf("the job was interrupted after %v", fake.gone)
		}
	})
}
