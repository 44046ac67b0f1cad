package proxy

import (
	"encoding/binary"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// ordered answers by merging what the shards have ordered, where that can be, else by combining their rows.
func (g *gatherer) ordered() *pgwire.Error {
	if m := g.plan.Merging(); m != nil {
		if done, e := g.merge(m); done || e != nil {
			return e
		}
	}
	return g.combine()
}

// fetch runs a text on all shards and keeps what they answer.
func (g *gatherer) fetch(sql string, formats []byte) *pgwire.Error {
	for i := range g.all {
		a := &g.all[i]
		g.askEach(i, sql, formats, i == 0)
		a.out.keep = true
		a.link.sink = &a.out
		_ = a.link.conn.Flush()
	}
	return g.keep(g.all)
}

// combine keeps the rows of the shards and has one of them make the answer.
func (g *gatherer) combine() *pgwire.Error {
	var rows []router.Gathered
	var arrays [][]byte
	for _, p := range g.plan.Portions() {
		had := sizeOf(arrays)
		if had > g.s.db.options().ScatterMemory {
			return g.tooMuch(g.s.db.options().ScatterMemory)
		}
		part, values, e := g.portion(p)
		if e != nil {
			return g.unrelated(p, e)
		}
		rows, arrays = append(rows, part), append(arrays, values...)
	}
	for i := range g.all {
		g.all[i].out = sink{}
	}
	params := (len(g.oids) - 2) / 4
	var sql string
	var err error
	g.s.t.Await(func() { sql, err = g.plan.Final(rows, params) })
	if err != nil {
		return clientError(err)
	}
	oids := binary.BigEndian.AppendUint16(nil, uint16(params+len(arrays)))
	oids = append(oids, g.oids[2:]...)
	for range arrays {
		oids = binary.BigEndian.AppendUint32(oids, oidTextArray)
	}
	last := gathered{link: g.all[0].link}
	g.ask(last.link, sql, oids, arrays, g.formats(), g.described)
	return g.hand(&last)
}

// portion is what the shards answer to one portion, and the values of its columns.
func (g *gatherer) portion(p *router.Portion) (router.Gathered, [][]byte, *pgwire.Error) {
	part := router.Gathered{Names: g.names}
	var e *pgwire.Error
	if p.Text() != "" {
		part.Names, e = g.namesOf(p.Text())
	}
	if e == nil {
		e = g.fetch(p.Each(), nil)
	}
	if e != nil {
		return part, nil, e
	}
	var fields []pgwire.Field
	if part.Columns, fields, e = g.columns(); e != nil {
		return part, nil, e
	}
	values, e := g.arrays(len(part.Columns))
	if e != nil {
		return part, nil, e
	}
	for i := range g.all {
		g.all[i].out = sink{}
	}
	return part, values, g.learn(p.Each(), part.Columns, fields)
}

// unrelated is the error for a portion of a statement that a server finds wrong by itself, though it is right in its place there.
func (g *gatherer) unrelated(p *router.Portion, e *pgwire.Error) *pgwire.Error {
	if p.Text() == "" || e.Code != "42703" && e.Code != "42P01" {
		return e
	}
	return &pgwire.Error{Code: "0A000", Message: "a subquery that names columns of the query around it is not run on all shards by itself", Detail: e.Message,
		Hint: "Join it on the tenant's column, or name a tenant."}
}

func sizeOf(arrays [][]byte) int {
	n := 0
	for _, a := range arrays {
		n += len(a)
	}
	return n
}
