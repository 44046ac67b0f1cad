package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// scatterSchema is on the shards, and in one database that has all tenants' rows.
var scatterSchema = []string{
	`create type mood as enum ('sad', 'ok', 'happy')`,
	`create table users (tenant_id bigint not null, id int not null, name text, email varchar(40) collate "C", active boolean, mood mood, born date, primary key (tenant_id, id))`,
	`create table orders (tenant_id bigint not null, id int not null, user_id int, status text, total numeric(12, 2), weight float8, code char(4), at timestamptz, tags text[], primary key (tenant_id, id))`,
	`create table items (tenant_id bigint not null, order_id int not null, line int not null, product text, price numeric, took interval, primary key (tenant_id, order_id, line))`,
	`create table events (tenant_id bigint not null, id uuid primary key, kind text, data jsonb, n smallint)`,
	`create table payments (tenant_id bigint not null, id int not null, order_id int, amount numeric(12, 2), method text, paid timestamp, primary key (tenant_id, id))`,
	`create table notes (tenant_id bigint not null, id int not null, user_id int, body text, stars smallint, primary key (tenant_id, id))`,
	`create table countries (code text primary key, name text)`,
	`create table currencies (code char(3) primary key, rate numeric)`,
	`create view by_status (label, n, volume) as select status, count(*), sum(total) from orders group by status`,
	`create view contacts as select tenant_id, name as who from users union all select tenant_id, body from notes`,
	`create view paid as select o.tenant_id, o.id, o.total, u.name from orders o join users u using (tenant_id, id) where status = 'paid'`,
}

// scatterRows are the rows of one tenant.
func scatterRows(k int64) []string {
	return []string{
		fmt.Sprintf(`insert into users select %d, i, (array['Ärger','zoe','Zoe','ann','', null])[1 + (%[1]d * 7 + i) %% 6], 'u' || i || '@x', i %% 3 = 0,
			(array['sad','ok','happy', null]::mood[])[1 + (%[1]d + i) %% 4], date '2020-01-01' + i * %[1]d::int from generate_series(1, 4) i`, k),
		fmt.Sprintf(`insert into orders select %d, i, 1 + i %% 4, (array['new','paid','sent', null])[1 + (%[1]d + i * 3) %% 4], (i * 37 + %[1]d) %% 91 + 0.25, ((i * %[1]d) %% 13) / 2.0,
			'c' || i %% 3, timestamptz '2021-05-05 10:00+00' + i * %[1]d * interval '1 hour', case when i %% 2 = 0 then array['a', '"q"', 'b,' || i] end from generate_series(1, 6) i`, k),
		fmt.Sprintf(`insert into items select %d, o, l, (array['pen','ink', E'back\\slash', '{}'])[1 + (o + l) %% 4], (o * l + %[1]d) / 3.0, o * interval '20 min' from generate_series(1, 6) o, generate_series(1, 2) l`, k),
		fmt.Sprintf(`insert into events select %d, md5(%[1]d || 'x' || i)::uuid, 'k' || i %% 2, jsonb_build_object('a', i, 'b', 'x"y'), i from generate_series(1, 3) i`, k),
		fmt.Sprintf(`insert into payments select %d, i, 1 + i %% 6, (i * 53 + %[1]d) %% 71 + 0.5, (array['card','cash', null])[1 + (%[1]d + i) %% 3], timestamp '2021-05-06' + i * %[1]d * interval '3 hours'
			from generate_series(1, 4) i`, k),
		fmt.Sprintf(`insert into notes select %d, i, 1 + i %% 4, (array['zoe','late','', null, 'paid'])[1 + (%[1]d * 3 + i) %% 5], (%[1]d + i) %% 6 from generate_series(1, 3) i`, k),
	}
}

// scatterShared are the rows of the reference tables.
const scatterShared = "insert into countries values ('de', 'Germany'), ('fr', 'France'); insert into currencies values ('eur', 1), ('usd', 1.1), ('chf', 0.95)"

