package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/musher/musher/internal/hpo"
)

//go:embed optuna_peer.py
var optunaPeer string

// peer is a sampler of Optuna's in a Python process of its own, on one thread.
// Its CPU time is that of asking and telling, not of starting Python.
type peer struct {
	in  *json.Encoder
	out *bufio.Reader
	cpu float64 // seconds
}

func runPeer(python string, f function, name string, seed, trials, parallel int) (result, error) {
	cmd := exec.Command(python, "-c", optunaPeer)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return result{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, fmt.Errorf("start the peer: %w", err)
	}
	p := &peer{in: json.NewEncoder(in), out: bufio.NewReader(out)}
	regret, err := p.run(f, name, seed, trials, parallel)
	_ = in.Close() // ends the peer
	_, _ = io.Copy(io.Discard, out)
	if ended := cmd.Wait(); ended != nil {
		err = fmt.Errorf("peer: %w", ended)
	}
	return result{regret, time.Duration(p.cpu * float64(time.Second))}, err
}

func (p *peer) run(f function, name string, seed, trials, parallel int) ([]float64, error) {
	job := struct {
		Sampler string    `json:"sampler"`
		Seed    int       `json:"seed"`
		Space   hpo.Space `json:"space"`
	}{name, seed, f.space}
	if err := p.in.Encode(job); err != nil {
		return nil, fmt.Errorf("write to the peer: %w", err)
	}
	return runTrials(f, p, seed, trials, parallel)
}

func (p *peer) ask([]hpo.Trial) (map[string]string, error) {
	if err := p.in.Encode(map[string]bool{"ask": true}); err != nil {
		return nil, fmt.Errorf("write to the peer: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read from the peer: %w", err)
	}
	var answer struct {
		Values map[string]string `json:"values"`
		CPU    float64           `json:"cpu"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("read from the peer: %w", err)
	}
	p.cpu = answer.CPU
	return answer.Values, nil
}

func (p *peer) tell(trial int, objective float64) error {
	told := struct {
		Trial     int     `json:"trial"`
		Objective float64 `json:"objective"`
	}{trial, objective}
	if err := p.in.Encode(told); err != nil {
		return fmt.Errorf("write to the peer: %w", err)
	}
	return nil
}
