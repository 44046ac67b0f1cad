package proxy

import (
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
)

func TestIsPlainAnswer(t *testing.T) {
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
		var b []byte
		for _, f := range c.frames {
			b = append(b, f...)
		}
		if got := isPlainAnswer(b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
