package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// oldestServer is the server_version_num of the oldest PostgreSQL that PgDrover works with.
const oldestServer = 150000

// nodeSQL asks a node who it is.
const nodeSQL = `select pg_is_in_recovery(), current_setting('server_version_num'),
	current_setting('server_version'), (select system_identifier from pg_control_system()), current_database(),
	current_setting('max_prepared_transactions'), current_setting('is_superuser'),
	(select count(*) from pg_prepared_xacts where database = current_database() and starts_with(gid, 'pgdrover:') and prepared < now() - interval '5 seconds')`

// nodeAnswer is what a node says of itself, or why it says nothing.
type nodeAnswer struct {
	node     shardmap.Node
	role     pool.Role // that the map gives it
	recovery bool
	number   int
	version  string
	system   string // identifies a primary and its replicas
	database string
	prepares bool   // it has room for prepared transactions
	super    bool   // backend.user is a superuser there
	left     string // number of transactions that PgDrover has prepared there some time ago
	err      error
}

// shardAnswer is what the nodes of a shard say.
type shardAnswer struct {
	shard   shardmap.Shard
	nodes   []nodeAnswer // the primary first
	catalog *router.Catalog
	schema  schema
	tenants []tenantSchema
	paths   []rolePath
	err     error // of catalog or schema
}

// checkNodes asks the nodes of a database and reports what does not fit the map.
func checkNodes(ctx context.Context, r *report, db *Database, m *shardmap.Map, o checkOptions) {
	nodes, err := newAsker(m.Database(), db)
	if err != nil {
		r.errors(err)
		return
	}
	defer nodes.close(ctx)
	answers := make([]shardAnswer, m.ShardCount())
	var group sync.WaitGroup
	for i, shard := range m.Shards() {
		group.Go(func() { answers[i] = nodes.askShard(ctx, m, shard, o) })
	}
	group.Wait()
	if o.online {
		for _, answer := range answers {
			reportNodes(r, answer)
		}
		reportTwins(r, answers)
		reportTables(r, m, answers)
		reportTenantSchemas(r, m, answers)
		reportHoldFunctions(r, db, answers)
		reportTwoPhase(r, db, o.files, m.Database(), answers)
		reportReferences(ctx, r, nodes, m, answers)
	}
	reportSchemas(r, answers, o.schema)
}

// askShard asks every node of a shard, and the primary for tables and schema.
func (a asker) askShard(ctx context.Context, m *shardmap.Map, shard shardmap.Shard, o checkOptions) shardAnswer {
	answer := shardAnswer{shard: shard, nodes: make([]nodeAnswer, 1+len(shard.Replicas))}
	var group sync.WaitGroup
	if o.online {
		group.Go(func() { answer.nodes[0] = a.askNode(ctx, shard.Name, pool.Primary, shard.Primary) })
		for i, replica := range shard.Replicas {
			group.Go(func() { answer.nodes[1+i] = a.askNode(ctx, shard.Name, pool.Replica, replica) })
		}
	}
	defer group.Wait()
	if answer.catalog, answer.err = a.catalog(ctx, m, shard); answer.err != nil {
		return answer
	}
	if o.online {
		if answer.tenants, answer.err = a.tenantSchemas(ctx, m, shard); answer.err == nil {
			answer.paths, answer.err = a.rolePaths(ctx, m, shard)
		}
		if answer.err != nil {
			return answer
		}
	}
	rows, err := a.ask(ctx, shard.Name, pool.Primary, shard.Primary, schemaSQL(m))
	if err != nil {
		answer.err = err
		return answer
	}
	answer.schema, answer.err = schemaOf(m, rows)
	return answer
}

func (a asker) askNode(ctx context.Context, shard string, role pool.Role, node shardmap.Node) nodeAnswer {
	answer := nodeAnswer{node: node, role: role}
	rows, err := a.ask(ctx, shard, role, node, nodeSQL)
	if err != nil {
		answer.err = err
		return answer
	}
	row := rows[0]
	answer.recovery, answer.version, answer.system, answer.database = row[0] == "t", row[2], row[3], row[4]
	answer.prepares, answer.super = row[5] != "0", row[6] == "on"
	answer.left = row[7]
	answer.number, answer.err = strconv.Atoi(row[1])
	return answer
}

