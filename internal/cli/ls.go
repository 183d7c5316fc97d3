package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// lsCommand lists what there is.
type lsCommand struct {
	place
	What string `arg:"" optional:"" help:"jobs, tuning, models, endpoints, buckets or s3://bucket/prefix; all but objects when left out." placeholder:"WHAT"`
}

// listing is a table of one kind.
type listing struct {
	kind    string
	heading []string
	rows    [][]string
}

// lister fetches a listing.
type lister struct {
	kind string
	list func(context.Context, *client) (listing, error)
}

func listers() []lister {
	return []lister{
		{"jobs", listJobs}, {"tuning", listTuning}, {"models", listModels},
		{"endpoints", listEndpoints}, {"buckets", listBuckets},
	}
}

func (c lsCommand) Validate() error {
	if c.What == "" || strings.HasPrefix(c.What, "s3://") {
		return nil
	}
	var kinds []string
	for _, l := range listers() {
		if l.kind == c.What {
			return nil
		}
		kinds = append(kinds, l.kind)
	}
	return fmt.Errorf("%q cannot be listed: choose %s or s3://bucket/prefix", c.What, strings.Join(kinds, ", "))
}

func (c lsCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	if strings.HasPrefix(c.What, "s3://") {
		return c.objects(ctx, g, server)
	}
	var found []listing
	for _, l := range listers() {
		if c.What != "" && c.What != l.kind {
			continue
		}
		t, err := l.list(ctx, server)
		if err != nil {
			return err
		}
		t.kind = l.kind
		found = append(found, t)
	}
	if g.JSON {
		return json.NewEncoder(g.out).Encode(asObjects(found))
	}
	return c.write(g, found)
}

