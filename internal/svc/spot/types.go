package spot

import (
	"reflect"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Model describes the service to the wire layer.
var Model = &awsapi.ServiceModel{
	Name:         "musher",
	Endpoint:     "musher",
	SigningName:  "musher",
	Protocol:     awsapi.ProtocolJSON,
	JSONVersion:  "1.1",
	TargetPrefix: "Musher",
	APIVersion:   "2026-11-22",
	Operations: []awsapi.OperationModel{
		operation[DeleteRehearsalInput, DeleteRehearsalOutput]("DeleteRehearsal"),
		operation[DescribeSpotInput, DescribeSpotOutput]("DescribeSpot"),
		operation[InterruptTrainingJobInput, InterruptTrainingJobOutput]("InterruptTrainingJob"),
		operation[PutRehearsalInput, PutRehearsalOutput]("PutRehearsal"),
	},
	Enums: map[string][]string{},
}

func operation[In, Out any](name string) awsapi.OperationModel {
	return awsapi.OperationModel{
		Name: name, Method: "POST", URI: "/", Status: 200,
		Input: reflect.TypeFor[In](), Output: reflect.TypeFor[Out](),
	}
}

// InterruptTrainingJobInput names a job on spot instances.
type InterruptTrainingJobInput struct {
	TrainingJobName string `aws:"TrainingJobName,required,min=1,max=63" pattern:"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"`
	// GraceInSeconds is between SIGTERM and SIGKILL; 120 if it is left out, as
	// in the cloud.
	GraceInSeconds *int64 `aws:"GraceInSeconds,min=0,max=3600"`
	// AwayInSeconds is how long there are no instances afterwards; 0 if it is
	// left out.
	AwayInSeconds *int64 `aws:"AwayInSeconds,min=0,max=2592000"`
}

// InterruptTrainingJobOutput is empty.
type InterruptTrainingJobOutput struct{}

// Rehearsal is a rule for the jobs on one instance type. It has one of
// EveryInSeconds and ProbabilityPerHour.
type Rehearsal struct {
	InstanceType       string   `aws:"InstanceType,required,min=1,max=64" pattern:"[a-z0-9.-]+"`
	EveryInSeconds     *int64   `aws:"EveryInSeconds,min=1,max=2592000"`
	ProbabilityPerHour *float64 `aws:"ProbabilityPerHour,min=0,max=1"`
	GraceInSeconds     *int64   `aws:"GraceInSeconds,min=0,max=3600"`
	AwayInSeconds      *int64   `aws:"AwayInSeconds,min=0,max=2592000"`
}

// PutRehearsalInput sets the rule of an instance type, in place of an earlier
// one.
type PutRehearsalInput struct {
	Rehearsal *Rehearsal `aws:"Rehearsal,required"`
}

// PutRehearsalOutput is empty.
type PutRehearsalOutput struct{}

// DeleteRehearsalInput names an instance type whose rule goes.
type DeleteRehearsalInput struct {
	InstanceType string `aws:"InstanceType,required,min=1,max=64" pattern:"[a-z0-9.-]+"`
}

// DeleteRehearsalOutput is empty.
type DeleteRehearsalOutput struct{}

// DescribeSpotInput asks for everything.
type DescribeSpotInput struct{}

// DescribeSpotOutput lists the rules, and the jobs that have spot instances
// right now.
type DescribeSpotOutput struct {
	Rehearsals []*Rehearsal `aws:"Rehearsals"`
	Jobs       []*Job       `aws:"Jobs"`
}

// Job is a training job on spot instances.
type Job struct {
	TrainingJobName string    `aws:"TrainingJobName"`
	InstanceType    string    `aws:"InstanceType"`
	Since           time.Time `aws:"Since"` // when its instances came up last
	Interruptions   int64     `aws:"Interruptions"`
}
