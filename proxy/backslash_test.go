package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestBackslashes has a session change what a backslash in a string means, by every way there is, and send texts that are a read of one tenant by one
// meaning, and of two, on two shards, by the other: by any protocol the answer is what it has to be, or a refusal.
func TestBackslashes(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{schema: append([]string{
		"create function switch(v text, here boolean) returns text language plpgsql as $$ begin return set_config('standard_conforming_strings', v, here); end $$"}, demoSchema...)})
	mine, other := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	setup := r.connect()
	for _, k := range []int64{mine, other} {
		r.exec(setup, "insert into orders (tenant_id, id) values ($1, 1)", k)
	}
	read := fmt.Sprintf("select count(*) from orders where tenant_id = %d and 'a' = ", mine)
	second := fmt.Sprintf(" or tenant_id = %d --'", other)
	texts := map[string]map[bool]string{ // whether a backslash escapes, and the number of rows then
		read + `'a\''` + second: {true: "1", false: "0"},
		read + `'a\'` + second:  {true: "0", false: "1"},
	}
	for _, test := range []struct {
		before  string // statements, with ; between them
		escapes bool
	}{
		{"", false},
		{"set standard_conforming_strings to off", true},
		{"set standard_conforming_strings to 'f'", true},
		{"set standard_conforming_strings = 'of'", true},
		{"set standard_conforming_strings = 0", true},
		{"set standard_conforming_strings = no; reset standard_conforming_strings", false},
		{"set standard_conforming_strings = no; reset all", false},
		{"set standard_conforming_strings = no; discard all", false},
		{"set standard_conforming_strings = no; set standard_conforming_strings to default", false},
		{"select set_config('standard_conforming_strings', 'off', false)", true},
		{"set local standard_conforming_strings to off", false},
		{"begin; set local standard_conforming_strings to off", true},
		{"begin; set local standard_conforming_strings to off; select 1", true},
		{"begin; set local standard_conforming_strings to 'f'; savepoint s", true},
		{"begin; savepoint s; set local standard_conforming_strings to 'f'; rollback to s", false},
		{"begin; select set_config('standard_conforming_strings', 'off', true)", true},
		{"begin; set standard_conforming_strings to off; savepoint s; set local standard_conforming_strings to on; rollback to s", true},
		{"set standard_conforming_strings to off; begin; set local standard_conforming_strings to default", false},
		{"begin; set local standard_conforming_strings to off; set standard_conforming_strings to on", false},
		{"begin; set local standard_conforming_strings to off; commit", false},
		{"begin; set local standard_conforming_strings to off; rollback", false},
		{"begin; TENANT; set local standard_conforming_strings to off; commit", false},
		{"begin; TENANT; set standard_conforming_strings to off; rollback", false},
		{"begin; TENANT; savepoint s; set local standard_conforming_strings to off; rollback to s", false},
		{"begin; set standard_conforming_strings to off; commit", true},
		{"begin; set standard_conforming_strings to off; rollback", false},
		{"begin; select switch('off', true) from (TENANT) o", true},
		{"begin; select switch('off', true) from (TENANT) o; commit", false},
		{"select switch('off', false) from (TENANT) o", true},
		{"begin; select switch('off', false) from (TENANT) o; rollback", false},
	} {
		before := strings.ReplaceAll(test.before, "TENANT", fmt.Sprintf("select count(*) from orders where tenant_id = %d", mine))
		one := !strings.Contains(before, "discard all") && !strings.HasPrefix(before, "set local") && !strings.Contains(before, "switch") // they may be in one pipeline, and mean the same there; what functions set, servers tell at the Sync
		for text, rows := range texts {
			want := rows[test.escapes]
			t.Run("queries/"+test.before, func(t *testing.T) { r.oneByOne(t, before, text, want) })
			if one {
				t.Run("pipeline/"+test.before, func(t *testing.T) { r.inOne(t, before, text, want) })
			}
		}
	}
}

