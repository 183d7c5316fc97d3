package cli

import (
	"encoding/json"
	"fmt"
	"strings"
)

// envCommand prints shell commands; eval "$(musher env)" runs them.
type envCommand struct {
	place
	Region string `help:"Region that the clients shall use; any name is fine." default:"us-east-1"`
	Unset  bool   `help:"Print the commands that undo it."`
}

func (c envCommand) Run(g *globals) error {
	conn, err := readConnection(c.Data)
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
	if !c.Unset && !conn.answers() {
		fmt.Fprintf(g.err, "musher: no server answers at %s at the moment\nhint: start it with `musher up%s`\n", conn.Endpoint, dataFlag(c.Data))
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
