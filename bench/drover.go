package main

import "fmt"

const droverProgram = "pgdrover"

// drover is PgDrover before one PostgreSQL, as a pooler.
func drover() target {
	return target{
		name: "pgdrover", title: "PgDrover, one shard", programs: []string{droverProgram}, version: []string{"version"}, pooling: true,
		setup: func(s *stage, at place) setup {
			return droverSetup(s, at, s.oneShard(), "")
		},
	}
}

// droverTwo is PgDrover before two shards, each statement routed by its tenant.
func droverTwo() target { return droverSharded(2, "pgdrover-2", "PgDrover, two shards") }

// droverFour is PgDrover before four.
func droverFour() target {
	t := droverSharded(4, "pgdrover-4", "PgDrover, four shards")
	t.extra = true
	return t
}

// droverSharded answers from all shards what names no tenant.
func droverSharded(shards int, name, title string) target {
	t := drover()
	t.name, t.title, t.shards = name, title, shards
	t.setup = func(s *stage, at place) setup { return droverSetup(s, at, s.shardList(shards), "    scatter: reads\n") }
	return t
}

// droverCached is PgDrover before one PostgreSQL with its cache in memory, without Redis.
func droverCached() target {
	t := drover()
	t.name, t.title, t.extra = "pgdrover-cached", "PgDrover, cached", true
	t.setup = func(s *stage, at place) setup {
		return droverSetup(s, at, s.oneShard(), "    cache: {memory: 256MB, tables: {accounts: {ttl: 10m}}}\n")
	}
	return t
}

// droverSetup is PgDrover with its defaults: what is said here is where things are, how large the pool is, and that a crowd may wait
// for it as long as other poolers let it.
func droverSetup(s *stage, at place, shards, more string) setup {
	config := fmt.Sprintf(`listen: 127.0.0.1:%d
tls: {mode: prefer, cert: %s, key: %s}
databases:
  app:
    shardmap: shardmap.yaml
    backend: {user: app, password: %s, tls: disable}
    pool: {mode: transaction, size: %d, wait: 2m}
%sauth:
  rules:
    - {users: [open], method: trust}
    - {method: scram}
users:
  - {name: open}
  - {name: app, scram: "%s"}
log: {level: warn}
`, at.port, s.certificate, s.key, s.password(), backends, more, s.verifier)
	shardmap := "database: app\ntenant: {column: tenant_id, type: bigint}\nshards:\n" + shards +
		"tables:\n  documents: {on: s1}\n  incoming: {on: s1}\n"
	return setup{
		files:   map[string]string{"pgdrover.yaml": config, "shardmap.yaml": shardmap},
		shown:   []string{"pgdrover.yaml", "shardmap.yaml"},
		command: []string{"serve", "--config", at.dir + "/pgdrover.yaml"},
	}
}
