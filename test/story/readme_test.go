package story

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/musher/musher/test/musher"
)

// TestTableOfClients: the versions that the README names are those that the
// tests run with.
func TestTableOfClients(t *testing.T) {
	root := musher.Root(t)
	readme := read(t, filepath.Join(root, "README.md"))
	for client, pin := range map[string][2]string{
		"SageMaker Python SDK 2": {"test/story/sdk2.txt", `(?m)^sagemaker==(.+)$`},
		"SageMaker Python SDK 3": {"test/story/sdk3-alone.txt", `(?m)^sagemaker==(.+)$`},
		"boto3":                  {"test/requirements.txt", `(?m)^boto3==(.+)$`},
		"aws CLI":                {"test/requirements.txt", `(?m)^awscli==(.+)$`},
		"aws-sdk-go-v2":          {"go.mod", `(?m)aws-sdk-go-v2 v(\S+)$`},
	} {
		found := regexp.MustCompile(pin[1]).FindStringSubmatch(read(t, filepath.Join(root, pin[0])))
		if found == nil {
			t.Errorf("%s does not pin %s", pin[0], client)
			continue
		}
		if row := "| " + client + " | " + found[1] + " |"; !strings.Contains(readme, row) {
			t.Errorf("the README has no row %q", row)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