// scatterRig is a proxy over three shards, and a database with the rows of all of them.
func scatterRig(t *testing.T, o rigOptions) (r *rig, one string) {
	t.Parallel()
	c := pgcluster.Test(t, pgcluster.Config{Shards: 3})
	o.schema, o.tables = scatterSchema, demoTables+"  currencies: reference\n"
	r = startRig(t, c, o)
	first := r.direct(c.Shards[0].Primary.SuperuserURL())
	if _, err := first.Exec(t.Context(), "create database one owner "+c.User); err != nil {
		t.Fatal(err)
	}
	u := c.Shards[0].Primary.URL()
	one = u[:strings.LastIndex(u, "/")] + "/one"
	all := r.direct(one)
	run := func(conn *pgx.Conn, sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range scatterSchema {
		run(all, sql)
	}
	nodes := make([]*pgx.Conn, len(c.Shards))
	for i, sh := range c.Shards {
		nodes[i] = r.direct(sh.Primary.URL())
		run(nodes[i], scatterShared)
	}
	run(all, scatterShared)
	for k := range int64(30) {
		for _, sql := range scatterRows(k + 1) {
			run(nodes[r.shardOf(k+1)], sql)
			run(all, sql)
		}
	}
	return r, one
}

// answerOf is what a statement gives: its columns and rows, or its SQLSTATE. Rows that no ORDER BY puts in order are sorted.
func answerOf(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	var list []string
	head := ""
	if err == nil {
		for rows.Next() {
			var b strings.Builder
			for _, v := range rows.RawValues() {
				if v == nil {
					b.WriteString("NULL|")
				} else {
					fmt.Fprintf(&b, "%q|", v)
				}
			}
			list = append(list, b.String())
		}
		for _, f := range rows.FieldDescriptions() {
			if f.DataTypeOID >= 16384 {
				f.DataTypeOID = 16384 // of a type that each database has made itself
			}
			head += fmt.Sprintf("%s %d %d %d|", f.Name, f.DataTypeOID, f.TypeModifier, f.Format)
		}
		err = rows.Err()
	}
	if err != nil {
		for _, code := range []string{"22012", "42703", "42803", "42883", "22003", "2201W", "2201X", "42P10", "22P02", "23505", "23502", "21000", "23514", "0A000", "42804"} {
			if isCode(err, code) {
				return []string{code}
			}
		}
		t.Errorf("%s: %v", sql, err)
	}
	if !strings.Contains(sql, "/* in order */") {
		slices.Sort(list)
	}
	return append(list, head, rows.CommandTag().String())
}

// scatterStatements are answered as one server with all rows would, by those who ask for scatter.
var scatterStatements = []string{
	"select * from users", "select count(*) from orders", "select tenant_id, id from orders where total > 40",
	"select * from orders order by tenant_id, id /* in order */", "select *, total * 2 as twice from orders order by twice desc, tenant_id, id limit 7 /* in order */",
	"select id as total, tenant_id from orders order by total, tenant_id offset 100 /* in order */", "select name from users order by name collate \"C\" nulls first, tenant_id, id limit 20 offset 3 /* in order */",
	"select name, email from users order by 1, 2, tenant_id /* in order */", "select email from users order by email desc, tenant_id limit 9 /* in order */",
	"select distinct status from orders order by status /* in order */", "select distinct name, mood from users", "select distinct on (status) status, total, tenant_id, id from orders order by status, total desc, tenant_id, id /* in order */",
	"select mood, count(*) from users group by mood order by mood desc /* in order */", "select status, sum(total), avg(total), min(at), max(code), count(user_id) from orders group by status",
	"select sum(id), sum(total), sum(weight), avg(id), avg(total), avg(weight), min(weight), bool_and(id > 0) from orders", "select sum(took), avg(took), max(took) from items",
	"select avg(n), sum(n), min(n), bit_or(n) from events", "select count(*) filter (where active), count(*) from users where tenant_id > 10",
	"select status, count(*) as n from orders group by 1 having count(*) > 40 order by n desc, status limit 2 /* in order */", "select count(*) > 3 as many, upper(status) from orders group by status",
	"select coalesce(status, '-') as s, sum(total) / count(*) from orders group by s", "select date_trunc('day', at) as d, count(*) from orders group by d order by d limit 5 /* in order */",
	"select count(distinct status), count(distinct name) from orders o join users u using (tenant_id)", "select status, array_agg(id order by id, tenant_id) from orders group by status",
	"select string_agg(name, ',' order by tenant_id, id) from users", "select status, code, count(*) from orders group by rollup (status, code)", "select stddev(total), round(variance(weight)::numeric, 6) from orders",
	"select percentile_cont(0.5) within group (order by total) from orders", "select mode() within group (order by status) from orders where status is not null",
	"select tenant_id, id, row_number() over (order by total, tenant_id, id) from orders", "select id, sum(total) over w from orders window w as (partition by tenant_id order by id)",
	"select json_agg(kind order by kind) from events where n = 1", "select jsonb_object_agg(id, kind) from events", "select o.tenant_id, u.name, i.price from orders o join users u on u.tenant_id = o.tenant_id and u.id = o.user_id left join items i on i.tenant_id = o.tenant_id and i.order_id = o.id and i.line = 2",
	"select c.name, count(*) from orders o join countries c on c.code = 'd' || substr(o.code, 1, 0) || 'e' group by c.name", "select u.tenant_id, x.n from users u join (select tenant_id, count(*) as n from orders group by tenant_id) x on x.tenant_id = u.tenant_id",
	"select id from orders o where exists (select from items i where i.tenant_id = o.tenant_id and i.order_id = o.id and i.price > 3) and not exists (select from users u where u.tenant_id = o.tenant_id and u.id = o.id)",
	"select id, (select count(*) from items i where i.tenant_id = o.tenant_id and i.order_id = o.id) as n from orders o order by n desc, tenant_id, id limit 5 /* in order */",
	"with c as (select code from countries) select count(*) from orders o, c", "select tags from orders order by tags nulls last, tenant_id, id limit 4 /* in order */", "select tags, count(*) from orders group by tags",
	"select data, id from events order by data, id /* in order */", "select born, active from users where mood is null order by born, tenant_id, id /* in order */", "select max(name), min(email), max(name collate \"C\") from users",
	"select total from orders order by total fetch first 3 rows with ties", "select id from orders order by tenant_id, id limit 0", "select id from orders limit null", "select count(*) from orders where false",
	"select status, count(*) from orders where false group by status", "select max(id) from orders having count(*) > 1000", "select o from orders o order by o.tenant_id, o.id limit 2 /* in order */",
	"select * from paid", "select name, count(*), sum(total) from paid group by name", "select p.name, i.price from paid p join items i on i.tenant_id = p.tenant_id and i.order_id = p.id",
	"select x.s, count(*) from (select tenant_id, upper(status) as s from orders where id > 2) x group by x.s",
	"select 1 as one, 'x' as x, null as n from users limit 3", "select status as count, count(*) from orders group by status", "select 1/(id - 3) from orders", "select nosuch from orders order by 1", "select name, count(*) from users",
	"select tenant_id, count(*) from orders group by tenant_id, id having id = 3 order by tenant_id limit 4 /* in order */", "select 'a\"b\\c' as q, count(*) from users", "select E'\\\\x' || status from orders group by 1",
}

// scatterQueries makes statements of parts that go together.
func scatterQuery(rng *rand.Rand) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	from := pick("orders o", "orders o join users u on u.tenant_id = o.tenant_id and u.id = o.user_id", "orders o join users u using (tenant_id)",
		"orders o left join items u on u.tenant_id = o.tenant_id and u.order_id = o.id", "orders o join countries u on true")
	where := pick("", "", " where o.total > "+fmt.Sprint(rng.IntN(90)), " where o.status = 'paid' or o.id < 3", " where o.code like 'c%' and o.status is not null",
		" where o.at between '2021-05-06' and '2021-07-01'", " where o.id in (1, 2, 5)")
	cols := []string{"o.id", "o.status", "o.total", "o.weight", "o.code", "o.at", "upper(o.status)", "o.total + o.id", "o.tags", "o.id % 3", "coalesce(o.status, 'none')"}
	some := func(n int) []string {
		var list []string
		for range n {
			list = append(list, cols[rng.IntN(len(cols))])
		}
		return list
	}
	limit := pick("", "", fmt.Sprintf(" limit %d", rng.IntN(20)), fmt.Sprintf(" limit %d offset %d", rng.IntN(20), rng.IntN(30)))
	dir := func() string { return pick("", " desc", " nulls first", " desc nulls last") }
	if rng.IntN(2) == 0 {
		list := some(1 + rng.IntN(3))
		order := list[0] + dir() + ", o.tenant_id, o.id"
		for _, c := range list[1:] {
			order += ", " + c
		}
		if strings.Contains(from, " u") { // several rows for an order: the whole row has to be equal then
			return "select " + strings.Join(list, ", ") + " from " + from + where + " order by " + order + limit + " /* in order */"
		}
		return pick("select ", "select distinct o.tenant_id, o.id, ") + strings.Join(list, ", ") + " from " + from + where + " order by " + order + limit + " /* in order */"
	}
	groups := some(rng.IntN(3))
	aggregates := []string{"count(*)", "count(o.status)", "sum(o.total)", "sum(o.id)", "avg(o.total)", "avg(o.id)", "min(o.at)", "max(o.status)", "sum(o.weight)", "avg(o.weight)",
		"bool_or(o.id > 3)", "count(*) filter (where o.id > 2)", "sum(o.total) - avg(o.id)", "count(distinct o.status)", "max(o.total) * count(*)", "array_agg(o.id order by o.id)"}
	list := slices.Clone(groups)
	for range 1 + rng.IntN(3) {
		list = append(list, aggregates[rng.IntN(len(aggregates))])
	}
	sql := "select " + strings.Join(list, ", ") + " from " + from + where
	if len(groups) > 0 {
		sql += " group by " + strings.Join(groups, ", ") + pick("", "", " having count(*) > "+fmt.Sprint(rng.IntN(30)))
		order := make([]string, len(list))
		for i := range list {
			order[i] = fmt.Sprint(i+1) + dir()
		}
		sql += " order by " + strings.Join(order, ", ") + limit + " /* in order */"
	}
	return sql
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("line %d of %d and %d:\n got %s\nwant %s", i, len(got), len(want), g, w)
		}
	}
	return ""
}

// TestScatter asks a proxy over three shards what it asks one server with all their rows: the answers are the same.
func TestScatter(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 3})
	statements := slices.Concat(scatterStatements, composedStatements, orderedStatements)
	rng := rand.New(rand.NewPCG(3, 14))
	for range 700 {
		statements = append(statements, scatterQuery(rng), composedQuery(rng))
	}
	for i := range 500 {
		statements = append(statements, tenantQuery(rng, int64(1+i%30)))
	}
	if len(statements) < 2000 {
		t.Errorf("only %d statements are compared", len(statements))
	}
	for _, mode := range []string{"default_query_exec_mode=simple_protocol", "default_query_exec_mode=describe_exec"} { // values as text, and binary
		cfg, err := pgx.ParseConfig(one + "?" + mode)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close(t.Context())
		conn := r.connect(mode)
		r.exec(conn, "set pgdrover.scatter = on")
		for _, sql := range statements {
			if got, want := answerOf(t, conn, sql), answerOf(t, all, sql); !slices.Equal(got, want) {
				t.Errorf("%s, %s:\n%s", mode, sql, firstDifference(got, want))
			}
		}
	}
}
