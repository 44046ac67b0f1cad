package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// boundTwice is a script that binds a statement to a name, and again inside a savepoint, and runs what has the name when that is rolled back.
func boundTwice(statement string) string {
	return `a: Query begin
a: ready
a: Parse s ` + statement + `
a: Bind p s
a: Sync
a: ready
a: Query savepoint x
a: ready
a: Bind p s
a: Sync
a: ready
a: Query rollback to x
a: ready
a: Execute p
a: Sync
a: ready
a: Query commit
a: ready`
}

// TestPortalWhoseNameIsAskedForAgain has the server refuse a Bind since the name is taken, or discard a Close: what has the name does what it did once the
// transaction goes on, and the next client is not told of it.
func TestPortalWhoseNameIsAskedForAgain(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second})
	look, err := pgconn.Connect(t.Context(), r.cluster.Shards[0].Primary.SuperuserURL())
	check(t, err)
	defer look.Close(t.Context())
	for name, test := range map[string]struct{ script, want string }{
		"a setting": {boundTwice("set work_mem = '3MB'") + `
b: Query show work_mem
b: ready
a: Query show work_mem
a: ready`, `a Complete(BEGIN) Ready(T)
a ParseComplete BindComplete Ready(T)
a Complete(SAVEPOINT) Ready(T)
a ErrorResponse(42P03) Ready(E)
a Complete(ROLLBACK) Ready(T)
a Complete(SET) Ready(T)
a Complete(COMMIT) Ready(I)
b RowDescription DataRow('4MB') Complete(SHOW) Ready(I)
a RowDescription DataRow('3MB') Complete(SHOW) Ready(I)`},
		"PgDrover's own": {boundTwice("show pgdrover.tenant"), `a Complete(BEGIN) Ready(T)
a ParseComplete BindComplete Ready(T)
a Complete(SAVEPOINT) Ready(T)
a ErrorResponse(42P03) Ready(E)
a Complete(ROLLBACK) Ready(T)
a DataRow('') Complete(SHOW) Ready(T)
a Complete(COMMIT) Ready(I)`},
		"a Close that is discarded": {`a: Query begin
a: ready
a: Parse s set work_mem = '3MB'
a: Parse bad select 1/0
a: Bind p s
a: Sync
a: ready
a: Query savepoint x
a: ready
a: Bind - bad
a: Execute -
a: Close P p
a: Sync
a: ready
a: Query rollback to x
a: ready
a: Execute p
a: Sync
a: ready
a: Query commit
a: ready
b: Query show work_mem
b: ready`, `a Complete(BEGIN) Ready(T)
a ParseComplete ×2 BindComplete Ready(T)
a Complete(SAVEPOINT) Ready(T)
a ErrorResponse(22012) Ready(E)
a Complete(ROLLBACK) Ready(T)
a Complete(SET) Ready(T)
a Complete(COMMIT) Ready(I)
b RowDescription DataRow('4MB') Complete(SHOW) Ready(I)`},
	} {
		steps, err := parseScript(test.script)
		check(t, err)
		p := &player{address: r.addr, look: look, options: pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database}}
		err = p.play(steps)
		if got := strings.Join(p.brief, "\n"); err != nil || got != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, test.want)
		}
	}
}
