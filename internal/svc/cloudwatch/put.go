package cloudwatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Limits of one request, as the service sets them.
const (
	maxRequest = 1 << 20 // bytes, as sent
	maxData    = 1000
	maxCounted = 150 // values of one datum

	oldest = 14 * day
	newest = 2 * time.Hour
)

// maxMagnitude bounds values: 2 to the 360th.
var maxMagnitude = math.Ldexp(1, 360)

const reserved = "AWS/" // how namespaces of the cloud's own services begin

func (s *Service) putMetricData(ctx context.Context, in *PutMetricDataInput) (*PutMetricDataOutput, error) {
	r := awsapi.RequestFrom(ctx)
	if r.HTTP != nil && r.HTTP.ContentLength > maxRequest {
		return nil, awsapi.Errorf("RequestEntityTooLarge", "The request is larger than the %d bytes that PutMetricData takes.", maxRequest)
	}
	if err := checkNamespace(in.Namespace); err != nil {
		return nil, err
	}
	lists := map[string][]*MetricDatum{"MetricData": in.MetricData}
	total := len(in.MetricData)
	for i, e := range in.EntityMetricData {
		lists[fmt.Sprintf("EntityMetricData.member.%d.MetricData", i+1)] = e.MetricData
		total += len(e.MetricData)
	}
	s.ignored("PutMetricData", map[string]bool{"EntityMetricData.Entity": len(in.EntityMetricData) > 0})
	switch {
	case total == 0:
		return nil, awsapi.Errorf("MissingRequiredParameterException", "The parameter MetricData is required.")
	case total > maxData:
		return nil, invalid("The collection MetricData must not have a size greater than %d.", maxData)
	}
	var points []point
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		for i, d := range lists[name] {
			p, err := d.point(in.Namespace, fmt.Sprintf("%s.member.%d", name, i+1), time.Now())
			if err != nil {
				return nil, err
			}
			points = append(points, p)
		}
	}
	return nil, s.store.put(ctx, points)
}

// Put takes in what work of this process has measured, in any namespace. It is
// on disk when Put returns. What is no number is an error, and then nothing is
// taken in.
func (s *Service) Put(ctx context.Context, namespace string, data ...Datum) error {
	if len(data) == 0 {
		return nil
	}
	points := make([]point, len(data))
	for i, d := range data {
		if !finite(d.Value) {
			return fmt.Errorf("cloudwatch: %s %s: %v is not a number that can be kept", namespace, d.Name, d.Value)
		}
		p := point{metric: metric{Namespace: namespace, Name: d.Name}, at: d.Time, fine: d.HighRes, unit: cmp.Or(d.Unit, "None"), summary: of(d.Value, cmp.Or(d.Count, 1))}
		if p.at.IsZero() {
			p.at = time.Now()
		}
		for _, name := range slices.Sorted(maps.Keys(d.Dimensions)) {
			p.Dimensions = append(p.Dimensions, dimension{name, d.Dimensions[name]})
		}
		if !p.printable() {
			return fmt.Errorf("cloudwatch: %s %q: its name or one of its dimensions is empty or has control characters", namespace, d.Name)
		}
		points[i] = p
	}
	return s.store.put(ctx, points)
}

func invalid(format string, args ...any) error {
	return awsapi.Errorf("InvalidParameterValueException", format, args...)
}

func checkNamespace(name string) error {
	if strings.HasPrefix(name, reserved) || !printable(name) {
		return invalid("The value %s for parameter Namespace is invalid.", name)
	}
	return nil
}

// point is what a datum holds; at is what the messages call it.
func (d *MetricDatum) point(namespace, at string, now time.Time) (p point, err error) {
	p = point{metric: metric{Namespace: namespace, Name: d.MetricName}, unit: "None", at: now}
	if !printable(d.MetricName) {
		return p, invalid("The value %s for parameter %s.MetricName is invalid.", d.MetricName, at)
	}
	if p.Dimensions, err = dimensions(d.Dimensions, at+".Dimensions"); err != nil {
		return p, err
	}
	if d.Unit != nil {
		p.unit = *d.Unit
	}
	if d.Timestamp != nil {
		p.at = *d.Timestamp
	}
	switch age := now.Sub(p.at); {
	case age > oldest:
		return p, invalid("The parameter %s.Timestamp must specify a time no more than two weeks in the past.", at)
	case age < -newest:
		return p, invalid("The parameter %s.Timestamp must specify a time no more than two hours in the future.", at)
	}
	switch resolution := d.StorageResolution; {
	case resolution == nil || *resolution == 60:
	case *resolution == 1:
		p.fine = true
	default:
		return p, invalid("The parameter %s.StorageResolution must be 1 or 60.", at)
	}
	p.summary, err = d.values(at)
	return p, err
}

