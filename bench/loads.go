package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	someClients = 32     // more than there are backends
	idleClients = 10_000 // who say nothing
)

// loads are all there are, in the order of the page.
func loads() []load {
	return []load{
		selectLoad(), tpcbLoad(), rateLoad(), connectLoad(), idleLoad(), largeLoad(), copyLoad(), cacheLoad(), zipfLoad(), scatterLoad(), crowdLoad(), pipelineLoad(),
	}
}

// throughputColumns are those of most loads.
func throughputColumns() []column {
	return []column{
		{heading: "transactions/s", metric: tps},
		{heading: "× PostgreSQL", metric: tps, than: "direct", digits: 2},
		{heading: "× PgBouncer", metric: tps, than: "pgbouncer", digits: 2},
		{heading: "p50 ms", metric: p50, digits: 2},
		{heading: "p99 ms", metric: p99, digits: 2},
		{heading: "p99.9 ms", metric: p999, digits: 2},
		{heading: "proxy CPU s / 1,000", metric: proxyCPU, digits: 4},
		{heading: "× PgBouncer", metric: proxyCPU, than: "pgbouncer", digits: 2},
		{heading: "PostgreSQL CPU s / 1,000", metric: serverCPU, digits: 4},
		{heading: "both × PostgreSQL alone", metric: bothCPU, than: "direct", digits: 2},
	}
}

// connectionColumns leave latencies out: pgbench's log begins a transaction once it is connected.
func connectionColumns() []column {
	return slices.DeleteFunc(throughputColumns(), func(c column) bool { return slices.Contains([]metric{p50, p99, p999}, c.metric) })
}

// byProtocol makes a trial of a script for each protocol and number of clients.
func byProtocol(script string, clients []int, protocols ...string) []trial {
	var trials []trial
	for _, count := range clients {
		for _, protocol := range protocols {
			name := fmt.Sprintf("%s, %d clients", protocol, count)
			if count == 1 {
				name = protocol + ", 1 client"
			}
			trials = append(trials, trial{name: name, clients: count, protocol: protocol, script: script})
		}
	}
	return trials
}

// Scripts of pgbench; :tenants and :rows are given on its command line.
const (
	selectScript = `\set tenant random(1, :tenants)
\set id random(1, :rows)
SELECT balance FROM accounts WHERE tenant_id = :tenant AND id = :id;
`
	tpcbScript = `\set tenant random(1, :tenants)
\set account random(1, :rows)
\set teller random(1, 10)
\set delta random(-5000, 5000)
BEGIN;
UPDATE accounts SET balance = balance + :delta WHERE tenant_id = :tenant AND id = :account;
SELECT balance FROM accounts WHERE tenant_id = :tenant AND id = :account;
UPDATE tellers SET balance = balance + :delta WHERE tenant_id = :tenant AND id = :teller;
UPDATE branches SET balance = balance + :delta WHERE tenant_id = :tenant;
INSERT INTO history (tenant_id, teller, account, delta) VALUES (:tenant, :teller, :account, :delta);
END;
`
	hotScript = `\set tenant random(1, 100)
\set id random(1, 10)
SELECT balance FROM accounts WHERE tenant_id = :tenant AND id = :id;
`
	zipfScript = `\set tenant random_zipfian(1, :tenants, 1.1)
\set id random(1, :rows)
SELECT balance FROM accounts WHERE tenant_id = :tenant AND id = :id;
`
	sumScript   = "SELECT count(*), sum(balance), avg(balance) FROM tellers;\n"
	topScript   = "SELECT tenant_id, id, balance FROM tellers ORDER BY balance DESC, tenant_id, id LIMIT 10;\n"
	allScript   = "SELECT tenant_id, id FROM tellers;\n"
	largeScript = "SELECT body FROM documents;\n"
	crowdScript = "SELECT pg_sleep(0.005);\n"
)

func selectLoad() load {
	return load{
		name: "select", title: "Point selects", quick: true,
		about:   "One row by its primary key, which begins with the tenant, from a million rows that are all in memory.",
		trials:  byProtocol(selectScript, []int{1, someClients, 200, 1000}, simple, extended, prepared),
		columns: throughputColumns(), plots: []metric{proxyCPU, tps},
	}
}

