package repocheck

import (
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	tests := []struct {
		name, path, source string
		want               []string
	}{
		{"plain", "p/pool.go", "package p\n\ntype Pool struct{ size int }\n", nil},
		{"a type", "p/a.go", "package p\n\ntype PoolManager struct{}\n", []string{"PoolManager says manager"}},
		{"a field", "p/a.go", "package p\n\ntype pool struct{ connInfo int }\n", []string{"connInfo says info"}},
		{"a variable", "p/a.go", "package p\n\nfunc f() { base := 1; _ = base }\n", []string{"base says base"}},
		{"a loop's", "p/a.go", "package p\n\nfunc f() { for _, helper := range x {} }\n", []string{"helper says helper"}},
		{"a parameter", "p/a.go", "package p\n\nfunc f(utilMap int) {}\n", []string{"utilMap says util"}},
		{"whole words only", "p/a.go", "package p\n\nfunc database(informed, utility, commonly, baseline int) {}\n", nil},
		{"names of others", "p/a.go", "package p\n\nfunc f(e fs.DirEntry) { e.Info(); filepath.Base(x) }\n", nil},
		{"a file", "p/utils.go", "package p\n", []string{"the name says utils"}},
		{"a package", "common/a.go", "package common\n", []string{"the name says common"}},
		{"Get", "p/a.go", "package p\n\nfunc (p P) GetNode() {}\n", []string{"GetNode: no Get prefix"}},
		{"get", "p/a.go", "package p\n\nfunc getNode() {}\n", []string{"getNode: no Get prefix"}},
		{"Get in an interface", "p/a.go", "package p\n\ntype i interface{ GetNode() }\n", []string{"GetNode: no Get prefix"}},
		{"not a prefix", "p/a.go", "package p\n\nfunc Gets() {}\nfunc Getter() {}\nfunc (c C) Get() {}\n", nil},
		{"stutter", "pool/a.go", "package pool\n\ntype PoolConfig struct{}\n", []string{"pool.PoolConfig stutters"}},
		{"no stutter", "pool/a.go", "package pool\n\ntype Pool struct{}\ntype Pooled struct{}\nfunc (p *Pool) PoolSize() {}\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Words(sources(t, test.path, test.source)), test.want...)
		})
	}
}

func TestCamelWords(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"poolSize", []string{"pool", "Size"}},
		{"HTTPServer", []string{"HTTP", "Server"}},
		{"nodeID", []string{"node", "ID"}},
		{"in_hot_standby", []string{"in", "hot", "standby"}},
		{"md5Base", []string{"md5", "Base"}},
		{"base64Bytes", []string{"base64", "Bytes"}},
		{"_", nil},
	}
	for _, test := range tests {
		if got := camelWords(test.name); !slices.Equal(got, test.want) {
			t.Errorf("camelWords(%s) = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnfinished(t *testing.T) {
	mark := "TO" + "DO"
	expect(t, Unfinished(sources(t, "p/a.go", "package p\n\n// "+mark+": later\n")), "p/a.go:3: "+mark)
	expect(t, Unfinished(sources(t, "Makefile", "all:\n\tmktemp -d /tmp/x.XX"+"XXXX\n")))
	expect(t, Unfinished(sources(t, "docs/a.md", "to do\n")))
}

func TestComments(t *testing.T) {
	const head = "// Package p is a test's source.\npackage p\n\n"
	tests := []struct {
		name, path, source string
		want               []string
	}{
		{"all there", "p/a.go", head + "// F does.\nfunc F() {}\n\n// T is.\ntype T int\n\n// M does.\nfunc (T) M() {}\n", nil},
		{"no package comment", "p/a.go", "package p\n", []string{"p: no package comment"}},
		{"one of another form", "p/a.go", "// This is p.\npackage p\n", []string{"p: no package comment"}},
		{"a command", "cmd/p/main.go", "// Pgdrover is a proxy.\npackage main\n", nil},
		{"tests only", "bench/a_test.go", "// Package bench compares.\npackage bench\n", nil},
		{"a function", "p/a.go", head + "func F() {}\n", []string{"p/a.go:4: F has no doc comment"}},
		{"a method", "p/a.go", head + "// T is.\ntype T int\n\nfunc (t *T) M() {}\n", []string{"T.M has no doc comment"}},
		{"a method of an unexported type", "p/a.go", head + "type t int\n\nfunc (t) M() {}\n", nil},
		{"a type", "p/a.go", head + "type T int\n", []string{"type T has no doc comment"}},
		{"a constant", "p/a.go", head + "const C = 1\n", []string{"C has no doc comment"}},
		{"a group", "p/a.go", head + "// The sizes.\nconst (\n\tA = 1\n\tB = 2\n)\n", nil},
		{"comments behind", "p/a.go", head + "const (\n\tA = 1 // one\n\tb = 2\n)\n", nil},
		{"a variable", "p/a.go", head + "var V int\n", []string{"V has no doc comment"}},
		{"a directive is no comment", "p/a.go", head + "//go:noinline\nfunc F() {}\n", []string{"F has no doc comment"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Comments(sources(t, test.path, test.source)), test.want...)
		})
	}
}
