package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// composedStatements are answered from the rows of several queries that all shards answer.
var composedStatements = []string{
	"select id from orders union all select id from users", "select id, status from orders union all select id, name from users order by 2 desc nulls last, id limit 30 offset 4 /* in order */",
	"select tenant_id, id from orders where total > 60 union all select tenant_id, id from notes union all select 0, line from items where price > 3",
	"select status from orders union select name from users order by 1 /* in order */", "select name from users except select body from notes", "select name from users intersect select body from notes",
	"select name from users except all select body from notes order by 1 /* in order */", "select name from users intersect all select body from notes",
	"(select status from orders union select 'none') except select method from payments order by status limit 2 /* in order */", "select null, id from users union select total, id from orders",
	"select 'orders' as what, count(*) from orders union all select 'users', count(*) from users union all select 'countries', count(*) from countries",
	"(select id from orders order by total desc, tenant_id, id limit 3) union all (select id from users order by tenant_id, id limit 2) /* in order */",
	"select 1.5 as x from users union select id from orders union select stars from notes order by x /* in order */", "select '2021-05-06' from users union select paid from payments where id = 1",
	"select * from (select status, count(*) from orders group by status) x", "select avg(n), max(n) from (select tenant_id, count(*) as n from orders where total > 20 group by tenant_id) x",
	"select s, rank() over (order by n desc, s) from (select status as s, count(*) as n from orders group by status) x order by 2, 1 /* in order */",
	"select * from (select distinct tenant_id from orders) x order by 1 /* in order */", "select count(*) from (select distinct status, code from orders) x", "select * from (select max(id), min(total) from orders) x",
	"select * from (select tenant_id, id, total from orders order by total desc, tenant_id, id limit 5) x order by total, tenant_id, id /* in order */",
	"with x as (select * from orders) select count(*), sum(total) from x", "with x as (select status, sum(total) as s from orders group by 1), y as (select * from x where s > 100) select x.status, y.s from x left join y using (status)",
	"with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select i, (select count(*) from orders) from n",
	"with top as (select tenant_id, sum(amount) as s from payments group by tenant_id order by s desc, tenant_id limit 3) select top.*, c.name from top, countries c order by 1, 2, 3 /* in order */",
	"select (select count(*) from orders), (select max(name) from users), (select sum(amount) from payments where method = 'card')", "select exists (select from orders where total > 1000), 5 in (select id from orders)",
	"select name from countries where code in (select 'd' || 'e' from orders)", "select name, (select count(*) from orders) from countries where exists (select from users where active)",
	"select * from by_status order by label /* in order */", "select b.label, c.name, n > 10 from by_status b cross join countries c", "select x.a, x.b from by_status as x(a, b) where b > 40", "select who, count(*) from contacts group by who",
	"select * from contacts where who = 'zoe' order by tenant_id, who /* in order */", "select array(select distinct status from orders order by 1)", "select from orders limit 5", "select from orders",
	"select (select count(*) from orders where tenant_id in (3, 5, 8, 13)), (select count(*) from users)",
	"select x.status, x.n, y.n from (select status, count(*) as n from orders group by 1) x full join (select method as status, count(*) as n from payments group by 1) y using (status)",
	"values (1, (select count(*) from orders)), (2, (select count(*) from notes))", "select a.n - b.n from (select count(*) as n from orders) a, (select count(*) as n from items) b",
	"select (select id from orders)", "select * from (select status, count(*) from orders group by status) x(label, n) where n / (n - n) > 0",
	"select o.code, sum(x.s) from (select code, sum(total) as s from orders group by code, status) x join (select distinct code from orders) o on o.code = x.code group by o.code order by 1 /* in order */",
}

