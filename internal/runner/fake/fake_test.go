package fake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/fake"
	"github.com/musher/musher/internal/runner/runnertest"
)

func TestConformance(t *testing.T) {
	runnertest.Run(t, runnertest.Harness{
		New: func(t *testing.T) runner.Runner {
			r := fake.New(fake.Options{})
			t.Cleanup(func() { r.Close() })
			return r
		},
		Reopen:  func(t *testing.T, r runner.Runner) runner.Runner { return r.(*fake.Runner).Reopen(fake.Options{}) },
		Command: func(steps ...string) []string { return append([]string{fake.Program}, steps...) },
		Fake:    true,
	})
}

// event is a change of phase and when it was told, since the test's start.
type event struct {
	at     time.Duration
	status string
}

// history runs one piece of work, stopped after stopAfter if that is not
// negative, and gives what was told of it.
func history(t *testing.T, env map[string]string, stopAfter, grace time.Duration) (events []event, log string) {
	begin := time.Now()
	var r *fake.Runner
	r = fake.New(fake.Options{OnChange: func(id string) {
		s, err := r.Inspect(context.Background(), id)
		if err != nil {
			t.Error(err)
		}
		text := fmt.Sprintf("%s %d %s %q", s.Phase, s.ExitCode, s.Signal, s.Reason)
		events = append(events, event{time.Since(begin), text})
	}})
	defer r.Close()
	if err := r.Start(t.Context(), runner.Spec{ID: "job", Command: []string{"train"}, Env: env}); err != nil {
		t.Fatal(err)
	}
	if stopAfter >= 0 {
		time.Sleep(stopAfter)
		if err := r.Stop(t.Context(), "job", grace); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := r.Logs(t.Context(), "job", true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return events, string(b)
}

func TestBehaviour(t *testing.T) {
	const never = time.Duration(-1)
	tests := []struct {
		name      string
		env       string
		stopAfter time.Duration
		grace     time.Duration
		want      string
		log       string
	}{
		{name: "exits", env: "run_for=1h exit_code=3", stopAfter: never,
			want: `0s Running 0  "", 1h0m0s Exited 3  ""`},
		{name: "slow start", env: "start_delay=5s run_for=0s", stopAfter: never,
			want: `5s Running 0  "", 5s Exited 0  ""`},
		{name: "cannot start", env: "start_delay=5s fail_start=no-image", stopAfter: never,
			want: `5s Exited 126  "no-image"`},
		{name: "stopped while starting", env: "start_delay=5s", stopAfter: time.Second,
			want: `1s Exited 143  "stopped before it started"`},
		{name: "stopped", env: "", stopAfter: time.Minute, grace: time.Minute,
			want: `0s Running 0  "", 1m0s Exited 143 SIGTERM ""`},
		{name: "slow to stop", env: "term_delay=7s", stopAfter: time.Minute, grace: time.Minute,
			want: `0s Running 0  "", 1m7s Exited 143 SIGTERM ""`},
		{name: "too slow to stop", env: "term_delay=2m", stopAfter: time.Minute, grace: time.Minute,
			want: `0s Running 0  "", 2m0s Exited 137 SIGKILL "did not end in time after SIGTERM: killed"`},
		{name: "ignores SIGTERM", env: "ignore_term=true", stopAfter: time.Minute, grace: 30 * time.Second,
			want: `0s Running 0  "", 1m30s Exited 137 SIGKILL "did not end in time after SIGTERM: killed"`},
		{name: "ignores SIGTERM and ends", env: "ignore_term=true run_for=65s exit_code=1", stopAfter: time.Minute, grace: 30 * time.Second,
			want: `0s Running 0  "", 1m5s Exited 1  ""`},
		{name: "crashes", env: "run_for=1s signal=SIGSEGV", stopAfter: never,
			want: `0s Running 0  "", 1s Exited 139 SIGSEGV ""`},
		{name: "out of memory", env: "run_for=1s signal=SIGKILL reason=out-of-memory", stopAfter: never,
			want: `0s Running 0  "", 1s Exited 137 SIGKILL "out-of-memory"`},
		{name: "lost", env: "run_for=1s lose=true", stopAfter: never,
			want: `0s Running 0  "", 1s Lost 0  "lost on command"`},
		{name: "prints", env: "run_for=3s log=a|b|c", stopAfter: never,
			want: `0s Running 0  "", 3s Exited 0  ""`, log: "a\nb\nc\n"},
		{name: "stopped while printing", env: "run_for=3s log=a|b|c", stopAfter: 1500 * time.Millisecond, grace: time.Minute,
			want: `0s Running 0  "", 1.5s Exited 143 SIGTERM ""`, log: "a\nb\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				env := map[string]string{}
				for field := range strings.FieldsSeq(test.env) {
					name, value, _ := strings.Cut(field, "=")
					env[name] = value
				}
				events, log := history(t, env, test.stopAfter, test.grace)
				var got []string
				for _, e := range events {
					got = append(got, fmt.Sprint(e.at, " ", e.status))
				}
				if strings.Join(got, ", ") != test.want {
					t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), test.want)
				}
				if log != test.log {
					t.Errorf("log %q, want %q", log, test.log)
				}
			})
		})
	}
}

