package proxy

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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
	free   bool // says also what is the same only where nothing may differ
}

func (im *improviser) one(of ...string) string { return of[im.IntN(len(of))] }

func (im *improviser) pick(of ...[]string) []string { return of[im.IntN(len(of))] }

func (im *improviser) conversation() []utterance {
	// What somebody else has left on a backend would show here.
	settings := []string{"Query select current_setting('timezone'), current_setting('work_mem'), current_setting('datestyle')"}
	clients := []string{"a", "a", "a", "b"}
	if im.IntN(4) == 0 {
		clients = append(clients, "c", "c")
	}
	talk := []utterance{{"a", settings}, {"a", nil}, {"b", settings}, {"b", nil}}
	for range 10 + im.IntN(25) {
		im.client = im.one(clients...)
		u := utterance{client: im.client}
		if im.IntN(4) > 0 {
			u.lines = im.say()
		}
		for range strings.Count(strings.Join(u.lines, ";"), "execute s") { // of a COPY, perhaps
			u.lines = append(u.lines, im.copy()...)
		}
		u.lines = im.flushed(u.lines)
		talk = append(talk, u)
	}
	return talk
}

// flushed puts a Flush somewhere among messages of the extended protocol.
func (im *improviser) flushed(lines []string) []string {
	if len(lines) < 2 || im.IntN(5) > 0 {
		return lines
	}
	return slices.Insert(lines, 1+im.IntN(len(lines)-1), "Flush")
}

func (im *improviser) say() []string {
	switch im.IntN(21) {
	case 0, 1, 2:
		return []string{"Query " + im.sql()}
	case 3:
		first, second := im.sql(), im.sql()
		return []string{"Query " + first + "; " + second}
	case 4:
		return append([]string{"Query copy e from stdin"}, im.copy()...)
	case 5:
		// A Parse that is answered for a backend takes no snapshot there, so an isolation level is chosen with nothing before it.
		return im.pick([]string{"Query " + im.control()}, []string{"Query " + im.control()}, []string{"Sync",
			"Query rollback", "Query begin isolation level serializable"}, []string{"Sync", "Query rollback", "Query begin; set transaction isolation level repeatable read"})
	case 6, 7:
		return im.batch(im.control())
	case 8, 9:
		return im.batch(im.extendedSQL())
	case 10:
		sql := im.extendedSQL()
		return []string{"Parse " + im.statementFor(sql) + " " + sql}
	case 11:
		s, p := im.statement(), im.portal()
		return append([]string{"Bind " + p + " " + s + im.values()}, im.execute(p)...)
	case 12:
		return []string{im.one("Describe P "+im.one("p1", "p2", "c", "h"), "Close P "+im.portal(), "Close S "+im.statement())}
	case 13:
		return im.execute(im.one("p1", "p2", "c", "h")) // Execute of the unnamed portal that a failed Query leaves crashes PostgreSQL 15
	case 14:
		return []string{im.one("FunctionCall 1397 -1 => 0", "FunctionCall 1397 seven => 1", "FunctionCall 177 x'00000001' x'00000002' => 1",
			"FunctionCall 177 1 NULL => 0", "FunctionCall 1 => 0", "CopyDone", `CopyData "late"`)}
	case 15:
		return im.pipeline()
	case 16:
		// Of EXECUTE, which s4 and the unnamed statement may be, PostgreSQL says what it was when it was prepared.
		return []string{"Describe S " + im.one("s1", "s2", "s3")}
	case 17:
		return []string{"Query " + im.kept()}
	case 18, 19:
		return im.reused()
	}
	return []string{im.one("Sync", "Sync", "Flush")}
}