// tpcbLoad has a thread for each client where statements are prepared: a client that waits in pgbench's call to prepare them would
// block others of its thread, which have transactions open on all backends, for ever.
func tpcbLoad() load {
	l := load{
		name: "tpcb", title: "TPC-B-like transactions", quick: true,
		about: "Seven statements from BEGIN to END, five of which read or write rows of one tenant, as pgbench's own script does for one branch.",
		trials: append(byProtocol(tpcbScript, []int{1}, simple),
			byProtocol(tpcbScript, []int{someClients}, simple, prepared)...),
		columns: throughputColumns(), plots: []metric{proxyCPU},
	}
	for i := range l.trials {
		if l.trials[i].protocol == prepared {
			l.trials[i].threads = l.trials[i].clients
		}
	}
	return l
}

func rateLoad() load {
	l := load{
		name: "rate", title: "Added latency at a fixed rate",
		about: "Point selects at half the rate that the slower of PgDrover and PgBouncer reaches with as many clients. A transaction's time counts from when it was due, " +
			"so that a target which falls behind shows it.",
		trials: byProtocol(selectScript, []int{someClients}, simple, extended, prepared),
		columns: []column{
			{heading: "transactions/s", metric: tps},
			{heading: "p50 ms", metric: p50, digits: 3},
			{heading: "added p50 ms", metric: p50, than: "direct", minus: true, digits: 3},
			{heading: "p99 ms", metric: p99, digits: 3},
			{heading: "added p99 ms", metric: p99, than: "direct", minus: true, digits: 3},
			{heading: "p99.9 ms", metric: p999, digits: 2},
			{heading: "proxy CPU s / 1,000", metric: proxyCPU, digits: 4},
		},
		plots: []metric{p50, p99},
	}
	for i := range l.trials {
		l.trials[i].halfRate = true
	}
	return l
}

func connectLoad() load {
	l := load{
		name: "connect", title: "Connect, select, disconnect", quick: true,
		about:   "A connection for each point select, eight at a time. pgbench pays for its side of TLS and of SCRAM on the same cores: read the CPU.",
		columns: connectionColumns(), plots: []metric{proxyCPU},
	}
	for _, login := range []string{trust, scram, encrypted} {
		l.trials = append(l.trials, trial{name: login, clients: 8, protocol: simple, script: selectScript, login: login, connect: true, threads: 8})
	}
	return l
}

func idleLoad() load {
	return load{
		name: "idle", title: "Idle clients", quick: true, anew: true, once: true,
		about: "Clients that log in and say nothing. Memory is what the proxy's processes have more than before them, each shared page counted in parts (Pss); the kernel's part of " +
			"a connection is not counted. HAProxy, Pgpool-II and PostgreSQL itself are left out: each of their clients has a server process.",
		trials: []trial{
			{name: fmt.Sprintf("plaintext, %d clients", idleClients), clients: idleClients, measure: measureIdle},
			{name: fmt.Sprintf("TLS, %d clients", idleClients), clients: idleClients, login: encrypted, measure: measureIdle},
		},
		columns: []column{
			{heading: "KB / client", metric: memory, digits: 1},
			{heading: "logins/s", metric: tps},
			{heading: "proxy CPU s / 1,000 logins", metric: proxyCPU, digits: 3},
		},
		plots: []metric{memory},
		only:  []string{"pgdrover", "pgbouncer", "odyssey", "pgcat", "pgdog", "spqr"},
	}
}

// bulkColumns are those of loads that move much data.
func bulkColumns() []column {
	return []column{
		{heading: "MB/s", metric: megabytes},
		{heading: "× PostgreSQL", metric: megabytes, than: "direct", digits: 2},
		{heading: "proxy CPU s / GB", metric: proxyPerGB, digits: 2},
		{heading: "× PgBouncer", metric: proxyPerGB, than: "pgbouncer", digits: 2},
		{heading: "PostgreSQL CPU s / GB", metric: serverPerGB, digits: 2},
	}
}

func largeLoad() load {
	l := load{
		name: "large", title: "Large results", alone: true,
		about:   fmt.Sprintf("%d rows of %d bytes of text each time; a gigabyte is of that text alone.", documentRows, documentBytes),
		columns: bulkColumns(), plots: []metric{proxyPerGB},
	}
	for _, clients := range []int{1, 8} {
		t := byProtocol(largeScript, []int{clients}, simple)[0]
		t.bytes = documentRows * documentBytes
		l.trials = append(l.trials, t)
	}
	return l
}

