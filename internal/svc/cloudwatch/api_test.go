package cloudwatch

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
)

// wantError checks an error's code and that its text says what it must.
func wantError(t *testing.T, what string, err error, code, says string) {
	t.Helper()
	var e *awsapi.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, says) {
		t.Errorf("%s: %v, want %s with %q", what, err, code, says)
	}
}

func many[T any](n int, v T) []T { return slices.Repeat([]T{v}, n) }

func TestPutRefusals(t *testing.T) {
	s := newService(t)
	const value, combination, missing = "InvalidParameterValueException", "InvalidParameterCombinationException", "MissingRequiredParameterException"
	now := time.Now()
	for what, test := range map[string]struct {
		namespace  string
		datum      MetricDatum
		code, says string
	}{
		"reserved":                {"AWS/EC2", MetricDatum{Value: ptr(1.0)}, value, "The value AWS/EC2 for parameter Namespace is invalid."},
		"control characters":      {"a\x00b", MetricDatum{Value: ptr(1.0)}, value, "Namespace"},
		"no value":                {"N", MetricDatum{}, missing, "MetricData.member.1.Value"},
		"an empty list":           {"N", MetricDatum{Values: []float64{}}, missing, "MetricData.member.1.Values"},
		"two forms":               {"N", MetricDatum{Value: ptr(1.0), Values: []float64{1}}, combination, "MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive"},
		"no number":               {"N", MetricDatum{Value: ptr(math.NaN())}, value, "The value NaN for parameter MetricData.member.1.Value is invalid."},
		"too large":               {"N", MetricDatum{Value: ptr(1e109)}, value, "MetricData.member.1.Value"},
		"infinite in a list":      {"N", MetricDatum{Values: []float64{1, math.Inf(-1)}}, value, "Values.member.2"},
		"too many values":         {"N", MetricDatum{Values: many(151, 1.0)}, value, "size greater than 150"},
		"counts of another size":  {"N", MetricDatum{Values: []float64{1, 2}, Counts: []float64{1}}, value, "of the same size"},
		"a count of nothing":      {"N", MetricDatum{Values: []float64{1}, Counts: []float64{0}}, value, "Counts.member.1"},
		"set of nothing":          {"N", MetricDatum{StatisticValues: &StatisticSet{}}, value, "SampleCount"},
		"set turned round":        {"N", MetricDatum{StatisticValues: &StatisticSet{SampleCount: 2, Sum: 3, Minimum: 2, Maximum: 1}}, value, "Maximum must be greater"},
		"set without a number":    {"N", MetricDatum{StatisticValues: &StatisticSet{SampleCount: 2, Sum: math.NaN(), Minimum: 2, Maximum: 2}}, value, "StatisticValues.Sum"},
		"long ago":                {"N", MetricDatum{Value: ptr(1.0), Timestamp: ptr(now.Add(-15 * day))}, value, "two weeks in the past"},
		"to come":                 {"N", MetricDatum{Value: ptr(1.0), Timestamp: ptr(now.Add(3 * time.Hour))}, value, "two hours in the future"},
		"resolution":              {"N", MetricDatum{Value: ptr(1.0), StorageResolution: ptr(int64(30))}, value, "StorageResolution must be 1 or 60"},
		"dimension twice":         {"N", MetricDatum{Value: ptr(1.0), Dimensions: many(2, &Dimension{"a", "b"})}, value, "the name a more than once"},
		"dimension with a colon":  {"N", MetricDatum{Value: ptr(1.0), Dimensions: []*Dimension{{":a", "b"}}}, value, "MetricData.member.1.Dimensions.member.1.Name"},
		"dimension that is blank": {"N", MetricDatum{Value: ptr(1.0), Dimensions: []*Dimension{{"a", " "}}}, value, "Dimensions.member.1.Value"},
	} {
		test.datum.MetricName = "m"
		_, err := s.putMetricData(t.Context(), &PutMetricDataInput{Namespace: test.namespace, MetricData: []*MetricDatum{&test.datum}})
		wantError(t, what, err, test.code, test.says)
	}
	one := &MetricDatum{MetricName: "m", Value: ptr(1.0)}
	_, err := s.putMetricData(t.Context(), &PutMetricDataInput{Namespace: "N", MetricData: many(1001, one)})
	wantError(t, "too many data", err, value, "size greater than 1000")
	_, err = s.putMetricData(t.Context(), &PutMetricDataInput{Namespace: "N"})
	wantError(t, "no data", err, missing, "MetricData is required")
	_, err = s.putMetricData(t.Context(), &PutMetricDataInput{Namespace: "N", MetricData: []*MetricDatum{one, {MetricName: "m"}}})
	wantError(t, "one of two", err, missing, "MetricData.member.2")
	if out, err := s.listMetrics(t.Context(), &ListMetricsInput{}); err != nil || len(out.Metrics) > 0 {
		t.Errorf("refused data were kept: %v %v", out, err)
	}
}

