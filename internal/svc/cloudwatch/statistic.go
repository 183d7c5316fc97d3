package cloudwatch

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/awsapi"
)

// statistic is what is asked of a period's values.
type statistic struct {
	name string
	of   func(*summary) (value float64, ok bool)
}

var (
	percentileForm = regexp.MustCompile(`^p(100|\d{1,2}(\.\d{1,10})?)$`)
	// trimmedForm are the statistics that leave out the ends.
	trimmedForm = regexp.MustCompile(`^(?i)(tm|wm|tc|ts|pr|iqm)`)
)

// parseStatistic reads "Average", "p99.9" and the like; parameter is who asks.
func parseStatistic(name, parameter string) (statistic, error) {
	switch name {
	case "SampleCount":
		return statistic{name, func(s *summary) (float64, bool) { return s.Count, true }}, nil
	case "Average":
		return statistic{name, func(s *summary) (float64, bool) { return s.Sum / s.Count, true }}, nil
	case "Sum":
		return statistic{name, func(s *summary) (float64, bool) { return s.Sum, true }}, nil
	case "Minimum":
		return statistic{name, func(s *summary) (float64, bool) { return s.Min, true }}, nil
	case "Maximum":
		return statistic{name, func(s *summary) (float64, bool) { return s.Max, true }}, nil
	}
	if percentileForm.MatchString(name) {
		p, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
		return statistic{name, func(s *summary) (float64, bool) { return s.percentile(p) }}, err
	}
	if trimmedForm.MatchString(name) {
		return statistic{}, awsapi.Errorf("InvalidParameterValueException", "Musher does not compute the statistic %s of parameter %s yet: ask for percentiles (p90) or for SampleCount, Average, Sum, Minimum, Maximum.", name, parameter)
	}
	return statistic{}, awsapi.Errorf("InvalidParameterValueException", "The value %s for parameter %s is not supported.", name, parameter)
}
