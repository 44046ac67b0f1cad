package proxy

import (
	"bytes"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// analysed is a text as a router of one shard sees it.
func analysed(t *testing.T, sql string) *router.Query {
	t.Helper()
	f, err := shardmap.Parse("shardmap.yaml", []byte("database: app\ntenant: {column: tenant_id, type: bigint}\nshards:\n  - {name: s1, primary: {host: 127.0.0.1}}\n"))
	check(t, err)
	lock, err := shardmap.Plan(f)
	check(t, err)
	m, err := shardmap.New(f, lock)
	check(t, err)
	var q router.Query
	router.New(m, nil, router.Options{}).Analyse(&q, []byte(sql), &router.Env{})
	return &q
}

// outstanding is what is outstanding: replies to messages of these kinds, all of them the client's.
func outstanding(text *router.Query, kinds ...byte) []reply {
	q := &replies{}
	for _, kind := range kinds {
		r := q.add(kind)
		if kind == pgwire.MsgQuery || kind == pgwire.MsgExecute {
			r.text = text
		}
	}
	return q.all()
}

func TestAnsweredByBatch(t *testing.T) {
	plain, other := analysed(t, "select 1"), analysed(t, "set x.y = 1")
	described := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "a", OID: 25, Size: -1}})
	row := pgwire.AppendDataRow(nil, [][]byte{[]byte("a")})
	tag := pgwire.AppendCommandComplete(nil, "SELECT 1")
	ready := pgwire.AppendReadyForQuery(nil, 'I')
	parsed, bound, nothing := pgwire.AppendParseComplete(nil), pgwire.AppendBindComplete(nil), pgwire.AppendNoData(nil)
	failed := pgwire.AppendError(nil, &pgwire.Error{Severity: "ERROR", Code: "22012", Message: "division by zero"})
	notice := pgwire.AppendNotice(nil, &pgwire.Error{Severity: "NOTICE", Code: "00000", Message: "there"})
	for _, c := range []struct {
		name   string
		kinds  string
		text   *router.Query
		frames [][]byte
		want   bool
	}{
		{"Bind, Execute", "BES", plain, [][]byte{bound, row, tag, ready}, true},
		{"Bind, Describe, Execute", "BDES", plain, [][]byte{bound, described, row, row, tag, ready}, true},
		{"no rows", "BDES", plain, [][]byte{bound, nothing, tag, ready}, true},
		{"Parse, too", "PBDES", plain, [][]byte{parsed, bound, described, tag, ready}, true},
		{"two of them", "BEBES", plain, [][]byte{bound, row, tag, bound, tag, ready}, true},
		{"what is left of it", "ES", plain, [][]byte{row, tag, ready}, true},
		{"Sync alone", "S", plain, [][]byte{ready}, true},
		{"no Sync", "BE", plain, [][]byte{bound, tag, ready}, false},
		{"two of Sync", "BESS", plain, [][]byte{bound, tag, ready, ready}, false},
		{"less than is owed", "BDES", plain, [][]byte{bound, tag, ready}, false},
		{"more than is owed", "BES", plain, [][]byte{bound, tag, tag, ready}, false},
		{"Describe of a statement", "dS", plain, [][]byte{described, ready}, false},
		{"a row for a description", "BDES", plain, [][]byte{bound, row, tag, ready}, false},
		{"Bind fails", "BES", plain, [][]byte{failed, ready}, false},
		{"Execute fails", "BES", plain, [][]byte{bound, failed, ready}, false},
		{"Sync fails", "BES", plain, [][]byte{bound, tag, failed, ready}, false},
		{"a notice", "BES", plain, [][]byte{bound, notice, tag, ready}, false},
		{"a portal that is suspended", "BES", plain, [][]byte{bound, row, pgwire.AppendPortalSuspended(nil), ready}, false},
		{"an empty statement", "BES", plain, [][]byte{bound, pgwire.AppendEmptyQuery(nil), ready}, false},
		{"a statement that is not plain", "BES", other, [][]byte{bound, tag, ready}, false},
		{"a text that is not known", "BES", nil, [][]byte{bound, tag, ready}, false},
		{"a BindComplete that says something", "BES", plain, [][]byte{{'2', 0, 0, 0, 5, 0}, tag, ready}, false},
		{"a description cut short", "BDES", plain, [][]byte{bound, {'T', 0, 0, 1, 0}, ready}, false},
		{"only a piece", "BES", plain, [][]byte{bound[:3], ready}, false},
		{"in a transaction that failed", "BES", plain, [][]byte{bound, tag, pgwire.AppendReadyForQuery(nil, 'E')}, false},
	} {
		if got := answeredBy(outstanding(c.text, []byte(c.kinds)...), bytes.Join(c.frames, nil)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for _, do := range []action{skip, fake} {
		for i := range 3 {
			q := outstanding(plain, 'B', 'E', 'S')
			q[i].do = do
			if answeredBy(q, bytes.Join([][]byte{bound, tag, ready}, nil)) {
				t.Errorf("message %d is not the client's (%d), and was taken for it", i, do)
			}
		}
	}
}

func TestAnsweredByQuery(t *testing.T) {
	plain := analysed(t, "select 1")
	rows := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "a", OID: 25, Size: -1}})
	rows = pgwire.AppendDataRow(rows, [][]byte{[]byte("Z\x00\x00\x00\x05I")})
	tag := pgwire.AppendCommandComplete(nil, "SELECT 1")
	ready := pgwire.AppendReadyForQuery(nil, 'I')
	failed := pgwire.AppendError(nil, &pgwire.Error{Severity: "ERROR", Code: "22012", Message: "division by zero"})
	untold := append([]byte(nil), tag...)
	untold[len(untold)-1] = '1'
	for _, c := range []struct {
		name   string
		frames [][]byte
		want   bool
	}{
		{"rows", [][]byte{rows, tag, ready}, true},
		{"no rows", [][]byte{tag, ready}, true},
		{"in a transaction", [][]byte{rows, tag, pgwire.AppendReadyForQuery(nil, 'T')}, true},
		{"in a transaction that failed", [][]byte{rows, tag, pgwire.AppendReadyForQuery(nil, 'E')}, false},
		{"nothing", nil, false},
		{"the end alone", [][]byte{ready}, false},
		{"no end", [][]byte{rows, tag}, false},
		{"no tag", [][]byte{rows, ready}, false},
		{"a row that ends like a ReadyForQuery", [][]byte{rows}, false},
		{"two tags", [][]byte{tag, tag, ready}, false},
		{"rows after the tag", [][]byte{tag, rows, ready}, false},
		{"an error", [][]byte{failed, ready}, false},
		{"an error after rows", [][]byte{rows, failed, ready}, false},
		{"a tag that does not end", [][]byte{untold, ready}, false},
		{"two answers", [][]byte{tag, ready, tag, ready}, false},
		{"a row cut short", [][]byte{rows[:len(rows)-3], tag, ready}, false},
		{"a size of nothing", [][]byte{{'D', 0, 0, 0, 0}, tag, ready}, false},
		{"a size beyond all", [][]byte{{'D', 0xff, 0xff, 0xff, 0xff}, tag, ready}, false},
	} {
		if got := answeredBy(outstanding(plain, pgwire.MsgQuery), bytes.Join(c.frames, nil)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
