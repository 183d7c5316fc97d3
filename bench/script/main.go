// Command script measures what Musher adds to a prediction of a user's script:
// the same functions behind a bare loop on a Unix socket, behind the model
// server, and behind InvokeEndpoint, one after the other in each round.
//
//	go run ./bench/script [-rounds 3000]
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/musher/musher/bench/internal/rig"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/smruntime"
)

var (
	//go:embed bare.py
	bare []byte
	//go:embed inference.py
	script []byte
)

func main() {
	rounds := flag.Int("rounds", 3000, "requests of each kind")
	flag.Parse()
	if err := run(context.Background(), *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "script:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int) error {
	dir, err := os.MkdirTemp("", "musher-script-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := rig.Binary(dir)
	if err != nil {
		return err
	}
	s, err := rig.Start(ctx, binary, filepath.Join(dir, "data"), filepath.Join(dir, "cache"))
	if err != nil {
		return err
	}
	defer s.Stop() //nolint:errcheck // the figures are printed
	if err := deploy(ctx, s); err != nil {
		return err
	}
	socket, stop, err := startBare(dir)
	if err != nil {
		return err
	}
	defer stop()

	body, err := json.Marshal(map[string]any{"instances": slices.Repeat([]float64{0.123456}, 100)})
	if err != nil {
		return err
	}
	ways := []*way{
		{name: "bare loop", ask: over(socket, body)},
		{name: "model server", ask: over(filepath.Join(s.Data, "endpoints", "bench", "1-all-0", "http.sock"), body)},
		{name: "InvokeEndpoint", ask: func() error {
			_, err := awsclient.Do[smruntime.InvokeEndpointOutput](ctx, s.Client, smruntime.Model, "InvokeEndpoint",
				&smruntime.InvokeEndpointInput{EndpointName: "bench", ContentType: rig.Ptr("application/json"), Body: body})
			return err
		}},
	}
	if err := measure(ways, rounds); err != nil {
		return err
	}
	fmt.Printf("A JSON prediction of a user's script, %d rounds (%s)\n\n", rounds, rig.Machine())
	for _, w := range ways {
		fmt.Printf("%-15s p50 %6.3f ms   p99 %6.3f ms   added at p50 %6.3f ms   (bar 1 ms)\n",
			w.name, ms(w.quantile(0.5)), ms(w.quantile(0.99)), ms(w.quantile(0.5)-ways[0].quantile(0.5)))
	}
	return nil
}

// way is one of the ways to the script.
type way struct {
	name  string
	ask   func() error
	times []time.Duration
}

func measure(ways []*way, rounds int) error {
	for round := range rounds + 50 {
		for _, w := range ways {
			begin := time.Now()
			if err := w.ask(); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if round >= 50 { // what comes first warms up
				w.times = append(w.times, time.Since(begin))
			}
		}
	}
	return nil
}

func (w *way) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(w.times))
	return sorted[int(q*float64(len(sorted)-1))]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// over asks a server on a Unix socket, on one connection that stays.
func over(socket string, body []byte) func() error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	return func() error {
		res, err := client.Post("http://model/invocations", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", res.Status, answer)
		}
		return err
	}
}

// startBare runs the loop.
func startBare(dir string) (socket string, stop func(), err error) {
	socket = filepath.Join(dir, "bare.sock")
	for name, text := range map[string][]byte{"bare.py": bare, "inference.py": script} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", nil, err
		}
	}
	loop := exec.Command("python3", filepath.Join(dir, "bare.py"), socket, dir, dir)
	loop.Stderr = os.Stderr
	out, err := loop.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := loop.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		loop.Process.Kill() //nolint:errcheck // it may have ended
		loop.Wait()         //nolint:errcheck // it was killed
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return "", nil, fmt.Errorf("the bare loop did not start: %w", err)
	}
	return socket, stop, nil
}

// deploy puts the script on an endpoint.
func deploy(ctx context.Context, s *rig.Server) error {
	role, err := s.SetUp(ctx)
	if err != nil {
		return err
	}
	model, err := packed("code/inference.py", script)
	if err != nil {
		return err
	}
	_, err = awsclient.Do[s3.PutObjectOutput](ctx, s.Client, s3.Model, "PutObject", &s3.PutObjectInput{Bucket: rig.Bucket, Key: "model.tar.gz", Body: bytes.NewReader(model)})
	if err != nil {
		return err
	}
	_, err = awsclient.Do[sagemaker.CreateModelOutput](ctx, s.Client, sagemaker.Model, "CreateModel", &sagemaker.CreateModelInput{
		ModelName: "bench", ExecutionRoleArn: &role, PrimaryContainer: &sagemaker.ContainerDefinition{
			Image: rig.Ptr("python:3"), ModelDataUrl: rig.Ptr("s3://" + rig.Bucket + "/model.tar.gz"),
		},
	})
	if err != nil {
		return err
	}
	_, err = awsclient.Do[sagemaker.CreateEndpointConfigOutput](ctx, s.Client, sagemaker.Model, "CreateEndpointConfig", &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: "bench", ProductionVariants: []*sagemaker.ProductionVariant{{
			VariantName: "all", ModelName: rig.Ptr("bench"), InitialInstanceCount: rig.Ptr(int64(1)), InstanceType: rig.Ptr("ml.m5.large"),
		}},
	})
	if err != nil {
		return err
	}
	_, err = awsclient.Do[sagemaker.CreateEndpointOutput](ctx, s.Client, sagemaker.Model, "CreateEndpoint", &sagemaker.CreateEndpointInput{EndpointName: "bench", EndpointConfigName: "bench"})
	if err != nil {
		return err
	}
	for {
		d, err := awsclient.Do[sagemaker.DescribeEndpointOutput](ctx, s.Client, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: "bench"})
		switch {
		case err != nil:
			return err
		case d.EndpointStatus == "InService":
			return nil
		case d.EndpointStatus == "Failed":
			return fmt.Errorf("the endpoint failed: %s", sagemaker.Or(d.FailureReason, ""))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// packed is an archive of one file.
func packed(name string, data []byte) ([]byte, error) {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644})
	if err == nil {
		_, err = w.Write(data)
	}
	err = errors.Join(err, w.Close(), zipped.Close())
	return out.Bytes(), err
}
