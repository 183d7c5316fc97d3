package cloudwatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Limits of GetMetricData, as the service sets them.
const (
	maxQueries    = 500
	maxPageValues = 100_800
)

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// query is one MetricDataQuery, understood.
type query struct {
	id, label string
	silent    bool // its result is not to be returned
	metric    metric
	window    window
	stat      statistic
}

// resume is where a page begins: with the query of that number, behind what has
// been given of it. It is the text of NextToken.
type resume struct {
	Query int       `json:"q"`
	After time.Time `json:"a,omitzero"` // the last time given; zero: none
}

func (s *Service) getMetricData(ctx context.Context, in *GetMetricDataInput) (*GetMetricDataOutput, error) {
	queries, err := s.queries(in)
	if err != nil {
		return nil, err
	}
	next, err := parseResume(in.NextToken, len(queries))
	if err != nil {
		return nil, err
	}
	left := int(or(in.MaxDatapoints, maxPageValues))
	if left < 1 || left > maxPageValues {
		return nil, malformed("The parameter MaxDatapoints must be between 1 and %d.", maxPageValues)
	}
	now := time.Now()
	descending := or(in.ScanBy, "TimestampDescending") == "TimestampDescending"
	out := &GetMetricDataOutput{MetricDataResults: []*MetricDataResult{}, Messages: []*MessageData{}}
	for i := next.Query; i < len(queries); i++ {
		q := queries[i]
		if q.silent {
			continue
		}
		points, err := s.store.series(ctx, q.metric, q.window.rounded(now), now)
		if err != nil {
			return nil, err
		}
		result := q.result(points, descending)
		if i == next.Query && !next.After.IsZero() {
			result.skip(next.After, descending)
		}
		if left == 0 && len(result.Values) > 0 {
			out.NextToken = resume{Query: i}.token()
			break
		}
		if last, cut := result.cut(left); cut {
			out.MetricDataResults = append(out.MetricDataResults, result)
			out.NextToken = resume{i, last}.token()
			break
		}
		left = max(0, left-len(result.Values))
		out.MetricDataResults = append(out.MetricDataResults, result)
	}
	return out, nil
}

// malformed is the error of a query that cannot be understood: of all
// operations, this one calls it so.
func malformed(format string, args ...any) error {
	return awsapi.Errorf("ValidationError", format, args...)
}

// queries reads what is asked for.
func (s *Service) queries(in *GetMetricDataInput) ([]query, error) {
	switch {
	case len(in.MetricDataQueries) == 0:
		return nil, malformed("The parameter MetricDataQueries is required.")
	case len(in.MetricDataQueries) > maxQueries:
		return nil, malformed("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	case !in.StartTime.Before(in.EndTime):
		return nil, malformed("The parameter StartTime must be less than the parameter EndTime.")
	}
	s.ignored("GetMetricData", map[string]bool{"LabelOptions": in.LabelOptions != nil})
	var all []query
	taken := map[string]bool{}
	for i, q := range in.MetricDataQueries {
		if !queryID.MatchString(q.Id) {
			return nil, malformed("The value %s for parameter MetricDataQueries.member.%d.Id is not matching the expected pattern %s.", q.Id, i+1, queryID)
		}
		if taken[q.Id] {
			return nil, malformed("The values for parameter id in MetricDataQueries are not unique.")
		}
		taken[q.Id] = true
		read, err := s.query(q, fmt.Sprintf("MetricDataQueries.member.%d", i+1))
		if err != nil {
			return nil, err
		}
		read.window.from, read.window.to = in.StartTime, in.EndTime
		all = append(all, read)
	}
	return all, nil
}

func (s *Service) query(q *MetricDataQuery, at string) (query, error) {
	stat := q.MetricStat
	switch {
	case (q.Expression != nil) == (stat != nil):
		return query{}, malformed("Exactly one of the parameters %[1]s.MetricStat and %[1]s.Expression must be specified.", at)
	case q.Expression != nil:
		return query{}, malformed("Musher does not evaluate expressions yet (%s.Expression, id %s): ask for the metrics themselves with MetricStat, and calculate with the answer.", at, q.Id)
	case stat.Metric.Namespace == nil || stat.Metric.MetricName == nil:
		return query{}, malformed("The parameters %[1]s.MetricStat.Metric.Namespace and %[1]s.MetricStat.Metric.MetricName are required.", at)
	case !validPeriod(stat.Period):
		return query{}, malformed("The parameter %s.MetricStat.Period must be 1, 5, 10, 20, 30 or a multiple of 60.", at)
	case q.Period != nil:
		return query{}, malformed("The parameter %s.Period is for expressions; that of a metric is in its MetricStat.", at)
	case or(q.AccountId, s.account) != s.account:
		return query{}, malformed("The parameter %s.AccountId names another account than this one, %s: there is no other here.", at, s.account)
	}
	s.ignored("GetMetricData", map[string]bool{"Label, as an expression": strings.Contains(or(q.Label, ""), "${")})
	m := metric{Namespace: *stat.Metric.Namespace, Name: *stat.Metric.MetricName}
	var err error
	if m.Dimensions, err = dimensions(stat.Metric.Dimensions, at+".MetricStat.Metric.Dimensions"); err != nil {
		return query{}, err
	}
	read := query{id: q.Id, label: or(q.Label, m.Name), silent: !or(q.ReturnData, true), metric: m,
		window: window{period: time.Duration(stat.Period) * time.Second, unit: stat.Unit}}
	read.stat, err = parseStatistic(stat.Stat, at+".MetricStat.Stat")
	return read, err
}

// result is a query's answer, in the order asked for.
func (q *query) result(points []datapoint, descending bool) *MetricDataResult {
	r := &MetricDataResult{Id: &q.id, Label: &q.label, StatusCode: ptr("Complete"), Timestamps: []time.Time{}, Values: []float64{}}
	for _, p := range points {
		if v, ok := q.stat.of(&p.summary); ok {
			r.Timestamps = append(r.Timestamps, p.at)
			r.Values = append(r.Values, v)
		}
	}
	if descending {
		slices.Reverse(r.Timestamps)
		slices.Reverse(r.Values)
	}
	return r
}

// skip drops what was given up to a time.
func (r *MetricDataResult) skip(last time.Time, descending bool) {
	n := 0
	for n < len(r.Timestamps) && (r.Timestamps[n].Equal(last) || r.Timestamps[n].After(last) == descending) {
		n++
	}
	r.Timestamps, r.Values = r.Timestamps[n:], r.Values[n:]
}

// cut shortens the result to so many values, or a few more where several are
// of one time, and tells the time of the last one.
func (r *MetricDataResult) cut(n int) (last time.Time, cut bool) {
	for n > 0 && n < len(r.Timestamps) && r.Timestamps[n].Equal(r.Timestamps[n-1]) {
		n++
	}
	if n >= len(r.Timestamps) {
		return last, false
	}
	r.Timestamps, r.Values, r.StatusCode = r.Timestamps[:n], r.Values[:n], ptr("PartialData")
	return r.Timestamps[n-1], true
}

func (r resume) token() *string {
	raw, _ := json.Marshal(r) //nolint:errchkjson // a number and a time
	return ptr(base64.RawURLEncoding.EncodeToString(raw))
}

func parseResume(token *string, queries int) (r resume, err error) {
	if or(token, "") == "" {
		return r, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*token)
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil || r.Query < 0 || r.Query >= queries {
		return r, invalidToken()
	}
	return r, nil
}
