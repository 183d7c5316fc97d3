package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

// model is a botocore service model, as far as the generator reads it.
type model struct {
	Metadata   metadata              `json:"metadata"`
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type metadata struct {
	APIVersion     string       `json:"apiVersion"`
	EndpointPrefix string       `json:"endpointPrefix"`
	JSONVersion    string       `json:"jsonVersion"`
	Protocol       string       `json:"protocol"`
	Protocols      []string     `json:"protocols"`
	SigningName    string       `json:"signingName"`
	TargetPrefix   string       `json:"targetPrefix"`
	XMLNamespace   xmlNamespace `json:"xmlNamespace"`
}

type operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input        *ref  `json:"input"`
	Output       *ref  `json:"output"`
	Errors       []ref `json:"errors"`
	HTTPChecksum struct {
		AlgorithmMember string `json:"requestAlgorithmMember"`
		Required        bool   `json:"requestChecksumRequired"`
	} `json:"httpChecksum"`
}

type shape struct {
	traits
	Type      string   `json:"type"`
	Members   members  `json:"members"`
	Required  []string `json:"required"`
	Member    *ref     `json:"member"`
	Key       *ref     `json:"key"`
	Value     *ref     `json:"value"`
	Enum      []string `json:"enum"`
	Min       *float64 `json:"min"`
	Max       *float64 `json:"max"`
	Pattern   string   `json:"pattern"`
	Payload   string   `json:"payload"`
	Sensitive bool     `json:"sensitive"`
	Exception bool     `json:"exception"`
	Error     struct {
		Code           string `json:"code"`
		HTTPStatusCode int    `json:"httpStatusCode"`
	} `json:"error"`
}

// ref is a use of a shape: a member, an element, an input or an output.
type ref struct {
	traits
	Shape            string `json:"shape"`
	Location         string `json:"location"`
	XMLAttribute     bool   `json:"xmlAttribute"`
	IdempotencyToken bool   `json:"idempotencyToken"`
	JSONValue        bool   `json:"jsonvalue"`
	HostLabel        bool   `json:"hostLabel"`
}

// traits may stand at a shape and at its use; the use wins.
type traits struct {
	LocationName    string       `json:"locationName"`
	TimestampFormat string       `json:"timestampFormat"`
	XMLNamespace    xmlNamespace `json:"xmlNamespace"`
	Flattened       bool         `json:"flattened"`
	Streaming       bool         `json:"streaming"`
	EventStream     bool         `json:"eventstream"`
}

// xmlNamespace is written as a string or as an object.
type xmlNamespace struct {
	URI    string `json:"uri"`
	Prefix string `json:"prefix"`
}

func (n *xmlNamespace) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &n.URI)
	}
	type plain xmlNamespace
	return json.Unmarshal(b, (*plain)(n))
}

// members keeps the order in which a structure's members are written down:
// the real services answer XML in that order.
type members []member

type member struct {
	name string
	ref
}

func (m *members) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		mem := member{name: name.(string)}
		if err := d.Decode(&mem.ref); err != nil {
			return err
		}
		*m = append(*m, mem)
	}
	return nil
}

func (s *shape) required(name string) bool {
	for _, r := range s.Required {
		if r == name {
			return true
		}
	}
	return false
}

// models is a tree with botocore/data in it.
type models struct{ data fs.FS }

func openModels(botocore string) (*models, error) {
	if strings.HasSuffix(botocore, ".whl") {
		z, err := zip.OpenReader(botocore)
		if err != nil {
			return nil, err
		}
		data, err := fs.Sub(z, "botocore/data")
		return &models{data}, err
	}
	return &models{os.DirFS(path.Join(botocore, "data"))}, nil
}

// load reads the newest version of a service's model.
func (m *models) load(service string) (*model, error) {
	files, err := fs.Glob(m.data, service+"/*/service-2.json*")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no model of %q: %w", service, err)
	}
	sort.Strings(files)
	name := files[len(files)-1]
	f, err := m.data.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	out := &model{}
	if err := json.NewDecoder(r).Decode(out); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}