// orderedStatements are merged, by every type that can be: the keys are in the answer, so that the rows are the same where they are equal.
var orderedStatements = []string{
	"select (case id % 6 when 0 then 'NaN' when 1 then 'Infinity' when 2 then '-Infinity' when 3 then '0' else null end)::numeric as x, tenant_id, id from orders order by x desc, 2, 3 /* in order */",
	"select (total - 45) * (10::numeric ^ (id * 3 - 9)) as x, tenant_id, id from orders order by x, 2, 3 /* in order */", "select (case when id % 2 = 0 then -1 else 1 end) * (100000000 + id * 10000)::numeric as x, tenant_id, id from orders order by 1, 2, 3 /* in order */",
	"select (case id when 1 then 'NaN' when 2 then 'Infinity' when 3 then '-Infinity' when 4 then '-0' else '0' end)::float8 as x, tenant_id, id from orders order by x desc nulls first, 2, 3 limit 90 offset 11 /* in order */",
	"select weight::float4 - 3, tenant_id, id from orders order by 1 desc, 2 desc, 3 desc /* in order */", "select id, tenant_id, n from events order by id desc /* in order */", "select n, id from events order by n desc, id limit 17 /* in order */",
	"select active, tenant_id, id from users order by active desc, 2, 3 /* in order */", "select born, tenant_id, id from users order by born desc, 2, 3 offset 30 /* in order */", "select paid::time, paid, tenant_id, id from payments order by 1, 2, 3, 4 limit 40 /* in order */",
	"select at, tenant_id, id from orders order by at desc, 2, 3 limit 0 /* in order */", "select (case when id = 1 then 'infinity' when id = 2 then '-infinity' else at end)::timestamptz as x, tenant_id, id from orders order by x, 2, 3 /* in order */",
	"select email, tenant_id, id from users order by email desc, tenant_id, id /* in order */", "select name collate \"C\" as x, tenant_id, id from users order by x nulls first, 2, 3 limit 50 offset 50 /* in order */", "select convert_to(coalesce(name, ''), 'UTF8') as x, tenant_id, id from users order by x, 2, 3 /* in order */",
	"select o.tenant_id, o.id, i.line from orders o left join items i on i.tenant_id = o.tenant_id and i.order_id = o.id and i.line > 1 order by i.line desc, o.tenant_id desc, o.id /* in order */", "select *, total * 2 as twice from orders order by twice, tenant_id, id limit 33 /* in order */",
	"select generate_series(1, 2) as n, tenant_id, id from users order by n, 2, 3 /* in order */", "select 1 / (id - 4) as x, tenant_id from orders order by x", "select id, tenant_id from orders order by tenant_id, id limit -1", "select id from orders order by id limit null",
}

// picks chooses parts for statements.
type picks struct{ *rand.Rand }

func (p picks) one(list ...string) string { return list[p.IntN(len(list))] }

func (p picks) sometimes(s string) string { return p.one("", s) }

// composedQuery makes statements of queries that all shards can answer each by itself.
func composedQuery(rng *rand.Rand) string {
	p := picks{rng}
	switch p.IntN(5) {
	case 0:
		return p.setOperation("") + p.one(" order by 1, 2", " order by 2 desc, 1 nulls first", " order by 1 desc nulls last, 2 limit "+fmt.Sprint(p.IntN(30))) + " /* in order */"
	case 1:
		x := p.grouped("")
		return p.outer("(" + x + ") x")
	case 2:
		return "with x as (" + p.grouped("") + ")" + p.sometimes(", z as (select k, n from x where n > 4)") + " " + p.outer("x")
	case 3:
		return "with x as (" + p.grouped("") + "), y as (" + p.grouped("") + ") select x.k, y.n, x.s from x " + p.one("join", "left join", "full join") + " y on x.k = y.k order by 1, 2, 3 /* in order */"
	}
	return "select " + p.scalar("") + ", " + p.scalar("") + p.one("", " from countries", " from currencies where rate < "+p.scalar(""))
}

// source is a table with a text k, a number v, and what filters it.
func (p picks) source(bound string) (from, k, v string) {
	type s struct{ from, k, v string }
	all := []s{
		{"orders o", "o.status", "o.total"}, {"orders o join users u on u.tenant_id = o.tenant_id and u.id = o.user_id", "u.name", "o.total"}, {"payments o", "o.method", "o.amount"},
		{"notes o", "o.body", "o.stars"}, {"orders o left join payments y on y.tenant_id = o.tenant_id and y.order_id = o.id", "o.status", "y.amount"}, {"events o", "o.kind", "o.n"},
		{"items o", "o.product", "o.line"}, {"orders o cross join currencies c", "c.code::text", "round(o.total * c.rate, 2)"}, {"users o", "o.name", "o.id"},
	}
	x := all[p.IntN(len(all))]
	where := p.one("", " where o.tenant_id % 3 = 1", " where "+x.k+" is not null", fmt.Sprintf(" where %s > %d", x.v, p.IntN(60)), " where o.tenant_id > 4 and o.tenant_id < 20")
	if bound != "" {
		where = strings.Replace(where, " where ", " and ", 1)
		where = " where o.tenant_id = " + bound + where
	}
	return x.from + where, x.k, x.v
}

