package proxy

import (
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

// everySimple carries out a Query that several backends are told of: on every shard what DDL and writes to reference tables are;
// on all that take part in the open transaction what is about the transaction (design, "Transactions").
func (s *session) everySimple(q *router.Query, r router.Route) {
	set, _ := q.Changes(0, nil)
	text, w := q.SQL(), s.wordsOf(q)
	if w != nil {
		text = w.text
	}
	before := func(l *link) *pgwire.Error { return s.knowAll(l, w) }
	frames, e := s.several(q, r, set, sender{before, func(l *link, do action) {
		l.notes.unnamed = 0
		l.send(pgwire.AppendQuery(l.conn.QueueBuffer(), string(text)), reply{kind: pgwire.MsgQuery, do: do, words: w})
	}})
	s.unmake(nil, w)
	if e != nil {
		s.refuseSimple(e)
		return
	}
	s.client.Queue(frames)
	s.readyForQuery()
}

// isForSeveral reports whether several backends, or another number than one, are told of a statement.
func (s *session) isForSeveral(q *router.Query, r *router.Route) bool {
	return !s.place.single() && (r.Kind == router.Every || s.isEarly(q, r) || s.preparesSeveral(q))
}

// several runs a statement on all backends that are to hear of it, and returns the answer of one once all have succeeded. set is
// what it changes of the session's settings.
func (s *session) several(q *router.Query, r router.Route, set []router.Change, send sender) ([]byte, *pgwire.Error) {
	if s.tx.aborted {
		return nil, errAborted
	}
	measured := send
	measured.send = func(l *link, do action) {
		s.sentToSeveral(l)
		send.send(l, do)
	}
	defer s.answeredBySeveral()
	if s.preparesSeveral(q) {
		return s.prepareSeveral(q, measured)
	}
	if r.Kind != router.Every {
		return s.early(q, set, measured)
	}
	return s.every(q, r, measured)
}

// sender tells a backend a statement, as it came by either protocol.
type sender struct {
	before func(*link) *pgwire.Error // makes sure that the backend knows what the statement names, and waits for that; may be nil
	send   func(*link, action)       // puts it on the backend's queue
}

// executeEvery is everySimple for a portal. Outside a transaction the whole batch is one, which its Sync commits.
func (s *session) executeEvery(at *portal) bool {
	if !s.detach() {
		return !s.cut.Load()
	}
	p := at.stmt
	var m pgwire.Bind
	if err := pgwire.DecodeBind(at.bind, &m); err != nil {
		return s.fail(errProtocol)
	}
	if !s.tx.open && noBlock(&p.query) < 0 {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
		s.tx.ofBatch = true
	}
	before := func(l *link) *pgwire.Error {
		began := l.replies.open
		s.know(l, p)
		return s.wait(l, began)
	}
	frames, e := s.several(&p.query, at.route, at.set, sender{before, func(l *link, do action) {
		l.send(pgwire.AppendBindNamed(l.conn.QueueBuffer(), &m, p.backendName()), reply{kind: pgwire.MsgBind, do: do})
		if at.described {
			l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'P', string(m.Portal)), reply{kind: pgwire.MsgDescribe, do: do})
		}
		l.send(pgwire.AppendExecute(l.conn.QueueBuffer(), string(m.Portal), 0), reply{kind: pgwire.MsgExecute, do: do, words: p.saying()})
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: do})
	}})
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
		if err != nil || size == 0 || typ != pgwire.MsgBindComplete && typ != pgwire.MsgParseComplete && typ != pgwire.MsgCloseComplete {
			return frames
		}
		frames = frames[size:]
	}
}

