package main

import "fmt"

// pgbouncer is PgBouncer in transaction mode.
func pgbouncer() target {
	return target{
		name: "pgbouncer", title: "PgBouncer", programs: []string{"pgbouncer"}, version: []string{"--version"}, pooling: true,
		setup: pgbouncerSetup,
		lacks: func(version string, t trial) string {
			if t.protocol == prepared && olderThan(version, 1, 21) {
				return "no prepared statements in transaction mode before 1.21"
			}
			return ""
		},
	}
}

// pgbouncerSetup logs no connections, which PgBouncer does unless told otherwise: none of the others does. Its list of users has the
// verifier and not the password, from which it would compute the verifier anew with each login.
func pgbouncerSetup(s *stage, at place) setup {
	config := fmt.Sprintf(`[databases]
app = host=127.0.0.1 port=%d user=app password=%s

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = hba
auth_hba_file = %s/hba.conf
auth_file = %s/users.txt
pool_mode = transaction
default_pool_size = %d
max_client_conn = 20000
query_wait_timeout = 120
client_tls_sslmode = allow
client_tls_cert_file = %s
client_tls_key_file = %s
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
`, s.alone().Port, s.password(), at.port, at.dir, at.dir, backends, s.certificate, s.key)
	if !olderThan(at.version, 1, 21) {
		config += "max_prepared_statements = 200\n"
	}
	return setup{
		files: map[string]string{
			"pgbouncer.ini": config,
			"hba.conf":      "host all open 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
			"users.txt":     fmt.Sprintf("\"app\" \"%s\"\n\"open\" \"\"\n", s.verifier),
		},
		shown:   []string{"pgbouncer.ini"},
		command: []string{at.dir + "/pgbouncer.ini"},
	}
}
