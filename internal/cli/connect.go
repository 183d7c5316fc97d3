package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
)

// place is the flag of commands that need a server's folder.
type place struct {
	Data string `help:"Folder of the server's state." env:"MUSHER_DATA_DIR" default:"${data}" type:"path" placeholder:"DIR"`
}

// connection is where a server is and how to sign for it.
type connection struct {
	Endpoint, AccessKeyID, SecretAccessKey, SessionToken, Region string
}

// answers says whether something listens there.
func (c connection) answers() bool {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return false
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// client calls the services of one server.
type client struct {
	*awsclient.Client
	conn connection
}

func newClient(conn connection) *client {
	if conn.Region == "" {
		conn.Region = "us-east-1"
	}
	creds := awsapi.Credentials{AccessKeyID: conn.AccessKeyID, SecretAccessKey: conn.SecretAccessKey, Token: conn.SessionToken}
	return &client{awsclient.New(conn.Endpoint, creds, conn.Region, directClient()), conn}
}

// connect finds the server: the one of a folder that was named; else the one
// that the AWS variables name; else the one of the default folder.
func (p place) connect() (*client, error) {
	if p.Data == defaultData() {
		if conn, ok := environment(os.Getenv); ok {
			return newClient(conn), nil
		}
	}
	conn, err := readConnection(p.Data)
	if err != nil {
		return nil, err
	}
	return newClient(conn), nil
}

// environment reads the variables that `musher env` prints.
func environment(getenv func(string) string) (connection, bool) {
	conn := connection{
		Endpoint: getenv("AWS_ENDPOINT_URL"), AccessKeyID: getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN"),
		Region: getenv("AWS_REGION"),
	}
	if conn.Region == "" {
		conn.Region = getenv("AWS_DEFAULT_REGION")
	}
	return conn, conn.Endpoint != "" && conn.AccessKeyID != "" && conn.SecretAccessKey != ""
}

// call makes a call.
func call[Out any](ctx context.Context, c *client, m *awsapi.ServiceModel, operation string, in any) (*Out, error) {
	out, err := awsclient.Do[Out](ctx, c.Client, m, operation, in)
	return out, c.explain(err)
}

// explain puts into plain words why a server does not answer.
func (c *client) explain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return err
	}
	return withHint(fmt.Errorf("no server answers at %s: %w", c.conn.Endpoint, op.Err),
		"start one with `musher up`, or name another one's folder with --data")
}

// errMissing is for what was looked for in a list.
var errMissing = errors.New("there is no such thing")

// missing says whether the service answered that there is no such thing.
func missing(err error) bool {
	var e *awsapi.Error
	if !errors.As(err, &e) {
		return errors.Is(err, errMissing)
	}
	switch e.Code {
	case "ResourceNotFound", "NoSuchBucket", "NotFound", "404":
		return true
	case "ValidationException":
		return strings.Contains(e.Message, "not found") || strings.Contains(e.Message, "Could not find")
	}
	return false
}

// unnameable says whether the service refused a name by its form: there can be
// no such thing.
func unnameable(err error) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && e.Code == "ValidationException" && strings.Contains(e.Message, "failed to satisfy constraint")
}

// readConnection reads what a server left in its data folder.
func readConnection(data string) (conn connection, err error) {
	endpoint, err := os.ReadFile(filepath.Join(data, "endpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return conn, withHint(fmt.Errorf("no server has run on %s yet", data),
			"start one with `musher up`, or name its folder with --data")
	}
	if err != nil {
		return conn, err
	}
	f, err := os.Open(filepath.Join(data, "credentials"))
	if err != nil {
		return conn, err
	}
	defer f.Close()
	conn.Endpoint = strings.TrimSpace(string(endpoint))
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), "="); name {
		case "AWS_ACCESS_KEY_ID":
			conn.AccessKeyID = value
		case "AWS_SECRET_ACCESS_KEY":
			conn.SecretAccessKey = value
		}
	}
	return conn, lines.Err()
}
