package router

// A function may do what no proxy sees in the text that calls it: set_config, a session's advisory lock, LISTEN, a temporary table.
// Few databases have such functions, and the catalog knows which they are and which may call them (unsettlesql.go). A function that
// the catalog does not know may do anything, as may texts that carry code of their own.

// concludeUnsettling says whether what a tree calls, and the code behind the relations that it touches, may change that.
func (c *compiler) concludeUnsettling(f *facts, st *Statement) bool {
	return f.opaque != "" || f.unsettling || c.runsUnsettling(st.Reads) || c.runsUnsettling(st.Writes) ||
		c.runsTenants(st.Reads) || c.runsTenants(st.Writes)
}

// runsUnsettling reports whether the database runs such functions when one of the relations is used.
func (c *compiler) runsUnsettling(tables []*Table) bool {
	for _, t := range tables {
		if rel, ok := c.r.catalog.Relation(t.Schema, t.Name); ok && rel.Unsettling {
			return true
		}
	}
	return false
}

// unsettles says it of statements that are no trees of calls.
func (c *compiler) unsettles(st *Statement) bool {
	switch st.Verb {
	case Do, Unknown:
		return true
	case DDL, Utility, Execute:
		return c.r.catalog.Unsettling
	}
	return st.Unsettles
}
