package main

import "fmt"

// spqr is SPQR's router before one shard, which parses and routes each statement.
func spqr() target {
	return target{
		name: "spqr", title: "SPQR, one shard", programs: []string{"spqr-router"}, version: []string{"--version"}, pooling: true,
		setup: spqrSetup,
		lacks: func(_ string, t trial) string {
			if t.login == "" || t.login == trust {
				return ""
			}
			return "is set up for trust and without TLS"
		},
	}
}

func spqrSetup(s *stage, at place) setup {
	config := fmt.Sprintf(`host: 127.0.0.1
router_port: '%d'
admin_console_port: '%d'
grpc_api_port: '%d'
router_mode: PROXY
log_level: fatal
show_notice_messages: false
use_init_sql: true
init_sql: %s/init.sql
frontend_rules:
  - usr: open
    db: app
    pool_mode: TRANSACTION
    pool_prepared_statement: true
    auth_rule: {auth_method: ok}
backend_rules:
  - usr: open
    db: app
    connection_limit: %d
    auth_rules: {sh1: {auth_method: scram, usr: app, password: %s}}
shards:
  sh1:
    db: app
    usr: app
    pwd: %s
    type: DATA
    hosts: ['127.0.0.1:%d']
`, at.port, at.port+1, at.port+2, at.dir, backends, s.password(), s.password(), s.alone().Port)
	rules := `CREATE DISTRIBUTION tenants COLUMN TYPES integer;
CREATE KEY RANGE r1 FROM 0 ROUTE TO sh1 FOR DISTRIBUTION tenants;
ALTER DISTRIBUTION tenants ATTACH RELATION accounts DISTRIBUTION KEY tenant_id;
ALTER DISTRIBUTION tenants ATTACH RELATION tellers DISTRIBUTION KEY tenant_id;
ALTER DISTRIBUTION tenants ATTACH RELATION branches DISTRIBUTION KEY tenant_id;
ALTER DISTRIBUTION tenants ATTACH RELATION history DISTRIBUTION KEY tenant_id;
`
	return setup{
		files:   map[string]string{"router.yaml": config, "init.sql": rules},
		shown:   []string{"router.yaml", "init.sql"},
		command: []string{"run", "--config", at.dir + "/router.yaml"},
	}
}
