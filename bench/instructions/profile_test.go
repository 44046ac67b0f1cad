//go:build linux && (amd64 || arm64)

package main

import (
	"maps"
	"math"
	"strings"
	"testing"
)

// madeUp is a program of six functions, sixteen bytes each but for the last.
func madeUp() *symbols {
	s := &symbols{textAt: 0x100, text: make([]byte, 0x60), functions: []function{
		{"memmove", 0x150, 0x150}, // in assembler, without a length
		{module + "proxy.(*session).bind", 0x100, 0x110},
		{module + "internal/task.(*loop).run", 0x110, 0x120},
		{module + "router.(*kept[go.shape.struct { github.com/a/b.c int }]).at", 0x120, 0x130},
		{module + "pool.(*Node).give", 0x130, 0x138}, // and nothing up to the next
		{"runtime.nanotime1", 0x140, 0x150},
		{"_fini", 0x160, 0x170},
	}}
	s.arrange()
	return s
}

func TestAddressesBecomeFunctions(t *testing.T) {
	s := madeUp()
	for address, want := range map[uint64]string{
		0x0ff: elsewhere.name, 0x100: module + "proxy.(*session).bind", 0x10f: module + "proxy.(*session).bind", 0x110: module + "internal/task.(*loop).run",
		0x137: module + "pool.(*Node).give", 0x138: elsewhere.name, 0x15f: "memmove", 0x16f: "_fini", 0x170: elsewhere.name, 1 << 40: elsewhere.name,
	} {
		if got := s.at(address).name; got != want {
			t.Errorf("%#x is in %s, want %s", address, got, want)
		}
	}
}

func TestPackages(t *testing.T) {
	for name, want := range map[string]string{
		"proxy.(*session).bind":                                       "proxy",
		"internal/task.(*loop).run":                                   "internal/task",
		"router.(*kept[go.shape.struct { github.com/a/b.c int }]).at": "router",
		"slices.pdqsortCmpFunc[go.shape.struct { a/b.c }]":            "slices",
		"github.com/jackc/pgx/v5/pgproto3.(*Bind).Encode":             "github.com/jackc/pgx/v5/pgproto3",
		"internal/runtime/syscall/linux.Syscall6":                     "internal/runtime/syscall/linux",
		"type:.eq.github.com/pgdrover/pgdrover/pool.(*Node)":          "type:.eq.github.com/pgdrover/pgdrover/pool",
		"memmove":      "",
		elsewhere.name: "",
	} {
		if got := packageOf(name); got != want {
			t.Errorf("%s is of package %q, want %q", name, got, want)
		}
	}
}

// TestProfile counts two transactions by hand.
func TestProfile(t *testing.T) {
	trace := []uint64{
		0x100, 0x104, 0x108, // bind
		0x150, 0x151, // memmove
		0x120,        // the router's
		0x108, 0x10c, // bind goes on
		0x114, 0x118, // the loop, which is never entered
		0x100, 0x104, // bind again
		0x130, 0x134, // the pool
		0x7fff0000, // the kernel's page
		0x140,      // nanotime
	}
	p := newProfile(trace, 2, madeUp())
	if p.Transactions != 2 || p.Instructions != 8 {
		t.Errorf("%d transactions of %v instructions, want 2 of 8", p.Transactions, p.Instructions)
	}
	want := map[string]float64{"proxy": 3.5, "router": .5, "pool": 1, "internal/task": 1, "runtime": .5, "": 1.5}
	if !maps.Equal(p.Packages, want) {
		t.Errorf("packages %v, want %v", p.Packages, want)
	}
	if first := p.Functions[0]; first != (functionCost{"proxy.(*session).bind", 3.5, .5, 1}) {
		t.Errorf("the costliest function is %v, want bind with 3.5 instructions and 1 call", first)
	}
	for _, f := range p.Functions {
		if f.Name == "internal/task.(*loop).run" && f.Calls != 0 {
			t.Errorf("%s was called %v times, want 0: it ran from before", f.Name, f.Calls)
		}
	}
	var all float64
	for i, want := range []float64{3.5, .5, 1, 1, 2} {
		got := parts()[i].of(p)
		if got != want {
			t.Errorf("%s has %v, want %v", parts()[i].title, got, want)
		}
		all += got
	}
	if math.Abs(all-p.Instructions) > 1e-9 {
		t.Errorf("the parts have %v together, want all of %v", all, p.Instructions)
	}
}

// TestCodeLines has a line that is executed before and after a system call, which is in another one.
func TestCodeLines(t *testing.T) {
	s := madeUp()
	copy(s.text[0x140-s.textAt:], kernelCall)
	for _, c := range []struct {
		trace []uint64
		want  float64
	}{
		{[]uint64{0x100, 0x13f, 0x100}, 1},
		{[]uint64{0x100, 0x140, 0x100, 0x104}, 3},
		{[]uint64{0x140, 0x144, 0x148}, 2},
		{[]uint64{0x100, 0x150, 0x100, 0x150}, 2},
	} {
		if got := newProfile(c.trace, 1, s).Lines; got != c.want {
			t.Errorf("%#x fetches %v lines, want %v", c.trace, got, c.want)
		}
	}
}

func TestPrinted(t *testing.T) {
	p := newProfile([]uint64{0x100, 0x104, 0x140}, 1, madeUp())
	p.Protocol, p.Clients = "simple", 8
	q := newProfile([]uint64{0x100, 0x104, 0x120, 0x124}, 2, madeUp())
	q.Protocol, q.Clients = "prepared", 8
	const want = `instructions of a transaction, by package          simple   prepared
the session (proxy)                                     2          1
the router and its map                                  0          1
the pool                                                0          0
the loop and its connections (internal/task)            0          0
Go's runtime and the rest                               1          0
all                                                     3          2
lines of 64 bytes of code, fetched                      2          0
transactions counted                                    1          2
clients                                                 8          8

simple: instructions, lines and calls of a transaction, by function
     2.0     1.0    1.00  proxy.(*session).bind

prepared: instructions, lines and calls of a transaction, by function
     1.0     0.5    0.50  proxy.(*session).bind
`
	if got := printed([]profile{p, q}, 1); got != want {
		t.Errorf("printed:\n%s\nwant:\n%s", got, want)
	}
	if got := printed([]profile{p, q}, 0); strings.Contains(got, "by function") {
		t.Errorf("-top 0 printed functions:\n%s", got)
	}
}