func TestQueryRefusals(t *testing.T) {
	s := newService(t)
	now := time.Now()
	good := func() *GetMetricStatisticsInput {
		return &GetMetricStatisticsInput{Namespace: "N", MetricName: "m", StartTime: now.Add(-time.Hour), EndTime: now, Period: 60, Statistics: []string{"Sum"}}
	}
	const value, combination = "InvalidParameterValueException", "InvalidParameterCombinationException"
	for what, test := range map[string]struct {
		change     func(*GetMetricStatisticsInput)
		code, says string
	}{
		"no statistic":     {func(in *GetMetricStatisticsInput) { in.Statistics = nil }, combination, "At least one of the parameters Statistics and ExtendedStatistics"},
		"both sorts":       {func(in *GetMetricStatisticsInput) { in.ExtendedStatistics = []string{"p50"} }, combination, "mutually exclusive"},
		"unknown":          {func(in *GetMetricStatisticsInput) { in.Statistics = []string{"p101"} }, value, "p101"},
		"trimmed":          {func(in *GetMetricStatisticsInput) { in.Statistics, in.ExtendedStatistics = nil, []string{"tm99"} }, value, "Musher does not compute the statistic tm99"},
		"turned round":     {func(in *GetMetricStatisticsInput) { in.EndTime = in.StartTime }, value, "StartTime must be less than"},
		"period":           {func(in *GetMetricStatisticsInput) { in.Period = 90 }, value, "multiple of 60"},
		"too many periods": {func(in *GetMetricStatisticsInput) { in.StartTime = now.Add(-25 * time.Hour) }, combination, "up to 1501 datapoints, which exceeds the limit of 1440"},
		"all of time":      {func(in *GetMetricStatisticsInput) { in.StartTime, in.Period = time.Time{}.Add(1), 86400 }, combination, "exceeds the limit"},
	} {
		in := good()
		test.change(in)
		_, err := s.getMetricStatistics(t.Context(), in)
		wantError(t, what, err, test.code, test.says)
	}
	if out, err := s.getMetricStatistics(t.Context(), good()); err != nil || len(out.Datapoints) > 0 || *out.Label != "m" {
		t.Errorf("a metric that is not there: %v, %v", out, err)
	}
}

func stat(id, name, what string) *MetricDataQuery {
	return &MetricDataQuery{Id: id, MetricStat: &MetricStat{Metric: &Metric{Namespace: ptr("N"), MetricName: &name}, Period: 60, Stat: what}}
}

