package proxy

import (
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
		before := r.db.loads.asked.Load()
		r.exec(conn, step.sql)
		r.value(conn, "select 1") // the session has done by now what came after the answer
		if got := r.db.loads.asked.Load() > before; got != step.read {
			t.Errorf("%s: read again: %v, want %v", step.sql, got, step.read)
		}
	}
}
