package proxy

import (
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// gathered is the answer of one shard to a statement that runs on all.
type gathered struct {
	link *link
	out  sink
}

// everySimple carries out a Query that runs on every shard: DDL, and writes to reference tables. Outside a transaction it gets
// one of its own on every shard, which is committed once the statement has succeeded on all (design, "Transactions").
func (s *session) everySimple(q *router.Query, r router.Route) {
	frames, e := s.every(q, r, func(l *link, do action) {
		l.send(pgwire.AppendQuery(l.conn.QueueBuffer(), string(q.SQL())), reply{kind: pgwire.MsgQuery, do: do})
	})
	if e != nil {
		s.refuseSimple(e)
		return
	}
	s.client.Queue(frames)
	s.client.SetQueue(pgwire.AppendReadyForQuery(s.client.QueueBuffer(), s.tx.status()))
}

// executeEvery is everySimple for a portal.
func (s *session) executeEvery(at *portal) bool {
	if s.batch.link != nil {
		return s.fail(&pgwire.Error{Code: "0A000", Message: "a statement for every shard must be the only one before its Sync",
			Hint: "send a Sync before and after it"})
	}
	p := at.stmt
	var m pgwire.Bind
	if err := pgwire.DecodeBind(at.bind, &m); err != nil {
		return s.fail(errProtocol)
	}
	s.flushDeferredFakes()
	frames, e := s.every(&p.query, at.route, func(l *link, do action) {
		s.know(l, p)
		l.send(pgwire.AppendBindNamed(l.conn.QueueBuffer(), &m, p.backendName()), reply{kind: pgwire.MsgBind, do: do})
		if at.described {
			l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'P', string(m.Portal)), reply{kind: pgwire.MsgDescribe, do: do})
		}
		l.send(pgwire.AppendExecute(l.conn.QueueBuffer(), string(m.Portal), 0), reply{kind: pgwire.MsgExecute, do: do})
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: do})
	})
	if e != nil {
		return s.fail(e)
	}
	s.client.Queue(withoutBinding(frames))
	return true
}

// withoutBinding drops the replies that the client has had already, at the head of frames.
func withoutBinding(frames []byte) []byte {
	for {
		typ, size, err := pgwire.Peek(frames, maxBackendFrame)
		if err != nil || size == 0 || typ != pgwire.MsgBindComplete && typ != pgwire.MsgParseComplete {
			return frames
		}
		frames = frames[size:]
	}
}

// every runs a statement on all shards and returns the answer of the first, once all have succeeded.
func (s *session) every(q *router.Query, r router.Route, send func(*link, action)) ([]byte, *pgwire.Error) {
	if s.tx.aborted {
		return nil, errAborted
	}
	if s.tx.strict != "" {
		return nil, &pgwire.Error{Code: "0A000", Message: "a " + s.tx.strict + " transaction cannot span shards",
			Hint: "use READ COMMITTED for DDL and for writes to reference tables"}
	}
	s.markWrite(q, r)
	for i := range q.Statements() {
		if q.Statements()[i].NoBlock {
			return s.oneByOne(q, send)
		}
	}
	own := !s.tx.open
	if own {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
	}
	frames, e := s.allAtOnce(q, send)
	if !own {
		return frames, e
	}
	if e != nil {
		s.tx.aborted = true
		_, _ = s.endTransaction(&router.Statement{Verb: router.Rollback})
		return nil, e
	}
	if _, e := s.endTransaction(&router.Statement{Verb: router.Commit}); e != nil {
		return nil, e
	}
	return frames, nil
}

// allAtOnce runs a statement on all shards inside the open transaction.
func (s *session) allAtOnce(q *router.Query, send func(*link, action)) ([]byte, *pgwire.Error) {
	all := make([]gathered, s.place.shards.ShardCount())
	for i := range all {
		l, e := s.enlist(router.Route{Kind: router.Single, Shard: i, Write: true})
		if e != nil {
			return nil, s.onShardError(i, e)
		}
		all[i].link = l
	}
	for i := range all {
		g := &all[i]
		s.drainSkipped(g.link)
		g.out.keep = i == 0
		g.link.sink = &g.out
		send(g.link, skip)
		_ = g.link.conn.Flush()
	}
	s.gather(all)
	for i := range all {
		if all[i].out.fault != nil {
			return nil, s.onShardError(i, all[i].out.fault)
		}
	}
	for i := range q.Statements() {
		for _, g := range all {
			g.link.wrote = true
		}
		s.effect(all[0].link, q, i, nil, false)
	}
	return all[0].out.frames, nil
}

// drainSkipped waits for the replies to what the session itself sent, so that a sink gets those of the statement alone.
func (s *session) drainSkipped(l *link) {
	var out sink
	s.command(l, &out, time.Now().Add(commitTime))
}

// gather waits until every shard has answered. The client may cancel meanwhile: each backend then answers with an error.
func (s *session) gather(all []gathered) {
	on := make([]task.Interest, 0, len(all))
	for !s.cut.Load() {
		on = on[:0]
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				on = append(on, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
			}
		}
		if len(on) == 0 {
			break
		}
		s.t.Wait(time.Time{}, on...)
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				s.pump(l)
			}
		}
	}
	for i := range all {
		g := &all[i]
		g.link.sink = nil
		if g.link.lost != nil && g.out.fault == nil {
			g.out.fault = lostError(g.link.node(), g.link.lost)
		}
	}
}

// onShardError says on which shard something failed.
func (s *session) onShardError(shard int, e *pgwire.Error) *pgwire.Error {
	named := *e
	if named.Detail != "" {
		named.Detail += "\n"
	}
	named.Detail += "On shard " + s.place.shards.Shard(shard).Name + "."
	return &named
}

// oneByOne runs a statement that cannot run in a transaction on one shard after the other.
func (s *session) oneByOne(q *router.Query, send func(*link, action)) ([]byte, *pgwire.Error) {
	if s.tx.open {
		return nil, &pgwire.Error{Code: "25001",
			Message: q.Statements()[0].Verb.String() + " of this kind cannot run inside a transaction block"}
	}
	var frames []byte
	for i := range s.place.shards.ShardCount() {
		l, e := s.acquire(i, pool.Primary, nil)
		if e == nil {
			e = s.prepareLink(l)
		}
		if e != nil {
			return nil, s.partly(i, e)
		}
		g := gathered{link: l, out: sink{keep: i == 0}}
		l.sink = &g.out
		send(l, skip)
		one := []gathered{g}
		l.sink = &one[0].out
		s.gather(one)
		if e := one[0].out.fault; e != nil {
			return nil, s.partly(i, e)
		}
		if i == 0 {
			frames = one[0].out.frames
		}
		s.releaseAfter()
	}
	for i := range q.Statements() {
		if q.Statements()[i].Verb == router.DDL {
			s.lookup.ddl = true
		}
	}
	s.settle(false)
	return frames, nil
}

// partly says how far a statement got that runs on one shard after the other.
func (s *session) partly(shard int, e *pgwire.Error) *pgwire.Error {
	e = s.onShardError(shard, e)
	if shard > 0 {
		e.Hint = fmt.Sprintf("It is done on the %d shards before this one. Mend the cause and repeat it; IF NOT EXISTS skips what is done.", shard)
	}
	return e
}
