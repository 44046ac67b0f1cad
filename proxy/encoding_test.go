package proxy

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestLatin1Client is a client that writes LATIN1 where tenants are text. Its tenants may be ASCII, and its other values anything: the server converts
// them. A tenant beyond ASCII has other bytes in the tables than those that the client writes, and is refused until the client writes UTF8.
func TestLatin1Client(t *testing.T) {
	t.Parallel()
	r := startRig(t, pgcluster.Test(t, pgcluster.Config{Shards: 3}), rigOptions{size: 3, tenant: "{column: tenant_id, type: text}", tables: " ",
		schema: []string{"create table notes (tenant_id text not null, id bigint not null, note text, primary key (tenant_id, id))"}})
	c := r.connect("client_encoding=LATIN1").PgConn()
	// last is the last value of the last row, or the SQLSTATE and the hint.
	last := func(sql string, params ...string) string {
		t.Helper()
		var results []*pgconn.Result
		var err error
		if params == nil {
			results, err = c.Exec(t.Context(), sql).ReadAll()
		} else {
			var values [][]byte
			for _, p := range params {
				values = append(values, []byte(p))
			}
			one := c.ExecParams(t.Context(), sql, values, nil, nil, nil).Read()
			results, err = []*pgconn.Result{one}, one.Err
		}
		var fault *pgconn.PgError
		if errors.As(err, &fault) {
			return fault.Code + " " + fault.Hint
		}
		if err != nil {
			t.Fatal(err)
		}
		value := ""
		for _, result := range results {
			for _, row := range result.Rows {
				value = string(row[len(row)-1])
			}
		}
		return value
	}
	const refused = "0A000 SET client_encoding TO 'UTF8'."
	steps := []struct {
		sql    string
		params []string
		want   string
	}{
		{"insert into notes values ('acme', 1, 'caf\xe9')", nil, ""},
		{"insert into notes values ($1, 2, $2)", []string{"acme", "\xfcber"}, ""},
		{"select note from notes where tenant_id = 'acme' and id = 1", nil, "caf\xe9"},
		{"select note from notes where tenant_id = $1 and note = $2", []string{"acme", "\xfcber"}, "\xfcber"},
		{"select note from notes where tenant_id = any ($1) and id = 1", []string{"{acme}"}, "caf\xe9"},
		{"insert into notes values ('caf\xe9', 1, 'x')", nil, refused},
		{"insert into notes values ($1, 1, 'x')", []string{"caf\xe9"}, refused},
		{"insert into notes values ('acme', 3, 'x'), ('caf\xe9', 3, 'x')", nil, refused},
		{"select note from notes where tenant_id = 'caf\xe9'", nil, refused},
		{"select note from notes where tenant_id in ('acme', 'caf\xc3\xa9')", nil, refused}, // which is UTF8 by accident
		{"select note from notes where tenant_id = any ($1)", []string{"{acme,caf\xe9}"}, refused},
		{"/* pgdrover: tenant=caf\xe9 */ select note from notes", nil, refused},
		{"set client_encoding to 'UTF8'", nil, ""},
		{"insert into notes values ('café', 1, 'é')", nil, ""},
		{"select note from notes where tenant_id = 'café'", nil, "é"},
		{"set client_encoding to 'LATIN1'", nil, ""},
		{"select note from notes where tenant_id = $1", []string{"caf\xe9"}, refused},
		{"select note from notes where tenant_id = 'acme' and id = 2", nil, "\xfcber"},
	}
	for _, s := range steps {
		if got := last(s.sql, s.params...); got != s.want {
			t.Errorf("%q %q: %q, want %q", s.sql, s.params, got, s.want)
		}
	}
	for tenant, want := range map[string]string{"acme": "4 4", "café": "1"} {
		shard := r.cluster.Shards[r.db.Map().Locate(shardmap.TextKey(tenant))].Primary
		if got := r.on(shard, "select string_agg(length(note)::text, ' ' order by id) from notes where tenant_id = '"+tenant+"'"); got != want {
			t.Errorf("the notes of %q are %q characters long, want %q", tenant, got, want)
		}
	}
}
