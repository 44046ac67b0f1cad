package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/casefile"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// theater plays scripts to PostgreSQL itself and through one-shard proxies, from the same state.
type theater struct {
	t      testing.TB
	node   *pgcluster.Node
	super  *pgconn.PgConn
	stages []*stage
	last   *stage // that a script was played on last
	told   string // the script
	exact  bool   // nothing may differ from what PostgreSQL says
}

// stage is one way of playing a script.
type stage struct {
	name    string
	address string
	options pgtest.Options
	rig     *rig // nil: PostgreSQL itself
	exact   bool // not even what an aborted transaction says may differ
	move    bool // every transaction gets another backend than the one before, if that is possible
	movers  [2]*pgtest.Client
	turn    int
}

// sceneTables are what every script begins with.
const sceneTables = `set lock_timeout to '8s'; drop schema if exists public cascade; create schema public; grant all on schema public to app;
set role app; create table public.t (id int primary key, v text); insert into public.t select i, 'row ' || i from generate_series(1, 5) i;
create table public.e (id int primary key, v text); reset role`

// sceneSchema is of the tables of sceneTables what a catalog says.
var sceneSchema = []string{"create table t (id int primary key, v text)", "create table e (id int primary key, v text)"}

func newTheater(t testing.TB, c *pgcluster.Cluster) *theater {
	t.Helper()
	node := c.Shards[0].Primary
	super, err := pgconn.Connect(t.Context(), node.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = super.Close(context.Background()) })
	th := &theater{t: t, node: node, super: super}
	th.stages = append(th.stages, &stage{name: "PostgreSQL", address: node.Addr(),
		options: pgtest.Options{User: c.User, Password: c.Password, Database: c.Database}})
	return th
}

// add makes a proxy one more way to play scripts.
func (th *theater) add(name string, c *pgcluster.Cluster, o rigOptions, move bool) {
	if o.schema == nil && !o.keep {
		o.schema, o.tables = slices.Concat(demoSchema, sceneSchema), demoTables
	}
	o.connect = time.Minute // the machine may have much else to do
	r := startRig(th.t, c, o)
	st := &stage{name: name, address: r.addr, rig: r, exact: o.mode == ModeSession, move: move,
		options: pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database}}
	if move {
		for i := range st.movers {
			st.movers[i] = pgtest.Connect(th.t, r.addr, st.options)
		}
	}
	th.stages = append(th.stages, st)
}

// play plays a script on a stage, from the state that every script begins with.
func (th *theater) play(st *stage, steps []step) (*player, error) {
	if _, err := th.super.Exec(context.Background(), sceneTables).ReadAll(); err != nil {
		th.t.Fatalf("%v; the node was last told by %s:\n%s", err, th.last.name, th.told)
	}
	th.last, th.told = st, lines(steps)
	p := &player{address: st.address, options: st.options, look: th.super}
	if st.move {
		p.before = func() { st.shift(p) }
	}
	err := p.play(steps)
	if st.move {
		st.rest()
	}
	return p, err
}

// shift has the script's next transaction run on another backend than its last: of the two backends that there are, one is kept
// busy, each in turn. While a client of the script has a backend it keeps, both are free.
func (st *stage) shift(p *player) {
	if st.busy(p) {
		st.rest()
		return
	}
	st.turn = 1 - st.turn
	st.mover(st.turn, "begin; select 1")
	st.mover(1-st.turn, "rollback")
}

func (st *stage) mover(i int, sql string) {
	m := st.movers[i]
	if (sql == "rollback") == (m.Status == 'I') {
		return
	}
	if lines, err := m.Query(sql); err != nil {
		panic(fmt.Sprint(st.name, " mover ", i, " ", sql, " ", lines, err))
	}
}

func (st *stage) rest() {
	st.mover(0, "rollback")
	st.mover(1, "rollback")
}

