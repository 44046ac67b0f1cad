package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// listStatements name tenants of several shards, and are answered as one server with all rows would. Writes come among them: the tables
// are the same at the end.
var listStatements = []string{
	"select * from users where tenant_id in (1, 2, 3, 4, 5, 6)", "select count(*), sum(total), avg(weight) from orders where tenant_id in (1, 2, 3, 4)",
	"select * from orders where tenant_id in (1, 2, 3, 4, 5) order by tenant_id desc, id limit 7 offset 2 /* in order */",
	"select name, count(*) from users where tenant_id = any ('{1,2,3,7,8,9}') group by name order by name nulls first /* in order */",
	"select tenant_id, id from orders where tenant_id = any (array[9, 10, 11, 12]) and total > 20", "select * from paid where tenant_id in (3, 4, 5, 6)",
	"select * from orders where tenant_id = 1 or tenant_id = 2 or tenant_id = 3", "select id from orders where (tenant_id = 1 and id = 2) or (tenant_id = 4 and id = 3) or (tenant_id = 5 and id in (4, 5))",
	"select tenant_id, total from orders where (tenant_id, id) in ((1, 2), (2, 3), (3, 4), (4, 1)) order by 1 /* in order */",
	"select o.tenant_id, o.id, i.line from orders o join items i on i.tenant_id = o.tenant_id and i.order_id = o.id where o.tenant_id in (1, 4, 7) order by 1, 2, 3 /* in order */",
	"select o.id from orders o left join users u using (tenant_id, id) where tenant_id in (1, 2, 3, 30)", "select distinct status from orders where tenant_id in (1, 2, 3) order by status /* in order */",
	"select v.n, count(*) from orders o join (values (1, 'a'), (2, 'b'), (3, 'a'), (4, 'c')) v (t, n) on o.tenant_id = v.t group by v.n",
	"select (select count(*) from items i where i.tenant_id = o.tenant_id and i.order_id = o.id), o.id from orders o where o.tenant_id in (5, 6, 7)",
	"select string_agg(name, ',' order by tenant_id, id) from users where tenant_id in (1, 2, 3, null, 4)", "select * from orders where tenant_id in (1, 2, 3) and 1 / (id - 3) > 5",
	"select nosuch from orders where tenant_id in (1, 2, 3)", "with c as (select code from countries) select count(*) from orders o, c where tenant_id in (1, 2, 3)",
	"select count(*) from orders where tenant_id in (1, 2, 1, 2, 3, 1000000, -5, 3000000000)", "select id from orders o where tenant_id in (1, 2, 3) and exists (select from users u where u.tenant_id = o.tenant_id and u.id = o.user_id and u.active)",

	"select id, status from orders where tenant_id = 1 union all select id, name from users where tenant_id = 2 union all select id, code from orders where tenant_id in (3, 4)",
	"select id from orders where tenant_id = 1 union select id from users where tenant_id = 2 order by 1 desc limit 4 /* in order */",
	"select id from orders where tenant_id in (1, 3) except select id from users where tenant_id = 2", "select id from orders where tenant_id = 5 intersect all select id from orders where tenant_id in (2, 3)",
	"select 'orders' as what, count(*), max(total) from orders where tenant_id = 1 union all select 'users', count(*), null from users where tenant_id = 2 order by 1 /* in order */",
	"with a as (select id, total from orders where tenant_id = 1), b as (select id, total from orders where tenant_id = 2) select a.id, a.total - b.total from a full join b using (id)",
	"select (select count(*) from orders where tenant_id = 1), (select max(name) from users where tenant_id = 2), exists (select from items where tenant_id in (3, 4))",
	"select x.n, c.name from (select code, count(*) as n from orders where tenant_id in (1, 2, 3) group by code) x left join countries c on c.code = x.code",
	"(select tenant_id, id from orders where tenant_id = 1 order by id limit 2) union all (select tenant_id, id from orders where tenant_id = 2 order by id desc limit 2)",
	"select count(*) from (select id from orders where tenant_id = 1 union select id from users where tenant_id = 2) x",

	"insert into users (tenant_id, id, name) values (1, 100, 'a'), (2, 100, 'b'), (3, 100, 'c'), (4, 100, 'd'), (1, 101, 'e')",
	"insert into users (id, name, tenant_id) values (102, 'x''y', 1), (102, E'b\\\\s', 2), (102, $$q$$, 3) returning tenant_id, name, id * 2 as twice /* in order */",
	"insert into orders values (1, 200, 1, 'new', 1.5), (2, 200, 1, 'new', 2.5), (3, 200, 1, 'new', 3), (5, 200, 1, 'sent', null) returning * /* in order */",
	"insert into orders (tenant_id, id, status, total) values (1, 201, default, 1 + 1), (4, 201, upper('x'), default), (2, 201, (select name from countries where code = 'de'), 3)",
	"insert into orders (tenant_id, id, total) values (1, 200, 9), (2, 200, 9), (9, 200, 9) on conflict (tenant_id, id) do update set total = excluded.total returning tenant_id, id, total",
	"insert into orders (tenant_id, id, total) values (1, 200, 10), (2, 202, 10), (9, 200, 10), (3, 202, 10) on conflict do nothing returning tenant_id, id, total",
	"insert into orders (tenant_id, id) values (1, 1), (2, 300), (3, 300)", "insert into orders (tenant_id, id) values (1, 300), (2, 300), (3, 1)", "insert into orders (tenant_id, id, total) values (1, 300, 1), (2, 300, 'x')",
	"insert into orders (tenant_id, id) values (1, 300), (2, generate_series(300, 301))", "insert into orders (tenant_id, id, weight) values (1, 300, 1 / 0), (2, 300, 1)",
	"insert into orders as o (tenant_id, id, user_id) values (1, (select max(id) + 100 from users where tenant_id = 1), 3), (2, (select max(id) + 100 from users where tenant_id = 2), 4)",
	"insert into items (tenant_id, order_id, line, product) values (-1, 1, 1, 'a'), (3000000000, 1, 1, 'b'), ('7', 90, 1, 'c'), (8::bigint, 90, 1, 'd') returning tenant_id, product /* in order */",
	"insert into users (tenant_id, id) -- a comment, (1, 2)\n values (1, /* ( */ 110), -- )\n (2, 110), (3, 110) ;", "insert into users (tenant_id, id, name) values (11, 1, 'dup'), (12, 100, 'x')",
	"update orders set total = total + 1 where tenant_id in (1, 2, 3, 4) and id < 3", "update orders set status = 'moved' where tenant_id in (5, 6, 7) and id = 2 returning tenant_id, id, status",
	"update orders o set status = u.name from users u where u.tenant_id = o.tenant_id and u.id = o.user_id and o.tenant_id = any (array[8, 9, 10, 11])",
	"update orders set tenant_id = tenant_id, code = 'zz' where tenant_id in (12, 13, 14)", "update orders set id = 1 where tenant_id in (12, 13, 14)", "update orders set total = 5 where tenant_id in (1, 2, 3) and false",
	"update orders set total = (select sum(price) from items i where i.tenant_id = orders.tenant_id and i.order_id = orders.id) where tenant_id in (15, 16, 17) returning tenant_id, id, total",
	"delete from items where tenant_id in (1, 2, 3) and line = 2 returning *", "delete from items i using orders o where o.tenant_id = i.tenant_id and o.id = i.order_id and o.status = 'sent' and i.tenant_id in (18, 19, 20)",
	"delete from orders where tenant_id = 21 or tenant_id = 22 or tenant_id = 23", "delete from users where (tenant_id, id) in (select tenant_id, id from users where tenant_id in (24, 25, 26) and not active)",
	"insert into events (tenant_id, id, kind) select tenant_id, md5(tenant_id || 'y' || id)::uuid, status from orders where tenant_id in (1, 2, 3, 4) returning tenant_id, kind",
	"merge into orders o using (select * from users where tenant_id in (27, 28, 29)) u on o.tenant_id = u.tenant_id and o.id = u.id when matched and u.active then delete when matched then update set status = u.name when not matched then insert (tenant_id, id) values (u.tenant_id, u.id)",
}

