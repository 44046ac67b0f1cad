package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgdrover/pgdrover/proxy"
)

// collector turns a view into metrics whenever somebody scrapes. Every name stands in README's table of metrics.
type collector struct {
	opt      Options
	families families
	server   serverFamilies
	traffic  trafficFamilies
	nodes    nodeFamilies
	shards   shardFamilies
	caches   cacheFamilies

	databases databaseFamilies
	twoPhase  twoPhaseFamilies
}

func newCollector(o Options) *collector {
	c := &collector{opt: o}
	c.server = declareServer(&c.families)
	c.traffic = declareTraffic(&c.families)
	c.nodes = declareNodes(&c.families)
	c.shards = declareShards(&c.families)
	c.caches = declareCaches(&c.families)
	c.databases = declareDatabases(&c.families)
	c.twoPhase = declareTwoPhase(&c.families)
	return c
}

// Describe is of prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families.all {
		out <- f.desc
	}
}

// Collect is of prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	v := look(c.opt.Server())
	c.collect(series{out}, &v)
}

// collect sends the metrics of a view.
func (c *collector) collect(s series, v *view) {
	s.put(c.server.build, 1, c.opt.Version)
	s.put(c.server.ready, one(v.readiness(c.opt.Draining()).Ready))
	c.server.collect(s, v)
	c.traffic.collect(s, v)
	differences := c.opt.SchemaDifferences()
	for i := range v.databases {
		d := &v.databases[i]
		c.twoPhase.collect(s, d, differences[d.name])
		c.nodes.collect(s, d)
		c.shards.collect(s, d)
		c.caches.collect(s, d)
		c.databases.collect(s, v, d)
	}
}

type serverFamilies struct {
	build, ready, clients, holds, logins, rejected, refused, retries, repaired family
	cancels, forwarded, dropped, panics, limits, looped, stalls                family
}

func declareServer(f *families) serverFamilies {
	return serverFamilies{
		build:     f.gauge("pgdrover_build_info", "1, with the program's version.", "version"),
		ready:     f.gauge("pgdrover_ready", "Whether /readyz answers 200."),
		clients:   f.gauge("pgdrover_clients", "Clients that are logged in, by what they are doing.", "database", "state"),
		holds:     f.gauge("pgdrover_holds", "Clients that keep a backend beyond a transaction, by why.", "database", "reason"),
		logins:    f.counter("pgdrover_logins_total", "Clients that logged in."),
		rejected:  f.counter("pgdrover_logins_refused_total", "Logins that were refused."),
		refused:   f.counter("pgdrover_statements_refused_total", "Statements that PgDrover itself refused."),
		retries:   f.counter("pgdrover_retries_total", "Reads that another node answered because the first could not."),
		repaired:  f.counter("pgdrover_statements_repaired_total", "Statements that ran once a backend had been told anew what it had lost."),
		cancels:   f.counter("pgdrover_cancels_total", "Cancel requests of clients."),
		forwarded: f.counter("pgdrover_cancels_forwarded_total", "Cancel requests that were passed on to another proxy of the fleet."),
		dropped:   f.counter("pgdrover_cancels_dropped_total", "Cancel requests that were dropped, since too many were under way."),
		panics:    f.counter("pgdrover_panics_total", "Sessions that ended by a mistake in PgDrover."),
		looped:    f.gauge("pgdrover_loop_sessions", "Sessions that an event loop runs, those that log in included.", "loop"),
		stalls:    f.counter("pgdrover_loop_stalls_total", "Times that a session held up the others of its event loop for more than 50 ms.", "loop"),
		limits:    f.counter("pgdrover_limits_reached_total", "Clients refused and statements or sessions ended because of a limit, by which.", "database", "limit"),
	}
}

// clientStates are the states that a client that is logged in may have.
var clientStates = []proxy.ClientState{proxy.ClientIdle, proxy.ClientActive, proxy.ClientTransaction, proxy.ClientWaiting}

func (f *serverFamilies) collect(s series, v *view) {
	type cell struct{ database, value string }
	clients, holds := map[cell]int{}, map[cell]int{}
	for _, d := range v.databases {
		for _, state := range clientStates {
			clients[cell{d.name, state.String()}] = 0
		}
	}
	for _, c := range v.clients {
		clients[cell{c.Database, c.State.String()}]++
		for _, reason := range c.Hold {
			holds[cell{c.Database, reason}]++
		}
	}
	for at, n := range clients {
		s.put(f.clients, float64(n), at.database, at.value)
	}
	for at, n := range holds {
		s.put(f.holds, float64(n), at.database, at.value)
	}
	s.put(f.logins, float64(v.counts.logins))
	s.put(f.rejected, float64(v.counts.rejected))
	s.put(f.refused, float64(v.counts.refused))
	s.put(f.retries, float64(v.counts.retries))
	s.put(f.repaired, float64(v.counts.repaired))
	s.put(f.cancels, float64(v.counts.cancels))
	s.put(f.forwarded, float64(v.counts.forwarded))
	s.put(f.dropped, float64(v.counts.dropped))
	s.put(f.panics, float64(v.counts.panics))
	for i, l := range v.loops {
		s.put(f.looped, float64(l.sessions), strconv.Itoa(i))
		s.put(f.stalls, float64(l.stalls), strconv.Itoa(i))
	}
	for key, n := range v.limits {
		s.put(f.limits, float64(n), key.Database, key.Limit)
	}
}

type trafficFamilies struct {
	statement, own, wait, timeouts, rejected, failed family
}

func declareTraffic(f *families) trafficFamilies {
	labels := []string{"database", "shard", "role"}
	return trafficFamilies{
		statement: f.histogram("pgdrover_statement_seconds", "Time from a statement's arrival to the end of its answer.", labels...),
		own: f.histogram("pgdrover_own_seconds",
			"PgDrover's own part of a statement's time: from its arrival until it is sent, without the wait for a backend.", labels...),
		wait:     f.histogram("pgdrover_wait_seconds", "Time that requests for a backend waited, those served at once included.", labels...),
		timeouts: f.counter("pgdrover_wait_timeouts_total", "Requests for a backend that waited too long.", labels...),
		rejected: f.counter("pgdrover_wait_rejected_total", "Requests for a backend that found the queue full.", labels...),
		failed:   f.counter("pgdrover_wait_failed_total", "Requests for a backend that failed because the node could not be reached.", labels...),
	}
}

func (f *trafficFamilies) collect(s series, v *view) {
	for _, t := range v.traffic() {
		labels := []string{t.Database, t.Shard, t.Role}
		s.observe(f.statement, t.statements, labels...)
		s.observe(f.own, t.own, labels...)
		s.observe(f.wait, t.wait, labels...)
		s.put(f.timeouts, float64(t.timeouts), labels...)
		s.put(f.rejected, float64(t.rejected), labels...)
		s.put(f.failed, float64(t.failed), labels...)
	}
}
