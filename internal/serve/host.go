package serve

import "encoding/hex"

// A transport keeps its idle connections by host name, so a socket's path
// travels as one.
func host(socket string) string { return "h" + hex.EncodeToString([]byte(socket)) }

func unhost(name string) string {
	path, err := hex.DecodeString(name[1:])
	if err != nil {
		return ""
	}
	return string(path)
}
