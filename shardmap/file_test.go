package shardmap

import (
	"slices"
	"strings"
	"testing"
)

func TestParseMistakes(t *testing.T) {
	const head = "database: app\ntenant: {column: tenant_id, type: bigint}\n"
	const one = "shards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\n"
	shard := func(text string) string { return head + "shards: [{name: s1, primary: {host: a}}, " + text + "]\n" }
	node := func(text string) string { return shard("{name: s2, primary: {" + text + "}}") }
	cases := []struct{ name, text, want string }{
		{"nothing", "", "1:1: database is missing\n1:1: tenant is missing\n1:1: shards is missing"},
		{"no type", "database: app\ntenant: {column: t}\n" + one, "2:9: tenant: type is missing"},
		{"unknown key", head + "partition: 5\n" + one, `3:1: unknown key "partition": did you mean "partitions"?`},
		{"unknown type", "database: app\ntenant: {column: t, type: bigit}\n" + one, `2:27: tenant.type: unknown type "bigit": did you mean "bigint"?`},
		{"integer", "database: app\ntenant: {column: t, type: integer}\n" + one, `2:27: tenant.type: unknown type "integer": the column must be of type bigint, and the word for it is "bigint"`},
		{"varchar", "database: app\ntenant: {column: t, type: varchar}\n" + one, `2:27: tenant.type: unknown type "varchar": the word for it is "text"`},
		{"json", "database: app\ntenant: {column: t, type: jsonb}\n" + one, `2:27: tenant.type: unknown type "jsonb": write bigint, text or uuid`},
		{"column", "database: app\ntenant: {column: a b, type: uuid}\n" + one, `2:18: tenant.column: "a b" is no name of SQL: put it in double quotes (inside single ones for YAML)`},
		{"dotted column", "database: app\ntenant: {column: a.b, type: uuid}\n" + one, `2:18: tenant.column: "a.b" has a dot: write a plain name, in double quotes if the dot is part of it`},
		{"database", "database: ''\ntenant: {column: t, type: uuid}\n" + one, `1:11: database: the name is empty`},
		{"partitions", head + "partitions: 1000\n" + one, "3:13: partitions: 1000 is no power of two from 16 to 65536: 4096 suits most, and it cannot be changed later"},
		{"few partitions", head + "partitions: 8\n" + one, "3:13: partitions: 8 is no power of two from 16 to 65536: 4096 suits most, and it cannot be changed later"},
		{"many partitions", head + "partitions: 131072\n" + one, "3:13: partitions: 131072 is no power of two from 16 to 65536: 4096 suits most, and it cannot be changed later"},
		{"text partitions", head + "partitions: many\n" + one, `3:13: partitions: expected a whole number, found "many"`},
		{"no shards", head + "shards: []\n", "3:9: shards: there must be at least one"},
		{"empty shard", head + "shards: [~]\n", "3:10: shards[0]: an empty element: fill it or remove it"},
		{"more shards than partitions", head + "partitions: 16\nshards:\n" + strings.Repeat("  - {name: s, primary: {host: a}}\n", 17), "5:3: shards: 17 are more than the 16 partitions"},
		{"no name", head + "shards: [{primary: {host: a}}]\n", "3:10: shards[0]: name is missing"},
		{"no primary", head + "shards: [{name: s1}]\n", "3:10: shards[0]: primary is missing"},
		{"no host", shard("{name: s2, primary: {port: 1}}"), "3:62: shards[1].primary: host is missing"},
		{"shard name", shard("{name: s/2, primary: {host: b}}"), `3:49: shards: "s/2" is no name for a shard: letters, digits, - _ and ., at most 63, the first a letter or digit`},
		{"same shard name", shard("{name: s1, primary: {host: b}}"), `3:49: shards: the name s1 was already given on line 3: every shard needs its own`},
		{"weight", shard("{name: s2, weight: 0, primary: {host: b}}"), `3:61: s2: a weight is from 1 to 100, not 0`},
		{"node weight", node("host: b, weight: 101"), `3:80: s2.primary: a weight is from 1 to 100, not 101`},
		{"weights too fine", head + "shards:\n" + strings.Repeat("  - {name: NAME, weight: 99, primary: {host: NAME}}\n", 5) + "  - {name: NAME, weight: 100, primary: {host: NAME}}\n", "4:3: shards: the weights add up to more than 512: use smaller numbers in the same proportion"},
		{"backup primary", node("host: b, backup: true"), `3:80: s2.primary: only a replica can be a backup: remove it`},
		{"port", node("host: b, port: 65536"), `3:78: s2.primary: a port is from 1 to 65535, not 65536`},
		{"port 0", node("host: b, port: 0"), `3:78: s2.primary: a port is from 1 to 65535, not 0`},
		{"text port", node("host: b, port: http"), `3:78: shards[1].primary.port: expected a whole number, found "http"`},
		{"port in host", node("host: 'b:5432'"), `3:69: s2.primary: the port does not belong to the host: write host: b, port: 5432`},
		{"address", node("host: 10.0.0.256"), `3:69: s2.primary: "10.0.0.256" is no IP address: it takes four numbers from 0 to 255`},
		{"brackets", node("host: '[::1]'"), `3:69: s2.primary: "[::1]" is no host: write an IPv6 address without brackets`},
		{"host", node("host: a b"), `3:69: s2.primary: "a b" is no host: write a name, an IP address or the directory of a socket`},
		{"empty host", node("host: ''"), `3:69: s2.primary: "" is no IP address: it takes four numbers from 0 to 255`},
		{"node key", node("host: b, prot: 1"), `3:72: shards[1].primary: unknown key "prot": did you mean "port"?`},
		{"same node", node("host: A"), `3:69: s2.primary: database app on a:5432 was already named on line 3: every node needs its own address`},
		{"same node as replica", shard("{name: s2, primary: {host: b}, replicas: [{host: b, port: 5432}]}"), `3:91: s2.replicas: database app on b:5432 was already named on line 3: every node needs its own address`},
		{"table word", head + one + "tables: {c: refrence}\n", `4:13: tables.c: unknown kind "refrence": did you mean "reference"?`},
		{"table nonsense", head + one + "tables: {c: 5}\n", `4:13: tables.c: unknown kind "5": write reference, sharded, {on: SHARD} or {column: COLUMN}`},
		{"unsharded", head + one + "tables: {c: unsharded}\n", `4:13: tables.c: an unsharded table lives on one shard: write {on: SHARD}`},
		{"table list", head + one + "tables: {c: [s1]}\n", `4:13: tables.c: expected text, found a list`},
		{"table null", head + one + "tables: {c: }\n", `4:10: tables.c: nothing is said of the table: write reference, sharded, {on: SHARD} or {column: COLUMN}`},
		{"table key", head + one + "tables: {c: {onn: s1}}\n", `4:14: tables.c: unknown key "onn": did you mean "on"?`},
		{"table both", head + one + "tables: {c: {on: s1, column: x}}\n", `4:13: tables.c: write {on: SHARD} for an unsharded table, or {column: COLUMN} for one sharded by a column of another name`},
		{"table shard", head + one + "tables: {c: {on: s3}}\n", `4:18: tables.c: no shard is named "s3": did you mean "s1"?`},
		{"table column", head + one + "tables: {c: {column: 'a b'}}\n", `4:22: tables.c: "a b" is no name of SQL: put it in double quotes (inside single ones for YAML)`},
		{"table name", head + one + "tables: {a.b.c: reference}\n", `4:10: tables: "a.b.c" has too many parts: write table or schema.table`},
		{"table quote", head + one + "tables: {'\"a': reference}\n", `4:10: tables: "\"a": a double quote is not closed`},
		{"long table name", head + one + "tables: {" + strings.Repeat("a", 64) + ": reference}\n", `4:10: tables: "` + strings.Repeat("a", 64) + `": the name is longer than 63 bytes, and PostgreSQL would cut it`},
		{"same table", head + one + "tables:\n  a: reference\n  A: sharded\n", `6:3: tables.a: the table was already named on line 5: keep one of them`},
		{"pin shard", head + one + "pins: {\"1\": zzz}\n", `4:13: pins.1: no shard is named "zzz": the shards are s1, s2`},
		{"pin key", head + one + "pins: {abc: s1}\n", `4:8: pins: invalid input syntax for type bigint: "abc": write a tenant's value`},
		{"pin range", head + one + "pins: {9223372036854775808: s1}\n", `4:8: pins: value "9223372036854775808" is out of range for type bigint: write a tenant's value`},
		{"same pin", head + one + "pins: {\"1\": s1, \"+1\": s2}\n", `4:17: pins: tenant "1" was already pinned on line 4: keep one of them`},
		{"empty pin", head + one + "pins: {\"1\": }\n", `4:8: pins: tenant "1" is pinned to no shard: name one, or remove the pin`},
		{"pin list", head + one + "pins: [42]\n", `4:7: pins: expected a mapping, found a list`},
		{"variable", head + "shards: [{name: s1, primary: {host: '${PRIMARY}'}}]\n", `3:37: shards[0].primary.host: variable PRIMARY is not set: set it, or write ${PRIMARY:-default}`},
		{"several", head + "partitions: 5\nshards: [{name: 'a b', primary: {host: x, port: 0}}]\npins: {x: s1}\n",
			"3:13: partitions: 5 is no power of two from 16 to 65536: 4096 suits most, and it cannot be changed later\n" +
				"4:17: shards: \"a b\" is no name for a shard: letters, digits, - _ and ., at most 63, the first a letter or digit\n" +
				"4:49: a b.primary: a port is from 1 to 65535, not 0\n5:8: pins: invalid input syntax for type bigint: \"x\": write a tenant's value"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			for i := 'a'; strings.Contains(tc.text, "NAME"); i++ {
				tc.text = strings.Replace(tc.text, "NAME", string(i), 2)
			}
			_, err := ParseWith("m.yaml", []byte(tc.text), nil)
			if err == nil {
				t.Fatal("no error")
			}
			for want := range strings.SplitSeq(tc.want, "\n") {
				if !slices.Contains(strings.Split(err.Error(), "\n"), "m.yaml:"+want) {
					t.Errorf("got\n%v\nwant\nm.yaml:%s", err, want)
				}
			}
		})
	}
}

