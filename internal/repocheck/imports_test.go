package repocheck

import "testing"

func TestImports(t *testing.T) {
	const head = "// Package p is a test's source.\npackage p\n\nimport _ "
	tests := []struct {
		name, path, imports, want string
	}{
		{"an arrow", "proxy/relay.go", modulePath + "/pool", ""},
		{"an arrow to the seam", "pool/dial.go", modulePath + "/internal/task", ""},
		{"against an arrow", "pool/pool.go", modulePath + "/proxy", "pool must not import proxy"},
		{"a leaf", "pgwire/frame.go", modulePath + "/pool", "pgwire must not import pool"},
		{"a command", "cmd/pgdrover/serve.go", modulePath + "/admin", ""},
		{"a command is imported by nobody", "admin/http.go", modulePath + "/cmd/pgdrover", "admin must not import cmd/pgdrover"},
		{"a package nobody knows", "surprise/x.go", modulePath + "/pgwire", "surprise must not import pgwire"},
		{"a package that does not exist yet", "proxy/x.go", modulePath + "/notyet", "proxy must not import notyet"},
		{"tests may", "pgwire/frame_test.go", modulePath + "/internal/pgtest", ""},
		{"a door", "pgwire/message.go", "github.com/jackc/pgx/v5/pgproto3", ""},
		{"past the door", "proxy/relay.go", "github.com/jackc/pgx/v5/pgproto3", "comes in through pgwire only"},
		{"a door that is one file", "shardmap/ring.go", "github.com/buraksezer/consistent", ""},
		{"beside that file", "shardmap/map.go", "github.com/buraksezer/consistent", "comes in through shardmap/ring.go only"},
		{"a door to a part", "router/templates.go", "github.com/hashicorp/golang-lru/v2/simplelru", ""},
		{"not to the whole", "router/templates.go", "github.com/hashicorp/golang-lru/v2", "comes in through cache only"},
		{"tests only", "pgwire/message.go", "github.com/jackc/pgproto3/v2", "is for tests only"},
		{"tests only, in a test", "pgwire/message_test.go", "github.com/jackc/pgproto3/v2", ""},
		{"benchmarks compare", "bench/drivers.go", "github.com/jackc/pgx/v5", ""},
		{"no door", "cache/l1_test.go", "github.com/stretchr/testify/assert", "has no door"},
		{"a similar name is another module", "pgwire/x.go", "github.com/jackc/pgx/v5/pgproto3x", "is for tests only"},
		{"pure", "router/route.go", "net/netip", "router must not import net/netip"},
		{"pure, in a test", "router/route_test.go", "os", ""},
		{"only router is pure", "shardmap/load.go", "os", ""},
		{"cgo", "router/parse.go", "C", `import "C"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := Imports(sources(t, test.path, head+`"`+test.imports+`"`+"\n"))
			if test.want == "" {
				expect(t, found)
				return
			}
			expect(t, found, test.want)
		})
	}
}

func TestClock(t *testing.T) {
	const head = "// Package router is a test's source.\npackage router\n\nimport \"time\"\n\n"
	expect(t, Clock(sources(t, "router/a.go", head+"const limit = 5 * time.Second\n")))
	expect(t, Clock(sources(t, "router/a.go", head+"var start = time.Now()\n")), "router/a.go:6: time.Now")
	expect(t, Clock(sources(t, "router/a_test.go", head+"var start = time.Now()\n")))
	expect(t, Clock(sources(t, "router/a.go", head+"func f() { time.AfterFunc(1, f) }\n")), "time.AfterFunc")
	expect(t, Clock(sources(t, "pool/a.go", head+"var start = time.Now()\n")))
}
