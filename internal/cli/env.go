package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// envCommand prints shell commands; eval "$(musher env)" runs them.
type envCommand struct {
	place
	Region string `help:"Region that the clients shall use; any name is fine." default:"us-east-1"`
	Proxy  bool   `help:"Make the server the clients' HTTPS proxy, in place of naming it as the endpoint: reaches also clients that know Amazon's addresses only, such as the SageMaker SDK."`
	Unset  bool   `help:"Print the commands that undo it."`
}

// variable is one of the environment; an empty value takes it away.
type variable struct{ name, value string }

func (c envCommand) Run(g *globals) error {
	conn, err := readConnection(c.Data)
	if err != nil {
		return err
	}
	vars := c.keys(conn)
	if !c.Unset {
		vars = append(vars, strayEndpoints(os.Environ())...)
	}
	if c.Proxy {
		proxied, err := c.proxied(g, conn)
		if err != nil {
			return err
		}
		vars = append(vars, proxied...)
	} else {
		vars = append([]variable{{"AWS_ENDPOINT_URL", conn.Endpoint}}, vars...)
	}
	if g.JSON {
		return printJSON(g, vars)
	}
	if !c.Unset && !conn.answers() {
		fmt.Fprintf(g.err, "musher: no server answers at %s at the moment\nhint: start it with `musher up%s`\n", conn.Endpoint, dataFlag(c.Data))
	}
	return c.print(g, vars)
}

// keys are what all clients need.
func (c envCommand) keys(conn connection) []variable {
	return []variable{
		{"AWS_ACCESS_KEY_ID", conn.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", conn.SecretAccessKey},
		{"AWS_REGION", c.Region},
		{"AWS_DEFAULT_REGION", c.Region},
		// Left over from elsewhere, a token or a profile would win over the keys.
		{"AWS_SESSION_TOKEN", ""},
		{"AWS_PROFILE", ""},
	}
}

// strayEndpoints takes away the endpoints of single services that an
// environment names: they would win over all that we say.
func strayEndpoints(environ []string) (vars []variable) {
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_ENDPOINT_URL_") {
			vars = append(vars, variable{name, ""})
		}
	}
	return vars
}

func printJSON(g *globals, vars []variable) error {
	out := map[string]string{}
	for _, v := range vars {
		if v.value != "" {
			out[v.name] = v.value
		}
	}
	return json.NewEncoder(g.out).Encode(out)
}

func (c envCommand) print(g *globals, vars []variable) error {
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