// values reads the one of the three forms of values that a datum has.
func (d *MetricDatum) values(at string) (summary, error) {
	var given []string
	if d.Value != nil {
		given = append(given, "Value")
	}
	if d.StatisticValues != nil {
		given = append(given, "StatisticValues")
	}
	if len(d.Values) > 0 {
		given = append(given, "Values")
	}
	switch {
	case len(given) == 0:
		return summary{}, awsapi.Errorf("MissingRequiredParameterException", "At least one of the parameters %[1]s.Value, %[1]s.Values and %[1]s.StatisticValues must be specified.", at)
	case len(given) > 1:
		return summary{}, awsapi.Errorf("InvalidParameterCombinationException", "The parameters %[1]s.%[2]s and %[1]s.%[3]s are mutually exclusive and you have specified both.", at, given[0], given[1])
	case len(d.Values) > 0:
		return d.counted(at)
	case d.StatisticValues != nil:
		return d.StatisticValues.summary(at + ".StatisticValues")
	case !finite(*d.Value):
		return summary{}, invalid("The value %v for parameter %s.Value is invalid.", *d.Value, at)
	}
	return of(*d.Value, 1), nil
}

func (set *StatisticSet) summary(at string) (summary, error) {
	for name, v := range map[string]float64{"SampleCount": set.SampleCount, "Sum": set.Sum, "Minimum": set.Minimum, "Maximum": set.Maximum} {
		if !finite(v) {
			return summary{}, invalid("The value %v for parameter %s.%s is invalid.", v, at, name)
		}
	}
	switch {
	case set.SampleCount <= 0:
		return summary{}, invalid("The value %v for parameter %s.SampleCount is invalid: it must be greater than 0.", set.SampleCount, at)
	case set.Minimum > set.Maximum:
		return summary{}, invalid("The parameter %[1]s.Maximum must be greater than or equal to %[1]s.Minimum.", at)
	}
	return ofSet(set), nil
}

// counted reads values, each with how often it came, or once.
func (d *MetricDatum) counted(at string) (summary, error) {
	switch {
	case len(d.Values) > maxCounted:
		return summary{}, invalid("The collection %s.Values must not have a size greater than %d.", at, maxCounted)
	case d.Counts != nil && len(d.Counts) != len(d.Values):
		return summary{}, invalid("The parameters %[1]s.Values and %[1]s.Counts must be of the same size.", at)
	}
	var all summary
	for i, v := range d.Values {
		count := 1.0
		if d.Counts != nil {
			count = d.Counts[i]
		}
		switch {
		case !finite(v):
			return summary{}, invalid("The value %v for parameter %s.Values.member.%d is invalid.", v, at, i+1)
		case !finite(count) || count <= 0:
			return summary{}, invalid("The value %v for parameter %s.Counts.member.%d is invalid.", count, at, i+1)
		}
		all.add(of(v, count))
	}
	return all, nil
}

// dimensions reads and sorts the dimensions of a metric; at is what the
// messages call the list.
func dimensions(list []*Dimension, at string) ([]dimension, error) {
	var out []dimension
	for i, d := range list {
		name := fmt.Sprintf("%s.member.%d", at, i+1)
		switch {
		case !printable(d.Name) || strings.HasPrefix(d.Name, ":"):
			return nil, invalid("The value %s for parameter %s.Name is invalid.", d.Name, name)
		case !printable(d.Value):
			return nil, invalid("The value %s for parameter %s.Value is invalid.", d.Value, name)
		}
		out = append(out, dimension{d.Name, d.Value})
	}
	slices.SortFunc(out, func(a, b dimension) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, invalid("The parameter %s has the name %s more than once.", at, out[i].Name)
		}
	}
	return out, nil
}

// printable tells it of all parts of a metric: keys rely on it.
func (m *metric) printable() bool {
	for _, d := range m.Dimensions {
		if !printable(d.Name) || !printable(d.Value) {
			return false
		}
	}
	return printable(m.Namespace) && printable(m.Name)
}

// printable tells whether a name has something to see and no control character.
func printable(s string) bool {
	return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// finite tells whether a value is within the bounds of the service.
func finite(v float64) bool { return math.Abs(v) <= maxMagnitude } // false for NaN
