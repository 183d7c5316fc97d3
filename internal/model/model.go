// Package model describes a model folder: what training writes, what
// model.tar.gz holds, and what a model server reads.
//
//	model.onnx   "image" float32 [N,3,S,S] → "log_probabilities" float32 [N,C]
//	model.json   Info: labels, preprocessing, where the model comes from
//
// S is the preprocessing's Crop, C the number of labels.
package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/musher/musher/internal/vision"
)

// The files of a model folder.
const (
	File     = "model.onnx"
	InfoFile = "model.json"
)

// The names of the model's input and output.
const (
	Input  = "image"
	Output = "log_probabilities"
)

// Info is model.json, what one must know to use model.onnx.
type Info struct {
	Labels          []string           `json:"labels"` // class names, in the order of the outputs
	Preprocess      vision.Preprocess  `json:"preprocess"`
	Backbone        string             `json:"backbone"`
	BackboneSHA256  string             `json:"backbone_sha256"`
	Head            string             `json:"head"`
	Hyperparameters map[string]string  `json:"hyperparameters"` // with the defaults that took effect
	Metrics         map[string]float64 `json:"metrics"`
	// Serving says how this model is served best; nil: as the machine suggests.
	Serving *Serving `json:"serving,omitempty"`
}

// Serving is a hint of the model's maker. Zero values say nothing.
type Serving struct {
	MaxBatch int `json:"max_batch,omitempty"` // photos that one run of the network takes
	Workers  int `json:"workers,omitempty"`   // runs at the same time
}

// ErrMissing means that a folder lacks one of a model's files.
var ErrMissing = errors.New("it is not there")

// Read reads and checks a folder's model.json.
func Read(dir string) (*Info, error) {
	b, err := os.ReadFile(filepath.Join(dir, InfoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", InfoFile, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	info := &Info{}
	if err := json.Unmarshal(b, info); err != nil {
		return nil, fmt.Errorf("%s: %w", InfoFile, err)
	}
	if err := info.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", InfoFile, err)
	}
	return info, nil
}

func (i *Info) check() error {
	if len(i.Labels) == 0 {
		return errors.New("it has no labels")
	}
	if err := i.Preprocess.Check(); err != nil {
		return err
	}
	if s := i.Serving; s != nil && (s.MaxBatch < 0 || s.Workers < 0) {
		return errors.New("serving has a negative number")
	}
	return nil
}
