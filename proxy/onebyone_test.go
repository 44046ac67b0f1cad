package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestOneByOneGoesOn has statements that run on one shard after the other fail on the second, and repeated.
func TestOneByOneGoesOn(t *testing.T) {
	r := severalRig(t, sharedCluster(t), 10*time.Second)
	s1, s2 := r.cluster.Shards[0].Primary, r.cluster.Shards[1].Primary
	for _, mode := range []string{"", simpleMode} {
		var notices []string
		config, err := pgx.ParseConfig(r.url(mode))
		if err != nil {
			t.Fatal(err)
		}
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		told := func(want ...string) {
			t.Helper()
			if len(notices) != len(want) {
				t.Fatalf("notices are %q", notices)
			}
			for i, text := range want {
				if !strings.Contains(notices[i], text) {
					t.Fatalf("%q is not %q", notices[i], text)
				}
			}
			notices = nil
		}
		const create = `create unique index concurrently "By Note" on public.orders (note)`
		r.on(s2, "insert into orders values (1, 1, 'same'), (1, 2, 'same')")
		e := r.refuses(conn, "23505", create)
		if !strings.Contains(e.Hint, "done on s1") || !strings.Contains(e.Hint, "repeat the statement") {
			t.Fatalf("%+v", e)
		}
		told("is done on shard s1 (1 of 2)")
		e = r.refuses(conn, "55000", create)
		if !strings.Contains(e.Detail, "s2") || !strings.Contains(e.Hint, `REINDEX INDEX CONCURRENTLY "By Note"`) {
			t.Fatalf("%+v", e)
		}
		r.on(s2, "delete from orders")
		r.exec(conn, `reindex index concurrently "By Note"`)
		told("is done on shard s1", "is done on shard s2 (2 of 2)")
		r.everywhere("t", `select bool_and(indisvalid) from pg_index where indexrelid = '"By Note"'::regclass`)
		r.refuses(conn, "42P07", create)
		r.exec(conn, strings.Replace(create, `"By Note"`, `if not exists "By Note"`, 1))
		notices = nil

		r.on(s2, `drop index "By Note"`)
		r.exec(conn, create)
		told("done on shard s1 already", "is done on shard s2 (2 of 2)")
		r.hasTable("By Note", "1")
		r.on(s1, `drop index "By Note"`)
		r.exec(conn, create)
		told("is done on shard s1 (1 of 2)", "done on shard s2 already")
		r.hasTable("By Note", "1")

		r.on(s2, `drop index "By Note"`)
		r.on(s2, `create index "By Note" on orders (id)`)
		r.on(s1, `drop index "By Note"`)
		if e = r.refuses(conn, "42P07", create); !strings.Contains(e.Detail, "On shard s2.") || !strings.Contains(e.Detail, "(id)") {
			t.Fatalf("%+v", e)
		}
		r.on(s1, `drop index "By Note"`)
		notices = nil
		r.exec(conn, `drop index concurrently "By Note"`)
		told("done on shard s1 already", "is done on shard s2 (2 of 2)")
		r.hasTable("By Note", "0")
		r.refuses(conn, "42704", `drop index concurrently "By Note"`)
		conn.Close(t.Context())
	}
}