// grouped is a query of a text k, a count n and a number s.
func (p picks) grouped(bound string) string {
	from, k, v := p.source(bound)
	return "select " + k + " as k, count(*) as n, " + p.one("sum", "min", "max", "avg") + "(" + v + ") as s from " + from + " group by 1" + p.one("", "", " having count(*) > 3") +
		p.one("", "", " order by 2 desc, 1 limit 3")
}

// scalar is a subquery of one value.
func (p picks) scalar(bound string) string {
	from, k, v := p.source(bound)
	return "(select " + p.one("count(*)", "sum("+v+")", "max("+v+")", "count(distinct "+k+")", "min("+v+") + 1") + " from " + from + ")"
}

// setOperation is a query of a text and a number.
func (p picks) setOperation(bound string) string {
	arm := func() string {
		from, k, v := p.source(bound)
		return p.one("select ", "select ", "select distinct ") + p.one(k, k, "'none'", "upper("+k+")") + ", " + p.one("("+v+")::numeric(12, 2)", "1.50", "(o.tenant_id)::numeric(12, 2)") + " from " + from
	}
	text := arm()
	for range 1 + p.IntN(2) {
		text = "(" + text + p.one(" union ", " union all ", " intersect ", " except ", " except all ", " intersect all ") + arm() + ")"
	}
	return text[1 : len(text)-1]
}

// outer reads the groups in from.
func (p picks) outer(from string) string {
	return p.one(
		"select k, n, s from "+from+" where n > 2 order by 1, 2, 3 /* in order */",
		"select count(*), sum(n), max(s) from "+from,
		"select n, count(*), string_agg(k, ',' order by k) from "+from+" group by n order by n /* in order */",
		"select k, sum(n) over (order by k, n, s), row_number() over (order by s, k, n) from "+from+" order by 1, 2, 3 /* in order */",
		"select x.k, c.name from "+from+", countries c order by 1, 2 limit 4 /* in order */",
		"select distinct upper(k), n % 3 from "+from+" order by 1, 2 /* in order */",
		"select case when n > 10 then 'many' else 'few' end, count(*) from "+from+" group by 1 having count(*) > 0 order by 1 /* in order */",
	)
}

// tenantQuery makes statements that name one tenant.
func tenantQuery(rng *rand.Rand, tenant int64) string {
	p, k := picks{rng}, fmt.Sprint(tenant)
	switch p.IntN(7) {
	case 0:
		return p.setOperation(k) + " order by 1, 2 /* in order */"
	case 1:
		return p.outer("(" + p.grouped(k) + ") x")
	case 2:
		return "with x as (" + p.grouped(k) + ") " + p.outer("x")
	case 3:
		return "select o.id, i.line, row_number() over (partition by o.status order by o.id, i.line) from orders o " + p.one("join", "left join", "right join") +
			" items i on i.tenant_id = o.tenant_id and i.order_id = o.id and i.tenant_id = " + k + " where o.tenant_id = " + k + " order by 1, 2, 3 /* in order */"
	case 4:
		return "select u.id, x.total from users u, lateral (select o.total from orders o where o.tenant_id = u.tenant_id and o.user_id = u.id order by o.total desc limit 2) x where u.tenant_id = " + k + " order by 1, 2 /* in order */"
	case 5:
		return "with recursive r(id, depth) as (select id, 1 from users where tenant_id = " + k + " and id = 1 union all select u.id, depth + 1 from users u join r on u.id = r.id + 1 where u.tenant_id = " + k + ") select * from r order by 1, 2 /* in order */"
	}
	return "select * from users natural join paid where tenant_id = " + k + " and id in (select user_id from notes where tenant_id = " + k + ") order by id /* in order */"
}