func (c lsCommand) write(g *globals, found []listing) error {
	shown := 0
	for _, t := range found {
		if len(t.rows) == 0 {
			continue
		}
		if shown++; shown > 1 {
			fmt.Fprintln(g.out)
		}
		if c.What == "" {
			fmt.Fprintf(g.out, "%s\n", strings.ToUpper(t.kind))
		}
		if err := table(g.out, t.heading, t.rows); err != nil {
			return err
		}
	}
	if shown == 0 {
		fmt.Fprintf(g.err, "There are no %s.\n", or(c.What, "jobs, models, endpoints or buckets"))
	}
	return nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// asObjects makes rows into objects with the headings as names.
func asObjects(found []listing) map[string][]map[string]string {
	out := map[string][]map[string]string{}
	for _, t := range found {
		out[t.kind] = []map[string]string{}
		for _, row := range t.rows {
			o := map[string]string{}
			for i, cell := range row {
				o[strings.ReplaceAll(t.heading[i], " ", "_")] = cell
			}
			out[t.kind] = append(out[t.kind], o)
		}
	}
	return out
}

func listJobs(ctx context.Context, c *client) (t listing, err error) {
	t.heading = []string{"name", "status", "created", "ended"}
	in := &sagemaker.ListTrainingJobsInput{SortBy: new("CreationTime"), SortOrder: new("Descending")}
	for {
		out, err := call[sagemaker.ListTrainingJobsOutput](ctx, c, sagemaker.Model, "ListTrainingJobs", in)
		if err != nil {
			return t, err
		}
		for _, j := range out.TrainingJobSummaries {
			t.rows = append(t.rows, []string{j.TrainingJobName, j.TrainingJobStatus, clock(j.CreationTime), clockOf(j.TrainingEndTime)})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return t, nil
		}
	}
}

func listTuning(ctx context.Context, c *client) (t listing, err error) {
	t.heading = []string{"name", "status", "strategy", "done", "running", "failed", "created"}
	in := &sagemaker.ListHyperParameterTuningJobsInput{SortBy: new("CreationTime"), SortOrder: new("Descending")}
	for {
		out, err := call[sagemaker.ListHyperParameterTuningJobsOutput](ctx, c, sagemaker.Model, "ListHyperParameterTuningJobs", in)
		if err != nil {
			return t, err
		}
		for _, j := range out.HyperParameterTuningJobSummaries {
			n := j.TrainingJobStatusCounters
			t.rows = append(t.rows, []string{
				j.HyperParameterTuningJobName, j.HyperParameterTuningJobStatus, j.Strategy,
				fmt.Sprint(orEmpty(n.Completed)), fmt.Sprint(orEmpty(n.InProgress)), fmt.Sprint(orEmpty(n.NonRetryableError)), clock(j.CreationTime),
			})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return t, nil
		}
	}
}

func listModels(ctx context.Context, c *client) (t listing, err error) {
	t.heading = []string{"name", "created"}
	in := &sagemaker.ListModelsInput{}
	for {
		out, err := call[sagemaker.ListModelsOutput](ctx, c, sagemaker.Model, "ListModels", in)
		if err != nil {
			return t, err
		}
		for _, m := range out.Models {
			t.rows = append(t.rows, []string{m.ModelName, clock(m.CreationTime)})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return t, nil
		}
	}
}

func listEndpoints(ctx context.Context, c *client) (t listing, err error) {
	t.heading = []string{"name", "status", "created", "changed"}
	in := &sagemaker.ListEndpointsInput{}
	for {
		out, err := call[sagemaker.ListEndpointsOutput](ctx, c, sagemaker.Model, "ListEndpoints", in)
		if err != nil {
			return t, err
		}
		for _, e := range out.Endpoints {
			t.rows = append(t.rows, []string{e.EndpointName, e.EndpointStatus, clock(e.CreationTime), clock(e.LastModifiedTime)})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return t, nil
		}
	}
}

func listBuckets(ctx context.Context, c *client) (t listing, err error) {
	t.heading = []string{"name", "created"}
	in := &s3.ListBucketsInput{}
	for {
		out, err := call[s3.ListBucketsOutput](ctx, c, s3.Model, "ListBuckets", in)
		if err != nil {
			return t, err
		}
		for _, b := range out.Buckets {
			t.rows = append(t.rows, []string{orEmpty(b.Name), clockOf(b.CreationDate)})
		}
		if in.ContinuationToken = out.ContinuationToken; in.ContinuationToken == nil {
			return t, nil
		}
	}
}

// objects lists one level of a bucket, as a folder: prefixes, then objects.
func (c lsCommand) objects(ctx context.Context, g *globals, server *client) error {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(c.What, "s3://"), "/")
	in := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix, Delimiter: new("/")}
	t := listing{kind: "objects", heading: []string{"size", "changed", "name"}}
	for {
		out, err := call[s3.ListObjectsV2Output](ctx, server, s3.Model, "ListObjectsV2", in)
		if missing(err) {
			return withHint(fmt.Errorf("there is no bucket %s", bucket), "`musher ls buckets` lists those that there are")
		}
		if err != nil {
			return err
		}
		for _, p := range out.CommonPrefixes {
			t.rows = append(t.rows, []string{"", "", orEmpty(p.Prefix)})
		}
		for _, o := range out.Contents {
			size := progress.Size(orEmpty(o.Size))
			if g.JSON {
				size = fmt.Sprint(orEmpty(o.Size))
			}
			t.rows = append(t.rows, []string{size, clockOf(o.LastModified), orEmpty(o.Key)})
		}
		if in.ContinuationToken = out.NextContinuationToken; in.ContinuationToken == nil {
			break
		}
	}
	if g.JSON {
		return json.NewEncoder(g.out).Encode(asObjects([]listing{t}))
	}
	if len(t.rows) == 0 {
		return withHint(fmt.Errorf("nothing lies under %s", c.What), "`musher ls s3://%s/` lists the top of the bucket", bucket)
	}
	return table(g.out, t.heading, t.rows)
}
