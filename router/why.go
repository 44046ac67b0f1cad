package router

import (
	"fmt"
	"slices"
	"strings"
)

// Why explains a Route of q in words: what decided where it goes, and what
// decided whether a replica may answer. q must not have been analysed anew
// since.
func (q *Query) Why(r Route) string {
	st := &q.tpl.statements[r.statement]
	if r.inner && st.inner != nil {
		st = st.inner
	}
	var b strings.Builder
	if r.ran != nil {
		b.WriteString(st.Verb.String() + " of " + quoteName(st.Runs) + ": ")
		q, st = r.of, r.ran
	}
	placed := q.placed(st, r)
	b.WriteString(placed)
	switch {
	case r.Kind == Local, r.Write && placed == st.WhyWrite:
	case r.Write && st.WhyWrite == "":
		b.WriteString("; another statement of the query writes")
	case r.Write:
		b.WriteString("; " + st.WhyWrite)
	case st.place.control:
	default:
		b.WriteString("; read")
	}
	return b.String()
}

// placed says what decided where a statement goes.
func (q *Query) placed(st *Statement, r Route) string {
	pl := &st.place
	switch r.reason {
	case byOneShard:
		if bound := q.bound(pl); bound != "" && r.Source == SourceSQL {
			return "the map has one shard; " + bound
		}
		return "the map has one shard"
	case byTenant:
		return q.bound(pl)
	case byExplicit:
		return fmt.Sprintf("tenant %s by %s", r.Tenant, r.Source)
	case byTenantName:
		return "a string in it names the schema of tenant " + r.Tenant.String()
	case bySearchPath:
		return q.pathOwner()
	case byTable:
		return fmt.Sprintf("%s lives on shard %s", pl.on[0].table.Name, q.r.m.Shard(r.Shard).Name)
	case byHome:
		return pl.home + ", and no tenant is named"
	case byReference:
		return "reference tables are on every shard"
	case byEvery:
		return pl.every
	case byEveryCopy:
		return "writes the reference table " + pl.copies.Name
	case byCatalog:
		return "system catalogs"
	case byTransaction:
		return st.Verb.String() + " is the session's"
	case byScatter:
		return "no tenant is named, and scatter was asked for: all shards"
	case byRows:
		return "each row goes to its tenant's shard"
	case byShares:
		return q.bound(pl) + ", on " + q.gathering.owners(q.r.m)
	case byTurns:
		return "its statements are answered one after the other, by " + q.takers()
	case byTemporary:
		return "the catalog does not know the relation, and the session has temporary tables"
	case byProxy:
		return "answered by PgDrover"
	case byNull:
		return "no row can match: the tenant is NULL, or of an empty list"
	case byUnknown:
		return fmt.Sprintf("relation %q is not in the catalog", pl.unknown[0])
	}
	return "no table"
}

// bound says what binds the sharded tables of a statement.
func (q *Query) bound(pl *placement) string {
	if len(pl.binds) == 0 {
		return ""
	}
	text := ""
	for i := range pl.binds {
		b := &pl.binds[i]
		if b.table == nil {
			continue
		}
		own := b.table.Name + " of "
		if b.table.Column == "" {
			own += q.owner(&b.set[0])
		} else {
			own = quoteName(b.table.Name) + "." + quoteName(b.table.Column) + q.values(b.set)
		}
		switch {
		case text == "":
			text = own
		case !strings.Contains(text, own):
			text += " and " + own
		}
	}
	if pl.tables > 1 {
		text += fmt.Sprintf(" (%d tables)", pl.tables)
	}
	return text
}

// values writes a set of constants as the client did.
func (q *Query) values(set []constRef) string {
	const most = 3
	var list []string
	for i := range set {
		if text := q.written(&set[i]); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	switch {
	case len(list) > most:
		return fmt.Sprintf(" in (%s, … %d more)", strings.Join(list[:most], ", "), len(list)-most)
	case len(list) > 1:
		return " in (" + strings.Join(list, ", ") + ")"
	}
	return " = " + list[0]
}

// owner says whose a schema is.
func (q *Query) owner(c *constRef) string {
	if c.slot == pathSlot {
		return q.pathOwner()
	}
	return "tenant " + c.text
}

// pathOwner says whose schemas the search path has.
func (q *Query) pathOwner() string {
	const most = 3
	var list []string
	for _, k := range q.path.tenants[:min(most, len(q.path.tenants))] {
		list = append(list, k.String())
	}
	if more := len(q.path.tenants) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return "tenant " + strings.Join(list, " or ") + " by the search path"
}

// written writes a constant as the client did.
func (q *Query) written(c *constRef) string {
	switch {
	case c.slot == noSlot && c.null:
		return "NULL"
	case c.slot == noSlot:
		return c.text
	}
	const most = 40
	at, run := q.locate(c.slot)
	s := q.slots[at]
	text := strings.ToValidUTF8(string(q.text[s.off:min(s.end, s.off+most)]), "")
	if s.end > s.off+most {
		text += "…"
	}
	if c.negate {
		text = "-" + text
	}
	if c.array {
		text = "any(" + text + ")"
	}
	if run != nil {
		text += fmt.Sprintf(" and %d more", run.rows-1)
	}
	return text
}