func copyLoad() load {
	return load{
		name: "copy", title: "COPY", alone: true,
		about: "COPY TO STDOUT of the same rows, and COPY FROM STDIN with a condition that no row meets, so that PostgreSQL reads all and stores nothing.",
		trials: []trial{
			{name: "out, 1 client", clients: 1, measure: measureCopyOut},
			{name: "out, 8 clients", clients: 8, measure: measureCopyOut},
			{name: "in, 1 client", clients: 1, measure: measureCopyIn},
			{name: "in, 8 clients", clients: 8, measure: measureCopyIn},
		},
		columns: bulkColumns(), plots: []metric{proxyPerGB},
	}
}

func cacheLoad() load {
	return load{
		name: "cache", title: "Hot rows",
		about:   "Point selects of a thousand rows, straight, through PgDrover, and from the caches of PgDrover and Pgpool-II, which answer without PostgreSQL.",
		trials:  byProtocol(hotScript, []int{someClients}, simple, extended, prepared),
		columns: throughputColumns(), plots: []metric{tps, serverCPU},
		only: []string{"direct", "pgdrover", "pgdrover-cached", "pgbouncer", "pgpool", "pgpool-cached"},
	}
}

func zipfLoad() load {
	return load{
		name: "zipf", title: "Tenants of unequal size",
		about:   "Point selects of tenants by Zipf's law (exponent 1.1): the first of them gets more than a tenth of the statements. The columns against one PostgreSQL say what a second shard brings.",
		trials:  byProtocol(zipfScript, []int{someClients, 200}, simple, prepared),
		columns: throughputColumns(), plots: []metric{tps},
		only: []string{"direct", "pgdrover", "pgdrover-2", "pgbouncer"},
	}
}

// scatterLoad is of statements that name no tenant.
func scatterLoad() load {
	l := load{
		name: "scatter", title: "Reads of all shards",
		about: "Ten thousand rows of all tenants are added up, or ordered for the first ten, or all read. One PostgreSQL has them all; with two shards and four each has a part, and one of them makes " +
			"the answer. All servers share the machine's cores: the columns say what the detour costs, not what more machines bring.",
		columns: throughputColumns(), plots: []metric{p50, bothCPU},
		only: []string{"direct", "pgdrover", "pgdrover-2", "pgdrover-4", "pgbouncer"},
	}
	for _, s := range []struct{ name, script string }{{"aggregates", sumScript}, {"first ten in order", topScript}, {"all rows", allScript}} {
		for _, clients := range []int{1, 8} {
			t := byProtocol(s.script, []int{clients}, simple)[0]
			t.name = s.name + strings.TrimPrefix(t.name, simple)
			l.trials = append(l.trials, t)
		}
	}
	return l
}

func crowdLoad() load {
	return load{
		name: "crowd", title: "Many clients on few backends",
		about: fmt.Sprintf("Each statement takes five milliseconds on the server and nothing else, so that a client's time is the time it waits for one of %d backends. The closer p99 is to p50, the "+
			"more alike they wait.", backends),
		trials: byProtocol(crowdScript, []int{200, 1000}, simple, extended),
		columns: []column{
			{heading: "transactions/s", metric: tps},
			{heading: "p50 ms", metric: p50, digits: 1},
			{heading: "p99 ms", metric: p99, digits: 1},
			{heading: "p99.9 ms", metric: p999, digits: 1},
			{heading: "p99 / p50", metric: spread, digits: 2},
			{heading: "proxy CPU s / 1,000", metric: proxyCPU, digits: 4},
		},
		plots: []metric{spread},
		only:  []string{"pgdrover", "pgbouncer", "odyssey", "pgcat", "pgdog", "spqr"},
	}
}

func pipelineLoad() load {
	tenant, query, _ := strings.Cut(selectScript, "\n")
	script := tenant + "\n\\startpipeline\n" + strings.Repeat(query, 10) + "\\endpipeline\n"
	return load{
		name: "pipeline", title: "Pipelines",
		about:   "Ten point selects of one tenant sent at once, then ten answers. A transaction in this table is all ten.",
		trials:  byProtocol(script, []int{1, someClients}, extended, prepared),
		columns: throughputColumns(), plots: []metric{proxyCPU},
	}
}
