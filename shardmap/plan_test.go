package shardmap

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shardsText writes a map file with shards "name" or "name:weight".
func shardsText(partitions int, shards ...string) string {
	text := fmt.Sprintf("database: app\ntenant: {column: tenant_id, type: bigint}\npartitions: %d\nshards:\n", partitions)
	for _, s := range shards {
		name, weight, ok := strings.Cut(s, ":")
		if !ok {
			weight = "1"
		}
		text += fmt.Sprintf("  - {name: %s, weight: %s, primary: {host: host-%s}}\n", name, weight, name)
	}
	return text
}

// plan returns the lock that the planner proposes for a file.
func plan(t testing.TB, f *File) *Lock {
	t.Helper()
	l, err := Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPlanInTwoProcesses runs the test binary again and compares what it plans.
func TestPlanInTwoProcesses(t *testing.T) {
	const child = "SHARDMAP_TEST_PLAN"
	var text strings.Builder
	for _, shards := range [][]string{{"s1", "s2"}, {"s1:3", "s2:2", "s3:7"}, {"c", "b", "a"}} {
		text.Write(plan(t, fileOf(t, shardsText(4096, shards...))).Encode())
	}
	if os.Getenv(child) != "" {
		fmt.Print(text.String(), "end\n")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPlanInTwoProcesses$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if theirs, _, ok := strings.Cut(string(out), "end\n"); !ok || theirs != text.String() {
		t.Errorf("another process plans otherwise:\n%.300s…\nhere\n%.300s…", theirs, text.String())
	}
}

// TestPlanIgnoresOrder checks that the order of the shards in the file does not
// matter, nor weights in the same proportion.
func TestPlanIgnoresOrder(t *testing.T) {
	want := plan(t, fileOf(t, shardsText(1024, "a:1", "b:2", "c:3"))).Owners
	for _, shards := range [][]string{{"c:3", "a:1", "b:2"}, {"b:20", "a:10", "c:30"}} {
		if got := plan(t, fileOf(t, shardsText(1024, shards...))).Owners; !slices.Equal(got, want) {
			t.Errorf("%v is planned otherwise", shards)
		}
	}
}

// TestPlanWeights checks that no shard gets more than the load bound allows,
// nor much less than its share.
func TestPlanWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	for range 12 {
		total, shards := 0, []string{}
		for i := range 1 + r.IntN(6) {
			w := 1 + r.IntN(5)
			total += w
			shards = append(shards, fmt.Sprintf("s%d:%d", i, w))
		}
		f := fileOf(t, shardsText(4096, shards...))
		l := plan(t, f)
		if l.Epoch != 1 || l.Database != "app" || l.Tenant != Bigint || slices.Contains(l.Owners, "") {
			t.Fatalf("lock %+v", l)
		}
		for _, s := range f.Shards {
			share := 4096 * float64(s.Weight) / float64(total)
			if n := float64(l.count(s.Name)); n > share*1.1+float64(s.Weight) || n < share*0.85-1 {
				t.Errorf("%v: %s owns %v, its share is %.0f", shards, s.Name, n, share)
			}
		}
	}
}

// TestAssign adds a shard to many clusters: only it receives, close to its
// share, and a second call has nothing more to propose.
func TestAssign(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2))
	for n := 1; n <= 8; n++ {
		shards := []string{}
		for i := range n {
			shards = append(shards, fmt.Sprintf("s%d:%d", i, 1+r.IntN(2)))
		}
		before := plan(t, fileOf(t, shardsText(4096, shards...)))
		f := fileOf(t, shardsText(4096, append(shards, "new:2")...))
		after, moves, err := Assign(f, before)
		if err != nil {
			t.Fatal(err)
		}
		if after.Epoch != 2 || before.Epoch != 1 || len(moves) != after.count("new") {
			t.Errorf("%v: epoch %d, %d moves, new owns %d", shards, after.Epoch, len(moves), after.count("new"))
		}
		if want := plan(t, f).count("new"); after.count("new") != want || want < 4096/(2*n+2) {
			t.Errorf("%v: new owns %d, planned %d", shards, after.count("new"), want)
		}
		checkMoves(t, before, after, moves, "new")
		again, more, err := Assign(f, after)
		if err != nil || again != after || len(more) != 0 {
			t.Errorf("%v: a second call proposes %d moves, %v", shards, len(more), err)
		}
	}
}