func TestParseForms(t *testing.T) {
	f, err := ParseWith("m.yaml", []byte(`
database: My-DB
tenant: {column: '"Tenant"', type: text}
shards:
  - name: s1
    primary: {host: "${HOST}", port: "${PORT:-6000}"}
    replicas:
  - name: 2nd.shard_x-1
    primary: {host: /run/postgresql/, dbname: other}
    replicas: [{host: FE80::1}, {host: my_host.local}]
pins: {007: s1, "": s1, yes: 2nd.shard_x-1}
`), func(name string) (string, bool) { return "db.example.com", name == "HOST" })
	if err != nil {
		t.Fatal(err)
	}
	if f.Database != "My-DB" || f.TenantColumn != "Tenant" || f.TenantType != Text || f.Partitions != 4096 {
		t.Errorf("got %+v", f)
	}
	var addrs []string
	for _, s := range f.Shards {
		for _, m := range s.members() {
			addrs = append(addrs, m.Addr()+"/"+m.DBName)
		}
	}
	want := []string{"db.example.com:6000/My-DB", "/run/postgresql/.s.PGSQL.5432/other", "[fe80::1]:5432/My-DB", "my_host.local:5432/My-DB"}
	if !slices.Equal(addrs, want) {
		t.Errorf("nodes %q, want %q", addrs, want)
	}
	if !slices.Equal(f.Pins, []Pin{{TextKey("007"), 0}, {TextKey(""), 0}, {TextKey("yes"), 1}}) {
		t.Errorf("pins %v", f.Pins)
	}
	if f.ShardPosition("none").String() != "m.yaml:4:1" || f.PinPosition(TextKey("none")).String() != "m.yaml" ||
		f.TablePosition(Table{}).String() != "m.yaml" || f.TenantPosition().String() != "m.yaml:3:18" {
		t.Error("positions of what the file does not have")
	}
}

func TestQuoteName(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "Orders": `"Orders"`, `a"b`: `"a""b"`, "1a": `"1a"`, "été": "été", "a.b": `"a.b"`, "": `""`, "a$1": "a$1",
	} {
		if got := quoteName(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		if name == "" {
			continue
		}
		if back, err := parseName(quoteName(name)); err != nil || back != name {
			t.Errorf("%q is read back as %q, %v", name, back, err)
		}
	}
}
