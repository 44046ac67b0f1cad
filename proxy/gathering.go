package proxy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// gatherer answers one statement from the rows of several shards. Where their rows are not the answer as they are, they are kept, up to a limit, and
// one of the servers makes the answer of them: it compares, adds and orders as PostgreSQL does.
type gatherer struct {
	s         *session
	q         *router.Query
	plan      *router.Gathering
	bind      *pgwire.Bind // nil: the statement came by the simple protocol
	oids      []byte       // of the parameters, as Parse has them
	described bool         // the client wants the description of the rows
	all       []gathered
	names     []string // of the answer's columns
	rows      int      // of the answer
	hold      bool     // they are kept, for a portal that the client reads some rows at a time of
	held      []byte   // what is kept
	copy      copyOut
	read      bool // a server has found nothing wrong with the client's own text
}

// gatherSimple answers a Query from all shards.
func (s *session) gatherSimple(q *router.Query, r router.Route) {
	g := gatherer{s: s, q: q, plan: q.Gathering(), described: true}
	if e := g.answer(r); e != nil {
		s.refuseSimple(e)
		return
	}
	s.readyForQuery()
}

// inTurn answers a Query of several statements that only read, each by its own shards, one after the other. The first error ends it. It does not say
// a place: a server sees one statement of the client's text only.
func (s *session) inTurn(q *router.Query) {
	if isolation := strings.ToUpper(s.isolation()); !s.tx.open && (isolation == "REPEATABLE READ" || isolation == "SERIALIZABLE") {
		s.refuseSimple(spanning(isolation))
		return
	}
	for _, t := range q.Turns() {
		g := gatherer{s: s, q: t.Query, plan: t.Plan, described: true, read: true}
		if e := g.answer(t.Route); e != nil {
			s.refuseSimple(e)
			return
		}
	}
	s.readyForQuery()
}

// answer tells the client the rows and the tag.
func (g *gatherer) answer(r router.Route) *pgwire.Error {
	if e := g.find(r); e != nil || g.plan.Writes() { // which tells its own
		return e
	}
	g.s.client.Queue(pgwire.AppendCommandComplete(nil, g.tag(g.rows)))
	return nil
}

// tag is the command tag of so many rows.
func (g *gatherer) tag(rows int) string {
	switch {
	case g.plan.Explains() != "":
		return "EXPLAIN"
	case g.copy.how != nil:
		return g.copyEnd()
	}
	return "SELECT " + strconv.Itoa(rows)
}

// find tells the client the rows, or keeps them. With an error it may have been told some of them.
func (g *gatherer) find(r router.Route) *pgwire.Error {
	s := g.s
	switch {
	case s.tx.aborted:
		return errAborted
	case s.tx.strict != "":
		return spanning(s.tx.strict)
	case g.plan.Writes():
		return g.write(r)
	}
	g.copy.how = g.plan.Copy()
	e := g.enlist(s.role(&r))
	if e == nil && g.copy.how == nil {
		e = g.describe()
	}
	switch {
	case e != nil:
	case g.plan.Explains() != "":
		e = g.explain(g.q.Why(r))
	case g.plan.Whole():
		e = g.pass()
	default:
		e = g.ordered()
	}
	s.answeredBySeveral()
	g.release()
	return e
}

// shards are those that take part, in order: of a statement that names its tenants those that own them, else all that own any.
func (g *gatherer) shards() []int {
	var list []int
	for _, share := range g.plan.Shares() {
		list = append(list, share.Shard)
	}
	for i := range g.s.place.shards.ShardCount() {
		if g.plan.Shares() == nil && g.s.place.shards.Shard(i).Owned > 0 {
			list = append(list, i)
		}
	}
	return list
}

// enlist gets a backend of every shard that takes part, in the order of the shards, so that two that do so cannot wait for each other.
func (g *gatherer) enlist(role pool.Role) *pgwire.Error {
	s := g.s
	for _, i := range g.shards() {
		l, e := s.join(i, role)
		if e == nil {
			e = s.drainSkipped(l)
		}
		if e != nil {
			return s.onShardError(i, e)
		}
		s.suspect(l, g.q)
		s.sentToSeveral(l)
		g.all = append(g.all, gathered{link: l})
	}
	return nil
}

// release gives back what no transaction binds to the session.
func (g *gatherer) release() {
	if g.s.tx.open {
		return
	}
	for _, a := range g.all {
		if l := a.link; l.backend != nil && l.lost == nil && l.hold == 0 && !l.busy() {
			g.s.release(l)
		}
	}
}

// describe has a server read the client's own text: it knows what is wrong with it, the types of parameters, and the names of the columns.
func (g *gatherer) describe() *pgwire.Error {
	names, e := g.namesOf(string(g.q.SQL()))
	if e != nil {
		return e
	}
	g.read, g.names = true, names
	g.oids = append([]byte(nil), 0, 0)
	if types, ok := pgwire.DecodeParameterDescription(g.all[0].link.described); ok {
		g.oids = append(g.oids[:0], types...)
	}
	return nil
}

// namesOf are the names of the columns that a text answers with.
func (g *gatherer) namesOf(sql string) ([]string, *pgwire.Error) {
	fields, e := g.fieldsOf(sql)
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names, e
}

