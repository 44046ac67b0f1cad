package main

import "fmt"

// pgdog is PgDog in transaction mode. It knows one way to log in for all users, so it is set up for those who are trusted.
func pgdog() target {
	return target{
		name: "pgdog", title: "PgDog", programs: []string{"pgdog"}, version: []string{"--version"}, pooling: true, setup: pgdogSetup,
		lacks: func(_ string, t trial) string {
			if t.login != scram {
				return ""
			}
			return "has one way to log in for all users, and is set up for trust"
		},
	}
}

func pgdogSetup(s *stage, at place) setup {
	config := fmt.Sprintf(`[general]
host = "127.0.0.1"
port = %d
workers = 4
auth_type = "trust"
pooler_mode = "transaction"
default_pool_size = %d
checkout_timeout = 120000
prepared_statements = "extended"
tls_certificate = "%s"
tls_private_key = "%s"

[[databases]]
name = "app"
host = "127.0.0.1"
port = %d
`, at.port, backends, s.certificate, s.key, s.alone().Port)
	users := fmt.Sprintf(`[[users]]
name = "open"
database = "app"
password = "open"
server_user = "app"
server_password = "%s"
`, s.password())
	return setup{
		files:   map[string]string{"pgdog.toml": config, "users.toml": users},
		shown:   []string{"pgdog.toml", "users.toml"},
		command: []string{"--config", at.dir + "/pgdog.toml", "--users", at.dir + "/users.toml"},
	}
}
