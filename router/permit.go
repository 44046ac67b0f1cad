package router

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// permit refuses what no tenant makes right: what a bound session may not run,
// and what this version does not do.
func (q *Query) permit(st *Statement, p Params, env *Env, s *session) *Error {
	pl := &st.place
	if !s.bound() {
		if pl.truncates && s.explicit() {
			return refuse("RESET pgdrover.tenant to truncate for all tenants, or use DELETE.",
				"TRUNCATE removes the rows of every tenant, not of tenant %q alone", s.key)
		}
		return nil
	}
	why := pl.forbidden
	switch {
	case pl.fault != nil:
		return q.rejection(pl.fault)
	case why != "":
	case len(pl.unbound) > 0:
		why = fmt.Sprintf("Nothing says that %s is %q.", qualified(pl.unbound[0].table), s.key)
	case pl.opens != "":
		why = fmt.Sprintf("%s may touch any tenant's rows.", pl.opens)
	case pl.opaque != "":
		why = fmt.Sprintf("%s is not understood.", pl.opaque)
	case len(pl.unknown) > 0 && !env.TempTables:
		why = fmt.Sprintf("%q is not in the catalog.", pl.unknown[0])
	case q.hidesPath(&pl.configs, p):
		why = "It may change search_path where PgDrover does not see it."
	case !q.ownSequences(pl.sequences, p, s.key):
		why = "A function of sequences is given one that may be another tenant's."
	default:
		return nil
	}
	return forbid(why, "this session is bound to tenant %q: the statement cannot be shown to stay within it", s.key)
}

// tables refuses tables that cannot be placed.
func (q *Query) tables(st *Statement, t *tally, env *Env) *Error {
	pl := &st.place
	if pl.doubtful != nil {
		return pl.doubtful
	}
	if len(pl.undeclared) > 0 && pl.every == "" && t.m.BySchema() {
		return undeclaredShared(pl.undeclared[0], t.m)
	}
	if len(pl.undeclared) > 0 && pl.every == "" {
		u := pl.undeclared[0]
		return refuse(fmt.Sprintf("Declare it in shardmap.yaml under tables: \"%s: reference\" or \"%s: {on: %s}\".",
			u.Name, u.Name, t.m.Shard(0).Name),
			"table %q has no column %q and is not in the shard map", u.Name, t.m.TenantColumn())
	}
	if pl.unknownWrite != "" && !t.session.explicit() && !env.TempTables && pl.every == "" {
		return &Error{
			Code: codeNoTable, Message: fmt.Sprintf("relation %q does not exist", pl.unknownWrite),
			Detail: "It is not in the catalog that PgDrover has read from the shards.",
			Hint:   "A table that was just created is known after its transaction has committed.",
		}
	}
	if len(pl.unbound) > 0 && !t.session.explicit() && pl.every == "" && !st.CopyIn &&
		(!q.scatters(env) || st.Verb == Copy && pl.home != "") {
		return unboundError(st, pl.unbound[0])
	}
	return nil
}

// undeclaredShared is the error for a table of which the map does not say where
// it is, and which is in no tenant's schema.
func undeclaredShared(t *Table, m *shardmap.Map) *Error {
	return refuse(fmt.Sprintf("Declare it in shardmap.yaml under tables: \"%s: reference\" or \"%s: {on: %s}\".", t, t, m.Shard(0).Name),
		"table %q is in no tenant's schema (%s) and is not in the shard map", t.String(), m.TenantSchema())
}

// scatters reports whether a statement that names no tenant may be answered from
// all shards.
func (q *Query) scatters(env *Env) bool { return env.Scatter && !q.hint.alone || q.hint.scatter }

