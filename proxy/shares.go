package proxy

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// write carries out a statement that writes rows of tenants on several shards. Outside a transaction it gets one of its own on each, which is
// committed once its share has succeeded on all; in the extended protocol that is the batch's, and its Sync commits it.
func (g *gatherer) write(r router.Route) *pgwire.Error {
	s := g.s
	if e := g.mayWrite(); e != nil {
		return e
	}
	s.markWrite(g.q, &r)
	own := !s.tx.open
	if own {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
		s.tx.ofBatch = g.bind != nil
	}
	s.tx.joint = true // it is, also if the option changes before it ends
	e := g.writeShares()
	s.answeredBySeveral()
	if own && !s.tx.ofBatch {
		end := router.Commit
		if e != nil {
			s.tx.aborted, end = true, router.Rollback
		}
		if _, failed := s.endTransaction(&router.Statement{Verb: end}); e == nil {
			e = failed
		}
	}
	if e == nil {
		e = g.tell()
	}
	return e
}

// mayWrite says why the statement may not write on several shards.
func (g *gatherer) mayWrite() *pgwire.Error {
	s := g.s
	if s.tx.joint || s.db.options().TwoPhase {
		return nil
	}
	var names []string
	for _, i := range g.shards() {
		names = append(names, s.place.shards.Shard(i).Name)
	}
	return &pgwire.Error{Code: "0A000", Message: "a statement cannot write on several shards",
		Detail: "The tenants that it names live on shards " + strings.Join(names, ", ") + ", and nothing would make its commit atomic, in a transaction or not.",
		Hint: "Send one statement for the tenants of each shard, in a transaction of its own; or have commits over shards made atomic: " +
			"\"two_phase_commit: on\" in pgdrover.yaml."}
}

// writeShares runs the shares inside the open transaction, one after the other, in the order of the shards: of two that want the same locks
// on several shards one is first everywhere, so that neither waits for the other on another shard, where no server sees it.
func (g *gatherer) writeShares() *pgwire.Error {
	s := g.s
	if e := g.enlist(pool.Primary); e != nil {
		return e
	}
	if e := g.describe(); e != nil {
		return e
	}
	for i := range g.all {
		a := &g.all[i]
		s.own(a.link, g.q)
		g.askEach(i, "", g.formats(), i == 0 && g.described)
		a.out.keep = true
		a.link.sink = &a.out
		if e := g.keep(g.all[:i+1]); e != nil {
			return e
		}
	}
	for i := range g.all {
		g.all[i].link.wrote, g.all[i].link.owned = true, true
	}
	s.effect(g.all[0].link, g.q, 0, nil, false)
	return nil
}

// firstOwnType is the first OID that is not PostgreSQL's own. Such a type has another on each shard.
const firstOwnType = 16384

// params are the types of the parameters as the i-th backend is told them, and those that it gets other values for. A type that is not
// PostgreSQL's own it finds out by itself. What its share does not mention is NULL, and text where a type of its own might refuse that, as a
// domain's may.
func (g *gatherer) params(share *router.Share, i int) (types []byte, other map[int][]byte) {
	types, other = g.oids, share.Other
	if len(types) <= 2 {
		return types, other
	}
	types = slices.Clone(types)
	for at := 2; i > 0 && at < len(types); at += 4 {
		if binary.BigEndian.Uint32(types[at:]) >= firstOwnType {
			binary.BigEndian.PutUint32(types[at:], 0)
		}
	}
	if len(share.Idle) > 0 {
		other = maps.Clone(other)
	}
	if len(share.Idle) > 0 && other == nil {
		other = map[int][]byte{}
	}
	for _, p := range share.Idle {
		if at := 2 + 4*p; at < len(types) {
			other[p] = nil
			binary.BigEndian.PutUint32(types[at:], textOID)
		}
	}
	return types, other
}

// tell tells the client the answer of all shares as one.
func (g *gatherer) tell() *pgwire.Error {
	tag, total := "", 0
	for i := range g.all {
		words, count, _ := cutLast(g.all[i].out.tag)
		n, err := strconv.Atoi(count)
		if err != nil {
			return errProtocol
		}
		tag, total = words, total+n
	}
	rows := g.heads()
	if g.inOrder(rows) {
		for _, share := range g.plan.Rows() {
			g.s.client.Queue(rows[share][0])
			rows[share] = rows[share][1:]
		}
	}
	for _, rest := range rows {
		for _, row := range rest {
			g.s.client.Queue(row)
		}
	}
	g.s.client.Queue(pgwire.AppendCommandComplete(nil, tag+" "+strconv.Itoa(total)))
	return nil
}

// heads tells the client what comes before the rows, and returns the rows of each share.
func (g *gatherer) heads() [][][]byte {
	rows := make([][][]byte, len(g.all))
	for i := range g.all {
		for typ, frame := range framesIn(g.all[i].out.frames) {
			switch {
			case typ == pgwire.MsgDataRow:
				rows[i] = append(rows[i], frame)
			case typ == pgwire.MsgRowDescription, typ == pgwire.MsgNoticeResponse, typ == pgwire.MsgNoData && g.bind != nil:
				g.s.client.Queue(frame)
			}
		}
	}
	return rows
}

// inOrder reports whether each row of VALUES has given one row, as RETURNING does unless a conflict, a rule or a trigger is in the way. Their
// order is known then.
func (g *gatherer) inOrder(rows [][][]byte) bool {
	counts := make([]int, len(rows))
	for _, share := range g.plan.Rows() {
		counts[share]++
	}
	for i := range rows {
		if len(rows[i]) != counts[i] {
			return false
		}
	}
	return g.plan.Rows() != nil
}

// cutLast cuts a command's tag before its last word.
func cutLast(tag string) (before, last string, found bool) {
	at := strings.LastIndexByte(tag, ' ')
	if at < 0 {
		return "", tag, false
	}
	return tag[:at], tag[at+1:], true
}
