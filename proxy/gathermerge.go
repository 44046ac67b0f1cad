package proxy

import (
	"math"
	"strconv"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// merger takes the rows of shards that have ordered theirs, the first of all next ones again and again. It keeps no more of a shard's rows
// than have arrived when they are needed: what else a shard has waits in its socket.
type merger struct {
	g       *gatherer
	keys    []router.MergeKey
	orders  []ordering
	sources []source
	columns int // of the answer
	skip    int64
	left    int64
}

// source is what has arrived of a shard's rows.
type source struct {
	*gathered
	used   int      // bytes of its frames that are done with
	values [][]byte // of the next row; none: it has not arrived
	over   bool     // there are no more
}

// merge answers by merging, if the types of what orders the rows allow that; done is false if they do not.
func (g *gatherer) merge(m *router.Merging) (done bool, e *pgwire.Error) {
	w, e := g.merger(m)
	if w == nil || e != nil {
		return false, e
	}
	for i := range g.all {
		a := &g.all[i]
		g.askEach(i, m.Each(), w.formats(), i == 0 && g.described)
		a.out.keep = true
		a.link.sink = &a.out
		_ = a.link.conn.Flush()
		w.sources = append(w.sources, source{gathered: a})
	}
	if e := w.run(); e != nil {
		g.stop(g.all)
		return true, e
	}
	for i := range g.all {
		g.all[i].out = sink{fault: g.all[i].out.fault}
	}
	g.s.gather(g.all, time.Time{}) // what is beyond the limit
	for i := range g.all {
		if e := g.all[i].out.fault; e != nil {
			return true, g.s.onShardError(g.all[i].link.shard, g.told(e))
		}
	}
	return true, nil
}

// merger is who merges the rows of a statement; nil if that takes a server.
func (g *gatherer) merger(m *router.Merging) (*merger, *pgwire.Error) {
	fields, e := g.fieldsOf(m.Text())
	if e != nil {
		return nil, e
	}
	w := &merger{g: g, keys: m.Keys, columns: len(fields) - len(m.Keys), left: math.MaxInt64}
	limit, ok := g.count(m.Limit)
	if m.Limit.Said && limit >= 0 {
		w.left = limit
	}
	skip, also := g.count(m.Offset)
	w.skip = max(skip, 0)
	if n := len(g.formats()); !ok || !also || n > 2 && n != 2*w.columns {
		return nil, nil
	}
	if ok, e := w.known(m, fields); !ok || e != nil {
		return nil, e
	}
	return w, nil
}

// known finds the orders of the types that order the rows; false if one has none that can be told here.
func (w *merger) known(m *router.Merging, fields []pgwire.Field) (bool, *pgwire.Error) {
	var text []int
	for i := range w.keys {
		oid := fields[w.columns+i].OID
		if isText(oid) {
			text = append(text, w.columns+i)
		}
		w.orders = append(w.orders, orderingOf(oid, true))
		if w.orders[i] == nil {
			return false, nil
		}
	}
	columns := make([]router.GatheredColumn, len(fields))
	if e := w.g.collations(m.Text(), columns, text); e != nil {
		return false, e
	}
	for _, i := range text {
		if c := columns[i].Collation; c != `"C"` && c != `"POSIX"` {
			return false, nil
		}
	}
	return true, nil
}

// formats are the client's for the answer's columns, and binary for what orders the rows.
func (w *merger) formats() []byte {
	var list []byte
	wanted := w.g.formats()
	for i := range w.columns {
		switch {
		case len(wanted) == 2:
			list = append(list, wanted...)
		case 2*i+2 <= len(wanted):
			list = append(list, wanted[2*i:2*i+2]...)
		default:
			list = append(list, 0, 0)
		}
	}
	for range w.keys {
		list = append(list, 0, 1)
	}
	return list
}

// run tells the client the rows in their order, until the limit.
func (w *merger) run() *pgwire.Error {
	g, s := w.g, w.g.s
	s.clock(g.all[0].link)
	defer s.stopClock()
	for {
		waits, e := w.fill()
		if e == nil {
			e = g.failed(g.all)
		}
		if e != nil {
			return e
		}
		if len(waits) == 0 && s.client.Pending() <= queueLimit {
			if w.left <= 0 || !w.next() {
				return nil
			}
			continue
		}
		w.wait(waits)
	}
}

// wait waits for rows of shards of which the next one has not arrived, or for the client.
func (w *merger) wait(waits []*link) {
	s := w.g.s
	s.stopOverdue()
	_ = s.client.Flush()
	var on []task.Interest
	if s.client.Pending() > 0 {
		on = append(on, task.Interest{Conn: s.client, Write: true})
	}
	for _, l := range waits {
		_ = l.conn.Flush()
		on = append(on, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
	}
	if len(on) > 0 {
		s.t.Wait(time.Time{}, on...)
	}
	for _, l := range waits {
		s.pump(l)
	}
}

// fill reads the next row of every shard, and returns the links of those whose row has not arrived.
func (w *merger) fill() (waits []*link, e *pgwire.Error) {
	limit := w.g.s.db.options().ScatterMemory
	for i := range w.sources {
		a := &w.sources[i]
		if len(a.values) > 0 || a.over {
			continue
		}
		if e := w.read(a); e != nil {
			return nil, e
		}
		switch {
		case len(a.values) > 0:
		case len(a.out.frames)+len(w.g.held) > limit:
			return nil, w.g.tooMuch(limit)
		case a.link.busy() && a.link.lost == nil:
			waits = append(waits, a.link)
		default:
			a.over = true
		}
	}
	return waits, nil
}

// read takes the next row of a shard from what has arrived. What is not whole yet moves to the front, and more is appended to it.
func (w *merger) read(a *source) *pgwire.Error {
	for typ, frame := range framesIn(a.out.frames[a.used:]) {
		a.used += len(frame)
		switch typ {
		case pgwire.MsgDataRow:
			var err error
			if a.values, err = pgwire.DecodeDataRow(frame, a.values[:0]); err != nil || len(a.values) != w.columns+len(w.keys) {
				return errProtocol
			}
			return nil
		case pgwire.MsgRowDescription:
			b, err := pgwire.AppendFirstFields(w.g.s.client.QueueBuffer(), frame, w.columns)
			if err != nil {
				return errProtocol
			}
			w.g.s.client.SetQueue(b)
		case pgwire.MsgNoticeResponse:
			w.g.s.client.Queue(frame)
		case pgwire.MsgCopyOut, pgwire.MsgCopyIn:
			return errProtocol
		}
	}
	a.out.frames = a.out.frames[:copy(a.out.frames, a.out.frames[a.used:])]
	a.used = 0
	return nil
}

// next tells the client the first of the next rows; false if there are none.
func (w *merger) next() bool {
	var first *source
	for i := range w.sources {
		if a := &w.sources[i]; len(a.values) > 0 && (first == nil || w.before(a, first)) {
			first = a
		}
	}
	if first == nil {
		return false
	}
	if w.skip > 0 {
		w.skip--
	} else {
		w.left--
		w.g.answerRow(first.values[:w.columns])
	}
	first.values = first.values[:0]
	return true
}

// before reports whether a's row comes before b's.
func (w *merger) before(a, b *source) bool {
	for i, k := range w.keys {
		x, y := a.values[w.columns+i], b.values[w.columns+i]
		switch {
		case x == nil && y == nil:
			continue
		case x == nil || y == nil:
			return (x == nil) == k.NullsFirst
		}
		if c := w.orders[i](x, y); c != 0 {
			return (c < 0) != k.Descending
		}
	}
	return false
}

// answerRow tells the client a row of the answer, or keeps it.
func (g *gatherer) answerRow(values [][]byte) {
	if g.hold {
		g.row(pgwire.AppendDataRow(nil, values))
		return
	}
	g.rows++
	g.s.client.SetQueue(pgwire.AppendDataRow(g.s.client.QueueBuffer(), values))
}

// count is the number of rows that LIMIT or OFFSET says, -1 for none; false if only a server can read it.
func (g *gatherer) count(c router.Count) (int64, bool) {
	switch {
	case !c.Said:
		return -1, true
	case c.Parameter == 0:
		return c.Value, true
	case g.bind == nil || c.Parameter > g.bind.NumParams():
		return 0, false
	}
	value, binaryForm, null := g.bind.Param(c.Parameter - 1)
	switch {
	case null:
		return -1, true
	case binaryForm:
		return signed(value), len(value) == 2 || len(value) == 4 || len(value) == 8
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil
}