func TestDataRefusals(t *testing.T) {
	s := newService(t)
	now := time.Now()
	for what, test := range map[string]struct {
		queries []*MetricDataQuery
		change  func(*GetMetricDataInput)
		code    string
		says    string
	}{
		"none":                  {nil, nil, "", "MetricDataQueries is required"},
		"too many":              {many(501, stat("a", "m", "Sum")), nil, "", "size greater than 500"},
		"id":                    {[]*MetricDataQuery{stat("A", "m", "Sum")}, nil, "", "expected pattern ^[a-z]"},
		"the same id twice":     {many(2, stat("a", "m", "Sum")), nil, "", "not unique"},
		"neither":               {[]*MetricDataQuery{{Id: "a"}}, nil, "", "Exactly one"},
		"an expression":         {[]*MetricDataQuery{{Id: "e1", Expression: ptr("m1*2")}}, nil, "", "Musher does not evaluate expressions yet (MetricDataQueries.member.1.Expression, id e1)"},
		"unknown statistic":     {[]*MetricDataQuery{stat("a", "m", "Most")}, nil, "InvalidParameterValueException", "Most"},
		"another account":       {[]*MetricDataQuery{{Id: "a", MetricStat: stat("a", "m", "Sum").MetricStat, AccountId: ptr("999999999999")}}, nil, "", "another account"},
		"turned round":          {[]*MetricDataQuery{stat("a", "m", "Sum")}, func(in *GetMetricDataInput) { in.EndTime = in.StartTime }, "", "StartTime must be less"},
		"too large a page":      {[]*MetricDataQuery{stat("a", "m", "Sum")}, func(in *GetMetricDataInput) { in.MaxDatapoints = ptr(int64(100_801)) }, "", "between 1 and 100800"},
		"token":                 {[]*MetricDataQuery{stat("a", "m", "Sum")}, func(in *GetMetricDataInput) { in.NextToken = ptr("x") }, "InvalidNextToken", "NextToken"},
		"token of more queries": {[]*MetricDataQuery{stat("a", "m", "Sum")}, func(in *GetMetricDataInput) { in.NextToken = resume{Query: 1}.token() }, "InvalidNextToken", "NextToken"},
	} {
		in := &GetMetricDataInput{MetricDataQueries: test.queries, StartTime: now.Add(-time.Hour), EndTime: now}
		if test.change != nil {
			test.change(in)
		}
		if test.code == "" {
			test.code = "ValidationError"
		}
		_, err := s.getMetricData(t.Context(), in)
		wantError(t, what, err, test.code, test.says)
	}
	_, err := s.listMetrics(t.Context(), &ListMetricsInput{NextToken: ptr("*")})
	wantError(t, "a list's token", err, "InvalidNextToken", "NextToken")
}

// All that pages bring is what one page would have brought.
func TestDataPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		begin := time.Now().UTC()
		var data []Datum
		for i := range 17 {
			for name, every := range map[string]int{"a": 1, "b": 5, "none": 100, "c": 2} {
				if i%every == 1%every {
					at := begin.Add(time.Duration(i) * time.Minute)
					data = append(data, Datum{Name: name, Value: float64(i), Time: at}, Datum{Name: name, Value: -1, Time: at, Unit: "Bytes"})
				}
			}
		}
		if err := s.Put(t.Context(), "N", data...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		quiet := stat("quiet", "a", "Sum")
		quiet.ReturnData = ptr(false)
		for _, order := range []string{"TimestampAscending", "TimestampDescending"} {
			read := func(size int64) (out string, pages int) {
				in := &GetMetricDataInput{
					MetricDataQueries: []*MetricDataQuery{stat("none", "none", "Sum"), stat("a", "a", "Sum"), quiet, stat("b", "b", "Maximum"), stat("gone", "x", "Sum"), stat("c", "c", "p50")},
					StartTime:         begin, EndTime: begin.Add(time.Hour), ScanBy: &order, MaxDatapoints: &size,
				}
				values := map[string][]string{}
				for {
					page, err := s.getMetricData(t.Context(), in)
					if err != nil {
						t.Fatal(err)
					}
					n := 0
					for _, r := range page.MetricDataResults {
						n += len(r.Values)
						for i, at := range r.Timestamps {
							values[*r.Id] = append(values[*r.Id], fmt.Sprint(at.Format("04:05="), r.Values[i]))
						}
					}
					// Two units of one minute are never parted.
					if pages++; n > int(size)+1 || pages > 100 {
						t.Fatalf("page %d has %d values, not %d", pages, n, size)
					}
					if page.NextToken == nil {
						return fmt.Sprint(values), pages
					}
					in.NextToken = page.NextToken
				}
			}
			want, one := read(1000)
			if one != 1 || strings.Contains(want, "quiet") || strings.Count(want, "=") != 2*1+2*17+2*4+8 {
				t.Errorf("%d pages of %s", one, want)
			}
			for _, size := range []int64{1, 2, 3, 7, 33, 34, 35, 51, 52, 60} {
				if got, pages := read(size); got != want || pages == 1 && size < 50 {
					t.Errorf("%s, %d pages of %d: %s", order, pages, size, cmp.Diff(want, got))
				}
			}
		}
	})
}

func TestLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		put := func(namespace string, data ...Datum) {
			t.Helper()
			if err := s.Put(t.Context(), namespace, data...); err != nil {
				t.Fatal(err)
			}
		}
		data := []Datum{{Name: "mm"}, {Name: "m"}}
		for i := range 1203 {
			data = append(data, Datum{Name: "m", Dimensions: map[string]string{"i": fmt.Sprint(i), "odd": fmt.Sprint(i%2 == 1)}})
		}
		put("Many", data...)
		put("ManyMore", Datum{Name: "m"})
		count := func(in ListMetricsInput) int {
			t.Helper()
			seen := map[string]bool{}
			n := 0
			for {
				out, err := s.listMetrics(t.Context(), &in)
				if err != nil || len(out.Metrics) > 500 {
					t.Fatal(len(out.Metrics), err)
				}
				for _, m := range out.Metrics {
					text := *m.Namespace + *m.MetricName
					for _, d := range m.Dimensions {
						text += "," + d.Name + "=" + d.Value
					}
					seen[text] = true
					n++
				}
				if out.NextToken == nil {
					if len(seen) != n {
						t.Errorf("%d of %d are different", len(seen), n)
					}
					return n
				}
				in.NextToken = out.NextToken
			}
		}
		for _, test := range []struct {
			in   ListMetricsInput
			want int
		}{
			{ListMetricsInput{}, 1206},
			{ListMetricsInput{Namespace: ptr("Many")}, 1205},
			{ListMetricsInput{Namespace: ptr("Many"), MetricName: ptr("m")}, 1204},
			{ListMetricsInput{MetricName: ptr("m")}, 1205},
			{ListMetricsInput{Namespace: ptr("Man")}, 0},
			{ListMetricsInput{Dimensions: []*DimensionFilter{{Name: "odd"}}}, 1203},
			{ListMetricsInput{Dimensions: []*DimensionFilter{{Name: "odd", Value: ptr("true")}}}, 601},
			{ListMetricsInput{Dimensions: []*DimensionFilter{{Name: "odd", Value: ptr("true")}, {Name: "i", Value: ptr("3")}}}, 1},
			{ListMetricsInput{Dimensions: []*DimensionFilter{{Name: "odd", Value: ptr("true")}, {Name: "i", Value: ptr("4")}}}, 0},
			{ListMetricsInput{OwningAccount: ptr("123456789012")}, 1206},
			{ListMetricsInput{OwningAccount: ptr("999999999999")}, 0},
		} {
			if got := count(test.in); got != test.want {
				t.Errorf("%+v: %d, want %d", test.in, got, test.want)
			}
		}
		time.Sleep(4 * time.Hour)
		put("Many", Datum{Name: "mm"})
		if got := count(ListMetricsInput{RecentlyActive: ptr("PT3H")}); got != 1 {
			t.Errorf("%d are active, want 1", got)
		}
		time.Sleep(listed - time.Hour)
		if got := count(ListMetricsInput{}); got != 1 {
			t.Errorf("%d have had data in two weeks, want 1", got)
		}
	})
}

func TestPutOfWork(t *testing.T) {
	s := newService(t)
	for what, d := range map[string]Datum{
		"no number":         {Name: "m", Value: math.NaN()},
		"no name":           {Value: 1},
		"an empty value":    {Name: "m", Value: 1, Dimensions: map[string]string{"a": ""}},
		"a name with a NUL": {Name: "a\x00b", Value: 1},
	} {
		if err := s.Put(t.Context(), "AWS/SageMaker", d); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if err := s.Put(t.Context(), "AWS/SageMaker"); err != nil {
		t.Error(err)
	}
}

func BenchmarkPut(b *testing.B) {
	s := newService(b)
	b.Run("one", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0.0; pb.Next(); i++ {
				if err := s.Put(b.Context(), "N", Datum{Name: "m", Value: i}); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("hundred", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			data := make([]Datum, 100)
			for j := range data {
				data[j] = Datum{Name: fmt.Sprint("m", j%10), Value: float64(i * j)}
			}
			if err := s.Put(b.Context(), "N", data...); err != nil {
				b.Error(err)
			}
		}
	})
}
