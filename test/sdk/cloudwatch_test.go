package sdk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/musher/musher/test/musher"
)

// TestCloudWatch lets clients of all ages at one server: of the three protocols
// that they speak, none may be missing.
func TestCloudWatch(t *testing.T) {
	t.Parallel()
	srv := musher.New(t, musher.WithoutAssets())
	t.Run("boto3", func(t *testing.T) { boto3CloudWatch(t, srv.Access, python(t), "json compressed") })
	t.Run("old boto3", func(t *testing.T) {
		boto3CloudWatch(t, srv.Access, installed(t, "/usr/bin/python3", "-c", "import boto3; assert boto3.__version__ < '1.28'"), "query plain")
	})
	t.Run("aws", func(t *testing.T) { cliCloudWatch(t, srv.Access, python(t), "-m", "awscli") })
	t.Run("old aws", func(t *testing.T) {
		cliCloudWatch(t, srv.Access, installed(t, "/usr/bin/aws", "--version"), "--endpoint-url", srv.Endpoint)
	})
	t.Run("aws-sdk-go-v2", func(t *testing.T) { goCloudWatch(t, srv) })
	t.Run("rights", func(t *testing.T) { cloudWatchRights(t, srv.Access) })
}

// installed is a program of the distribution, which no test may take for
// granted.
func installed(t *testing.T, program string, check ...string) string {
	t.Helper()
	if out, err := exec.Command(program, check...).CombinedOutput(); err != nil {
		t.Skipf("%s %s is not here: %v\n%s", program, strings.Join(check, " "), err, out)
	}
	return program
}

// boto3CloudWatch runs the checks in py/, which tell how they were answered.
func boto3CloudWatch(t *testing.T, a musher.Access, python, want string) {
	checks := filepath.Join(musher.Root(t), "test", "sdk", "py", "cloudwatch_checks.py")
	out := run(t, a, t.TempDir(), []string{"PREFIX=" + strings.ReplaceAll(t.Name(), " ", "-"), "PYTHONDONTWRITEBYTECODE=1"}, python, checks)
	if strings.TrimSpace(out) != want {
		t.Errorf("it spoke %s, not %s: what was meant to be tested was not", out, want)
	}
}

// cliCloudWatch goes one way through the commands of an aws CLI.
func cliCloudWatch(t *testing.T, a musher.Access, command ...string) {
	namespace := strings.ReplaceAll(t.Name(), " ", "-")
	aws := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(run(t, a, t.TempDir(), []string{"PYTHONDONTWRITEBYTECODE=1"}, append(append(command, "cloudwatch"), args...)...))
	}
	at := time.Now().UTC().Truncate(time.Minute).Add(-5 * time.Minute)
	stamp := at.Format(time.RFC3339)
	aws("put-metric-data", "--namespace", namespace, "--metric-name", "latency", "--value", "3", "--unit", "Milliseconds",
		"--dimensions", "EndpointName=e,VariantName=all", "--timestamp", stamp)
	aws("put-metric-data", "--namespace", namespace, "--metric-data",
		`[{"MetricName": "latency", "Dimensions": [{"Name": "VariantName", "Value": "all"}, {"Name": "EndpointName", "Value": "e"}], "Values": [5, 7], "Counts": [1, 2], "Unit": "Milliseconds", "Timestamp": "`+stamp+`"}]`)
	window := []string{"--start-time", at.Add(-time.Minute).Format(time.RFC3339), "--end-time", at.Add(time.Minute).Format(time.RFC3339), "--output", "text"}
	got := aws(append([]string{"get-metric-statistics", "--namespace", namespace, "--metric-name", "latency", "--period", "60",
		"--dimensions", "Name=EndpointName,Value=e", "Name=VariantName,Value=all", "--statistics", "Sum", "Maximum",
		"--query", "Datapoints[].[Sum,Maximum,Unit]"}, window...)...)
	if strings.Join(strings.Fields(got), " ") != "22.0 7.0 Milliseconds" {
		t.Errorf("statistics: %s", got)
	}
	got = aws(append([]string{"get-metric-data", "--metric-data-queries",
		`[{"Id": "m", "MetricStat": {"Metric": {"Namespace": "` + namespace + `", "MetricName": "latency", "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "all"}]}, "Period": 60, "Stat": "p50"}}]`,
		"--query", "MetricDataResults[].[Id,Values[0]]"}, window...)...)
	if strings.Join(strings.Fields(got), " ") != "m 5.0" {
		t.Errorf("data: %s", got)
	}
	got = aws("list-metrics", "--namespace", namespace, "--dimensions", "Name=EndpointName", "--query", "Metrics[].MetricName", "--output", "text")
	if got != "latency" {
		t.Errorf("list: %s", got)
	}
}

// headers notes what a client sends.
type headers struct {
	mu   sync.Mutex
	seen map[string]int // "Name: value"
}

func (h *headers) Do(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	for _, name := range []string{"Smithy-Protocol", "Content-Encoding"} {
		h.seen[name+": "+r.Header.Get(name)]++
	}
	h.mu.Unlock()
	return http.DefaultClient.Do(r)
}

