package repocheck

import "testing"

func TestForeign(t *testing.T) {
	expect(t, Foreign(sources(t, "Dockerfile", "FROM golang\nWORKDIR /src\n")))
	expect(t, Foreign(sources(t, "Makefile", "build:\n\tcd /wo"+"rk/main && go build\n")), "Makefile:2: names /wo"+"rk/")
	expect(t, Foreign(sources(t, "docs/a.md", "GOPROXY=https://Proxy.golang"+".org\n")), "docs/a.md:1")
}

func TestContexts(t *testing.T) {
	const head = "package p\n\nimport \"context\"\n\n"
	expect(t, Contexts(sources(t, "p/a.go", head+"type T struct {\n\tctx context.Context\n}\n")), "p/a.go:6: a context in a struct")
	expect(t, Contexts(sources(t, "p/a.go", head+"type T struct {\n\tcontext.Context\n}\n")), "a context in a struct")
	expect(t, Contexts(sources(t, "p/a.go", head+"type T struct {\n\tcancel context.CancelFunc\n}\n\nfunc f(ctx context.Context) {}\n")))
	expect(t, Contexts(sources(t, "p/a.go", "package p\n\nimport c \"context\"\n\nvar t struct{ x c.Context }\n")), "a context in a struct")
}

func TestPanics(t *testing.T) {
	const head = "package p\n\nfunc f() {\n"
	expect(t, Panics(sources(t, "p/a.go", head+"\tpanic(1)\n}\n")), "p/a.go:4: panic without")
	expect(t, Panics(sources(t, "p/a.go", head+"\tpanic(1) // a programmer's mistake: released twice\n}\n")))
	expect(t, Panics(sources(t, "p/a.go", head+"\t// Releasing twice is a programmer's mistake.\n\tpanic(1)\n}\n")))
	expect(t, Panics(sources(t, "p/a.go", head+"\t// Releasing twice is a programmer's mistake.\n\tf()\n\tpanic(1)\n}\n")), "panic without")
	expect(t, Panics(sources(t, "p/a_test.go", head+"\tpanic(1)\n}\n")))
}
