package proxy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// utterance is what a client says in one go, and may leave out without the rest becoming senseless.
type utterance struct {
	client string
	lines  []string // messages; none: the client reads all it is owed
}

// improviser makes up conversations.
type improviser struct {
	*rand.Rand
	client string
}

func (im *improviser) one(of ...string) string { return of[im.IntN(len(of))] }

func (im *improviser) pick(of ...[]string) []string { return of[im.IntN(len(of))] }

func (im *improviser) conversation() []utterance {
	// What somebody else has left on a backend would show here.
	settings := []string{"Query select current_setting('timezone'), current_setting('work_mem'), current_setting('datestyle')"}
	talk := []utterance{{"a", settings}, {"a", nil}, {"b", settings}, {"b", nil}}
	for range 10 + im.IntN(25) {
		im.client = im.one("a", "a", "a", "b")
		u := utterance{client: im.client}
		if im.IntN(4) > 0 {
			u.lines = im.say()
		}
		for range strings.Count(strings.Join(u.lines, ";"), "execute s") { // of a COPY, perhaps
			u.lines = append(u.lines, im.copy()...)
		}
		talk = append(talk, u)
	}
	return talk
}

func (im *improviser) say() []string {
	switch im.IntN(16) {
	case 0, 1, 2:
		return []string{"Query " + im.sql()}
	case 3:
		return []string{"Query " + im.sql() + "; " + im.sql()}
	case 4:
		return append([]string{"Query copy e from stdin"}, im.copy()...)
	case 5:
		// A Parse that is answered for a backend takes no snapshot there, so an isolation level is chosen with nothing before it.
		return im.pick([]string{"Query " + im.control()}, []string{"Query " + im.control()}, []string{"Sync",
			"Query begin isolation level serializable"}, []string{"Sync", "Query begin; set transaction isolation level repeatable read"})
	case 6, 7:
		return im.batch(im.control())
	case 8, 9:
		return im.batch(im.extendedSQL())
	case 10:
		sql := im.extendedSQL()
		return []string{"Parse " + im.statementFor(sql) + " " + sql}
	case 11:
		s, p := im.statement(), im.portal()
		if p != "-" && (s == "s4" || s == "-") {
			s = "s1"
		}
		return append([]string{"Bind " + p + " " + s + im.values()}, im.execute(p)...)
	case 12:
		return []string{im.one("Describe P "+im.one("p1", "p2", "p3"), "Close P "+im.portal(), "Close S "+im.statement())}
	case 13:
		return im.execute(im.one("p1", "p2", "p3")) // Execute of the unnamed portal that a failed Query leaves crashes PostgreSQL 15
	case 14:
		return []string{im.one("FunctionCall 1397 -1 => 0", "FunctionCall 1397 seven => 1", "CopyDone", `CopyData "late"`)}
	}
	return []string{im.one("Sync", "Sync", "Flush")}
}

func (im *improviser) statement() string { return im.one("-", "-", "s1", "s2", "s3", "s4") }

// statementFor is a name that EXECUTE does not use if the statement ends a transaction, or statements: EXECUTE of one that ends
// itself crashes PostgreSQL 15.
func (im *improviser) statementFor(sql string) string {
	switch verb, _, _ := strings.Cut(sql, " "); verb {
	case "select", "insert", "update", "delete", "with", "values", "copy", "set", "show", "reset", "listen", "unlisten", "notify":
		return im.one("-", "-", "s1", "s2", "s3")
	}
	return im.one("-", "s4")
}

func isControl(sql string) bool {
	verb, _, _ := strings.Cut(strings.ToLower(sql), " ")
	return slices.Contains([]string{"begin", "commit", "rollback", "savepoint", "release", "start", "end", "abort", "deallocate"}, verb)
}

func (im *improviser) portal() string { return im.one("-", "-", "-", "p1", "p2") }

// batch is a whole use of a statement.
func (im *improviser) batch(sql string) []string {
	s, p := im.statementFor(sql), im.portal()
	switch { // of two portals by one name, which error comes first is known to a backend only that has both
	case isControl(sql) && p != "-":
		p = "p3"
	case s == "s4":
		p = "-"
	}
	lines := []string{"Parse " + s + " " + sql}
	if im.IntN(4) == 0 {
		lines = append(lines, "Describe S "+s)
	}
	lines = append(lines, "Bind "+p+" "+s+im.values())
	if im.IntN(2) == 0 {
		lines = append(lines, "Describe P "+p)
	}
	lines = append(lines, "Execute "+p)
	lines = append(lines, im.copy()...)
	if im.IntN(3) > 0 {
		lines = append(lines, "Sync")
	}
	return lines
}

