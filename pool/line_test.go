package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// lines are two connections in a transaction each.
func lines(t *testing.T, c *Cluster, shard shardmap.Shard) (from, to *Line) {
	t.Helper()
	for _, l := range []**Line{&from, &to} {
		line, err := c.OpenLine(t.Context(), "s1", Primary, shard.Primary)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Close)
		if _, err := line.Exec(t.Context(), "set client_min_messages = error; begin; create temp table mine (n int primary key, v text)"); err != nil {
			t.Fatal(err)
		}
		*l = line
	}
	return from, to
}

const copyIn = "copy mine from stdin"

// testLine copies rows from one connection to another, and has each side refuse, and the caller give up.
func testLine(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	c := open(t, cfg)
	from, to := lines(t, c, shard)
	var moved int64
	rows := "copy (select n, repeat('x', 500) || e'\\\\\\n' from generate_series(1, 20000) n) to stdout"
	if err := from.CopyRows(t.Context(), rows, to, copyIn, func(bytes int64) { moved = bytes }); err != nil || moved < 20000*500 {
		t.Fatal(moved, err)
	}
	got, err := to.Exec(t.Context(), "select count(*), min(v) = max(v), max(length(v)) from mine")
	if err != nil || fmt.Sprintf("%s", got.Rows) != "[[20000 t 502]]" {
		t.Fatalf("%s %v", got.Rows, err)
	}
	if got, err = from.Exec(t.Context(), "select 1"); err != nil || string(got.Rows[0][0]) != "1" {
		t.Fatal("the line is of no use any more", err)
	}
	for _, refused := range []struct{ from, to, code string }{
		{"copy (select 1, 'a' union all select 1, 'b') to stdout", copyIn, "23505"},
		{"copy (select n, 'x' from generate_series(1, 100000) n union all select 1, 'again') to stdout", copyIn, "23505"},
		{"copy (select 1 / (n - 5000), 'x' from generate_series(1, 10000) n) to stdout", copyIn, "22012"},
		{"copy nosuch to stdout", copyIn, "42P01"},
		{rows, "copy nosuch from stdin", "42P01"},
		{"select 1", copyIn, ""},
		{rows, "select 1", ""},
	} {
		from, to := lines(t, c, shard)
		err := from.CopyRows(t.Context(), refused.from, to, refused.to, func(int64) {})
		var answer *pgwire.Error
		if err == nil || errors.As(err, &answer) != (refused.code != "") || refused.code != "" && answer.Code != refused.code || !strings.Contains(err.Error(), "s1") {
			t.Errorf("%s, %s: %v", refused.from, refused.to, err)
		}
	}
	from, to = lines(t, c, shard)
	ctx, stop := context.WithCancel(t.Context())
	err = from.CopyRows(ctx, "copy (select generate_series(1, 1000000000), 'x') to stdout", to, copyIn, func(int64) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