// reused is what most drivers say for each query: an unnamed statement of a text that comes again.
func (im *improviser) reused() []string {
	sql := im.one("select id, v from t where id = $1", "select * from t where id = $1 limit 1", "select id, v from t where id = $1", "(20) select v from t where $1 = id and v is not null")
	if im.client == "a" && im.IntN(3) == 0 {
		sql = im.one("insert into e (id) values ($1)", "insert into e (id) values ($1) on conflict do nothing returning *", "delete from e where id = $1", "update e set v = 'z' where id = $1 returning v")
	}
	lines := []string{"Parse - " + sql}
	switch im.IntN(6) {
	case 0:
		lines = append(lines, "Describe S -", "Sync")
	case 1:
		lines = append(lines, "Describe S -")
	}
	for range 1 + im.IntN(5)/4 {
		lines = append(append(lines, "Bind - -"+im.values()), im.pick(nil, []string{"Describe P -"})...)
		lines = append(lines, "Execute -")
	}
	return append(lines, im.pick(nil, []string{"Sync"}, []string{"Sync"}, []string{"Sync"})...)
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

func (im *improviser) portal() string { return im.one("-", "-", "-", "p1", "p2") }

// batch is a whole use of a statement.
func (im *improviser) batch(sql string) []string {
	s, p := im.statementFor(sql), im.portal()
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

// pipeline is several uses of statements that are prepared already, or may be.
func (im *improviser) pipeline() []string {
	var lines []string
	for range 2 + im.IntN(6) {
		switch im.IntN(6) {
		case 0:
			lines = append(lines, im.one("Close S ", "Describe S ")+im.one("s1", "s2", "s3"))
		case 1:
			sql := im.extendedSQL()
			lines = append(lines, "Parse "+im.statementFor(sql)+" "+sql)
		case 2:
			lines = append(lines, im.one("Sync", "Flush"))
		default:
			s, p := im.one("s1", "s2", "s3"), im.portal()
			lines = append(append(lines, "Bind "+p+" "+s+im.values()), im.execute(p)...)
		}
	}
	return append(lines, "Sync")
}

// kept makes, uses and ends what keeps a backend.
func (im *improviser) kept() string {
	return im.one("create temp table tmp (x int)", "create temp table tmp on commit drop as select 1 as x", "select 2 as x into temp tmp", "select count(*) from tmp",
		"drop table if exists tmp", "drop table tmp", "discard temp", "discard temp",
		"declare h cursor with hold for select id from t order by id", "fetch 2 from h", "close h", "close all", "select pg_try_advisory_lock(1)",
		"select pg_advisory_unlock(1)", "select pg_advisory_unlock_all()", "select pg_try_advisory_lock_shared(2), pg_try_advisory_lock(3)",
		"begin; create temp table tmp (x int); rollback", "savepoint z", "rollback to z", "discard all")
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
	return im.one("", "", " 1", " 2", " x'00000003'", " NULL", " bad", " 1 2", " 7", " "+im.large()) + im.one("", "", " => 0", " => 1")
}

// large is a value that fills buffers.
func (im *improviser) large() string { return strings.Repeat("9", 1+im.IntN(40_000)) }

func (im *improviser) control() string {
	return im.one("begin", "begin", "begin", "commit", "commit", "rollback", "savepoint x", "savepoint y", "rollback to x",
		"release x", "rollback to y", "savepoint x", "release y", "rollback to x", "commit and chain", "rollback and chain", "start transaction read only", "end", "abort", "BEGIN /* ; */ READ WRITE")
}

func (im *improviser) extendedSQL() string {
	return im.one("select $1::int", "select id, v from t where id = $1 order by id", "select id from t order by id",
		"select 1 / ($1::int - 1)", "select $1::text, $2::int", "select length($1::text)", "copy e from stdin", "copy (select id from t order by id) to stdout with (format binary)", im.kept(), im.sql(), im.sql(), im.sql())
}

func (im *improviser) sql() string {
	n := strconv.Itoa(im.IntN(20))
	if im.IntN(8) == 0 { // a client hears its own alone: when another's arrive is not the same each time
		own := im.client + "_news"
		return im.one("listen "+own, "listen "+own, "unlisten "+own, "unlisten *", "notify "+own+", '"+n+"'", "notify "+own,
			"select pg_notify('"+own+"', '"+n+"')", "notify nobody", "listen "+own+"; notify "+own+"; select 1")
	}
	if im.free && im.IntN(4) == 0 {
		return im.one("select name, from_sql from pg_prepared_statements order by name", "select name from pg_cursors order by name",
			"do $$ begin execute 'deallocate s1'; end $$", "do $$ begin execute 'prepare s2 as select 2'; end $$",
			"do $$ begin perform set_config('work_mem', '"+n+"MB', false); end $$", "set my.own to '"+n+"'", "reset my.own",
			"select current_setting('my.own', true)", "create temp table mine (x int)", "select count(*) from mine", "drop table mine",
			"set transaction isolation level serializable", "set transaction read only", "select now() = statement_timestamp()",
			"select pg_advisory_lock_shared("+n+")", "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
			"select count(*) from pg_listening_channels()", "declare h cursor with hold for select id from t",
			"fetch 1 from h", "close all", "discard plans", "discard sequences", "set local my.own to 'here'")
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
		"copy (select id from t order by id) to stdout", "select repeat('x', "+n+"000)", "explain (costs off) select 1", "values (1), (2)", "select pg_notify('news', 'x')",
		"show transaction_isolation", "show transaction_read_only", "select current_setting('datestyle')", "set datestyle to 'German'",
		"set session characteristics as transaction read only", "set default_transaction_read_only to off")
}
