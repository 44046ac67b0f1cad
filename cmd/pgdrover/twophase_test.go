package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// twoPhase writes the configuration with two_phase_commit on.
func (c onlineCase) twoPhase(more string) {
	writeFile(c.T, "pgdrover.yaml", fmt.Sprintf(`databases:
  app:
    shardmap: shardmap.yaml
    backend: {user: %s, password: "${CLUSTER_PASSWORD}"%s}
    two_phase_commit: on
users: [{name: app, password: x}]
`, c.cluster.User, more))
}

// await waits until a query on a primary has an answer.
func (c onlineCase) await(shard int, sql, want string) {
	c.Helper()
	got := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		rows, err := c.cluster.Shards[shard].Primary.Query(c.Context(), sql)
		if err != nil {
			c.Fatal(err)
		}
		if got = rows[0][0]; got == want {
			return
		}
	}
	c.Fatalf("%s: %s, want %s", sql, got, want)
}

// TestTwoPhaseChecked has nodes that cannot prepare transactions: the check says where that is asked for, and serve does not start.
func TestTwoPhaseChecked(t *testing.T) {
	c := onlineCase{t, pgcluster.Test(t, pgcluster.Config{Shards: 2, Settings: map[string]string{"max_prepared_transactions": "0"}})}
	primaries := []*pgcluster.Node{c.cluster.Shards[0].Primary, c.cluster.Shards[1].Primary}
	c.files("primary: "+node(primaries[0], ""), "primary: "+node(primaries[1], ""))
	c.want(exitOK, "shardmap init")
	c.want(exitOK, "check --online")
	c.twoPhase("")
	at := "pgdrover.yaml:5:23: databases.app.two_phase_commit: "
	refused := "max_prepared_transactions = 0: set it to max_connections there and restart the node"
	c.want(exitError, "check --online", at+"shard s1, primary "+primaries[0].Addr()+" has "+refused, at+"shard s2", "2 errors")
	c.want(exitError, "serve", "database app: shard s1", "max_prepared_transactions is 0", "or write two_phase_commit: off")
}

// TestTwoPhaseInstalled makes the table of decisions by a command, and by serve, where the role may; and says what to do where it may not.
func TestTwoPhaseInstalled(t *testing.T) {
	c := onlineCase{t, pgcluster.Test(t, pgcluster.Config{Shards: 2})}
	primaries := []*pgcluster.Node{c.cluster.Shards[0].Primary, c.cluster.Shards[1].Primary}
	c.files("primary: "+node(primaries[0], ""), "primary: "+node(primaries[1], ""))
	c.twoPhase("")
	c.want(exitOK, "shardmap init")
	owner := func(name string) {
		for _, n := range primaries {
			if _, err := n.Query(t.Context(), "alter database app owner to "+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	owner("postgres")
	c.want(exitError, "serve", "permission denied for database app", `run "pgdrover install two-phase"`, "GRANT CREATE ON DATABASE")
	owner(c.cluster.User)
	c.want(exitOK, "check --online", "two_phase_commit: the nodes have room")
	c.sql(1, "create table left_over (id int)")
	c.sql(1, "begin; insert into left_over values (1); prepare transaction 'pgdrover:dead:0123456789abcdef01234567:3:s1:s2:app'")
	c.await(1, "select count(*) from pg_prepared_xacts where prepared < now() - interval '5 seconds'", "1")
	c.want(exitError, "check --online", "shard s2: PgDrover has left 1 prepared transactions there")
	c.serve()
	c.await(1, "select count(*) from pg_prepared_xacts", "0")
	c.await(1, "select count(*) from left_over", "0")
	c.sql(1, "drop table left_over")
	c.want(exitOK, "check --schema", "the schema is the same on all 2 shards")
	c.both("insert into pgdrover.decision (id, committed) values ('x', true)")
	c.want(exitOK, "install two-phase", "s1     ready", "s2     ready")
	c.both("delete from pgdrover.decision where id = 'x' and 1 / (select count(*) from pgdrover.decision) = 1")
	c.twoPhase(", pass_through: true")
	c.want(exitError, "check --online", "backend.user app has to be a superuser there")
}
