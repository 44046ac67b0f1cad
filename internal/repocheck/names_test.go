package repocheck

import "testing"

func TestFiles(t *testing.T) {
	const relay = "// Package proxy relays.\npackage proxy\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a path", "see `proxy/relay.go` and `testdata/routing/`", nil},
		{"a bare name", "server.go → relay.go", []string{"names server.go"}},
		{"a wrong path", "see pool/relay.go", []string{"names pool/relay.go"}},
		{"a wrong folder", "see `testdata/wires/`", []string{"names testdata/wires/"}},
		{"another kind of file", "see `docs/missing.md`", []string{"names docs/missing.md"}},
		{"a pattern", "`testdata/routing/*.txt`", nil},
		{"a pattern of nothing", "`testdata/routing/*.sql`", []string{"names testdata/routing/*.sql"}},
		{"what is not a file", "`/metrics`, `pgx/v5/pgproto3`, `pgdrover.yaml`, `a/b c.md`, `make demo`", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := sources(t, "README.md", test.text, "proxy/relay.go", relay, "testdata/routing/select.txt", "")
			expect(t, Files(tree), test.want...)
		})
	}
	expect(t, Files(sources(t, "proxy/doc.go", "// Package proxy is relay.go and gone.go.\npackage proxy\n", "proxy/relay.go", relay)),
		"proxy/doc.go:1: names gone.go")
}

func TestMetrics(t *testing.T) {
	const source = "// Package admin shows.\npackage admin\n\nvar a = desc(\"pgdrover_clients\", \"not pgdrover_this one\")\n"
	const table = "| metric | type |\n|---|---|\n| `pgdrover_clients` | gauge |\n"
	expect(t, Metrics(sources(t, "admin/metrics.go", source, "README.md", table)))
	expect(t, Metrics(sources(t, "admin/metrics.go", source)), "admin/metrics.go:4: pgdrover_clients is missing in README")
	expect(t, Metrics(sources(t, "README.md", table)), "README.md:3: pgdrover_clients is no metric")
	expect(t, Metrics(sources(t, "admin/metrics.go", source, "README.md", table, "deploy/rules.yaml",
		"a: rate(pgdrover_clients_count[1m])\nb: pgdrover_backends\n")), "deploy/rules.yaml:2: pgdrover_backends")
	expect(t, Metrics(sources(t, "admin/metrics.go",
		"// Package admin shows.\npackage admin\n\nvar o = Opts{Namespace: \"pgdrover\", Name: \"clients\"}\n")), "write the metric's whole name")
}

func TestSettings(t *testing.T) {
	const source = "package main\n\ntype config struct {\n\tPool struct {\n\t\tSize int `yaml:\"size,omitempty\"`\n\t} `yaml:\"pool\"`\n\tskip int `yaml:\"-\"`\n}\n"
	expect(t, Settings(sources(t, "cmd/pgdrover/config.go", source, referenceDocument, "| `pool.size` | 20 |")))
	expect(t, Settings(sources(t, "cmd/pgdrover/config.go", source, referenceDocument, "| `pool` | the size |")),
		`cmd/pgdrover/config.go:5: the setting "size" is not described`)
	expect(t, Settings(sources(t, "cmd/pgdrover/config.go", source, referenceDocument, "| `pool.size` | 20 |\n| `pool.NAME` | |\n| `pool.sise` | |")),
		"docs/configuration.md:3: describes pool.sise, which no")
	expect(t, Settings(sources(t, "shardmap/file.go", source)), `"pool"`, `"size"`)
	expect(t, Settings(sources(t, "router/file.go", source)))
}

func TestSettingsByPath(t *testing.T) {
	const source = "package main\n\ntype pool struct {\n\t// Size is the most backends. Key:\n\t// DB.pool.size. Default: 20.\n\tSize int `yaml:\"size\"`\n}\n"
	expect(t, Settings(sources(t, "cmd/pgdrover/config.go", source, referenceDocument, "| `databases.NAME.pool.size` | 20 |")))
	expect(t, Settings(sources(t, "cmd/pgdrover/config.go", source, referenceDocument, "| `cache.size` | 20 |")), "the setting databases.NAME.pool.size")
}
