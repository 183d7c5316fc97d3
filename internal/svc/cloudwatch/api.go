package cloudwatch

import (
	"log/slog"
	"sync"

	"github.com/musher/musher/internal/awsapi"
)

// Service is the account's metrics.
type Service struct {
	store   store
	account string
	log     *slog.Logger
	noted   sync.Map // what the log has said once
}

// New opens the metrics in the database.
func New(d Deps) *Service {
	s := &Service{store: newStore(d.DB), account: d.Account, log: d.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// API returns the service's operations for a gateway. All permissions are on
// "*": metrics have no ARNs. Who may write can be narrowed by namespace.
func (s *Service) API() *awsapi.Service {
	a := awsapi.NewService(Model)
	awsapi.Handle(a, "PutMetricData", s.putMetricData, awsapi.Access(putAccess))
	awsapi.Handle(a, "GetMetricStatistics", s.getMetricStatistics)
	awsapi.Handle(a, "GetMetricData", s.getMetricData)
	awsapi.Handle(a, "ListMetrics", s.listMetrics)
	return a
}

func putAccess(_ *awsapi.Request, in *PutMetricDataInput) []awsapi.Permission {
	return []awsapi.Permission{{
		Action: Model.Action("PutMetricData"), Resource: "*",
		Context: map[string][]string{"cloudwatch:namespace": {in.Namespace}},
	}}
}

// ignored logs, once each, what a request asks for and does not get.
func (s *Service) ignored(operation string, asked map[string]bool) {
	for what, is := range asked {
		if !is {
			continue
		}
		if _, old := s.noted.LoadOrStore(operation+"."+what, true); !old {
			s.log.Warn("a field of the request is not acted on", "operation", operation, "field", what)
		}
	}
}

// or is what p points to, or the default.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func ptr[T any](v T) *T { return &v }
