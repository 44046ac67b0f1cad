package router

import (
	"encoding/binary"
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

// splittingOf is the Splitting of a COPY by a map.
func splittingOf(t *testing.T, file, sql string) (*Router, *Splitting) {
	t.Helper()
	r := routerFor(t, file)
	var q Query
	env := Env{}
	r.Analyse(&q, []byte(sql), &env)
	route, err := r.Route(&q, nil, &env)
	if err != nil || route.Kind != ByRow {
		t.Fatalf("%s: %v, %v", sql, route.Kind, err)
	}
	return r, q.Splitting()
}

// TestSplittingShards checks that the shard of a row is that of its tenant, in each format and type of tenants.
func TestSplittingShards(t *testing.T) {
	r, text := splittingOf(t, "shardmap.yaml", "copy orders from stdin")
	_, packed := splittingOf(t, "shardmap.yaml", "copy orders from stdin binary")
	for k := int64(-50); k < 50; k++ {
		want := r.m.Locate(shardmap.BigintKey(k))
		if got, err := text.Shard(shardmap.BigintKey(k).Append(nil)); got != want || err != nil {
			t.Errorf("%d: %d, %v", k, got, err)
		}
		if got, err := packed.Shard(binary.BigEndian.AppendUint64(nil, uint64(k))); got != want || err != nil {
			t.Errorf("%d in binary: %d, %v", k, got, err)
		}
	}
	for _, bad := range []string{"", "x", "1.5", "9223372036854775808", "\xff"} {
		if _, err := text.Shard([]byte(bad)); err == nil {
			t.Errorf("%q is a tenant", bad)
		}
		if _, err := packed.Shard([]byte(bad)); err == nil {
			t.Errorf("%q is a tenant in binary", bad)
		}
	}
}

// TestSplittingEncodings checks that what is not in UTF8 is not taken for it.
func TestSplittingEncodings(t *testing.T) {
	for _, c := range []struct {
		client, option  string
		refused, exotic bool
	}{
		{"UTF8", "", false, true}, {"unicode", "", false, true}, {"SQL_ASCII", "", false, true}, {"LATIN1", "", false, false}, {"EUC_JP", "", false, false},
		{"SJIS", "", true, false}, {"UTF8", "shift_jis_2004", true, false}, {"GB18030", "", true, false}, {"SJIS", "utf-8", false, true}, {"UTF8", "win1252", false, false},
	} {
		s := Splitting{CopyOptions: CopyOptions{Encoding: c.option}, m: routerFor(t, "shardmap-text.yaml").m}
		if err := s.Encoded(c.client); (err != nil) != c.refused {
			t.Errorf("%+v: %v", c, err)
		} else if err != nil {
			continue
		}
		if _, err := s.Shard([]byte("acme")); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := s.Shard([]byte("caf\u00e9")); (err == nil) != c.exotic {
			t.Errorf("%+v: %v", c, err)
		}
	}
	s := Splitting{CopyOptions: CopyOptions{Format: CopyBinary, Encoding: "utf8"}, m: routerFor(t, "shardmap-text.yaml").m, oid: oidText}
	if err := s.Encoded("latin1"); err != nil {
		t.Error(err)
	}
	if _, err := s.Shard([]byte("caf\u00e9")); err == nil {
		t.Error("binary data is in the client's encoding")
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Shard([]byte("acme")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