// reportNodes reports on the nodes of one shard by themselves.
func reportNodes(r *report, shard shardAnswer) {
	primary := shard.nodes[0]
	for _, n := range shard.nodes {
		faults := r.faults
		at := fmt.Sprintf("shard %s, %s %s", shard.shard.Name, n.role, n.node.Addr())
		switch {
		case n.err != nil:
			r.fault("%v", n.err)
			continue
		case n.role == pool.Primary && n.recovery:
			r.fault("%s: it is a replica: name the primary of the shard", at)
		case n.role == pool.Replica && !n.recovery:
			r.fault("%s: it is no replica, it takes writes: remove it from the replicas, or set it up to follow the primary", at)
		case n.role == pool.Replica && primary.err == nil && n.system != primary.system:
			r.fault("%s: it follows another primary than %s: name a replica of that one", at, primary.node.Addr())
		}
		if n.number < oldestServer {
			r.fault("%s: it runs PostgreSQL %s, and PgDrover needs 15 or later", at, n.version)
		}
		if faults == r.faults {
			r.ok("%s: PostgreSQL %s", at, n.version)
		}
	}
}

// reportTables reports on the tables of the shards against the map, each problem once for all shards that have it.
func reportTables(r *report, m *shardmap.Map, answers []shardAnswer) {
	where := map[router.Problem][]string{}
	var order []router.Problem
	answered, sharded := 0, map[string]bool{}
	for _, answer := range answers {
		if answer.catalog == nil {
			continue
		}
		answered++
		for _, table := range shardedTables(m, answer.catalog) {
			sharded[table.Schema+"."+table.Name] = true
		}
		for _, problem := range answer.catalog.Check(m) {
			if where[problem] == nil {
				order = append(order, problem)
			}
			where[problem] = append(where[problem], answer.shard.Name)
		}
	}
	faults := r.faults
	for _, problem := range order {
		reportProblem(r, problem, where[problem])
	}
	if faults == r.faults && answered > 0 && !m.BySchema() {
		r.ok("%s: every tenant column is as the map says", plural(len(sharded), "sharded table"))
	}
}

func reportProblem(r *report, problem router.Problem, shards []string) {
	say, at := r.note, "shard "
	if problem.Severity == router.Fault {
		say = r.fault
	}
	if len(shards) > 1 {
		at = "shards "
	}
	at += strings.Join(shards, ", ")
	if problem.Table != "" {
		at += ", table " + problem.Table
	}
	say("%s: %s", at, problem.Message)
}

// reportHoldFunctions warns of functions in hold_functions that a shard does not have: it may be a name that is spelt wrongly, or a
// function that is to come.
func reportHoldFunctions(r *report, db *Database, answers []shardAnswer) {
	for _, name := range db.HoldFunctions {
		schema, function, _ := strings.Cut(name, ".")
		for _, answer := range answers {
			if answer.catalog != nil && !answer.catalog.HasFunction(schema, function) {
				r.note("shard %s: hold_functions: there is no function %s", answer.shard.Name, name)
			}
		}
	}
}

// reportTwins reports shards whose primaries are one database: each would find the other's rows.
func reportTwins(r *report, answers []shardAnswer) {
	seen := map[[2]string]string{}
	for _, answer := range answers {
		n := answer.nodes[0]
		if n.err != nil {
			continue
		}
		id := [2]string{n.system, n.database}
		if twin, ok := seen[id]; ok {
			r.fault("shards %s and %s are the same database of the same server: every shard needs one of its own", twin, answer.shard.Name)
		}
		seen[id] = answer.shard.Name
	}
}

// fewDifferences is how many differences of schemas are shown where not all are asked for.
const fewDifferences = 5

// reportSchemas compares each shard's schema with that of the first shard that gave one.
func reportSchemas(r *report, answers []shardAnswer, all bool) {
	var first *shardAnswer
	compared, faults := 0, r.faults
	for i := range answers {
		answer := &answers[i]
		switch {
		case answer.err != nil && answer.nodes[0].err != nil:
			continue // reportNodes has said why
		case answer.err != nil:
			r.fault("shard %s: the schema could not be read: %v", answer.shard.Name, answer.err)
			continue
		case first == nil:
			first = answer
			continue
		}
		compared++
		list := compareSchemas(first.shard.Name, answer.shard.Name, first.schema, answer.schema)
		for n, difference := range list {
			if n == fewDifferences && !all {
				r.fault("%s more between %s and %s: --schema shows all", plural(len(list)-n, "difference"), first.shard.Name, answer.shard.Name)
				break
			}
			r.fault("%s", difference.text)
		}
	}
	if faults == r.faults && compared > 0 {
		r.ok("the schema is the same on all %d shards: %s", compared+1, plural(len(first.schema), "object"))
	}
}