// every runs a statement on all shards. Outside a transaction it gets one of its own on every shard, which is committed once the
// statement has succeeded on all.
func (s *session) every(q *router.Query, r router.Route, send sender) ([]byte, *pgwire.Error) {
	if s.tx.strict != "" {
		return nil, &pgwire.Error{Code: "0A000", Message: "a " + s.tx.strict + " transaction cannot span shards",
			Hint: "use READ COMMITTED for DDL and for writes to reference tables"}
	}
	s.markWrite(q, &r)
	if noBlock(q) >= 0 {
		return s.oneByOne(q, send)
	}
	own := !s.tx.open
	if own {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
	}
	frames, e := s.everyInside(q, send)
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

// joinEvery has a backend of every shard take part, for a statement that every shard is told.
func (s *session) joinEvery(q *router.Query) ([]*link, *pgwire.Error) {
	all := make([]*link, s.place.shards.ShardCount())
	for i := range all {
		l, e := s.join(i, pool.Primary)
		if e != nil {
			return nil, s.onShardError(i, e)
		}
		s.suspect(l, q)
		all[i] = l
		s.own(l, q)
	}
	return all, nil
}

// everyInside runs a statement on all shards inside the open transaction.
func (s *session) everyInside(q *router.Query, send sender) ([]byte, *pgwire.Error) {
	if e := s.foresee(q); e != nil {
		return nil, e
	}
	all, e := s.joinEvery(q)
	if e != nil {
		return nil, e
	}
	frames, e := s.firstThenAll(all, send)
	if e != nil {
		return nil, e
	}
	for i := range q.Statements() {
		for _, l := range all {
			l.wrote = true
			l.unsure = l.unsure || q.Statements()[i].Verb == router.Listen
		}
		s.effect(all[0], q, i, nil, false)
	}
	return frames, nil
}

// firstThenAll runs a statement on one shard before it runs on the others. Of two that want the same locks one is first on that shard,
// and so on all; otherwise each could wait for the other on a different shard, where no server sees it.
func (s *session) firstThenAll(all []*link, send sender) ([]byte, *pgwire.Error) {
	frames, e := s.runOn(all[:1], send)
	if e == nil && len(all) > 1 {
		_, e = s.runOn(all[1:], send)
	}
	return frames, e
}

// runOn runs a statement on links at once and returns the answer of the first, once all have succeeded.
func (s *session) runOn(links []*link, by sender) ([]byte, *pgwire.Error) {
	all := make([]gathered, len(links))
	for i, l := range links {
		e := s.drainSkipped(l)
		if e == nil && by.before != nil {
			e = by.before(l)
		}
		if e != nil {
			return nil, s.onShardError(l.shard, e)
		}
		all[i] = gathered{link: l, out: sink{keep: i == 0}}
	}
	for i := range all {
		g := &all[i]
		g.link.sink = &g.out
		by.send(g.link, skip)
		_ = g.link.conn.Flush()
	}
	s.gather(all, time.Time{})
	for i := range all {
		if e := all[i].out.fault; e != nil {
			return nil, s.onShardError(all[i].link.shard, e)
		}
	}
	return all[0].out.frames, nil
}

// drainSkipped waits for the replies to what the session itself sent, so that a sink gets those of the statement alone.
func (s *session) drainSkipped(l *link) *pgwire.Error {
	var out sink
	s.command(l, &out, time.Now().Add(commitTime))
	return out.fault
}

// gather waits until every shard has answered, or is taken for lost at the deadline, unless that is zero. The client may cancel meanwhile:
// each backend then answers with an error.
func (s *session) gather(all []gathered, deadline time.Time) {
	if !s.haveAnswered(all, deadline) {
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				l.lost = errTooSlow
				s.linkLost(l)
			}
		}
	}
	for i := range all {
		g := &all[i]
		g.link.sink = nil
		switch {
		case g.out.fault != nil:
		case g.link.lost != nil:
			g.out.fault = g.link.lostFault()
		case g.link.busy():
			g.out.fault = errShutdown
		}
	}
}

// haveAnswered waits until every shard has answered or is lost, and reports whether that was before the deadline, unless that is zero. When the
// proxy ends it waits no longer.
func (s *session) haveAnswered(all []gathered, deadline time.Time) bool {
	on := make([]task.Interest, 0, len(all))
	s.clock(all[0].link)
	defer s.stopClock()
	for late := false; !s.cut.Load(); {
		s.stopOverdue()
		on = on[:0]
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				on = append(on, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
			}
		}
		if len(on) == 0 || late {
			return len(on) == 0
		}
		late = s.t.Wait(deadline, on...)
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				s.pump(l)
			}
		}
	}
	return true
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
