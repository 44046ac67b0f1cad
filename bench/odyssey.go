package main

import "fmt"

// odyssey is Odyssey in transaction mode.
func odyssey() target {
	return target{
		name: "odyssey", title: "Odyssey", programs: []string{"odyssey"}, version: []string{"--version"}, pooling: true, setup: odysseySetup,
	}
}

func odysseySetup(s *stage, at place) setup {
	rule := func(user, login string) string {
		return fmt.Sprintf(`  user "%s" {
    %s
    storage "one"
    storage_db "app"
    storage_user "app"
    storage_password "%s"
    pool "transaction"
    pool_size %d
    pool_timeout 120000
    pool_discard no
    pool_reserve_prepared_statement yes
  }
`, user, login, s.password(), backends)
	}
	config := fmt.Sprintf(`daemonize no
unix_socket_dir "%s"
locks_dir "%s"
log_to_stdout yes
log_format "%%l %%m\n"
log_session no
log_query no
log_stats no
workers "auto"
listen {
  host "127.0.0.1"
  port %d
  backlog 1024
  tls "allow"
  tls_cert_file "%s"
  tls_key_file "%s"
}
storage "one" {
  type "remote"
  host "127.0.0.1"
  port %d
  tls "disable"
}
database "app" {
%s%s}
`, at.dir, at.dir, at.port, s.certificate, s.key, s.alone().Port,
		rule("open", `authentication "none"`), rule("app", `authentication "scram-sha-256"`+"\n    password \""+s.verifier+`"`))
	return setup{files: map[string]string{"odyssey.conf": config}, shown: []string{"odyssey.conf"}, command: []string{at.dir + "/odyssey.conf"}}
}