func TestBadBehaviour(t *testing.T) {
	r := fake.New(fake.Options{})
	defer r.Close()
	for _, env := range []map[string]string{{"run_for": "long"}, {"exit_code": "x"}, {"lose": "perhaps"}} {
		if err := r.Start(t.Context(), runner.Spec{ID: "job", Command: []string{"x"}, Env: env}); err == nil {
			t.Errorf("%v: accepted", env)
		}
	}
}

func TestBehaveAndRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trained := ""
		r := fake.New(fake.Options{Behave: func(spec runner.Spec) fake.Behaviour {
			return fake.Behaviour{Run: func(ctx context.Context, w *fake.Work) int {
				trained = w.Spec.Dir
				fmt.Fprintln(w, "epoch=1")
				select {
				case <-ctx.Done():
					return 5
				case <-time.After(time.Hour):
					return 0
				}
			}}
		}})
		defer r.Close()
		if err := r.Start(t.Context(), runner.Spec{ID: "job", Command: []string{"train"}, Dir: "/job"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := r.Stop(t.Context(), "job", time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s, err := r.Inspect(t.Context(), "job")
		if err != nil || s.ExitCode != 5 || s.ExitedAt.Sub(s.StartedAt) != time.Minute || trained != "/job" {
			t.Errorf("%+v, %v, %q", s, err, trained)
		}
	})
}

func TestReopenTellsTheNewOneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		tell := func(who string) fake.Options {
			return fake.Options{OnChange: func(id string) { told = append(told, who+" "+id) }}
		}
		before := fake.New(tell("before"))
		defer before.Close()
		if err := before.Start(t.Context(), runner.Spec{ID: "job", Command: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		after := before.Reopen(tell("after"))
		if err := after.Kill("job"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if want := []string{"before job", "after job"}; !slices.Equal(told, want) {
			t.Errorf("told %v", told)
		}
		s, err := after.Inspect(t.Context(), "job")
		if err != nil || s.Signal != "SIGKILL" || s.StopAsked {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestFail(t *testing.T) {
	full := errors.New("no space left")
	r := fake.New(fake.Options{Fail: func(call, id string) error {
		if call == "Start" && id == "second" {
			return full
		}
		return nil
	}})
	defer r.Close()
	for id, want := range map[string]error{"first": nil, "second": full} {
		if err := r.Start(t.Context(), runner.Spec{ID: id, Command: []string{"x"}}); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if specs := r.Specs(); len(specs) != 1 || specs[0].ID != "first" {
		t.Errorf("started: %+v", specs)
	}
}

func TestStopAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fake.New(fake.Options{})
		defer r.Close()
		for i, env := range []map[string]string{{}, {"ignore_term": "true"}, {"run_for": "0s"}} {
			if err := r.Start(t.Context(), runner.Spec{ID: fmt.Sprint(i), Command: []string{"x"}, Env: env}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		begin := time.Now()
		if err := r.StopAll(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("took %v", took)
		}
	})
}
