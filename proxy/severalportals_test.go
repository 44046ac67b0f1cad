package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestPortalsOfSeveralShards has portals that are PgDrover's own or a shard's, in transactions of which PgDrover knows what a shard does not.
func TestPortalsOfSeveralShards(t *testing.T) {
	r := severalRig(t, sharedCluster(t), 10*time.Second)
	look, err := pgconn.Connect(t.Context(), r.cluster.Shards[0].Primary.SuperuserURL())
	check(t, err)
	defer look.Close(t.Context())
	for name, test := range map[string]struct{ script, want string }{
		"a name is free behind COMMIT": {`a: Query begin; select count(*) from orders where tenant_id = TENANT
a: ready
a: Parse s savepoint x
a: Parse c commit
a: Parse b begin
a: Bind p s
a: Execute p
a: Bind - c
a: Execute -
a: Bind p b
a: Execute p
a: Bind p c
a: Sync
a: ready
a: Query rollback
a: ready`, `a Complete(BEGIN) RowDescription DataRow('0') Complete(SELECT 1) Ready(T)
a ParseComplete ×3 BindComplete Complete(SAVEPOINT) BindComplete Complete(COMMIT) BindComplete Complete(BEGIN) ErrorResponse(42P03) Ready(E)
a Complete(ROLLBACK) Ready(I)`},
		"nothing runs once PgDrover has refused a statement": {`a: Query begin
a: ready
a: Parse i insert into orders (tenant_id, id) values (TENANT, 77) returning id
a: Bind p i
a: Parse c commit
a: Bind q c
a: Sync
a: ready
a: Parse - select count(*) from orders
a: Bind - -
a: Sync
a: ready
a: Describe P p
a: Sync
a: ready
a: Execute p
a: Sync
a: ready
a: Execute q
a: Sync
a: ready
a: Close P p
a: Bind q c
a: Sync
a: ready
a: Close P q
a: Bind q c
a: Execute q
a: Sync
a: ready
a: Query select count(*) from orders where tenant_id = TENANT
a: ready`, `a Complete(BEGIN) Ready(T)
a ParseComplete BindComplete ParseComplete BindComplete Ready(T)
a ParseComplete ErrorResponse(0A000) Ready(E)
a ErrorResponse(25P02) Ready(E)
a ErrorResponse(25P02) Ready(E)
a ErrorResponse(25P02) Ready(E)
a CloseComplete ErrorResponse(42P03) Ready(E)
a CloseComplete BindComplete Complete(ROLLBACK) Ready(I)
a RowDescription DataRow('0') Complete(SELECT 1) Ready(I)`},
	} {
		steps, err := parseScript(strings.ReplaceAll(test.script, "TENANT", itoa(r.tenants(0, 1)[0])))
		check(t, err)
		p := &player{address: r.addr, look: look, options: pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database}}
		err = p.play(steps)
		if got := strings.Join(p.brief, "\n"); err != nil || got != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, test.want)
		}
	}
}
