package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// envCommand prints shell commands; eval "$(musher env)" runs them.
type envCommand struct {
	Region string `help:"Region that the clients shall use; any name is fine." default:"us-east-1"`
	Unset  bool   `help:"Print the commands that undo it."`
}

func (c envCommand) Run(g *globals) error {
	conn, err := readConnection(g.Data)
	if err != nil {
		return err
	}
	vars := []struct{ name, value string }{
		{"AWS_ENDPOINT_URL", conn.Endpoint},
		{"AWS_ACCESS_KEY_ID", conn.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", conn.SecretAccessKey},
		{"AWS_REGION", c.Region},
		{"AWS_DEFAULT_REGION", c.Region},
		// Left over from elsewhere, a token or a profile would win over the keys.
		{"AWS_SESSION_TOKEN", ""},
		{"AWS_PROFILE", ""},
	}
	if g.JSON {
		out := map[string]string{}
		for _, v := range vars {
			if v.value != "" {
				out[v.name] = v.value
			}
		}
		return json.NewEncoder(g.out).Encode(out)
	}
	for _, v := range vars {
		line := "export " + v.name + "=" + quote(v.value)
		if c.Unset || v.value == "" {
			line = "unset " + v.name
		}
		if _, err := fmt.Fprintln(g.out, line); err != nil {
			return err
		}
	}
	return nil
}

// quote makes a word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// connection is where a server is and how to sign for it.
type connection struct{ Endpoint, AccessKeyID, SecretAccessKey string }

// noServerError says that a data folder has never been served.
type noServerError struct{ dir string }

func (e *noServerError) Error() string { return "no server has run on " + e.dir + " yet" }
func (e *noServerError) Hint() string {
	return "start one with `musher up`, or name its folder with --data"
}

// readConnection reads what a server left in its data folder.
func readConnection(data string) (conn connection, err error) {
	endpoint, err := os.ReadFile(filepath.Join(data, "endpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return conn, &noServerError{data}
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
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), "="); name {
		case "AWS_ACCESS_KEY_ID":
			conn.AccessKeyID = value
		case "AWS_SECRET_ACCESS_KEY":
			conn.SecretAccessKey = value
		}
	}
	return conn, nil
}