// TestBackslashesOfRole is TestBackslashes for what is set for the role that backends are logged in as.
func TestBackslashesOfRole(t *testing.T) {
	c := sharedCluster(t)
	for _, sh := range c.Shards {
		alter := "alter role " + c.User + " %s standard_conforming_strings"
		_, err := sh.Primary.Query(t.Context(), fmt.Sprintf(alter, "set")+" to off")
		check(t, err)
		t.Cleanup(func() {
			_, err := sh.Primary.Query(context.Background(), fmt.Sprintf(alter, "reset"))
			check(t, err)
		})
	}
	r := startRig(t, c, rigOptions{})
	mine, other := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, k := range []int64{mine, other} {
		r.on(r.cluster.Shards[r.shardOf(k)].Primary, fmt.Sprintf("insert into orders (tenant_id, id) values (%d, 1)", k))
	}
	text := fmt.Sprintf(`select count(*) from orders where tenant_id = %d and 'a' = 'a\'' or tenant_id = %d --'`, mine, other)
	r.oneByOne(t, "select 1", text, "1")
	r.oneByOne(t, "set standard_conforming_strings to on", text, "0")
	r.oneByOne(t, "set standard_conforming_strings to on; reset standard_conforming_strings", text, "1")
	r.oneByOne(t, "begin; set local standard_conforming_strings to on; commit", text, "1")
}

// TestBackslashesOfPrepared has a statement run, prepared by SQL and by the protocol, after the meaning of its backslash has changed: it runs on its
// tenant's shard or not at all.
func TestBackslashesOfPrepared(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	conn := r.connect(simpleMode)
	for shard := range 2 {
		k := r.tenants(shard, 1)[0]
		r.on(r.cluster.Shards[shard].Primary, fmt.Sprintf("insert into orders (tenant_id, id) values (%d, 1)", k))
		text := fmt.Sprintf(`select count(*) from orders where tenant_id = %d and 'x' <> 'a\'`, k)
		_, err := conn.PgConn().Exec(t.Context(), "prepare by_sql as "+text).ReadAll()
		check(t, err)
		_, err = conn.PgConn().Prepare(t.Context(), "by_protocol", text, nil)
		check(t, err)
		run := func(want string) {
			t.Helper()
			for name, res := range map[string]*pgconn.Result{
				"protocol": conn.PgConn().ExecPrepared(t.Context(), "by_protocol", nil, nil, nil).Read(),
				"SQL":      last(conn.PgConn().Exec(t.Context(), "execute by_sql").ReadAll()),
			} {
				var e *pgconn.PgError
				switch errors.As(res.Err, &e); {
				case want == "" && e != nil && e.Code == "0A000" && strings.Contains(e.Message, "another setting"):
				case res.Err == nil && len(res.Rows) == 1 && string(res.Rows[0][0]) == want:
				default:
					t.Errorf("by %s: %q %v, want %q", name, res.Rows, res.Err, want)
				}
			}
		}
		for _, step := range []struct{ sql, want string }{
			{"select 1", "1"}, {"set standard_conforming_strings to off", ""}, {"set standard_conforming_strings to on", "1"},
			{"set standard_conforming_strings to off; deallocate by_sql; deallocate by_protocol; reset standard_conforming_strings", "gone"},
		} {
			for sql := range strings.SplitSeq(step.sql, "; ") {
				_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
				check(t, err)
			}
			if step.want != "gone" {
				run(step.want)
			}
		}
	}
}

// last is the last result of a query string, or its error.
func last(all []*pgconn.Result, err error) *pgconn.Result {
	if err != nil {
		return &pgconn.Result{Err: err}
	}
	return all[len(all)-1]
}

// answers compares the first value of an answer, unless the statement was refused by PgDrover.
func answers(t *testing.T, res *pgconn.Result, want string) {
	t.Helper()
	var e *pgconn.PgError
	switch {
	case res.Err == nil && len(res.Rows) == 1 && string(res.Rows[0][0]) == want:
	case errors.As(res.Err, &e) && e.Code == "0A000":
		t.Log("refused: " + e.Message)
	default:
		t.Errorf("%q %v, want %s", res.Rows, res.Err, want)
	}
}

// oneByOne sends statements as a Query each, and then text.
func (r *rig) oneByOne(t *testing.T, before, text, want string) {
	conn := r.connect()
	defer conn.Close(t.Context())
	for sql := range strings.SplitSeq(before, "; ") {
		_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		check(t, err)
	}
	res, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
	if err != nil {
		res = []*pgconn.Result{{Err: err}}
	}
	answers(t, res[0], want)
}

// inOne sends statements, and text, before one Sync.
func (r *rig) inOne(t *testing.T, before, text, want string) {
	conn := r.connect()
	defer conn.Close(t.Context())
	p := conn.PgConn().StartPipeline(t.Context())
	list := append(strings.Split(before, "; "), text)
	for _, sql := range list {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	check(t, p.Sync())
	var last *pgconn.Result
	for range list {
		got, err := p.GetResults()
		if err != nil {
			last = &pgconn.Result{Err: err}
			break
		}
		last = got.(*pgconn.ResultReader).Read()
		if last.Err != nil {
			break
		}
	}
	answers(t, last, want)
}
