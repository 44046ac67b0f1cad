package main

import "fmt"

// floorGo is a bare relay on the event loop that PgDrover's sessions run on (bench/floor/main.go): each client has a server process.
func floorGo() target {
	return floor("floor-go", "Bare relay, Go", func(at place, server int) []string {
		return []string{fmt.Sprintf("127.0.0.1:%d", at.port), fmt.Sprintf("127.0.0.1:%d", server)}
	})
}

// floorC is the same in C (bench/floor/c/relay.c).
func floorC() target {
	return floor("floor-c", "Bare relay, C", func(at place, server int) []string {
		return []string{fmt.Sprint(at.port), fmt.Sprint(server)}
	})
}

// floor is a target that is found once make bench-floor has built it.
func floor(name, title string, arguments func(at place, server int) []string) target {
	return target{
		name: name, title: title, programs: []string{"bin/" + name}, clients: serverClients,
		setup: func(s *stage, at place) setup { return setup{command: arguments(at, s.alone().Port)} },
		lacks: func(_ string, t trial) string {
			if t.login == encrypted {
				return "knows nothing of TLS"
			}
			return ""
		},
	}
}
