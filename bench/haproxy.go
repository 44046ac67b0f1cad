package main

import "fmt"

// haproxy is HAProxy in TCP mode, which moves bytes and knows nothing of PostgreSQL: each client has a server process.
func haproxy() target {
	return target{
		name: "haproxy", title: "HAProxy, TCP", programs: []string{"haproxy"}, version: []string{"-v"}, clients: serverClients,
		setup: func(s *stage, at place) setup {
			config := fmt.Sprintf(`global
    maxconn 5000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgresql
    bind 127.0.0.1:%d
    server one 127.0.0.1:%d
`, at.port, s.alone().Port)
			return setup{
				files:   map[string]string{"haproxy.cfg": config},
				shown:   []string{"haproxy.cfg"},
				command: []string{"-db", "-f", at.dir + "/haproxy.cfg"},
			}
		},
	}
}
