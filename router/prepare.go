package router

import (
	"bytes"
	"strings"
)

// prepare analyses PREPARE, which any shard can check. Where the statement goes
// is known with the arguments of EXECUTE.
func (c *compiler) prepare(x *prepareNode, src *source) Statement {
	inner := c.statement(x.GetQuery(), src)
	st := Statement{Verb: Prepare, Name: x.GetName(), inner: &inner, place: placement{control: true}}
	for _, n := range x.GetArgtypes() {
		st.types = append(st.types, declaredType(n.GetTypeName()))
	}
	st.writes("PREPARE")
	st.uncache("PREPARE")
	return st
}

// oidOther stands for a declared type whose values are not read.
const oidOther = 1<<32 - 1

// declaredType returns the OID of a type that a tenant may have, or an array of
// tenants; oidOther for any other.
func declaredType(t *typeNode) uint32 {
	if oid := castType(&typeNode{Names: t.GetNames(), ArrayBounds: t.GetArrayBounds(), Setof: t.GetSetof(), PctType: t.GetPctType()}); oid != 0 {
		return oid // PREPARE does not look at a length
	}
	switch castArrayType(t) {
	case oidInt2:
		return oidInt2Array
	case oidInt4:
		return oidInt4Array
	case oidInt8:
		return oidInt8Array
	case oidNumeric:
		return oidNumericArray
	case oidText:
		return oidTextArray
	case oidVarchar:
		return oidVarcharArray
	case oidUUID:
		return oidUUIDArray
	}
	return oidOther
}

// linkPrepared finds what each EXECUTE runs that its own query string prepares.
func linkPrepared(list []Statement) {
	for i := range list {
		if list[i].Runs == "" {
			continue
		}
		for j := i - 1; j >= 0 && list[i].ready == nil; j-- {
			p := &list[j]
			if p.Verb == Prepare && p.Name == list[i].Runs {
				list[i].ready = p
			}
			if p.Verb == Deallocate && (p.Name == "" || p.Name == list[i].Runs) {
				break
			}
		}
	}
}

// mentionsPrepare reports a text that may prepare a statement.
func mentionsPrepare(text string) bool {
	return bytes.Contains(bytes.ToLower([]byte(text)), []byte("prepare"))
}

// rejectedNames notes what a text that the parser rejects has to do with
// prepared statements, should PostgreSQL know more.
func (q *Query) rejectedNames(st *Statement) {
	if mentionsPrepare(string(q.text)) {
		st.Hold |= HoldPrepare
	}
	if len(q.pieces) != 1 || q.pieces[0].bad {
		return
	}
	l := lexer{src: q.text[:q.pieces[0].end], pos: int(q.pieces[0].off), plain: q.plain}
	if t := l.next(); lowerWord(q.text[t.off:t.end]) != "execute" {
		return
	}
	if t := l.next(); t.kind == tokWord {
		st.Runs = strings.ToLower(string(q.text[t.off:t.end]))
	}
}

// blockText returns the text of a DO block.
func blockText(n *node) string {
	text := ""
	for _, a := range n.GetDoStmt().GetArgs() {
		text += stringOf(a.GetDefElem().GetArg())
	}
	return text
}

// Names reports whether a statement of the query string names a prepared
// statement.
func (q *Query) Names() bool {
	for i := range q.tpl.statements {
		if q.tpl.statements[i].names() {
			return true
		}
	}
	return false
}

func (st *Statement) names() bool {
	return st.Runs != "" || st.Verb == Prepare || st.Verb == Deallocate && st.Name != ""
}

// NameAt returns where in SQL the i-th statement names a prepared statement, its
// quotes included, and where the statement ends; false if it names none.
func (q *Query) NameAt(i int) (from, to, end int, ok bool) {
	if !q.tpl.statements[i].names() || len(q.pieces) != len(q.tpl.statements) {
		return 0, 0, 0, false
	}
	l := lexer{src: q.text[:q.pieces[i].end], pos: int(q.pieces[i].off), plain: q.plain}
	if q.tpl.statements[i].Runs != "" {
		l.toExecute()
	} else if l.next(); q.tpl.statements[i].Verb == Deallocate && l.optional("prepare") {
		l.next()
	}
	t := l.next()
	return t.off, t.end, int(q.pieces[i].end), t.kind != tokEnd
}

// toExecute reads up to the word EXECUTE that begins what EXPLAIN explains and
// CREATE TABLE AS runs; it may be a table's or an option's name before.
func (l *lexer) toExecute() {
	depth, create, as := 0, false, false
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		if t.kind == tokSelf {
			depth += nesting(l.src[t.off])
		}
		if depth > 0 {
			continue
		}
		word := ""
		if t.kind == tokWord {
			word = lowerWord(l.src[t.off:t.end])
		}
		if word == "execute" && create == as {
			return
		}
		create, as = create || word == "create", word == "as"
	}
}

// optional reports whether a word comes next and does not end the statement.
func (l *lexer) optional(word string) bool {
	ahead := *l
	t := ahead.next()
	return t.kind == tokWord && lowerWord(l.src[t.off:t.end]) == word && ahead.next().kind != tokEnd
}

// Prepares returns where in SQL the i-th statement, a PREPARE, has what follows
// the name, where its query begins, and where it ends.
func (q *Query) Prepares(i int) (tail, query, end int) {
	_, tail, end, _ = q.NameAt(i)
	l := lexer{src: q.text[:end], pos: tail, plain: q.plain}
	for t, depth := l.next(), 0; t.kind != tokEnd; t = l.next() {
		if t.kind == tokSelf {
			depth += nesting(q.text[t.off])
		}
		if depth == 0 && t.kind == tokWord && lowerWord(q.text[t.off:t.end]) == "as" {
			return tail, t.end, end
		}
	}
	return tail, end, end
}

// Declared returns the types that the i-th statement, a PREPARE, declares for
// its parameters; one whose values no tenant has is the largest number.
func (q *Query) Declared(i int) []uint32 { return q.tpl.statements[i].types }
