package shardmap

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const exampleLock = `# shardmap.lock: written by pgdrover, not by hand
database: app
epoch: 7
partitions: 4096
tenant: bigint
owners: {s1: "0-1365", s2: "1366-4095"}
`

func TestLockFormat(t *testing.T) {
	l, err := ParseLock("shardmap.lock", []byte(exampleLock))
	if err != nil {
		t.Fatal(err)
	}
	if l.Database != "app" || l.Epoch != 7 || l.Tenant != Bigint || len(l.Owners) != 4096 || l.Owners[1365] != "s1" || l.Owners[1366] != "s2" {
		t.Errorf("got %q %d %s %d", l.Database, l.Epoch, l.Tenant, len(l.Owners))
	}
	if got := string(l.Encode()); got != exampleLock {
		t.Errorf("written back as\n%s", got)
	}
	next := l.Next()
	if next.Epoch != 8 || l.Epoch != 7 || !slices.Equal(next.Owners, l.Owners) || &next.Owners[0] == &l.Owners[0] {
		t.Errorf("Next gave epoch %d", next.Epoch)
	}
}

// TestLockRoundTrip writes and reads locks of every shape.
func TestLockRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	names := []string{"s1", "null", "1e3", "a.b-c_d", "Z", "0", "true"}
	for i := range 200 {
		l := &Lock{
			Database: []string{"app", "My \"DB\" é", "null", "12", "${HOME}", "a: b"}[i%6], Epoch: r.Uint64() | 1,
			Tenant: Type(1 + i%3), Owners: make([]string, 16<<r.IntN(10)),
		}
		owner, run := "", 1+r.IntN(40)
		for p := range l.Owners {
			if p == 0 || r.IntN(run) == 0 {
				owner = names[r.IntN(len(names))]
			}
			l.Owners[p] = owner
		}
		text := l.Encode()
		back, err := ParseLock("x.lock", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if back.Database != l.Database || back.Epoch != l.Epoch || back.Tenant != l.Tenant || !slices.Equal(back.Owners, l.Owners) {
			t.Fatalf("read back as %q %d %s from\n%s", back.Database, back.Epoch, back.Tenant, text)
		}
		if !bytes.Equal(back.Encode(), text) {
			t.Fatalf("the same lock has two texts:\n%s\n%s", text, back.Encode())
		}
	}
}

// TestLockLines checks that a partition that moves leaves most lines alone, so
// that the lock's history can be read.
func TestLockLines(t *testing.T) {
	f := fileOf(t, "database: app\ntenant: {column: t, type: bigint}\nshards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\n")
	l, err := Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	moved := l.Next()
	moved.Owners[2000] = map[string]string{"s1": "s2", "s2": "s1"}[moved.Owners[2000]]
	before, after := strings.Split(string(l.Encode()), "\n"), strings.Split(string(moved.Encode()), "\n")
	changed := 0
	for _, line := range after {
		if !slices.Contains(before, line) {
			changed++
		}
	}
	if changed < 3 || changed > 5 || len(after) < 30 {
		t.Errorf("%d of %d lines changed", changed, len(after))
	}
}

func TestLockMistakes(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"unknown key", "epoch:", "epch:", `3:1: unknown key "epch": did you mean "epoch"?`},
		{"epoch", "epoch: 7", "epoch: 0", "3:8: epoch: epochs count from 1"},
		{"negative epoch", "epoch: 7", "epoch: -1", "3:8: epoch: expected a whole number that is not negative"},
		{"type", "bigint", "int", `5:9: tenant: unknown type "int"`},
		{"partitions", "partitions: 4096", "partitions: 4095", "4:13: partitions: 4095 is no power of two"},
		{"beyond", "1366-4095", "1366-4096", `6:28: owners.s2: "1366-4096" is beyond the last partition, 4095`},
		{"unowned", "1366-4095", "1367-4095", "4:1: partition 1366 has no owner"},
		{"owned twice", "1366-4095", "1365-4095", "6:28: owners.s2: partition 1365 is owned by s1 too"},
		{"the same twice", "0-1365", "0-1365,7", "6:14: owners.s1: partition 7 is owned by s1 too"},
		{"backwards", "0-1365", "1365-0", `6:14: owners.s1: "1365-0" is no partition and no range of them`},
		{"empty", `"0-1365"`, `""`, `6:14: owners.s1: "" is no partition and no range of them`},
		{"words", "0-1365", "all", `6:14: owners.s1: "all" is no partition and no range of them`},
		{"three", "0-1365", "0-1-1365", `6:14: owners.s1: "0-1-1365" is no partition and no range of them`},
		{"many", `"0-1365"`, `"0-4095,0-4095"`, `6:14: owners.s1: "0-4095" names a partition a second time`},
		{"shard name", "s1:", "'s 1':", `6:10: owners: "s 1" is no name for a shard`},
		{"no owners", `{s1: "0-1365", s2: "1366-4095"}`, "", "2:1: owners is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(exampleLock, tc.old, tc.new, 1)
			_, err := ParseLock("x.lock", []byte(text))
			if err == nil || !strings.Contains("\n"+err.Error(), "\nx.lock:"+tc.want) {
				t.Errorf("got %v, want x.lock:%s", err, tc.want)
			}
		})
	}
}

func TestLockFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shardmap.lock")
	if _, err := ReadLock(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	l, err := ParseLock("x", []byte(exampleLock))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(path, l); err != nil {
		t.Fatal(err)
	}
	back, err := ReadLock(path)
	if err != nil || back.Epoch != 7 || back.Name != path {
		t.Fatalf("read %+v, %v", back, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.lock")
	if err := os.Symlink("shardmap.lock", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(link, l.Next()); err != nil {
		t.Fatal(err)
	}
	if back, err = ReadLock(path); err != nil || back.Epoch != 8 {
		t.Fatalf("through a link: %+v, %v", back, err)
	}
	if stat, err := os.Lstat(link); err != nil || stat.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", stat, err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("the mode was not kept: %v %v", stat, err)
	}
	if err := WriteLock(filepath.Join(dir, "none", "x.lock"), l); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(filepath.Join(dir, "taken"), l); err == nil {
		t.Error("a directory was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || fmt.Sprint(entries) != "[L link.lock - shardmap.lock d taken/]" {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
