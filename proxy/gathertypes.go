package proxy

import (
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// learn asks a server what the types of the rows' columns are called, and by which collation it compares those that have one. They are answered to each.
func (g *gatherer) learn(each string, columns []router.GatheredColumn, fields []pgwire.Field) *pgwire.Error {
	var oids, modifiers []string
	for _, f := range fields {
		oids = append(oids, strconv.FormatUint(uint64(f.OID), 10))
		modifiers = append(modifiers, strconv.Itoa(int(f.Modifier)))
	}
	l := g.all[0].link
	l.sendQuery("SELECT pg_catalog.format_type(u.o, u.m), t.typcollation <> 0 FROM ROWS FROM (pg_catalog.unnest('{" + strings.Join(oids, ",") +
		"}'::pg_catalog.oid[]), pg_catalog.unnest('{" + strings.Join(modifiers, ",") + "}'::pg_catalog.int4[])) WITH ORDINALITY AS u(o, m, n)" +
		" JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.o ORDER BY u.n")
	rows, e := g.values(l)
	if e != nil {
		return e
	}
	if len(rows) != len(columns) {
		return errProtocol
	}
	var compared []int
	for i, row := range rows {
		columns[i].Type = string(row[0])
		if string(row[1]) == "t" {
			compared = append(compared, i)
		}
	}
	return g.collations(each, columns, compared)
}

// collations asks for the collations of the columns whose numbers are in compared.
func (g *gatherer) collations(each string, columns []router.GatheredColumn, compared []int) *pgwire.Error {
	if len(compared) == 0 {
		return nil
	}
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = "v" + strconv.Itoa(i)
	}
	var list []string
	for _, i := range compared {
		list = append(list, "pg_catalog.pg_collation_for(r."+names[i]+")")
	}
	l := g.all[0].link
	g.ask(l, "SELECT "+strings.Join(list, ", ")+" FROM (SELECT) AS one LEFT JOIN ("+each+") AS r("+strings.Join(names, ", ")+") ON false",
		g.oids, nil, nil, false)
	rows, e := g.values(l)
	if e != nil {
		return e
	}
	if len(rows) != 1 || len(rows[0]) != len(compared) {
		return errProtocol
	}
	for k, i := range compared {
		columns[i].Collation = string(rows[0][k])
	}
	return nil
}

// values are the rows of what the session itself has asked a backend.
func (g *gatherer) values(l *link) ([][][]byte, *pgwire.Error) {
	frames, e := g.command(l)
	if e != nil {
		return nil, e
	}
	var rows [][][]byte
	for typ, frame := range framesIn(frames) {
		if typ == pgwire.MsgDataRow {
			row, err := pgwire.DecodeDataRow(frame, nil)
			if err != nil {
				return nil, clientError(err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}
