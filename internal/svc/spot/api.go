package spot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// notice is how long before its end the cloud tells a spot instance.
const notice = 2 * time.Minute

// Service is the service.
type Service struct {
	Deps
	rehearsals state.Table[Rehearsal] // by instance type
}

// New returns a service that interrupts nothing by itself until Run.
func New(deps Deps) *Service {
	return &Service{Deps: deps, rehearsals: state.NewTable[Rehearsal](deps.DB, "spot_rehearsals")}
}

// API returns the service's operations for a gateway.
func (s *Service) API() *awsapi.Service {
	a := awsapi.NewService(Model)
	awsapi.Handle(a, "InterruptTrainingJob", s.interrupt, awsapi.Access(func(r *awsapi.Request, in *InterruptTrainingJobInput) []awsapi.Permission {
		arn := fmt.Sprintf("arn:aws:sagemaker:%s:%s:training-job/%s", r.Region, r.Account, in.TrainingJobName)
		return []awsapi.Permission{{Action: "musher:InterruptTrainingJob", Resource: arn}}
	}))
	awsapi.Handle(a, "PutRehearsal", s.put)
	awsapi.Handle(a, "DeleteRehearsal", s.remove)
	awsapi.Handle(a, "DescribeSpot", s.describe)
	return a
}

func (s *Service) interrupt(ctx context.Context, in *InterruptTrainingJobInput) (*InterruptTrainingJobOutput, error) {
	how := Interruption{
		Grace: seconds(in.GraceInSeconds, notice), Away: seconds(in.AwayInSeconds, 0),
		Why: "somebody asked for it",
	}
	return &InterruptTrainingJobOutput{}, s.Jobs.Interrupt(ctx, in.TrainingJobName, how)
}

func seconds(n *int64, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

func (s *Service) put(ctx context.Context, in *PutRehearsalInput) (*PutRehearsalOutput, error) {
	r := in.Rehearsal
	if (r.EveryInSeconds == nil) == (r.ProbabilityPerHour == nil) {
		return nil, awsapi.Errorf("ValidationException", "A rehearsal has either EveryInSeconds or ProbabilityPerHour.")
	}
	return &PutRehearsalOutput{}, s.DB.Update(ctx, func(tx *state.Tx) error {
		return s.rehearsals.Put(tx, r.InstanceType, r)
	})
}

func (s *Service) remove(ctx context.Context, in *DeleteRehearsalInput) (*DeleteRehearsalOutput, error) {
	err := s.DB.Update(ctx, func(tx *state.Tx) error { return s.rehearsals.Delete(tx, in.InstanceType) })
	if errors.Is(err, state.ErrNotFound) {
		return nil, awsapi.Errorf("ValidationException", "There is no rehearsal for %s.", in.InstanceType)
	}
	return &DeleteRehearsalOutput{}, err
}

func (s *Service) describe(ctx context.Context, _ *DescribeSpotInput) (*DescribeSpotOutput, error) {
	rules, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	running, err := s.Jobs.Running(ctx)
	if err != nil {
		return nil, err
	}
	out := &DescribeSpotOutput{Rehearsals: rules, Jobs: []*Job{}}
	for _, j := range running {
		out.Jobs = append(out.Jobs, &Job{
			TrainingJobName: j.Job, InstanceType: j.InstanceType, Since: j.Since, Interruptions: int64(j.Interruptions),
		})
	}
	return out, nil
}

func (s *Service) rules(ctx context.Context) ([]*Rehearsal, error) {
	rules := []*Rehearsal{}
	err := s.DB.View(ctx, func(tx *state.Tx) error {
		return s.rehearsals.Scan(tx, state.Range{}, func(_ string, r *Rehearsal) (bool, error) {
			rules = append(rules, r)
			return true, nil
		})
	})
	return rules, err
}
