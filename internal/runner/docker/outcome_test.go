package docker

import (
	"fmt"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
)

func TestOutcome(t *testing.T) {
	said := &report{ExitCode: 137, Signal: "SIGKILL", Reason: "did not end in time after SIGTERM: killed"}
	tests := []struct {
		name     string
		code     int
		oom      bool
		engine   string // its own error
		told     *report
		stop     bool
		sameBoot bool
		want     string
	}{
		{"ended by itself", 3, false, "", &report{ExitCode: 3}, false, true, "Exited 3  "},
		{"a number is no signal", 143, false, "", &report{ExitCode: 143}, false, true, "Exited 143  "},
		{"killed at the deadline", 137, false, "", said, true, true, "Exited 137 SIGKILL did not end in time after SIGTERM: killed"},
		{"out of memory", 137, true, "", &report{ExitCode: 137, Signal: "SIGKILL"}, false, true, "Exited 137 SIGKILL out of memory: it wanted more than its 100 bytes"},
		{"out of memory, all of it", 137, true, "", nil, false, true, "Exited 137 SIGKILL out of memory: it wanted more than its 100 bytes"},
		{"a child ran out of memory", 1, true, "", &report{ExitCode: 1}, false, true, "Exited 1  "},
		{"killed from outside", 137, false, "", nil, false, true, "Exited 137 SIGKILL the container was killed from outside"},
		{"the engine knows why", 128, false, "no device", nil, false, true, "Exited 128  no device"},
		{"machine restarted", 255, false, "", nil, false, false, "Lost 0  the machine restarted while the work ran"},
		{"ended before the machine restarted", 255, false, "", &report{ExitCode: 255}, false, false, "Exited 255  "},
		{"stopped too early to hear it", 2, false, "", nil, true, true, "Exited 143  stopped before it started"},
	}
	for _, test := range tests {
		var c container
		c.State.ExitCode, c.State.OOMKilled, c.State.Error = test.code, test.oom, test.engine
		s := outcome(runner.Status{StopAsked: test.stop}, c, test.told, 100, test.sameBoot)
		if got := fmt.Sprint(s.Phase, " ", s.ExitCode, " ", s.Signal, " ", s.Reason); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOutcomeTimes(t *testing.T) {
	var c container
	start := time.Unix(100, 0)
	c.State.StartedAt = start
	for finished, want := range map[int64]int64{99: 100, 101: 101} {
		c.State.FinishedAt = time.Unix(finished, 0)
		if s := outcome(runner.Status{}, c, nil, 0, true); s.ExitedAt.Unix() != want || !s.StartedAt.Equal(start) {
			t.Errorf("finished at %d: %+v", finished, s)
		}
	}
}

func TestNegotiate(t *testing.T) {
	tests := []struct {
		least, most string
		want        int
		fails       bool
	}{
		{"1.12", "1.41", 41, false},
		{"1.24", "1.99", newestAPI, false},
		{"1.12", "1.39", 0, true},
		{"1.90", "1.99", 0, true},
		{"", "", 0, true},
		{"2.0", "2.1", 0, true},
	}
	for _, test := range tests {
		if got, err := negotiate(test.least, test.most); got != test.want || (err != nil) != test.fails {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	m := machine{cpus: 4, uid: 7, gid: 8, runner: "r", first: firstProcess{command: []string{"/bin/us", "container-init"}}}
	l := launch{
		Spec: runner.Spec{
			ID: "job", Labels: map[string]string{"kind": "training"}, Command: []string{"train", "-x"}, Dir: "/job",
			Env: map[string]string{"B": "2", "A": "1"}, CPU: 100, Memory: 1 << 30, Network: runner.NoNetwork,
		},
		Image: "i", GPUs: []string{"1"}, LogLimit: 9,
	}
	c := m.describe(l, "/records", "/log")
	h := c.HostConfig
	got := fmt.Sprintln(c.Entrypoint, c.Cmd, c.Env, c.User, c.WorkingDir, c.Labels, h.NetworkMode, h.NanoCPUs, h.Memory, h.MemorySwap, h.ShmSize, h.DeviceRequests)
	want := "[/.musher/init container-init] [9 -- train -x] [A=1 B=2] 7:8 /job map[kind:training musher.runner:r musher.work:job]" +
		" none 4000000000 1073741824 1073741824 1073741824 [{nvidia [1] [[gpu]]}]\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = "[{bind /job /job false} {bind /bin/us /.musher/init true} {bind /records /.musher/work true} {bind /log /.musher/log false}]"
	if got := fmt.Sprint(h.Mounts); got != want {
		t.Errorf("mounts %s, want %s", got, want)
	}
	if l.Spec = (runner.Spec{}); m.describe(l, "", "").HostConfig.NetworkMode != "host" {
		t.Error("the network is not the machine's")
	}
}