// listStatement makes a statement of parts that go together.
func listStatement(rng *rand.Rand) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	tenant := func() int { return 1 + rng.IntN(30) }
	var in []string
	for range 2 + rng.IntN(5) {
		in = append(in, fmt.Sprint(tenant()))
	}
	list := strings.Join(in, ", ")
	where := pick("tenant_id in ("+list+")", "tenant_id = any (array["+list+"])", "tenant_id = any ('{"+list+"}')", "(tenant_id = "+strings.Join(in, " or tenant_id = ")+")")
	also := pick("", "", " and id < 4", " and id % 2 = 0", " and total > 30")
	if rng.IntN(6) == 0 {
		arm := fmt.Sprintf("select %s, status from orders where tenant_id = %d", pick("id", "id", "count(*) over ()"), tenant())
		return "select id, status from orders where " + where + also + " " + pick("union", "union all", "except", "intersect all") + " " + arm + pick("", " order by 1, 2 limit 6 /* in order */")
	}
	if rng.IntN(2) == 0 {
		var rows []string
		for range 1 + rng.IntN(6) {
			rows = append(rows, fmt.Sprintf("(%d, %s, %d)", 1000+rng.IntN(20000), pick("'a'", "default", "null", "upper('b')"), tenant()))
		}
		return "insert into orders (id, status, tenant_id) values " + strings.Join(rows, ", ") + pick(" on conflict do nothing", " on conflict (tenant_id, id) do nothing returning id", "", " returning tenant_id, id /* in order */")
	}
	return pick("select * from orders where "+where+also, "select status, count(*), max(total) from orders where "+where+also+" group by status",
		"select tenant_id, id, total from orders where "+where+also+" order by total desc nulls last, tenant_id, id limit 5 /* in order */",
		"update orders set total = coalesce(total, 0) + 1 where "+where+also+pick("", " returning tenant_id, id, total"),
		"delete from orders where "+where+" and id > "+fmt.Sprint(15000+rng.IntN(6000))+pick("", " returning tenant_id, id"))
}

// TestLists asks a proxy over three shards what it asks one server with all their rows, with statements that name tenants of several shards.
func TestLists(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 3, twoPhase: true})
	for _, mode := range []string{"default_query_exec_mode=simple_protocol", "default_query_exec_mode=describe_exec"} {
		statements := slices.Clone(listStatements)
		if mode != "default_query_exec_mode=simple_protocol" {
			statements = statements[:slices.IndexFunc(statements, func(s string) bool { return strings.HasPrefix(s, "insert") })]
		}
		rng := rand.New(rand.NewPCG(27, uint64(len(mode))))
		for range 500 {
			statements = append(statements, listStatement(rng))
		}
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
		for _, sql := range statements {
			if got, want := answerOf(t, conn, sql), answerOf(t, all, sql); !slices.Equal(got, want) {
				t.Errorf("%s, %s:\n%s", mode, sql, firstDifference(got, want))
			}
		}
		r.exec(conn, "set pgdrover.scatter = on")
		for _, table := range []string{"users", "orders", "items", "events"} {
			if got, want := answerOf(t, conn, "select * from "+table), answerOf(t, all, "select * from "+table); !slices.Equal(got, want) {
				t.Errorf("%s, %s:\n%s", mode, table, firstDifference(got, want))
			}
		}
	}
}
