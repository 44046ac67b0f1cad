package proxy

import (
	"testing"
)

// TestStatementsOfSeveralShardsCountOnce has statements run on all shards, by both protocols, in transactions and outside: each counts
// once, whatever number of shards it runs on, and whether it fails there.
func TestStatementsOfSeveralShardsCountOnce(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 2), rigOptions{size: 2})
	count := func() int64 { return r.server.Usage()[r.cluster.Database].Statements }
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
		conn := r.connect(mode)
		for _, c := range []struct {
			sql    string
			counts int64
			fails  bool
		}{
			{"create table made (tenant_id bigint, id bigint)", 1, false},
			{"create table made (tenant_id bigint)", 1, true},
			{"create index concurrently made_index on made (id)", 1, false},
			{"insert into countries values ('zz', 'Nowhere')", 1, false},
			{"begin", 0, false},
			{"set local work_mem to '5MB'", 1, false}, // by the backend that says whether it can be
			{"delete from countries where code = 'zz'", 1, false},
			{"drop table made", 1, false},
			{"set local lock_timeout to '5s'", 1, false},
			{"commit", 0, false},
			{"select count(*) from countries", 1, false},
		} {
			before := count()
			_, err := conn.Exec(t.Context(), c.sql)
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v", c.sql, err)
			}
			if n := count() - before; n != c.counts {
				t.Errorf("%s: %s counts as %d statements, not as %d", mode, c.sql, n, c.counts)
			}
		}
	}
}
