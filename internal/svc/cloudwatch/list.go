package cloudwatch

import (
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

const (
	listPage   = 500
	listed     = 14 * day      // how long a metric is listed after its last data
	recently   = 3 * time.Hour // what RecentlyActive means
	recentName = "PT3H"
)

func (s *Service) listMetrics(ctx context.Context, in *ListMetricsInput) (*ListMetricsOutput, error) {
	out := &ListMetricsOutput{Metrics: []*Metric{}}
	if or(in.OwningAccount, s.account) != s.account {
		return out, nil
	}
	after, err := parseListToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	since := time.Now().Add(-listed)
	if or(in.RecentlyActive, "") == recentName {
		since = time.Now().Add(-recently)
	}
	last := ""
	err = s.store.db.View(ctx, func(tx *state.Tx) error {
		return s.store.metrics.Scan(tx, state.Range{Prefix: in.prefix(), After: after}, func(key string, row *metricRow) (bool, error) {
			if row.Seen.Before(since) || !in.wants(&row.metric) {
				return true, nil
			}
			if len(out.Metrics) == listPage {
				out.NextToken = ptr(base64.RawURLEncoding.EncodeToString([]byte(last)))
				return false, nil
			}
			last = key
			out.Metrics = append(out.Metrics, row.metric.answer())
			if or(in.IncludeLinkedAccounts, false) {
				out.OwningAccounts = append(out.OwningAccounts, s.account)
			}
			return true, nil
		})
	})
	return out, err
}

// prefix is what the keys of all wanted metrics begin with.
func (in *ListMetricsInput) prefix() string {
	switch {
	case in.Namespace == nil:
		return ""
	case in.MetricName == nil:
		return state.Key(*in.Namespace, "")
	}
	// A metric without dimensions has nothing behind its name.
	return state.Key(*in.Namespace, *in.MetricName)
}

func (in *ListMetricsInput) wants(m *metric) bool {
	if in.MetricName != nil && *in.MetricName != m.Name {
		return false
	}
	for _, f := range in.Dimensions {
		if !slices.ContainsFunc(m.Dimensions, func(d dimension) bool {
			return d.Name == f.Name && (f.Value == nil || *f.Value == d.Value)
		}) {
			return false
		}
	}
	return true
}

func (m *metric) answer() *Metric {
	out := &Metric{Namespace: &m.Namespace, MetricName: &m.Name, Dimensions: []*Dimension{}}
	for _, d := range m.Dimensions {
		out.Dimensions = append(out.Dimensions, &Dimension{d.Name, d.Value})
	}
	return out
}

func parseListToken(token *string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(or(token, ""))
	if err != nil {
		return "", invalidToken()
	}
	return string(raw), nil
}

func invalidToken() error {
	return awsapi.Errorf("InvalidNextToken", "The NextToken is not one that this operation gave.")
}
