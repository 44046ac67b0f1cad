package main

import "fmt"

// pgcat is PgCat in transaction mode.
func pgcat() target {
	return target{
		name: "pgcat", title: "PgCat", programs: []string{"pgcat"}, version: []string{"--version"}, pooling: true, setup: pgcatSetup,
		lacks: func(_ string, t trial) string {
			if t.login != scram {
				return ""
			}
			return "knows no SCRAM for clients"
		},
	}
}

func pgcatSetup(s *stage, at place) setup {
	config := fmt.Sprintf(`[general]
host = "127.0.0.1"
port = %d
connect_timeout = 120000
worker_threads = 2
prepared_statements_cache_size = 200
tls_certificate = "%s"
tls_private_key = "%s"
admin_username = "ops"
admin_password = "%s"

[pools.app]
pool_mode = "transaction"
query_parser_enabled = false
prepared_statements_cache_size = 200

[pools.app.users.0]
username = "open"
auth_type = "trust"
password = ""
server_username = "app"
server_password = "%s"
pool_size = %d

[pools.app.shards.0]
servers = [["127.0.0.1", %d, "primary"]]
database = "app"
`, at.port, s.certificate, s.key, s.password(), s.password(), backends, s.alone().Port)
	return setup{files: map[string]string{"pgcat.toml": config}, shown: []string{"pgcat.toml"}, command: []string{at.dir + "/pgcat.toml"}}
}
