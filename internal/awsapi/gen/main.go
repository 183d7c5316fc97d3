// Command gen writes the types.go of every service package from the service
// models that botocore ships. Only facts are taken over (names, types, bounds,
// codes), no text. See services.txt for what is generated.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

//go:embed services.txt
var services string

func main() {
	botocore := flag.String("botocore", "", "a botocore wheel, or the folder of an installed one")
	out := flag.String("out", "../svc", "folder that holds the service packages")
	flag.Parse()
	if err := run(*botocore, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(botocore, out string) error {
	if botocore == "" {
		return fmt.Errorf("-botocore is missing: `pip download --no-deps botocore` gets a wheel")
	}
	source, err := openModels(botocore)
	if err != nil {
		return err
	}
	configs, err := parseServices(services)
	if err != nil {
		return err
	}
	for _, c := range configs {
		m, err := source.load(c.model)
		if err != nil {
			return err
		}
		code, err := emit(c, m)
		if err != nil {
			return fmt.Errorf("%s: %w", c.pkg, err)
		}
		if err := write(filepath.Join(out, c.pkg, "types.go"), code); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, code []byte) error {
	formatted, err := format.Source(code)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, formatted, 0o644)
}
