package proxy

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestCatalogIsReadAfterWhatChangesIt counts how often the catalog is to be read again. A read takes longer than most DDL, and
// statements wait for it, or are followed by a cleaning: an application that truncates its tables, or grants, has no part in that.
func TestCatalogIsReadAfterWhatChangesIt(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{"create table kept (a int)"}})
	conn := r.connect(simpleMode)
	for _, step := range []struct {
		sql  string
		read bool
	}{
		{"create table made (a int)", true},
		{"alter table made add b int", true},
		{"select 1 as a into another", true},
		{"begin; create table more (a int); grant select on more to public; commit", true},
		{"begin; create table less (a int); rollback", false},
		{"truncate kept", false},
		{"grant select on kept to public", false},
		{"comment on table kept is 'kept'", false},
		{"begin; truncate kept; comment on table kept is null; commit", false},
		{"create temp table mine as select 1", false},
		{"vacuum kept", false},
		{"drop table made, another, more", true},
	} {
		before := r.db.catalog.asked.Load()
		r.exec(conn, step.sql)
		r.value(conn, "select 1") // the session has done by now what came after the answer
		if got := r.db.catalog.asked.Load() > before; got != step.read {
			t.Errorf("%s: read again: %v, want %v", step.sql, got, step.read)
		}
	}
}

// TestCatalogIsReadWhileOthersDrop reads the catalog while views come and go: the server, asked for what one is defined as, fails where
// its own look at the catalog was older than the DROP.
func TestCatalogIsReadWhileOthersDrop(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{
		"do $$ begin for i in 1..200 loop execute format('create view kept%s as select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid', i); end loop; end $$"}})
	done := make(chan struct{})
	var ended sync.WaitGroup
	conn := r.direct(r.cluster.Shards[0].Primary.URL())
	ended.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_, _ = conn.Exec(t.Context(), "create table passing (a int); create view zz as select * from passing")
				_, _ = conn.Exec(t.Context(), "drop view zz; drop table passing")
			}
		}
	})
	for range 40 {
		if _, err := LoadCatalog(t.Context(), r.db.cluster, r.db.Map()); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	ended.Wait()
}

// TestNobodyWaitsForTheCatalog has DDL on one shard while the catalog cannot be read: its client goes on, and so do others. What the DDL
// has made of a function, and the catalog does not tell of, keeps no backend from being clean. Then the catalog is read, by itself.
func TestNobodyWaitsForTheCatalog(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second,
		schema: []string{"create function f() returns text language sql as 'select 1::text'"}})
	r.db.catalog.load.Lock()
	a, b := r.connect(simpleMode), r.connect(simpleMode)
	prepared := r.connect()
	r.value(prepared, "select f()")
	r.exec(a, "create or replace function f() returns text language sql as $$ select set_config('app.mine', 'x', false) $$")
	for _, conn := range []*pgx.Conn{a, prepared} {
		if got := r.value(conn, "select f()"); got != "x" {
			t.Errorf("f() is %s", got)
		}
		if got := r.value(b, "select coalesce(current_setting('app.mine', true), '')"); got != "" {
			t.Errorf("another client has app.mine = %q", got)
		}
	}
	if r.db.Router().Catalog().Unsettling {
		t.Fatal("the catalog has been read")
	}
	r.db.catalog.load.Unlock()
	await(t, "the catalog is read again", func() bool { return !r.db.catalog.behind() })
	if !r.db.Router().Catalog().Unsettling {
		t.Error("the catalog does not tell of f()")
	}
}

// TestRefusedWhileTheCatalogIsBehind has a session with a tenant use a table whose columns have changed places.
func TestRefusedWhileTheCatalogIsBehind(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second, schema: []string{"create table mine (tenant_id bigint, id bigint)"}})
	conn := r.connect(simpleMode)
	r.exec(conn, "set pgdrover.tenant = 1")
	r.refuses(conn, "0A000", "insert into mine values (2, 1)")
	r.exec(conn, "drop table mine")
	r.exec(conn, "create table mine (id bigint, tenant_id bigint)")
	r.exec(conn, "insert into mine values (2, 1)")
	r.refuses(conn, "0A000", "insert into mine values (1, 2)")
}

// TestCatalogIsWaitedFor has DDL where the route of another client's statement may depend on it: it is in the catalog before the next
// statement of whoever made it.
func TestCatalogIsWaitedFor(t *testing.T) {
	holding := func(_, name string) bool { return name == "open_session" }
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 2, wait: 20 * time.Second})
	opt := *r.db.options()
	opt.Holding = holding
	r.db.Adjust(opt)
	a, b := r.connect(simpleMode), r.connect(simpleMode)
	r.exec(a, "create function open_session() returns int language sql as 'select 1'")
	r.value(a, "select 1")
	if r.db.catalog.behind() {
		t.Fatal("the catalog is behind")
	}
	r.value(b, "select open_session()")
	r.eventually("it is held", func() bool { return len(r.clientOf(b).Hold) == 1 })
}
