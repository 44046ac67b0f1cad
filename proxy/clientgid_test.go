package proxy

import (
	"strings"
	"testing"
	"time"
)

// TestClientGID has clients that prepare transactions themselves.
func TestClientGID(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 10 * time.Second})
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		for _, end := range []string{"commit", "rollback"} {
			for shard, k := range []int64{a, b} {
				r.exec(conn, "begin")
				r.exec(conn, "insert into orders values ($1, 1)", k)
				if got := r.value(conn, "select count(*) from orders where tenant_id = $1", a+b-k); got != "0" { // the other shard joins
					t.Fatal(got)
				}
				if tag := r.exec(conn, "prepare transaction 'theirs'"); tag != "PREPARE TRANSACTION" {
					t.Fatal(tag)
				}
				if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "0" {
					t.Fatal("it is visible before it is committed")
				}
				if got := r.on(r.cluster.Shards[shard].Primary, "select gid from pg_prepared_xacts"); got != "theirs" {
					t.Fatal(got)
				}
				await(t, "no backend is in use", func() bool { return r.busy(0)+r.busy(1) == 0 })
				other := r.connect(mode)
				if tag := r.exec(other, end+" prepared 'theirs'"); tag != strings.ToUpper(end)+" PREPARED" {
					t.Fatal(tag)
				}
				if got := r.value(other, "select count(*) from orders where tenant_id = $1", k); got != map[string]string{"commit": "1", "rollback": "0"}[end] {
					t.Fatal(got)
				}
				r.exec(other, "delete from orders where tenant_id = $1", k)
				r.refuses(other, "42704", end+" prepared 'theirs'")
			}
		}
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", b)
		r.exec(conn, "prepare transaction 'alone'")
		r.exec(conn, "begin")
		r.refuses(conn, "25001", "commit prepared 'alone'")
		r.exec(conn, "rollback")
		r.exec(conn, "/* pgdrover: tenant="+itoa(b)+" */ rollback prepared 'alone'")
		for _, k := range []int64{a, b} {
			r.exec(conn, "begin")
			r.exec(conn, "insert into orders values ($1, 1)", k)
			r.exec(conn, "prepare transaction 'twice'")
		}
		if e := r.refuses(conn, "42725", "rollback prepared 'twice'"); !strings.Contains(e.Hint, "tenant") {
			t.Fatalf("%+v", e)
		}
		r.exec(conn, "/* pgdrover: tenant="+itoa(b)+" */ rollback prepared 'twice'")
		r.exec(conn, "rollback prepared 'twice'")
		r.exec(conn, "begin")
		r.exec(conn, "insert into countries values ('de', 'Germany')")
		if e := r.refuses(conn, "0A000", "prepare transaction 'spread'"); !strings.Contains(e.Detail, "s1, s2") {
			t.Fatalf("%+v", e)
		}
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Fatal(tag)
		}
		for _, sql := range []string{"begin; prepare transaction '%'", "commit prepared '%'", "rollback prepared '%'"} {
			sqls := strings.Split(strings.ReplaceAll(sql, "%", newJoint("x", "s1").gid("s2", "app")), "; ")
			if len(sqls) > 1 {
				r.exec(conn, sqls[0])
			}
			r.refuses(conn, "42939", sqls[len(sqls)-1])
			r.exec(conn, "rollback")
		}
		r.everywhere("0", "select count(*) from pg_prepared_xacts")
	}
}
