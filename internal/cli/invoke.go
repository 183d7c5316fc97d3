package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/smruntime"
)

// invokeCommand asks an endpoint about one photo.
type invokeCommand struct {
	place
	Endpoint string `arg:"" help:"Name of the endpoint."`
	Photo    string `arg:"" help:"A file, - for standard input, or an http(s) or s3 address that the endpoint reads itself."`
	Top      int    `help:"How many labels to print." default:"5"`
}

func (c invokeCommand) Validate() error {
	if c.Top < 1 {
		return errors.New("--top must be 1 at least")
	}
	return nil
}

func (c invokeCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	kind, body, err := c.request(os.Stdin)
	if err != nil {
		return err
	}
	out, err := call[smruntime.InvokeEndpointOutput](ctx, server, smruntime.Model, "InvokeEndpoint", &smruntime.InvokeEndpointInput{
		EndpointName: c.Endpoint, ContentType: &kind, Body: body, CustomAttributes: new(fmt.Sprintf("top_k=%d", c.Top)),
	})
	if err != nil {
		return c.explain(err)
	}
	return c.print(g, out.Body)
}

// request reads the photo, or names the address that the endpoint shall read.
func (c invokeCommand) request(stdin io.Reader) (kind string, body []byte, err error) {
	switch {
	case c.Photo == "-":
		body, err = io.ReadAll(stdin)
	case strings.HasPrefix(c.Photo, "http://"), strings.HasPrefix(c.Photo, "https://"), strings.HasPrefix(c.Photo, "s3://"):
		body, err = json.Marshal(map[string]string{"url": c.Photo})
		return "application/json", body, err
	default:
		body, err = os.ReadFile(c.Photo)
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot read the photo: %w", err)
	}
	if len(body) == 0 {
		return "", nil, errors.New("the photo is empty")
	}
	if kind = http.DetectContentType(body); !strings.HasPrefix(kind, "image/") {
		kind = "application/x-image" // the endpoint says what is wrong with it
	}
	return kind, body, nil
}

func (c invokeCommand) explain(err error) error {
	var e *awsapi.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == "ValidationError" && strings.Contains(e.Message, "not found") {
		return withHint(fmt.Errorf("there is no endpoint %s in service", c.Endpoint), "`musher ls endpoints` lists those that there are")
	}
	if e.Code == "ModelError" {
		return modelError(e)
	}
	return err
}

// modelError is what the model itself said, where it said something.
func modelError(e *awsapi.Error) error {
	var said struct{ Error, Hint string }
	for _, f := range e.Fields {
		text, ok := f.Value.(string)
		if f.Name == "OriginalMessage" && ok && json.Unmarshal([]byte(text), &said) == nil && said.Error != "" {
			return withHint(errors.New(said.Error), "%s", said.Hint)
		}
	}
	return e
}

func (c invokeCommand) print(g *globals, answer []byte) error {
	if g.JSON {
		_, err := fmt.Fprintf(g.out, "%s\n", strings.TrimSpace(string(answer)))
		return err
	}
	var a struct {
		Predictions []struct {
			Label       string  `json:"label"`
			Probability float64 `json:"probability"`
		} `json:"predictions"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Predictions) == 0 {
		return fmt.Errorf("the answer has no labels: %.200s", answer)
	}
	var rows [][2]string
	for _, p := range a.Predictions {
		rows = append(rows, [2]string{p.Label, fmt.Sprintf("%6.2f %%", 100*p.Probability)})
	}
	return facts(g.out, rows)
}
