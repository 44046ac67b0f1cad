package router

import "slices"

// widen returns what a write of tables touches beside them: tables that inherit
// from them or that they inherit from, and what foreign keys change. unknown
// reports triggers and rules, which may write any table.
func (r *Router) widen(writes []*Table, updates, deletes bool) (all []*Table, unknown bool) {
	seen := map[name]bool{}
	var queue []name
	push := func(n name) {
		if !seen[n] {
			seen[n] = true
			queue = append(queue, n)
		}
	}
	all = slices.Clone(writes)
	for _, t := range writes {
		push(name{t.Schema, t.Name})
	}
	c := r.catalog
	for len(queue) > 0 {
		own := queue[0]
		queue = queue[1:]
		rel := c.relations[own]
		if rel == nil {
			continue
		}
		unknown = unknown || len(rel.Triggers) > 0 || rel.Rules
		if !direct(all, own) {
			all = append(all, r.table(own.schema, own.name, rel))
		}
		for _, p := range rel.Parents {
			push(name{p[0], p[1]})
		}
		for _, child := range c.children[own] {
			push(child)
		}
		for _, at := range c.cascades[own] {
			k := c.Cascades[at]
			if deletes && changes(k.OnDelete) || (updates || !direct(writes, own)) && changes(k.OnUpdate) {
				push(name{k.From[0], k.From[1]})
			}
		}
	}
	return all, unknown
}

// direct reports whether a table is named by the statement itself.
func direct(writes []*Table, n name) bool {
	return slices.ContainsFunc(writes, func(t *Table) bool { return t.Schema == n.schema && t.Name == n.name })
}

// changes reports the actions of a foreign key that write the referring table.
func changes(action string) bool { return action == "c" || action == "n" || action == "d" }
