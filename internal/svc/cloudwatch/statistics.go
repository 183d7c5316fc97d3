package cloudwatch

import (
	"context"
	"slices"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// maxDatapoints is how many periods GetMetricStatistics answers.
const maxDatapoints = 1440

func (s *Service) getMetricStatistics(ctx context.Context, in *GetMetricStatisticsInput) (*GetMetricStatisticsOutput, error) {
	asked, err := in.statistics()
	if err != nil {
		return nil, err
	}
	m := metric{Namespace: in.Namespace, Name: in.MetricName}
	if m.Dimensions, err = dimensions(in.Dimensions, "Dimensions"); err != nil {
		return nil, err
	}
	now := time.Now()
	w := window{in.StartTime, in.EndTime, time.Duration(in.Period) * time.Second, in.Unit}.rounded(now)
	switch {
	case !in.StartTime.Before(in.EndTime):
		return nil, invalid("The parameter StartTime must be less than the parameter EndTime.")
	case !validPeriod(in.Period):
		return nil, invalid("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
	case w.periods() > maxDatapoints:
		return nil, awsapi.Errorf("InvalidParameterCombinationException", "You have requested up to %d datapoints, which exceeds the limit of %d. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", w.periods(), maxDatapoints)
	}
	series, err := s.store.series(ctx, m, w, now)
	if err != nil {
		return nil, err
	}
	out := &GetMetricStatisticsOutput{Label: &in.MetricName, Datapoints: []*Datapoint{}}
	for _, p := range series {
		if d := p.answer(asked); d != nil {
			out.Datapoints = append(out.Datapoints, d)
		}
	}
	return out, nil
}

// statistics are those that the request asks for.
func (in *GetMetricStatisticsInput) statistics() ([]statistic, error) {
	switch {
	case len(in.Statistics) == 0 && len(in.ExtendedStatistics) == 0:
		return nil, awsapi.Errorf("InvalidParameterCombinationException", "At least one of the parameters Statistics and ExtendedStatistics must be specified.")
	case len(in.Statistics) > 0 && len(in.ExtendedStatistics) > 0:
		return nil, awsapi.Errorf("InvalidParameterCombinationException", "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.")
	}
	var asked []statistic
	for _, name := range slices.Concat(in.Statistics, in.ExtendedStatistics) {
		stat, err := parseStatistic(name, "ExtendedStatistics")
		if err != nil {
			return nil, err
		}
		asked = append(asked, stat)
	}
	return asked, nil
}

// validPeriod: finer than a minute there are only some.
func validPeriod(seconds int64) bool {
	return seconds > 0 && seconds%60 == 0 || slices.Contains([]int64{1, 5, 10, 20, 30}, seconds)
}

// answer is the data point as the request wants it; nil if it has nothing of
// what was asked for.
func (p *datapoint) answer(asked []statistic) *Datapoint {
	d := &Datapoint{Timestamp: &p.at, Unit: &p.unit}
	plain := map[string]**float64{
		"SampleCount": &d.SampleCount, "Average": &d.Average, "Sum": &d.Sum, "Minimum": &d.Minimum, "Maximum": &d.Maximum,
	}
	some := false
	for _, stat := range asked {
		v, ok := stat.of(&p.summary)
		if !ok {
			continue
		}
		some = true
		if member := plain[stat.name]; member != nil {
			*member = &v
			continue
		}
		if d.ExtendedStatistics == nil {
			d.ExtendedStatistics = map[string]float64{}
		}
		d.ExtendedStatistics[stat.name] = v
	}
	if !some {
		return nil
	}
	return d
}
