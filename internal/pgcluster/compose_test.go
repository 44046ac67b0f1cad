package pgcluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The compose file and the harness must agree on names and ports.
func TestComposeFile(t *testing.T) {
	content, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]string{} // by name, the text of each
	name := ""
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   ") {
			name = strings.TrimSuffix(strings.TrimSpace(line), ":")
		}
		services[name] += line
	}
	for shard := range composeShards {
		for replica := range composeReplicas + 1 {
			node := composeNode(login{}, shard+1, replica)
			if want := fmt.Sprintf(`"%s:5432"`, node.Addr()); !strings.Contains(services[node.Name()], want) {
				t.Errorf("service %s does not publish %s:\n%s", node.Name(), want, services[node.Name()])
			}
		}
	}
	if want := `"` + composeRedis + `:6379"`; !strings.Contains(services["redis"], want) {
		t.Errorf("service redis does not publish %s:\n%s", want, services["redis"])
	}
}