// execute is followed by what ends a COPY, in case it is one.
func (im *improviser) execute(portal string) []string {
	return append([]string{"Execute " + portal + im.one("", "", " 1", " 2")}, im.copy()...)
}

func (im *improviser) copy() []string {
	data := `CopyData "` + strconv.Itoa(im.IntN(20)) + im.one(`\tcopied\n"`, `\tcopied\n"`, `\n"`)
	if im.client == "b" {
		data = `CopyData "bad\n"`
	}
	return []string{data, im.one("CopyDone", "CopyDone", `CopyFail "no"`)}
}

func (im *improviser) values() string {
	return im.one("", "", " 1", " 2", " x'00000003'", " NULL", " bad", " 1 2") + im.one("", "", " => 0", " => 1")
}

func (im *improviser) control() string {
	return im.one("begin", "begin", "begin", "commit", "commit", "rollback", "savepoint x", "savepoint y", "rollback to x",
		"release x", "rollback to y", "commit and chain", "start transaction read only", "end", "abort", "BEGIN /* ; */ READ WRITE")
}

func (im *improviser) extendedSQL() string {
	return im.one("select $1::int", "select id, v from t where id = $1 order by id", "select id from t order by id",
		"select 1 / ($1::int - 1)", "select $1::text, $2::int", "copy e from stdin", im.sql(), im.sql(), im.sql())
}

func (im *improviser) sql() string {
	n := strconv.Itoa(im.IntN(20))
	if im.IntN(8) == 0 { // a client hears its own alone: when another's arrive is not the same each time
		own := im.client + "_news"
		return im.one("listen "+own, "listen "+own, "unlisten "+own, "unlisten *", "notify "+own+", '"+n+"'", "notify "+own,
			"select pg_notify('"+own+"', '"+n+"')", "notify nobody", "listen "+own+"; notify "+own+"; select 1")
	}
	if im.client == "a" && im.IntN(3) == 0 {
		return im.one("insert into e values ("+n+", 'x')", "insert into e values ("+n+", 'x') on conflict do nothing returning id",
			"update e set v = 'y' where id < "+n, "delete from e where id = "+n, "create table made (x int)", "drop table if exists made",
			"select count(*) from made", "lock table e in share mode", "truncate e", "with w as (insert into e values ("+n+") returning id) select * from w",
			"prepare s2 as insert into e values ("+n+") returning id", "create table made as execute s3("+n+")",
			"declare c cursor for select id from t order by id", "fetch 2 from c", "close c", "move 1 in c")
	}
	return im.one("select "+n, "select id, v from t where id = "+n, "select * from t order by id", "select 1 / 0", "selekt", "select nosuch",
		"select count(*) from t", "show timezone", "show work_mem", "set timezone to 'Asia/Tokyo'", "set timezone to 'Europe/Berlin'",
		"reset timezone", "set local timezone to 'Asia/Seoul'", "set work_mem to '"+n+"MB'", "reset all", "set nosuch to 1",
		"select set_config('work_mem', '7MB', false)", "select set_config('TimeZone', 'UTC', true)", "deallocate all", "deallocate s1",
		"deallocate prepare s2", "prepare s1 as select 1", "prepare s3(int) as select $1 + 1", "execute s1", "execute s2(1)", "execute s3(2)",
		"prepare s2 (int) as select id, v from t where id = $1", "execute s2(nosuch)", "explain (costs off) execute s3(1)", "execute s3",
		"prepare s4 as select 4; execute s4; execute s1", "deallocate s4; prepare s4 as select 5", "select 'ä'; execute s3(4); deallocate s3",
		"discard all", "discard temp", "drop table if exists nosuch", "do $$ begin raise notice 'hello'; end $$",
		"copy (select id from t order by id) to stdout", "explain (costs off) select 1", "values (1), (2)", "select pg_notify('news', 'x')",
		"show transaction_isolation", "show transaction_read_only", "select current_setting('datestyle')", "set datestyle to 'German'",
		"set session characteristics as transaction read only", "set default_transaction_read_only to off")
}

