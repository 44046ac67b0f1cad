package proxy

import (
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestCatalogIsReadAfterWhatChangesIt counts how often the catalog is read again. A read takes longer than most DDL, and the session's
// next statement waits for it: an application that truncates its tables, or grants, has no part in that.
func TestCatalogIsReadAfterWhatChangesIt(t *testing.T) {
	r := startRig(t, pgcluster.Test(t, pgcluster.Config{}), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{"create table kept (a int)"}})
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
	r := startRig(t, pgcluster.Test(t, pgcluster.Config{}), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{
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
