package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is set by the linker (make build); otherwise the module's is shown.
var Version = "" //nolint:gochecknoglobals // the linker needs one

type versionCommand struct{}

func (versionCommand) Run(g *globals) error {
	v := Version
	if v == "" {
		v = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			v = info.Main.Version
		}
	}
	if g.JSON {
		return json.NewEncoder(g.out).Encode(map[string]string{"version": v, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(g.out, "musher %s (%s, %s/%s)\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