// fieldsOf are the columns that a text answers with.
func (g *gatherer) fieldsOf(sql string) ([]pgwire.Field, *pgwire.Error) {
	l := g.all[0].link
	l.prepare(sql, g.oids)
	l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'S', ownName), reply{kind: describeStatement, do: skip})
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	frames, e := g.command(l)
	if e != nil {
		return nil, e
	}
	for typ, frame := range framesIn(frames) {
		if typ != pgwire.MsgRowDescription {
			continue
		}
		fields, err := pgwire.DecodeRowDescription(frame)
		if err != nil {
			return nil, clientError(err)
		}
		return fields, nil
	}
	return nil, nil
}

// command waits for the replies to what the session itself has sent to one backend.
func (g *gatherer) command(l *link) ([]byte, *pgwire.Error) {
	one := []gathered{{link: l, out: sink{keep: true}}}
	l.sink = &one[0].out
	if e := g.keep(one); e != nil {
		return nil, e
	}
	return one[0].out.frames, nil
}

// ask sends a text to a backend, with the parameters of the client and more.
func (g *gatherer) ask(l *link, sql string, oids []byte, more [][]byte, formats []byte, describe bool) {
	l.prepare(sql, oids)
	l.send(pgwire.AppendBindWith(l.conn.QueueBuffer(), ownName, g.bind, more, formats), reply{kind: pgwire.MsgBind, do: skip})
	g.run(l, describe)
}

// askEach sends the i-th backend what its shard runs: sql, or its share.
func (g *gatherer) askEach(i int, sql string, formats []byte, describe bool) {
	l, share := g.all[i].link, router.Share{SQL: sql}
	if shares := g.plan.Shares(); shares != nil && shares[i].SQL != "" {
		share = shares[i]
	}
	types, other := g.params(&share, i)
	l.prepare(share.SQL, types)
	if len(other) == 0 {
		l.send(pgwire.AppendBindWith(l.conn.QueueBuffer(), ownName, g.bind, nil, formats), reply{kind: pgwire.MsgBind, do: skip})
	} else {
		l.send(pgwire.AppendBindOther(l.conn.QueueBuffer(), ownName, g.bind, other, formats), reply{kind: pgwire.MsgBind, do: skip})
	}
	g.run(l, describe)
}

// run has a backend execute the session's own portal.
func (g *gatherer) run(l *link, describe bool) {
	if describe {
		l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'P', ownName), reply{kind: pgwire.MsgDescribe, do: skip})
	}
	l.send(pgwire.AppendExecute(l.conn.QueueBuffer(), ownName, 0), reply{kind: pgwire.MsgExecute, do: skip})
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
}

// formats are those that the client wants the values of the answer in.
func (g *gatherer) formats() []byte {
	if g.bind == nil {
		return nil
	}
	return g.bind.ResultFormats
}

// pass hands the rows of the shards on, one shard's after the other's: what the others send meanwhile waits in their sockets.
func (g *gatherer) pass() *pgwire.Error {
	for i := range g.all {
		g.askEach(i, g.plan.Portions()[0].Each(), g.formats(), i == 0 && g.described && g.copy.how == nil)
		g.all[i].link.sink = &g.all[i].out
		_ = g.all[i].link.conn.Flush()
	}
	for i := range g.all {
		g.copy.shard = i
		if e := g.hand(&g.all[i]); e != nil {
			g.stop(g.all)
			return e
		}
	}
	return nil
}

const oidTextArray = 1009

// columns are those of the rows that the shards have answered with.
func (g *gatherer) columns() ([]router.GatheredColumn, []pgwire.Field, *pgwire.Error) {
	for typ, frame := range framesIn(g.all[0].out.frames) {
		if typ != pgwire.MsgRowDescription {
			continue
		}
		fields, err := pgwire.DecodeRowDescription(frame)
		if err != nil {
			return nil, nil, clientError(err)
		}
		columns := make([]router.GatheredColumn, len(fields))
		for i, f := range fields {
			columns[i] = router.GatheredColumn{Name: f.Name, OID: f.OID}
		}
		return columns, fields, nil
	}
	return nil, nil, errProtocol
}

// arrays are the values of the rows, an array for each column, as PostgreSQL writes arrays of text.
func (g *gatherer) arrays(n int) ([][]byte, *pgwire.Error) {
	arrays := make([][]byte, n)
	for i := range arrays {
		arrays[i] = append(arrays[i], '{')
	}
	var values [][]byte
	for i := range g.all {
		for typ, frame := range framesIn(g.all[i].out.frames) {
			if typ != pgwire.MsgDataRow {
				continue
			}
			var err error
			if values, err = pgwire.DecodeDataRow(frame, values[:0]); err != nil || len(values) != n {
				return nil, errProtocol
			}
			for c, v := range values {
				arrays[c] = appendElement(arrays[c], v)
			}
		}
	}
	for i := range arrays {
		arrays[i] = append(arrays[i], '}')
	}
	return arrays, nil
}

// appendElement adds a value to an array that is being written.
func appendElement(b, v []byte) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	if v == nil {
		return append(b, "NULL"...)
	}
	b = append(b, '"')
	for _, c := range v {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// tooMuch is the error of a statement whose rows exceed what may be kept of them.
func (g *gatherer) tooMuch(limit int) *pgwire.Error {
	return &pgwire.Error{Code: "54000", Message: fmt.Sprintf("the rows of all shards that the answer is made of exceed %d MB", limit>>20),
		Hint: "Select fewer rows or columns, add a LIMIT, name a tenant, or raise limits: scatter_memory of the database."}
}
