//go:build linux && (amd64 || arm64)

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/pgdrover/pgdrover/"

// profile is what a protocol costs, for one transaction.
type profile struct {
	Protocol     string             `json:"protocol"`
	Clients      int                `json:"clients"`
	Transactions int                `json:"transactions"` // that were stepped through
	Instructions float64            `json:"instructions"`
	Lines        float64            `json:"lines"`    // of code: see codeLine
	Packages     map[string]float64 `json:"packages"` // instructions, by import path, without the module's own
	Functions    []functionCost     `json:"functions"`
}

// functionCost is a function's part of a profile. What it calls is not in it.
type functionCost struct {
	Name         string  `json:"name"` // without the module's path
	Instructions float64 `json:"instructions"`
	Lines        float64 `json:"lines"`
	Calls        float64 `json:"calls"` // how often its first instruction was executed
}

// codeLine is the size of a line of a processor's cache, in bytes. A profile counts each line of code when the first instruction in it is executed
// after a system call: the kernel executes enough meanwhile to put the program's code out of the cache next to the processor, so that each
// such line is fetched anew. That takes longer than to execute what is in it.
const codeLine = 64

// newProfile makes a profile of the addresses that were executed in a number of transactions.
func newProfile(trace []uint64, transactions int, s *symbols) profile {
	times, fetches := map[uint64]int{}, map[uint64]int{}
	fetched := map[uint64]bool{}
	for _, address := range trace {
		times[address]++
		if line := address / codeLine; !fetched[line] {
			fetched[line] = true
			fetches[address]++
		}
		if s.callsKernel(address) {
			clear(fetched)
		}
	}
	costs := map[string]*functionCost{}
	for address, n := range times {
		f := s.at(address)
		name := strings.TrimPrefix(f.name, module)
		cost := costs[name]
		if cost == nil {
			cost = &functionCost{Name: name}
			costs[name] = cost
		}
		cost.Instructions += float64(n)
		cost.Lines += float64(fetches[address])
		if address == f.start {
			cost.Calls += float64(n)
		}
	}
	p := profile{Transactions: transactions, Instructions: float64(len(trace)) / float64(transactions), Packages: map[string]float64{}}
	for _, cost := range costs {
		cost.Instructions /= float64(transactions)
		cost.Lines /= float64(transactions)
		cost.Calls /= float64(transactions)
		p.Lines += cost.Lines
		p.Packages[packageOf(cost.Name)] += cost.Instructions
		p.Functions = append(p.Functions, *cost)
	}
	slices.SortFunc(p.Functions, func(a, b functionCost) int {
		return cmp.Or(cmp.Compare(b.Instructions, a.Instructions), strings.Compare(a.Name, b.Name))
	})
	return p
}

// packageOf is the import path in a function's name: "a/b" of "a/b.(*T[c/d.U]).f". Code that has none, in assembler or in C, is of package "".
func packageOf(name string) string {
	if name == elsewhere.name {
		return ""
	}
	path := name
	if at := strings.IndexAny(path, "[("); at >= 0 {
		path = path[:at]
	}
	slash := strings.LastIndex(path, "/")
	dot := strings.Index(path[slash+1:], ".")
	if dot < 0 {
		return ""
	}
	return path[:slash+1+dot]
}

// part is a line of the table: some packages together.
type part struct {
	title    string
	packages []string // each with what is below it; none: all that no other part has
}

func parts() []part {
	return []part{
		{"the session (proxy)", []string{"proxy"}},
		{"the router and its map", []string{"router", "shardmap"}},
		{"the pool", []string{"pool"}},
		{"the loop and its connections (internal/task)", []string{"internal/task"}},
		{"Go's runtime and the rest", nil},
	}
}

// has reports whether a package is named by the part.
func (p part) has(name string) bool {
	return slices.ContainsFunc(p.packages, func(dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") })
}

// of is the part of a profile, in instructions.
func (p part) of(counted profile) float64 {
	var sum float64
	for name, instructions := range counted.Packages {
		if len(p.packages) == 0 && !slices.ContainsFunc(parts(), func(other part) bool { return other.has(name) }) || p.has(name) {
			sum += instructions
		}
	}
	return sum
}

// printed is the table of all protocols, and then the costliest functions of each.
func printed(counted []profile, top int) string {
	var text strings.Builder
	row := func(title string, value func(profile) string) {
		fmt.Fprintf(&text, "%-46s", title)
		for _, p := range counted {
			fmt.Fprintf(&text, " %10s", value(p))
		}
		text.WriteByte('\n')
	}
	row("instructions of a transaction, by package", func(p profile) string { return p.Protocol })
	for _, one := range parts() {
		row(one.title, func(p profile) string { return fmt.Sprintf("%.0f", one.of(p)) })
	}
	row("all", func(p profile) string { return fmt.Sprintf("%.0f", p.Instructions) })
	row("lines of 64 bytes of code, fetched", func(p profile) string { return fmt.Sprintf("%.0f", p.Lines) })
	row("transactions counted", func(p profile) string { return fmt.Sprint(p.Transactions) })
	row("clients", func(p profile) string { return fmt.Sprint(p.Clients) })
	if top == 0 {
		return text.String()
	}
	for _, p := range counted {
		fmt.Fprintf(&text, "\n%s: instructions, lines and calls of a transaction, by function\n", p.Protocol)
		for _, f := range p.Functions[:min(top, len(p.Functions))] {
			fmt.Fprintf(&text, "%8.1f %7.1f %7.2f  %s\n", f.Instructions, f.Lines, f.Calls, f.Name)
		}
	}
	return text.String()
}
