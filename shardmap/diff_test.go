package shardmap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// changes lists a Diff as people see it, with From and To where tenants or
// partitions are concerned.
func changes(before, after *Map) []string {
	var list []string
	for _, c := range Diff(before, after) {
		line := c.Text
		if c.Kind >= OwnersMoved && c.Kind <= PinMoved {
			line += fmt.Sprintf(" [%s %s→%s %d]", c.Key, c.From, c.To, len(c.Partitions))
		}
		list = append(list, line)
	}
	return list
}

const diffHead = "database: app\ntenant: {column: tenant_id, type: bigint}\npartitions: 16\n"

// lockOf gives the partitions of a map of 16 to shards: 0-7 and 8-15.
func lockOf(first, second string) *Lock {
	return &Lock{Database: "app", Epoch: 3, Tenant: Bigint, Owners: append(slices.Repeat([]string{first}, 8), slices.Repeat([]string{second}, 8)...)}
}

func mapFrom(t *testing.T, text string, l *Lock) *Map {
	t.Helper()
	m, err := New(fileOf(t, text), l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDiff(t *testing.T) {
	before := mapFrom(t, diffHead+`shards:
  - {name: s1, primary: {host: a}, replicas: [{host: b}, {host: c, weight: 2}]}
  - {name: s2, primary: {host: d}}
  - {name: s3, primary: {host: e}}
tables: {t1: reference, t2: {on: s1}, t3: {column: x}, t4: {on: s2}, t5: reference}
pins: {"1": s2, "2": s2, "3": s1, "4": s1}
`, lockOf("s1", "s2"))
	after := mapFrom(t, diffHead+`shards:
  - {name: s2, primary: {host: d}, weight: 4}
  - {name: s1, primary: {host: b}, replicas: [{host: a}, {host: c, weight: 3}, {host: f, backup: true}]}
  - {name: s4, primary: {host: g}}
tables: {t1: {on: s2}, t2: {on: s1}, t3: {column: y}, t4: {on: s1}, t6: sharded}
pins: {"2": s1, "3": s1, "4": s1, "5": s4}
`, lockOf("s1", "s2"))
	one, five := BigintKey(1), BigintKey(5)
	owner := func(k Key) string { return before.Shard(before.Owner(before.Partition(k))).Name }
	want := []string{
		"shard s3 removed",
		"shard s2: weight 1 becomes 4: no partition moves by itself",
		"shard s1: b:5432 is now the primary",
		"shard s1: a:5432 is now the replica",
		"shard s1: replica c:5432: weight 2 becomes weight 3",
		"shard s1: replica f:5432 added",
		"shard s4 added: it owns no partition yet",
		fmt.Sprintf(`tenant "1" is no longer pinned to s2: its partition %d is on %s [1 s2→%s 0]`, before.Partition(one), owner(one), owner(one)),
		`tenant "2" is pinned to s1 instead of s2 [2 s2→s1 0]`,
		fmt.Sprintf(`tenant "5" is pinned to s4: its partition %d was on %s [5 %s→s4 0]`, before.Partition(five), owner(five), owner(five)),
		"table t1: a reference table becomes unsharded on s2",
		"table t3: sharded by x becomes sharded by y",
		"table t4: unsharded on s2 becomes unsharded on s1",
		"table t6: not named (sharded if it has the column tenant_id) becomes sharded by tenant_id",
		"table t5: a reference table becomes not named (sharded if it has the column tenant_id)",
	}
	if got := changes(before, after); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := changes(before, before); len(got) != 0 {
		t.Errorf("a map differs from itself: %q", got)
	}
}

func TestDiffTables(t *testing.T) {
	const shards = "shards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\n"
	before := mapFrom(t, diffHead+shards+"tables: {a: {on: s1}}\n", lockOf("s1", "s2"))
	after := mapFrom(t, diffHead+shards+"tables: {x.b: reference}\n", lockOf("s1", "s2"))
	got := Diff(before, after)
	if len(got) != 2 || got[0].Kind != TableChanged || got[0].After != (Table{"x", "b", Reference, -1, ""}) || got[0].Before.Kind != 0 ||
		got[1].Before != (Table{"", "a", Unsharded, 0, ""}) || got[1].After.Kind != 0 || got[1].From != "s1" || got[1].To != "" {
		t.Errorf("got %+v", got)
	}
}

func TestDiffOwners(t *testing.T) {
	const shards = "shards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\n"
	before := mapFrom(t, diffHead+shards, lockOf("s1", "s2"))
	lock := lockOf("s1", "s2")
	lock.Owners[0], lock.Owners[9], lock.Owners[10] = "s2", "s1", "s1"
	after := mapFrom(t, diffHead+shards, lock)
	got := Diff(before, after)
	if len(got) != 2 || !slices.Equal(got[0].Partitions, []int{0}) || !slices.Equal(got[1].Partitions, []int{9, 10}) ||
		got[1].Text != "2 partitions move from s2 to s1" {
		t.Errorf("got %+v", got)
	}
}

func TestDiffWhole(t *testing.T) {
	before := mapOf(t, diffHead+"shards: [{name: s1, primary: {host: a}}]\n")
	after := mapOf(t, "database: shop\ntenant: {column: org, type: uuid}\nshards: [{name: s1, primary: {host: a, dbname: app}}]\n")
	want := []string{"database: app becomes shop", "tenant: tenant_id bigint becomes org uuid", "partitions: 16 becomes 4096"}
	if got := changes(before, after); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTransition(t *testing.T) {
	const shards = "shards:\n  - {name: s1, primary: {host: a}}\n  - {name: s2, primary: {host: b}}\n"
	lock, err := ParseLock("x.lock", []byte("database: app\nepoch: 3\npartitions: 16\ntenant: bigint\nowners: {s1: \"0-7\", s2: \"8-15\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	old := mapFrom(t, diffHead+shards+"  - {name: s3, primary: {host: c}}\n", lock)
	for _, text := range []string{
		diffHead + shards,
		diffHead + shards + "  - {name: s4, weight: 9, primary: {host: z}}\ntables: {a: reference}\npins: {\"1\": s4}\n",
	} {
		if err := Transition(old, fileOf(t, text)); err != nil {
			t.Errorf("%v for\n%s", err, text)
		}
	}
	for _, tc := range []struct{ old, new, want string }{
		{"name: s2", "name: s22", "shardmap.yaml:4:1: shards: s2 is not here, and owns 8 partitions by x.lock:5:21: put it back under this name, or move its partitions first"},
		{"partitions: 16", "partitions: 32", "shardmap.yaml:3:13: partitions: 32 here, 16 in x.lock:3:13: the number is fixed for the life of the data"},
		{"type: bigint", "type: text", "shardmap.yaml:2:35: tenant.type: text here, bigint in x.lock:4:9: the type is fixed for the life of the data"},
		{"column: tenant_id", "column: org", "shardmap.yaml:2:18: tenant.column: org here, tenant_id in the map in force: the column is fixed for the life of the data"},
		{"database: app", "database: shop", "shardmap.yaml:1:11: database: shop here, app in x.lock:1:11: a lock belongs to one database"},
	} {
		f := fileOf(t, strings.Replace(diffHead+shards, tc.old, tc.new, 1))
		if err := Transition(old, f); err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", tc.new, err, tc.want)
		}
		if _, err := New(f, lock); (err == nil) != strings.HasPrefix(tc.old, "column") {
			t.Errorf("%s: New says %v", tc.new, err)
		}
	}
}

func TestNewNamesGeneratedLocks(t *testing.T) {
	f := fileOf(t, diffHead+"shards: [{name: s1, primary: {host: a}}]\n")
	l := lockOf("s1", "s9")
	l.Database = "shop"
	_, err := New(f, l)
	want := "shardmap.yaml:1:11: database: app here, shop in the lock: a lock belongs to one database\n" +
		"shardmap.yaml:4:1: shards: s9 is not here, and owns 8 partitions by the lock: put it back under this name, or move its partitions first"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
