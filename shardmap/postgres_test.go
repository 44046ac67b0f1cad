package shardmap_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestAgainstPostgreSQL compares hashes, partitions and parsing with a real
// server.
func TestAgainstPostgreSQL(t *testing.T) {
	cluster := pgcluster.Test(t, pgcluster.Config{})
	conn, err := pgcluster.Connect(t.Context(), cluster.Shards[0].Primary.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := server{t, conn}
	if got := s.query("show server_encoding")[0][0]; got != "UTF8" {
		t.Fatalf("the server's encoding is %s", got)
	}
	major, err := strconv.Atoi(s.query("show server_version_num")[0][0])
	if err != nil {
		t.Fatal(err)
	}
	t.Run("bigint", func(t *testing.T) { server{t, conn}.hashes(shardmap.Bigint, "hashint8extended", bigints()) })
	t.Run("text", func(t *testing.T) { server{t, conn}.hashes(shardmap.Text, "hashtextextended", texts()) })
	t.Run("uuid", func(t *testing.T) { server{t, conn}.hashes(shardmap.UUID, "uuid_hash_extended", uuids()) })
	t.Run("golden", func(t *testing.T) { server{t, conn}.golden() })
	t.Run("smaller integers", func(t *testing.T) { server{t, conn}.smallIntegers() })
	t.Run("input", func(t *testing.T) { server{t, conn}.input(major >= 160000) })
	t.Run("binary", func(t *testing.T) { server{t, conn}.binary() })
	t.Run("schemas", func(t *testing.T) { server{t, conn}.schemas() })
}

// server asks a real PostgreSQL.
type server struct {
	t    *testing.T
	conn *pgcluster.Conn
}

func (s server) query(sql string) [][]string {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// array writes values as a constructor of a text array.
func array(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return "array[" + strings.Join(quoted, ",") + "]::text[]"
}

// hashes compares the hash and the partition of every value.
func (s server) hashes(typ shardmap.Type, function string, values []string) {
	s.t.Helper()
	if len(values) < 10_000 {
		s.t.Fatalf("only %d values", len(values))
	}
	rows := s.query(fmt.Sprintf(`select %[1]s(v::%[2]s, 0), %[1]s(v::%[2]s, 0) & 4095, v::%[2]s::text
		from unnest(%[3]s) with ordinality as u(v, n) order by n`, function, typ, array(values)))
	m := placement(s.t, typ)
	for i, row := range rows {
		k, err := typ.ParseText([]byte(values[i]))
		if err != nil {
			s.t.Fatalf("%q: %v", values[i], err)
		}
		got := []string{strconv.FormatInt(int64(k.Hash()), 10), strconv.Itoa(m.Partition(k)), k.String()}
		if strings.Join(got, " ") != strings.Join(row, " ") {
			s.t.Fatalf("%s %q: hash, partition, text %q, PostgreSQL says %q", typ, values[i], got, row)
		}
	}
	if len(rows) != len(values) {
		s.t.Fatalf("%d rows for %d values", len(rows), len(values))
	}
}

// placement makes a map of 4096 partitions.
func placement(t *testing.T, typ shardmap.Type) *shardmap.Map {
	t.Helper()
	f, err := shardmap.Parse("shardmap.yaml", fmt.Appendf(nil, "database: app\ntenant: {column: t, type: %s}\nshards: [{name: s1, primary: {host: h}}]\n", typ))
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

func bigints() []string {
	r := rand.New(rand.NewPCG(3, 1))
	edges := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxUint32, math.MaxUint32 + 1}
	var values []string
	for _, e := range edges {
		for d := int64(-5); d <= 5; d++ {
			values = append(values, strconv.FormatInt(e+d, 10))
		}
	}
	for v := int64(-2000); v <= 2000; v++ {
		values = append(values, strconv.FormatInt(v, 10))
	}
	for range 10_000 {
		values = append(values, strconv.FormatInt(int64(r.Uint64())>>r.IntN(64), 10))
	}
	return values
}

func texts() []string {
	r := rand.New(rand.NewPCG(3, 2))
	letters := []rune("abcdefXYZ0189 \t\n_-'\"\\$%éßλЖ日本🙂\u0301\u200b\uffff\U0010ffff\x01\x7f")
	values := []string{"", " ", "a", strings.Repeat("x", 100_000), strings.Repeat("日", 5000), "tenant-1", "TENANT-1"}
	for length := range 200 { // every length of the tail, many times over
		values = append(values, strings.Repeat("k", length), strings.Repeat("\u00ff", length))
	}
	for range 11_000 {
		runes := make([]rune, r.IntN(50))
		for i := range runes {
			runes[i] = letters[r.IntN(len(letters))]
		}
		values = append(values, string(runes))
	}
	return values
}

func uuids() []string {
	r := rand.New(rand.NewPCG(3, 3))
	values := []string{strings.Repeat("0", 32), strings.Repeat("f", 32), "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"}
	for range 11_000 {
		values = append(values, fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()))
	}
	return values
}

// golden asks the server for what the golden file says, so that neither can be
// wrong alone.
func (s server) golden() {
	lines := readGolden(s.t, "placement.txt")
	for _, line := range lines {
		p := parsePlacement(s.t, line)
		function := map[string]string{"bigint": "hashint8extended", "text": "hashtextextended", "uuid": "uuid_hash_extended"}[p.typ]
		row := s.query(fmt.Sprintf("select %s(v::%s, 0) from unnest(%s) as u(v)", function, p.typ, array([]string{p.key})))[0]
		if row[0] != strconv.FormatInt(int64(p.hash), 10) {
			s.t.Errorf("%s: PostgreSQL's hash is %s", line, row[0])
		}
	}
	if len(lines) < 100 {
		s.t.Errorf("only %d golden lines", len(lines))
	}
}

// smallIntegers checks that a value hashes alike whatever integer type holds it.
func (s server) smallIntegers() {
	rows := s.query(`select v, hashint2extended(v::int2, 0), hashint4extended(v::int4, 0) from generate_series(-32768, 32767, 7) as g(v)`)
	for _, row := range rows {
		v, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		got := strconv.FormatInt(int64(shardmap.BigintKey(v).Hash()), 10)
		if got != row[1] || got != row[2] {
			s.t.Fatalf("%d: hash %s, as int2 %s, as int4 %s", v, got, row[1], row[2])
		}
	}
}

// input compares what we read with what the type's input function reads.
func (s server) input(has16 bool) {
	s.query(`create function pg_temp.reads(v text, typ text) returns text language plpgsql as $$
		declare r text;
		begin
			execute format('select %L::%s::text', v, typ) into r;
			return r;
		exception when invalid_text_representation or numeric_value_out_of_range then
			return sqlstate;
		end $$`)
	accepted := 0
	for typ, values := range map[shardmap.Type][]string{shardmap.Bigint: spelledNumbers(), shardmap.UUID: spelledUUIDs()} {
		rows := s.query(fmt.Sprintf("select pg_temp.reads(v, '%s') from unnest(%s) with ordinality as u(v, n) order by n", typ, array(values)))
		for i, row := range rows {
			if typ == shardmap.Bigint && !has16 && strings.ContainsAny(values[i], "_xXoObB") {
				continue
			}
			k, err := typ.ParseText([]byte(values[i]))
			got := k.String()
			if bad := (*shardmap.KeyError)(nil); errors.As(err, &bad) {
				got = bad.SQLState()
			} else {
				accepted++
			}
			if got != row[0] {
				s.t.Errorf("%s %q: %s, PostgreSQL says %s", typ, values[i], got, row[0])
			}
		}
	}
	if accepted < 500 {
		s.t.Errorf("only %d values were accepted: the generators miss the point", accepted)
	}
}

// spelledNumbers writes numbers in many ways, right and wrong.
func spelledNumbers() []string {
	r := rand.New(rand.NewPCG(4, 1))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	values := []string{"", " ", "-", "+", "0x", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"}
	for range 4000 {
		text := pick("", "", " ", "\t", "\n ", "\v\f\r", "\u00a0") + pick("", "", "-", "+", "--") + pick("", "", "0", "000", "0x", "0b", "0o", "0X", "_")
		for range r.IntN(4) {
			text += pick("0", "1", "7", "9", "42", "1844674407", "a", "F", "_", ".", " ", "e1")
		}
		values = append(values, text+pick("", "", " ", "\t\n", "x", "_", "\u00a0"))
	}
	return values
}

// spelledUUIDs writes uuids in many ways, right and wrong.
func spelledUUIDs() []string {
	r := rand.New(rand.NewPCG(4, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	var values []string
	for range 4000 {
		text := pick("", "", "", "{", " ", "-")
		for i := range 16 {
			text += pick("0a", "FF", "9c", "b7")
			if i%2 == 1 && i < 15 {
				text += pick("", "-")
			}
		}
		if r.IntN(4) == 0 {
			at := r.IntN(len(text))
			text = text[:at] + pick("", "-", "g", "{", "0") + text[at+1:]
		}
		if strings.HasPrefix(text, "{") {
			text += pick("}", "}", "")
		}
		values = append(values, text+pick("", "", "", "", "}", "-", " ", "0"))
	}
	return values
}

// binary reads what the server's own send functions write.
func (s server) binary() {
	const numbers = `array[0, 1, -1, 42, 9999, 10000, 10001, -100000000, 1234567890123, 9223372036854775807, -9223372036854775808]::numeric[]`
	rows := s.query(`select v::text, 1700, encode(numeric_send(v), 'hex') from unnest(` + numbers + `) as u(v)
		union all select v::text, 1700, encode(numeric_send(v::numeric(30, 5)), 'hex') from unnest(` + numbers + `) as u(v)
		union all select v::text, 20, encode(int8send(v::int8), 'hex') from unnest(` + numbers + `) as u(v)
		union all select v::text, 23, encode(int4send(v::int4), 'hex') from unnest(` + numbers + `) as u(v) where abs(v) < 2147483648
		union all select v::text, 21, encode(int2send(v::int2), 'hex') from unnest(` + numbers + `) as u(v) where abs(v) < 32768
		union all select '22003', 1700, encode(numeric_send(v), 'hex') from unnest('{NaN,Infinity,-Infinity,9223372036854775808,-9223372036854775809,1e30}'::numeric[]) as u(v)
		union all select '22P02', 1700, encode(numeric_send(v), 'hex') from unnest('{0.5,42.0001,-1.1}'::numeric[]) as u(v)`)
	for _, row := range rows {
		raw, err := hex.DecodeString(row[2])
		if err != nil {
			s.t.Fatal(err)
		}
		oid, err := strconv.ParseUint(row[1], 10, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		k, err := shardmap.Bigint.ParseBinary(uint32(oid), raw)
		got := k.String()
		if bad := (*shardmap.KeyError)(nil); errors.As(err, &bad) {
			got = bad.SQLState()
		}
		if got != row[0] {
			s.t.Errorf("oid %d, bytes %s: %s, want %s", oid, row[2], got, row[0])
		}
	}
	if len(rows) < 45 {
		s.t.Errorf("only %d rows", len(rows))
	}
}
