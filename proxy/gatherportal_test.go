package proxy

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// portalScripts read portals some rows at a time, as drivers do that are told a fetch size.
var portalScripts = []string{
	`a: Query begin
a: ready
a: Parse - /* pgdrover: scatter */ select tenant_id + 0 as k, id + 0 as i from users order by 1, 2 limit 7
a: Bind p -
a: Describe P p
a: Execute p 3
a: Sync
a: ready
a: Execute p 3
a: Sync
a: ready
a: Execute p 3
a: Execute p 3
a: Sync
a: ready
a: Execute p
a: Close P p
a: Sync
a: ready
a: Execute p 3
a: Sync
a: ready
a: Query rollback
a: ready`,
	`a: Parse s /* pgdrover: scatter */ select status, count(*) from orders group by status order by 1
a: Bind - s
a: Execute - 2
a: Execute - 2
a: Execute - 9
a: Bind - s
a: Execute - 3
a: Execute -
a: Execute -
a: Sync
a: ready
a: Execute - 2
a: Sync
a: ready`,
	`a: Query begin
a: ready
a: Parse - /* pgdrover: scatter */ select tenant_id, id from users order by 1, 2 limit 6
a: Bind p -
a: Execute p 2
a: Sync
a: ready
a: Query select 1/0
a: ready
a: Execute p 2
a: Sync
a: ready
a: Query rollback
a: ready`,
	`a: Query begin
a: ready
a: Parse - /* pgdrover: scatter */ select id from users where id = 1 limit 4
a: Bind p -
a: Execute p 3
a: Flush
a: until PortalSuspended
a: Query commit
a: ready
a: Execute p 3
a: Sync
a: ready`,
	`a: Parse - /* pgdrover: scatter */ select count(*) from orders
a: Bind - -
a: Execute -
a: Execute -
a: Sync
a: ready`,
}

// TestScatterPortal plays scripts to a proxy over three shards and to one server with all their rows: frame by frame they answer the same.
func TestScatterPortal(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 3})
	look, err := pgconn.Connect(t.Context(), r.cluster.Shards[0].Primary.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close(t.Context())
	database := one[strings.LastIndex(one, "/")+1:]
	for _, script := range portalScripts {
		steps, err := parseScript(script)
		if err != nil {
			t.Fatal(err)
		}
		truth := &player{address: r.cluster.Shards[0].Primary.Addr(), look: look, options: pgtest.Options{User: r.cluster.User, Password: r.cluster.Password, Database: database}}
		got := &player{address: r.addr, look: look, options: pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database}}
		if err := truth.play(steps); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, strings.Join(truth.trace, "\n"))
		}
		err = got.play(steps)
		if d := differ(reportsFirst(truth.trace), reportsFirst(got.trace), false); d != "" || err != nil {
			t.Errorf("%s\n%s\n%v", script, d, err)
		}
	}
}
