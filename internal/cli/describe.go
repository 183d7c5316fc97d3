package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// describeCommand shows whatever has a name.
type describeCommand struct {
	place
	Name string `arg:"" help:"Name of a training job, tuning job, model, endpoint, endpoint configuration or bucket; KIND/NAME where several have it."`
}

// describer finds one kind of thing.
type describer struct {
	kind string
	// find asks the server; the error is one that missing knows if there is none.
	find func(ctx context.Context, c *client, name string) (thing, error)
}

// thing is what was found: the API's answer, and how people read it.
type thing struct {
	answer any
	write  func(ctx context.Context, c *client, w io.Writer) error
}

func describers() []describer {
	return []describer{
		{"job", findJob}, {"tuning", findTuning}, {"endpoint", findEndpoint},
		{"config", findConfig}, {"model", findModel}, {"bucket", findBucket},
	}
}

func (c describeCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	kinds, things, err := c.find(ctx, server)
	if err != nil {
		return err
	}
	if g.JSON {
		if len(things) > 1 {
			return withHint(fmt.Errorf("%s is the name of several things: %s", c.Name, strings.Join(kinds, ", ")),
				"say which: %s/%s", kinds[0], c.Name)
		}
		return writeJSON(g.out, things[0].answer)
	}
	for i, t := range things {
		if i > 0 {
			fmt.Fprintln(g.out)
		}
		if err := t.write(ctx, server, g.out); err != nil {
			return err
		}
	}
	return nil
}

// find asks for every kind of thing, or for the one that the name begins with.
func (c describeCommand) find(ctx context.Context, server *client) (kinds []string, things []thing, err error) {
	wanted, name, given := strings.Cut(c.Name, "/")
	if !given {
		wanted, name = "", c.Name
	}
	for _, d := range describers() {
		if wanted != "" && wanted != d.kind {
			continue
		}
		t, err := d.find(ctx, server, name)
		if missing(err) || unnameable(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		kinds, things = append(kinds, d.kind), append(things, t)
	}
	if len(things) == 0 {
		return nil, nil, withHint(fmt.Errorf("nothing is called %s", c.Name), "`musher ls` lists what there is")
	}
	return kinds, things, nil
}

func findJob(ctx context.Context, c *client, name string) (thing, error) {
	d, err := call[sagemaker.DescribeTrainingJobOutput](ctx, c, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: name})
	return thing{d, func(_ context.Context, _ *client, w io.Writer) error { return writeJob(w, d) }}, err
}

func writeJob(w io.Writer, d *sagemaker.DescribeTrainingJobOutput) error {
	rows := [][2]string{
		{"training job", d.TrainingJobName}, {"status", status(d.TrainingJobStatus, d.SecondaryStatus)},
		{"reason", orEmpty(d.FailureReason)}, {"created", clock(d.CreationTime)},
		{"training", span(d.TrainingStartTime, d.TrainingEndTime)},
	}
	if d.ModelArtifacts != nil {
		rows = append(rows, [2]string{"model", d.ModelArtifacts.S3ModelArtifacts})
	}
	for _, ch := range d.InputDataConfig {
		if s := ch.DataSource.S3DataSource; s != nil {
			rows = append(rows, [2]string{"channel " + ch.ChannelName, s.S3Uri})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.HyperParameters)) {
		rows = append(rows, [2]string{name, d.HyperParameters[name]})
	}
	for _, m := range d.FinalMetricDataList {
		rows = append(rows, [2]string{orEmpty(m.MetricName), fmt.Sprintf("%.4f", orEmpty(m.Value))})
	}
	return facts(w, rows)
}

// status joins two statuses that differ.
func status(first, second string) string {
	if first == second {
		return first
	}
	return first + ", " + second
}

func span(from, to *time.Time) string {
	switch {
	case from == nil:
		return ""
	case to == nil:
		return "since " + clock(*from)
	}
	return fmt.Sprintf("%s, %s", clock(*from), progress.Seconds(to.Sub(*from)))
}

func findEndpoint(ctx context.Context, c *client, name string) (thing, error) {
	d, err := call[sagemaker.DescribeEndpointOutput](ctx, c, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: name})
	return thing{d, func(_ context.Context, _ *client, w io.Writer) error { return writeEndpoint(w, d) }}, err
}

func writeEndpoint(w io.Writer, d *sagemaker.DescribeEndpointOutput) error {
	rows := [][2]string{
		{"endpoint", d.EndpointName}, {"status", d.EndpointStatus}, {"reason", orEmpty(d.FailureReason)},
		{"configuration", orEmpty(d.EndpointConfigName)}, {"created", clock(d.CreationTime)}, {"changed", clock(d.LastModifiedTime)},
	}
	for _, v := range d.ProductionVariants {
		rows = append(rows, [2]string{"variant " + v.VariantName, fmt.Sprintf("%d of %d instances, weight %g",
			orEmpty(v.CurrentInstanceCount), orEmpty(v.DesiredInstanceCount), orEmpty(v.CurrentWeight))})
	}
	return facts(w, rows)
}

func findConfig(ctx context.Context, c *client, name string) (thing, error) {
	d, err := call[sagemaker.DescribeEndpointConfigOutput](ctx, c, sagemaker.Model, "DescribeEndpointConfig", &sagemaker.DescribeEndpointConfigInput{EndpointConfigName: name})
	return thing{d, func(_ context.Context, _ *client, w io.Writer) error {
		rows := [][2]string{{"endpoint configuration", d.EndpointConfigName}, {"created", clock(d.CreationTime)}}
		for _, v := range d.ProductionVariants {
			rows = append(rows, [2]string{"variant " + v.VariantName, fmt.Sprintf("model %s, %d instances", orEmpty(v.ModelName), orEmpty(v.InitialInstanceCount))})
		}
		return facts(w, rows)
	}}, err
}

func findModel(ctx context.Context, c *client, name string) (thing, error) {
	d, err := call[sagemaker.DescribeModelOutput](ctx, c, sagemaker.Model, "DescribeModel", &sagemaker.DescribeModelInput{ModelName: name})
	return thing{d, func(_ context.Context, _ *client, w io.Writer) error {
		rows := [][2]string{{"model", d.ModelName}, {"created", clock(d.CreationTime)}, {"role", orEmpty(d.ExecutionRoleArn)}}
		if p := d.PrimaryContainer; p != nil {
			rows = append(rows, [2]string{"image", orEmpty(p.Image)}, [2]string{"data", orEmpty(p.ModelDataUrl)})
		}
		return facts(w, rows)
	}}, err
}

func findBucket(ctx context.Context, c *client, name string) (thing, error) {
	out, err := call[s3.ListBucketsOutput](ctx, c, s3.Model, "ListBuckets", &s3.ListBucketsInput{Prefix: &name})
	if err != nil {
		return thing{}, err
	}
	for _, b := range out.Buckets {
		if orEmpty(b.Name) == name {
			return thing{b, func(_ context.Context, _ *client, w io.Writer) error {
				return facts(w, [][2]string{{"bucket", name}, {"created", clockOf(b.CreationDate)}})
			}}, nil
		}
	}
	return thing{}, errMissing
}
