package shardmap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// fileOf parses a map file that must be right.
func fileOf(t testing.TB, text string) *File {
	t.Helper()
	f, err := ParseWith("shardmap.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// mapOf makes a map of a file with the placement that the planner proposes.
func mapOf(t testing.TB, text string) *Map {
	t.Helper()
	f := fileOf(t, text)
	l, err := Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(f, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const exampleFile = `database: app
tenant: {column: tenant_id, type: bigint}
partitions: 4096
shards:
  - name: s1
    primary:  {host: 10.0.0.11}
    replicas: [{host: 10.0.0.12, weight: 2}, {host: 10.0.0.13, backup: true}]
  - name: s2
    weight: 2
    primary:  {host: 10.0.0.21, port: 6000, dbname: other}
tables:
  countries: reference
  migrations: {on: s1}
  audit.log: {on: s2}
  audit.countries: {column: Owner_ID}
  "\"Mixed\".\"a.b\"": sharded
pins: {"42": s2, " +43 ": s1}
`

func TestMap(t *testing.T) {
	m := mapOf(t, exampleFile)
	if m.Database() != "app" || m.Epoch() != 1 || m.TenantColumn() != "tenant_id" || m.TenantType() != Bigint || m.Partitions() != 4096 {
		t.Errorf("got %q %d %q %s %d", m.Database(), m.Epoch(), m.TenantColumn(), m.TenantType(), m.Partitions())
	}
	s1 := Shard{"s1", 1, Node{"10.0.0.11", 5432, "app", 1, false}, []Node{{"10.0.0.12", 5432, "app", 2, false}, {"10.0.0.13", 5432, "app", 1, true}}, 0}
	s2 := Shard{"s2", 2, Node{"10.0.0.21", 6000, "other", 1, false}, nil, 0}
	shards := m.Shards()
	s1.Owned, s2.Owned = shards[0].Owned, shards[1].Owned
	if got, want := fmt.Sprint(shards), fmt.Sprint([]Shard{s1, s2}); got != want {
		t.Errorf("shards\n%s, want\n%s", got, want)
	}
	if s1.Owned+s2.Owned != 4096 || m.ShardCount() != 2 || m.Shard(1).Name != "s2" {
		t.Errorf("owned %d + %d of %d shards", s1.Owned, s2.Owned, m.ShardCount())
	}
	if i, ok := m.ShardByName("s2"); i != 1 || !ok {
		t.Errorf("s2 is %d, %v", i, ok)
	}
	if _, ok := m.ShardByName("s3"); ok {
		t.Error("there is an s3")
	}
	if pins := m.Pins(); !slices.Equal(pins, []Pin{{BigintKey(42), 1}, {BigintKey(43), 0}}) {
		t.Errorf("pins %v", pins)
	}
	if at := m.File().PinPosition(BigintKey(43)).String(); at != "shardmap.yaml:17:18" {
		t.Errorf("pin of 43 at %s", at)
	}
	if at := m.File().ShardPosition("s2").String(); at != "shardmap.yaml:8:11" {
		t.Errorf("s2 at %s", at)
	}
}

func TestTables(t *testing.T) {
	m := mapOf(t, exampleFile)
	for _, tc := range []struct {
		schema, name string
		want         string
	}{
		{"public", "countries", "countries reference -1 "}, {"", "countries", "countries reference -1 "},
		{"audit", "countries", "audit.countries sharded -1 owner_id"}, {"x", "migrations", "migrations unsharded 0 "},
		{"audit", "log", "audit.log unsharded 1 "}, {"public", "log", ""}, {"", "log", ""}, {"public", "orders", ""},
		{"Mixed", "a.b", `"Mixed"."a.b" sharded -1 tenant_id`}, {"mixed", "a.b", ""}, {"public", "Countries", ""},
	} {
		got := ""
		if table, ok := m.Table(tc.schema, tc.name); ok {
			got = fmt.Sprint(table, " ", table.Kind, " ", table.On, " ", table.Column)
		}
		if got != tc.want {
			t.Errorf("%s.%s: %q, want %q", tc.schema, tc.name, got, tc.want)
		}
	}
	if n := len(m.Tables()); n != 5 {
		t.Errorf("%d tables", n)
	}
	if at := m.File().TablePosition(m.Tables()[2]).String(); at != "shardmap.yaml:14:3" {
		t.Errorf("audit.log at %s", at)
	}
}

func TestAddr(t *testing.T) {
	for want, n := range map[string]Node{
		"db:5432": {Host: "db", Port: 5432}, "[::1]:1": {Host: "::1", Port: 1}, "10.0.0.1:9": {Host: "10.0.0.1", Port: 9},
		"/run/postgresql/.s.PGSQL.5432": {Host: "/run/postgresql", Port: 5432},
	} {
		if got := n.Addr(); got != want || n.IsSocket() != strings.HasPrefix(want, "/") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// someKey returns a random key of a type.
func someKey(r *rand.Rand, typ Type) Key {
	switch typ {
	case Bigint:
		return BigintKey(int64(r.Uint64()) >> r.IntN(64))
	case Text:
		runes := make([]rune, r.IntN(40))
		for i := range runes {
			runes[i] = []rune("abcXYZ019 _-éß日🙂'\\\"\n")[r.IntN(20)]
		}
		return TextKey(string(runes))
	}
	var u [16]byte
	for i := range u {
		u[i] = byte(r.Uint32())
	}
	return UUIDKey(u)
}

// TestLocate checks that every key has one place, that it is the pin's or else
// the owner's of its partition, and that it does not change.
func TestLocate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for typ := Bigint; typ <= UUID; typ++ {
		pinned := map[Key]int{}
		pins := ""
		for len(pinned) < 50 {
			k, shard := someKey(r, typ), r.IntN(3)
			if _, ok := pinned[k]; ok || strings.TrimSpace(k.String()) == "" {
				continue
			}
			pinned[k] = shard
			pins += fmt.Sprintf("  %q: s%d\n", k.String(), shard+1)
		}
		text := fmt.Sprintf("database: app\ntenant: {column: t, type: %s}\npartitions: 1024\nshards:\n", typ)
		for i := range 3 {
			text += fmt.Sprintf("  - {name: s%d, primary: {host: h%d}}\n", i+1, i)
		}
		m, again := mapOf(t, text+"pins:\n"+pins), mapOf(t, text+"pins:\n"+pins)
		keys := slices.Collect(func(yield func(Key) bool) {
			for k := range pinned {
				if !yield(k) {
					return
				}
			}
			for range 2000 {
				if !yield(someKey(r, typ)) {
					return
				}
			}
		})
		for _, k := range keys {
			p := m.Partition(k)
			if p < 0 || p >= 1024 || uint64(p) != k.Hash()%1024 {
				t.Fatalf("%s %q: partition %d", typ, k, p)
			}
			want, ok := pinned[k]
			if shard, found := m.Pin(k); found != ok || shard != want {
				t.Fatalf("%s %q: pinned to %d %v, want %d %v", typ, k, shard, found, want, ok)
			}
			if !ok {
				want = m.Owner(p)
			}
			if got := m.Locate(k); got != want || again.Locate(k.Clone()) != want {
				t.Fatalf("%s %q: on %d, want %d", typ, k, got, want)
			}
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	const head = "database: app\ntenant: {column: t, type: bigint}\nshards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\n"
	pins := "pins:\n"
	for i := range 1000 {
		pins += fmt.Sprintf("  \"%d\": s2\n", i)
	}
	for name, text := range map[string]string{"plain": head, "pins": head + pins} {
		m := mapOf(b, text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var k int64
			for b.Loop() {
				k++
				m.Locate(BigintKey(k))
			}
		})
	}
}
