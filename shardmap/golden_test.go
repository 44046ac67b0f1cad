package shardmap_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; a changed line means moved data")

// goldenPath returns the path of a golden file.
func goldenPath(name string) string { return filepath.Join("..", "testdata", "shardmap", name) }

// readGolden returns the lines of a golden file without comments and blanks.
func readGolden(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// compareGolden compares a golden file with what the code says now.
func compareGolden(t *testing.T, name, now string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(goldenPath(name), []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(golden, []byte(now)) {
		return
	}
	was, is := strings.Split(string(golden), "\n"), strings.Split(now, "\n")
	for i := range max(len(was), len(is)) {
		a, b := "", ""
		if i < len(was) {
			a = was[i]
		}
		if i < len(is) {
			b = is[i]
		}
		if a != b {
			t.Fatalf("%s line %d: a change here means that data of existing clusters has moved\nwas %s\nis  %s", name, i+1, a, b)
		}
	}
}

// placed is one line of placement.txt.
type placed struct {
	typ, key         string
	hash             uint64
	partition, shard string
}

// parsePlacement reads a line: type, quoted key, hash, partition, shard.
func parsePlacement(t *testing.T, line string) placed {
	t.Helper()
	var p placed
	if _, err := fmt.Sscanf(line, "%s %q %x %s %s", &p.typ, &p.key, &p.hash, &p.partition, &p.shard); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return p
}

const placementComment = `# Where tenants live: type, key, hash, partition (of 4096), shard (s1; s2 with weight 2; s3), with one pin a type.
# A change of an existing line means that data of existing clusters has MOVED: it must never be made.
# go test ./shardmap -run Golden -rewrite writes the file; lines may be added.

`

// goldenKeys are the keys of placement.txt.
func goldenKeys() map[shardmap.Type][]string {
	keys := map[shardmap.Type][]string{
		shardmap.Bigint: {"-9223372036854775808", "-4294967297", "-4294967296", "-2147483649", "-2147483648", "-1", "0", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807"},
		shardmap.Text:   {"", " ", "a", "Zoë", "日本語", "🙂", "tenant-1", "TENANT-1", "it's", "a\\b", "tab\there", "line\nbreak", strings.Repeat("x", 1000)},
		shardmap.UUID:   {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	}
	for n := 1; n <= 50; n++ {
		keys[shardmap.Bigint] = append(keys[shardmap.Bigint], strconv.Itoa(n))
		keys[shardmap.Text] = append(keys[shardmap.Text], strings.Repeat("abcdefghijklm", 4)[:n])
		keys[shardmap.UUID] = append(keys[shardmap.UUID], fmt.Sprintf("%08x-0000-4000-8000-%012x", n*0x01234567&math.MaxUint32, n))
	}
	return keys
}

func TestGoldenPlacement(t *testing.T) {
	pins := map[shardmap.Type]string{shardmap.Bigint: "42", shardmap.Text: "tenant-1", shardmap.UUID: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}
	keys := goldenKeys()
	now := placementComment
	for typ := shardmap.Bigint; typ <= shardmap.UUID; typ++ {
		m := planned(t, fmt.Sprintf(`database: app
tenant: {column: tenant_id, type: %s}
shards: [{name: s1, primary: {host: h1}}, {name: s2, weight: 2, primary: {host: h2}}, {name: s3, primary: {host: h3}}]
pins: {%q: s3}
`, typ, pins[typ]))
		for _, text := range keys[typ] {
			k, err := typ.ParseText([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			now += fmt.Sprintf("%s %q %016x %d %s\n", typ, text, k.Hash(), m.Partition(k), m.Shard(m.Locate(k)).Name)
		}
	}
	compareGolden(t, "placement.txt", now)
}

// planned makes a map of a file with the placement that the planner proposes.
func planned(t testing.TB, text string) *shardmap.Map {
	t.Helper()
	f, err := shardmap.Parse("shardmap.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const ringComment = `# What the planner proposes: partitions, shards with weights, then the owner of each partition as the shard's number in that list.
# A change here means that clusters are planned differently from before: a shard that is added would get other partitions, and a
# cluster whose lock was lost would find its data MOVED. It must never be made by accident.
# go test ./shardmap -run Golden -rewrite writes the file.
`

func TestGoldenRing(t *testing.T) {
	now := ringComment
	for _, set := range []struct {
		partitions int
		shards     string
	}{
		{4096, "s1"}, {4096, "s1 s2"}, {4096, "s1 s2:2"}, {4096, "s1 s2 s3"}, {1024, "eu-1 eu-2 us-1:3 us-2:3"}, {256, "a:10 b:20 c:30 d:40 e:50"}, {16, "s1 s2"},
	} {
		m := planned(t, planText(set.partitions, set.shards))
		now += fmt.Sprintf("\n%d %s\n", set.partitions, set.shards)
		for p := range m.Partitions() {
			now += strconv.Itoa(m.Owner(p) + 1)
			if p%128 == 127 || p == m.Partitions()-1 {
				now += "\n"
			}
		}
	}
	compareGolden(t, "ring.txt", now)
}

// planText writes a map file for shards "name" or "name:weight".
func planText(partitions int, shards string) string {
	text := fmt.Sprintf("database: app\ntenant: {column: tenant_id, type: bigint}\npartitions: %d\nshards:\n", partitions)
	for _, s := range strings.Fields(shards) {
		name, weight, ok := strings.Cut(s, ":")
		if !ok {
			weight = "1"
		}
		text += fmt.Sprintf("  - {name: %s, weight: %s, primary: {host: host-%s}}\n", name, weight, name)
	}
	return text
}