// checkMoves checks that the moves are all that is different between two locks,
// and that they go to one shard.
func checkMoves(t *testing.T, before, after *Lock, moves []Move, to string) {
	t.Helper()
	owners := slices.Clone(before.Owners)
	for _, m := range moves {
		if m.To != to || m.From == to || owners[m.Partition] != m.From {
			t.Fatalf("move %+v", m)
		}
		owners[m.Partition] = m.To
	}
	if !slices.Equal(owners, after.Owners) {
		t.Error("the moves do not lead to the new lock")
	}
}

func TestAssignRaisedWeight(t *testing.T) {
	before := plan(t, fileOf(t, shardsText(4096, "s1", "s2", "s3")))
	f := fileOf(t, shardsText(4096, "s1", "s2", "s3:3"))
	after, moves, err := Assign(f, before)
	if err != nil {
		t.Fatal(err)
	}
	if planned := plan(t, f).count("s3"); after.count("s3") < planned*95/100 || after.count("s3") > planned {
		t.Errorf("s3 owns %d after %d moves, planned %d", after.count("s3"), len(moves), planned)
	}
	checkMoves(t, before, after, moves, "s3")
	if again, _, err := Assign(f, after); err != nil || again != after {
		t.Errorf("a second call changes the lock: %v", err)
	}
}

// TestAssignBoth raises one shard's weight and adds another: the new one gets
// all that is planned for it, the raised one about that, and it ends there.
func TestAssignBoth(t *testing.T) {
	before := plan(t, fileOf(t, shardsText(4096, "s1", "s2")))
	f := fileOf(t, shardsText(4096, "s1", "s2:3", "s3:2"))
	after, moves, err := Assign(f, before)
	if err != nil {
		t.Fatal(err)
	}
	planned := plan(t, f)
	if after.count("s3") != planned.count("s3") {
		t.Errorf("s3 owns %d, planned %d", after.count("s3"), planned.count("s3"))
	}
	if n, want := after.count("s2"), planned.count("s2"); n < want*95/100 || n > want {
		t.Errorf("s2 owns %d, planned %d", n, want)
	}
	for _, m := range moves {
		if m.To == "s1" {
			t.Fatalf("move %+v onto a shard that lacks nothing", m)
		}
	}
	if again, more, err := Assign(f, after); err != nil || again != after {
		t.Errorf("a second call proposes %d moves, %v", len(more), err)
	}
}

func TestAssignNothing(t *testing.T) {
	f := fileOf(t, shardsText(256, "s1", "s2"))
	l := plan(t, f)
	same, moves, err := Assign(f, l)
	if err != nil || same != l || moves != nil {
		t.Errorf("%v, %d moves, %v", same == l, len(moves), err)
	}
	if _, _, err := Assign(fileOf(t, shardsText(256, "s1", "s3")), l); err == nil || !strings.Contains(err.Error(), "s2 is not here, and owns") {
		t.Errorf("a shard that owns partitions was removed: %v", err)
	}
}

// TestAddingShardsKeepsTenants checks that a tenant changes its shard only if
// the new one takes it, and a pinned one never.
func TestAddingShardsKeepsTenants(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 3))
	const pins = "pins: {\"7\": s2, \"8\": s1}\n"
	f := fileOf(t, shardsText(1024, "s1", "s2")+pins)
	before, err := New(f, plan(t, f))
	if err != nil {
		t.Fatal(err)
	}
	wider := fileOf(t, shardsText(1024, "s1", "s2", "s3")+pins)
	still, err := New(wider, before.Lock())
	if err != nil {
		t.Fatal(err)
	}
	lock, _, err := Assign(wider, before.Lock())
	if err != nil {
		t.Fatal(err)
	}
	after, err := New(wider, lock)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for i := range 3000 {
		k := BigintKey(int64(i))
		if i >= 1000 {
			k = someKey(r, Bigint)
		}
		was, is := before.Locate(k), after.Locate(k)
		if still.Locate(k) != was {
			t.Fatalf("%s moved before its partition did", k)
		}
		if _, pinned := after.Pin(k); was != is && (is != 2 || pinned) {
			t.Fatalf("%s moved from %d to %d", k, was, is)
		}
		if was != is {
			moved++
		}
	}
	if moved < 800 || moved > 1200 {
		t.Errorf("%d of 3000 tenants moved", moved)
	}
}

func TestRingErrors(t *testing.T) {
	if _, err := ringOwners([]Shard{{Name: "a", Weight: 600}, {Name: "b", Weight: 599}}, 4096); err == nil {
		t.Error("a ring of 1199 names was planned")
	}
	if _, err := ringOwners([]Shard{{Name: "a"}}, 4096); err == nil || !strings.Contains(err.Error(), "cannot place 4096 partitions on 1 shards") {
		t.Errorf("a panic became %v", err)
	}
}