// unboundError says which table nothing ties to a tenant, and what to do.
func unboundError(st *Statement, n need) *Error {
	column := n.table.Name + "." + n.table.Column
	switch {
	case n.use == useSet:
		return refuse("Delete the row and insert it for the other tenant.",
			"UPDATE of %s may move the row to another shard", column)
	case n.use == useInsert:
		return refuse(fmt.Sprintf("Give %s a literal or a parameter in every row, or name the tenant: SET pgdrover.tenant, "+
			"or a hint such as /* pgdrover: tenant=42 */.", column),
			"nothing says which tenant the new rows of %q belong to", n.table.Name)
	case st.Verb == Copy && st.place.home != "":
		return refuse("Have the client read or write the file: COPY … FROM STDIN or TO STDOUT, in psql \\copy.",
			"a file of the server is one shard's: COPY of the sharded table %q with it names no tenant", n.table.Name)
	case st.Verb == Copy:
		return refuse("Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */; or have all shards answer: "+
			"SET pgdrover.scatter = on, or /* pgdrover: scatter */.",
			"%s of the sharded table %q names no tenant", st.Verb, n.table.Name)
	case st.Verb == Lock:
		return refuse("Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
			"%s of the sharded table %q names no tenant", st.Verb, n.table.Name)
	}
	return refuse(fmt.Sprintf("Add a condition such as %s = …, or name the tenant: SET pgdrover.tenant, or a hint such as "+
		"/* pgdrover: tenant=42 */.", column),
		"the statement names no tenant for the sharded table %q", n.table.Name)
}

// faulty places a text that the parser rejects: with the session's tenant
// PostgreSQL answers, which may know more than the parser. Without one it is
// not sent, since it could write on a shard where it does not belong.
func (q *Query) faulty(f *fault, s *session, route *Route) *Error {
	if s.explicit() {
		route.single(q.r.m.Locate(s.key), byExplicit)
		return nil
	}
	return q.rejection(f)
}

// rejection is the parser's error, which is PostgreSQL's own but for the
// literals.
func (q *Query) rejection(f *fault) *Error {
	e := &Error{Code: codeSyntax, Message: f.message}
	if !strings.HasPrefix(f.message, "syntax error") {
		e.Hint = "With SET pgdrover.tenant the statement is sent to PostgreSQL as it is."
	}
	if f.token == atEnd {
		e.Position = charAt(q.text, len(q.text))
	}
	e.Position = max(e.Position, f.char)
	if f.token < 0 || f.piece >= len(q.pieces) {
		return e
	}
	src, _ := q.rebuild(f.piece, 0)
	if f.token >= len(src.tokens) {
		return e
	}
	off := int(src.tokens[f.token].slot)
	l := lexer{src: q.text, pos: off, plain: q.plain}
	t := l.next()
	if at := strings.Index(e.Message, ` at or near "`); at >= 0 && t.kind == tokLiteral {
		e.Message = e.Message[:at] + ` at or near "` + string(q.text[t.off:t.end]) + `"`
	}
	e.Position = charAt(q.text, off)
	return e
}

// saysNow reports a literal or parameter that may mean the time at which it is
// read, as 'now' and 'today' do.
func (q *Query) saysNow(p Params) bool {
	for _, s := range q.slots {
		switch s.kind {
		case slotString, slotEscape, slotUnicode, slotDollar:
			if s.kind != slotString && s.kind != slotDollar && bytes.IndexByte(q.text[s.off:s.end], '\\') >= 0 {
				return true
			}
			if isNow(bytes.Trim(q.text[s.off:s.end], "'$eEuU& ")) {
				return true
			}
		}
	}
	if p == nil {
		return false
	}
	for i := range p.Len() {
		if value, _, null := p.Param(i); !null && isNow(trimBlanks(value)) {
			return true
		}
	}
	return false
}

// isNow reports the words of PostgreSQL's date input that stand for the clock.
func isNow(b []byte) bool {
	if len(b) < 3 || len(b) > 40 {
		return false
	}
	for _, w := range nowWords {
		if len(b) >= len(w) && bytes.EqualFold(b[:len(w)], w) {
			return true
		}
	}
	return false
}

var nowWords = [][]byte{[]byte("now"), []byte("today"), []byte("tomorrow"), []byte("yesterday"), []byte("current")}
