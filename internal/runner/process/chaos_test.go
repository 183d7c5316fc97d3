//go:build linux

package process_test

const (
	serverArg = "test-server"
	probeArg  = "test-probe"
)

func serve(args []string) int { return 0 }
func probe(args []string) int { return 0 }
