package router

// A function may do what no proxy sees in the text that calls it: set_config, a session's advisory lock, LISTEN, a temporary table.
// Few databases have such functions. Where the catalog finds none whose source may do that, only texts that carry code of their own
// are suspected; where it finds one, so is everything that runs functions of the database, since any of them may call it.

// concludeUnsettling says what a tree's calls, and the code behind the relations that it touches, may change of the session.
func (c *compiler) concludeUnsettling(f *facts, st *Statement) bool {
	switch {
	case f.opaque != "" || f.unseen:
		return true
	case !c.r.catalog.Unsettling:
		return false
	case f.code || st.WritesUnknown:
		return true
	}
	return c.runsCode(st.Reads) || c.runsCode(st.Writes)
}

// runsCode reports whether the database runs functions of its own when one of the relations is used.
func (c *compiler) runsCode(tables []*Table) bool {
	for _, t := range tables {
		if rel, ok := c.r.catalog.Relation(t.Schema, t.Name); ok && rel.Code {
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
