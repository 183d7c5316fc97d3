package server

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
	"github.com/musher/musher/internal/svc/sagemaker/hosting"
	"github.com/musher/musher/internal/svc/sagemaker/processing"
	"github.com/musher/musher/internal/svc/sagemaker/training"
	"github.com/musher/musher/internal/svc/sagemaker/transform"
	"github.com/musher/musher/internal/svc/sagemaker/tuning"
)

// families is what the families of SageMaker are made from.
type families struct {
	*Server
	api     *awsapi.Service
	tags    *sagemaker.Tags
	objects sagemaker.Objects
	router  *serve.Router
	inputs  *channel.Stage // what jobs read
	models  *channel.Stage // what instances serve
}

func (s *Server) wireSageMaker(objects sagemaker.Objects, router *serve.Router) (_ *awsapi.Service, err error) {
	f := families{Server: s, api: awsapi.NewService(sagemaker.Model), objects: objects, router: router}
	f.tags = sagemaker.NewTags(s.db, f.api)
	if f.inputs, err = channel.New(s.path("staging"), objects); err != nil {
		return nil, err
	}
	if f.models, err = channel.New(s.path("models"), objects); err != nil {
		return nil, err
	}
	if s.training, err = f.newTraining(); err != nil {
		return nil, err
	}
	s.tuning = tuning.New(tuning.Deps{DB: s.db, Trainer: s.training, Tags: f.tags, Log: s.opts.Log}, f.api)
	s.training.OnEnd(s.tuning.TrainingEnded)
	s.hosting = f.newHosting()
	s.processing = f.newProcessing()
	s.transform = transform.New(transform.Deps{
		DB: s.db, Roles: s.roles, Objects: objects, Finder: f.inputs, Instances: s.hosting, Router: router,
		Logs: s.logs, Tags: f.tags, Log: s.opts.Log, Dir: s.path("transforms"),
	}, f.api)
	s.wired.Store(true)
	return f.api, nil
}

func (f families) newTraining() (*training.Family, error) {
	return training.New(training.Deps{
		DB: f.db, Roles: f.roles, Objects: f.objects, Images: f.opts.Images, Stage: f.inputs,
		Runner: f.runner, Logs: f.logs, Metrics: measurements{f.measured}, Tags: f.tags, Log: f.opts.Log,
		Dir: f.path("jobs"), Environment: f.environment(),
		Algorithm: training.Algorithm{
			Command: f.self("train", "--dir"), Environment: f.builtinEnvironment(),
			Mounts: []runner.Mount{{Source: f.opts.Cache}}, Provide: f.opts.Provider.Training,
		},
		Toolkit: f.trainingToolkit, Packages: packages(os.Environ()), Weights: f.weights(),
	}, f.api)
}

func (f families) newHosting() *hosting.Family {
	return hosting.New(hosting.Deps{
		DB: f.db, Roles: f.roles, Objects: f.objects, Images: f.opts.Images, Stage: f.models,
		Runner: f.runner, Router: f.router, Logs: f.logs, Tags: f.tags, Log: f.opts.Log,
		Dir: f.path("endpoints"), ModelsDir: f.path("models"), Environment: f.environment(),
		Builtin: hosting.ModelServer{
			Command: f.self("serve-model"), Environment: f.builtinEnvironment(),
			Mounts: []runner.Mount{{Source: f.opts.Cache, ReadOnly: true}}, Provide: f.opts.Provider.Serving,
		},
		Toolkit: f.toolkit, Packages: packages(os.Environ()), Weights: f.weights(),
	}, f.api)
}

func (f families) newProcessing() *processing.Family {
	return processing.New(processing.Deps{
		DB: f.db, Roles: f.roles, Objects: f.objects, Images: f.opts.Images, Stage: f.inputs,
		Runner: f.runner, Logs: f.logs, Tags: f.tags, Log: f.opts.Log,
		Dir: f.path("processing"), Environment: f.environment(),
		Toolkit: f.trainingToolkit, Packages: packages(os.Environ()), Weights: f.weights(),
	}, f.api)
}

// environment is what all work gets beside its own variables.
func (s *Server) environment() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL": s.Endpoint()}
}

// builtinEnvironment is what the work gets that this binary does itself.
func (s *Server) builtinEnvironment() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": s.Endpoint(), "MUSHER_CACHE": s.opts.Cache,
		"MUSHER_FETCH_FROM": strings.Join(s.opts.FetchFrom, ","),
	}
}

// weights is the folder of weights that scripts find in place of a download.
func (s *Server) weights() string { return filepath.Join(s.opts.Cache, "torch") }

// changed passes a change of some work on to the family that it belongs to.
// Work of before the start may change while the families are being made; the
// loops look at everything when they begin, so such a call may be dropped.
func (s *Server) changed(id string) {
	parts := strings.SplitN(id, ".", 3)
	switch {
	case len(parts) < 2:
	case parts[0] == "training" && s.wired.Load():
		s.training.Poke(parts[1])
	case parts[0] == "endpoint" && s.wired.Load():
		s.hosting.Poke(parts[1])
	case parts[0] == "processing" && s.wired.Load():
		s.processing.Poke(parts[1])
	}
}