// busy reports whether a client of the script has a backend, once all of them are done with what they were sent.
func (st *stage) busy(p *player) bool {
	for until := time.Now().Add(100 * time.Millisecond); ; {
		active, has := false, false
		for _, c := range st.rig.server.Clients() {
			mine := slices.ContainsFunc(clientsOf(p), func(a *actor) bool { return a.PID == c.PID })
			has = has || mine && len(c.Backends) > 0
			active = active || mine && c.State == ClientActive
			if !mine && !st.isMover(c.PID) {
				active = true // it is leaving
			}
		}
		if !active || time.Now().After(until) {
			return has || active
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func (st *stage) isMover(pid uint32) bool {
	return st.movers[0].PID == pid || st.movers[1].PID == pid
}

func clientsOf(p *player) []*actor {
	var list []*actor
	for _, a := range p.clients {
		list = append(list, a)
	}
	return list
}

// compare plays a script everywhere and returns the first stage that differs from PostgreSQL, and how.
func (th *theater) compare(steps []step) (truth *player, difference string) {
	return th.compareOn(th.stages[1:], steps)
}

// compareOn is compare for some of the stages.
func (th *theater) compareOn(stages []*stage, steps []step) (truth *player, difference string) {
	truth, err := th.play(th.stages[0], steps)
	if err != nil {
		return truth, "PostgreSQL: " + err.Error() + "\n" + strings.Join(truth.trace, "\n")
	}
	for _, st := range stages {
		p, err := th.play(st, steps)
		if d := differ(reportsFirst(truth.trace), reportsFirst(p.trace), st.exact); d != "" || err != nil {
			if err != nil {
				d += "\n" + err.Error()
			}
			return truth, st.name + ":\n" + d
		}
	}
	return truth, ""
}

// reportsFirst has settings reported before the notifications beside them: both come when they come.
func reportsFirst(trace []string) []string {
	trace = slices.Clone(trace)
	for i := range trace {
		for j := i; j > 0 && strings.Contains(trace[j], " B ParameterStatus ") && strings.Contains(trace[j-1], " B NotificationResponse "); j-- {
			trace[j-1], trace[j] = trace[j], trace[j-1]
		}
	}
	return trace
}

// differ shows two traces from shortly before where they part; it is empty when they do not.
func differ(want, got []string, exact bool) string {
	at := 0
	for at < len(want) && at < len(got) && (want[at] == got[at] || !exact && abortedEither(want[at], got[at])) {
		at++
	}
	if at == len(want) && at == len(got) {
		return ""
	}
	from := max(0, at-6)
	tail := func(list []string) string {
		return "\t" + strings.Join(list[at:min(len(list), at+8)], "\n\t")
	}
	return "both:\n\t" + strings.Join(want[from:at], "\n\t") + "\nPostgreSQL:\n" + tail(want) + "\nPgDrover:\n" + tail(got)
}

// abortedEither reports two errors, of which PgDrover's is that the transaction is aborted: a backend that has not known a statement
// before the transaction was aborted has nothing else to say of it.
func abortedEither(want, got string) bool {
	return strings.Contains(want, " B ErrorResponse ") && strings.Contains(got, ` C "25P02" `)
}

// TestTransparency plays the scripts of testdata/session: what a client gets through a one-shard PgDrover is what PostgreSQL
// says, frame by frame. The files say in brief what that is. What still differs, and no script shows (in session mode that
// is what docs/design/0008 lists):
//
//   - An application that has not named itself is called pgdrover, and in_hot_standby is not reported.
//   - The state of a server process that nothing holds a backend for does not follow: currval and lastval, setseed, what DO, CALL
//     and functions set without its being reported; pg_prepared_statements, pg_cursors
//     and pg_listening_channels show the backend's own, as current_query() and pg_stat_activity do the text of an EXECUTE.
//   - A transaction begins on the backend with its first statement: now() is of that moment.
//   - A Parse that is answered for a backend takes no snapshot there: SET TRANSACTION may still follow it. After DDL past PgDrover a
//     backend that has not known a statement prepares it anew, where PostgreSQL says 0A000 (docs/design/0007).
//   - Of a setting that is reported and a notification at the end of one transaction, either may come first.
//   - A backend on which somebody had a temporary table has the schema pg_temp, empty. A statement that was prepared before a temporary
//     table hides its own means that one, also if it is not the session's first.
//   - The name of a setting of nobody's own stays known to a backend, with an empty value.
//   - The loss of a backend is an ERROR that the session survives, unless it held the backend.
//   - A message of an impossible length is refused with a FATAL error, where PostgreSQL closes without a word.
func TestTransparency(t *testing.T) {
	t.Parallel()
	c := pgcluster.Test(t, pgcluster.Config{Settings: map[string]string{"max_prepared_transactions": "5"}})
	th := newTheater(t, c)
	th.add("PgDrover", c, rigOptions{size: 4}, false)
	th.add("PgDrover, moving", c, rigOptions{size: 2}, true)
	th.add("PgDrover, moving, 2 statements", c, rigOptions{size: 2, limits: Limits{Statement: time.Hour, IdleTransaction: time.Hour},
		config: func(c *Config) { c.Statements = 2 }}, true)
	th.add("PgDrover, session mode", c, rigOptions{size: 4, mode: ModeSession}, false)
	t.Run("many statements", func(t *testing.T) { testManyStatements(t, th) })
	casefile.RunDir(t, "../testdata/session", func(t *testing.T, c *casefile.Case) string {
		stages := th.stages[1:]
		switch c.Command {
		case "play":
		case "direct":
			stages = stages[len(stages)-1:]
		default:
			t.Fatalf("no such command: %s", c.Command)
		}
		c.Args()
		steps, err := parseScript(c.Input)
		if err != nil {
			t.Fatal(err)
		}
		truth, difference := th.compareOn(stages, steps)
		if difference != "" {
			t.Errorf("%s:%d: %s\n%s", c.File, c.Line, c.Args(), difference)
		}
		return strings.Join(truth.brief, "\n") + "\n"
	})
}

func lines(steps []step) string {
	var b strings.Builder
	for _, st := range steps {
		b.WriteString(st.line + "\n")
	}
	return b.String()
}