func goCloudWatch(t *testing.T, srv *musher.Server) {
	ctx := t.Context()
	sent := &headers{seen: map[string]int{}}
	cw := cloudwatch.NewFromConfig(srv.Config(), func(o *cloudwatch.Options) { o.HTTPClient = sent })
	minute := time.Now().UTC().Truncate(time.Minute).Add(-5 * time.Minute)
	dimensions := []types.Dimension{{Name: aws.String("Host"), Value: aws.String("algo-1")}}
	var data []types.MetricDatum
	for i := range 300 { // enough to be compressed
		data = append(data, types.MetricDatum{
			MetricName: aws.String("loss"), Dimensions: dimensions, Value: aws.Float64(float64(i % 100)), Unit: types.StandardUnitCount,
			Timestamp: aws.Time(minute.Add(-time.Duration(i/100) * time.Minute)), StorageResolution: aws.Int32(1),
		})
	}
	must(cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("Go"), MetricData: data}))(t)
	check := func() {
		t.Helper()
		stats := must(cw.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("Go"), MetricName: aws.String("loss"), Dimensions: dimensions, Period: aws.Int32(180),
			StartTime: aws.Time(minute.Add(-2 * time.Minute)), EndTime: aws.Time(minute.Add(time.Minute)),
			Statistics: []types.Statistic{types.StatisticSampleCount, types.StatisticAverage, types.StatisticMaximum},
		}))(t)
		if len(stats.Datapoints) != 1 {
			t.Fatalf("%d data points", len(stats.Datapoints))
		}
		p := stats.Datapoints[0]
		if *p.SampleCount != 300 || *p.Average != 49.5 || *p.Maximum != 99 || p.Unit != types.StandardUnitCount || !p.Timestamp.Equal(minute.Add(-2*time.Minute)) {
			t.Errorf("statistics: %s", text(t, p))
		}
	}
	check()
	pages := cloudwatch.NewGetMetricDataPaginator(cw, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(minute.Add(-time.Hour)), EndTime: aws.Time(minute.Add(time.Minute)), MaxDatapoints: aws.Int32(2), ScanBy: types.ScanByTimestampAscending,
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("m"), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String("Go"), MetricName: aws.String("loss"), Dimensions: dimensions}, Period: aws.Int32(60), Stat: aws.String("p99"),
		}}},
	})
	var got []string
	for pages.HasMorePages() {
		page := must(pages.NextPage(ctx))(t)
		for _, r := range page.MetricDataResults {
			got = append(got, fmt.Sprint(r.StatusCode, r.Values))
		}
	}
	if want := "PartialData[98 98] Complete[98]"; strings.Join(got, " ") != want {
		t.Errorf("data: %s, want %s", got, want)
	}
	list := must(cw.ListMetrics(ctx, &cloudwatch.ListMetricsInput{Namespace: aws.String("Go")}))(t)
	if len(list.Metrics) != 1 || *list.Metrics[0].Dimensions[0].Value != "algo-1" {
		t.Errorf("list: %s", text(t, list))
	}
	_, err := cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/EC2"), MetricData: data[:1]})
	if wrong := (*types.InvalidParameterValueException)(nil); !is[*types.InvalidParameterValueException](err) {
		t.Errorf("%v, want a %T", err, wrong)
	}
	_, err = cw.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
	if !strings.Contains(fmt.Sprint(err), "Musher does not support cloudwatch:DescribeAlarms yet") {
		t.Errorf("an operation that is not here: %v", err)
	}
	for _, header := range []string{"Smithy-Protocol: rpc-v2-cbor", "Content-Encoding: gzip"} {
		if sent.seen[header] == 0 {
			t.Errorf("no request had %s: what was meant to be tested was not", header)
		}
	}
	srv.Kill()
	srv.Restart()
	check()
}

// cloudWatchRights: who may write can be bound to a namespace.
func cloudWatchRights(t *testing.T, a musher.Access) {
	ctx := t.Context()
	identities := a.IAM()
	user := aws.String("measurer")
	must(identities.CreateUser(ctx, &iam.CreateUserInput{UserName: user}))(t)
	must(identities.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("p"), PolicyDocument: aws.String(
		`{"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": {"StringEquals": {"cloudwatch:namespace": "Mine"}}},
			{"Effect": "Allow", "Action": "cloudwatch:List*", "Resource": "*"}]}`)}))(t)
	key := must(identities.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user}))(t).AccessKey
	cw := cloudwatch.NewFromConfig(a.As(*key.AccessKeyId, *key.SecretAccessKey, "").Config())
	put := func(namespace string) error {
		_, err := cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
			Namespace: &namespace, MetricData: []types.MetricDatum{{MetricName: aws.String("m"), Value: aws.Float64(1)}},
		})
		return err
	}
	if err := put("Mine"); err != nil {
		t.Error(err)
	}
	wantError(t, put("Yours"), "AccessDenied", "is not authorized to perform: cloudwatch:PutMetricData")
	must(cw.ListMetrics(ctx, &cloudwatch.ListMetricsInput{}))(t)
	_, err := cw.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("Mine"), MetricName: aws.String("m"), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticSum},
		StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now()),
	})
	wantError(t, err, "AccessDenied", "cloudwatch:GetMetricStatistics")
}

// text shows a value with its pointers followed.
func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