// script writes a conversation down. Each client reads at the end.
func script(talk []utterance) string {
	var b strings.Builder
	owed := map[string]*owing{"a": {}, "b": {}}
	for _, u := range append(slices.Clone(talk), utterance{client: "a"}, utterance{client: "b"}) {
		o := owed[u.client]
		for _, line := range u.lines {
			fmt.Fprintf(&b, "%s: %s\n", u.client, line)
			o.note(line)
		}
		if len(u.lines) == 0 {
			o.read(&b, u.client)
		}
	}
	return b.String()
}

// owing is what a client is owed: how many ReadyForQuery, unless a Query came within a batch.
type owing struct {
	ready          int
	inBatch, vague bool
}

func (o *owing) note(line string) {
	switch verb, _, _ := strings.Cut(line, " "); verb {
	case "Sync":
		o.ready++
		o.inBatch = false
	case "Query", "FunctionCall":
		o.ready++
		o.vague = o.vague || o.inBatch
	case "CopyData", "CopyDone", "CopyFail":
	default:
		o.inBatch = true
	}
}

func (o *owing) read(b *strings.Builder, client string) {
	if o.inBatch {
		fmt.Fprintf(b, "%s: Sync\n", client)
		o.ready++
	}
	switch {
	case o.vague: // an empty query, which nobody else says, marks the end
		fmt.Fprintf(b, "%s: Query\n%s: until EmptyQueryResponse\n%s: ready\n", client, client, client)
	case o.ready > 0:
		fmt.Fprintf(b, "%s: ready %d\n", client, o.ready)
	}
	*o = owing{}
}

// TestImprovised plays conversations that nobody thought of. PGDROVER_IMPROVISE says for how long (default 5s), and
// PGDROVER_IMPROVISE_SEED which one to begin with.
func TestImprovised(t *testing.T) {
	span, seed := 5*time.Second, uint64(1)
	if testing.Short() {
		span = time.Second
	}
	if s := os.Getenv("PGDROVER_IMPROVISE"); s != "" {
		var err error
		if span, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		seed = rand.Uint64N(1 << 40)
	}
	if s := os.Getenv("PGDROVER_IMPROVISE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	c := pgcluster.Test(t, pgcluster.Config{})
	th := newTheater(t, c)
	th.add("PgDrover", c, rigOptions{size: 4}, false)
	th.add("PgDrover, moving", c, rigOptions{size: 2, config: func(c *Config) { c.Statements = 2 }}, true)
	for _, st := range th.stages {
		st.options.Timeout = 4 * time.Second
	}
	rounds := 0
	var before []utterance
	for until := time.Now().Add(span); time.Now().Before(until); rounds++ {
		im := &improviser{Rand: rand.New(rand.NewPCG(seed, 0))}
		talk := im.conversation()
		if d := th.tell(talk); d != "" {
			both := append(slices.Clone(before), talk...)
			if th.tell(talk) == "" && th.tell(both) != "" { // the one before has its part in it
				talk = both
			}
			less := th.shrink(talk)
			if again := th.tell(less); again != "" {
				t.Fatalf("seed %d:\n%s\n%s", seed, script(less), again)
			}
			t.Fatalf("seed %d, not each time:\n%s\nafter\n%s\n%s", seed, script(talk), script(before), d)
		}
		seed, before = seed+1, talk
	}
	t.Logf("%d conversations", rounds)
}

// tell plays a conversation everywhere and returns what differs.
func (th *theater) tell(talk []utterance) string {
	steps, err := parseScript(script(talk))
	if err != nil {
		th.t.Fatal(err)
	}
	_, difference := th.compare(steps)
	if strings.HasPrefix(difference, th.stages[0].name) { // it breaks the protocol
		return ""
	}
	return difference
}

// shrink leaves out of a conversation what does not matter to the difference.
func (th *theater) shrink(talk []utterance) []utterance {
	until := time.Now().Add(60 * time.Second)
	for size := max(1, len(talk)/2); size > 0; size /= 2 {
		for at := 0; at+size <= len(talk) && time.Now().Before(until); {
			less := slices.Delete(slices.Clone(talk), at, at+size)
			if th.tell(less) != "" {
				talk = less
			} else {
				at += size
			}
		}
	}
	for i := range talk {
		for j := 0; j < len(talk[i].lines) && time.Now().Before(until); {
			less := slices.Clone(talk)
			less[i].lines = slices.Delete(slices.Clone(talk[i].lines), j, j+1)
			if len(less[i].lines) > 0 && th.tell(less) != "" {
				talk = less
			} else {
				j++
			}
		}
	}
	return talk
}
