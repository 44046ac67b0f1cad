package proxy

import (
	"context"
	"iter"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// framesIn are the whole frames of b.
func framesIn(b []byte) iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		for len(b) > 0 {
			typ, size, err := pgwire.Peek(b, maxBackendFrame)
			if err != nil || size == 0 || size > len(b) || !yield(typ, b[:size]) {
				return
			}
			b = b[size:]
		}
	}
}

// keep waits until every backend has answered, and keeps what they say, up to a limit. The first error stops the others.
func (g *gatherer) keep(all []gathered) *pgwire.Error {
	s := g.s
	limit := s.db.options().ScatterMemory
	on := make([]task.Interest, 0, len(all))
	s.clock(all[0].link)
	defer s.stopClock()
	for {
		s.stopOverdue()
		on = on[:0]
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				_ = l.conn.Flush()
				on = append(on, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
			}
		}
		size, e := 0, g.failed(all)
		for i := range all {
			size += len(all[i].out.frames)
		}
		if e == nil && size > limit {
			e = g.tooMuch(limit)
		}
		if e != nil {
			g.stop(all)
			return e
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
		all[i].link.sink = nil
	}
	return nil
}

// failed is the first error of a shard, or why nobody waits for the answer any more.
func (g *gatherer) failed(all []gathered) *pgwire.Error {
	for i := range all {
		a := &all[i]
		e := a.out.fault
		if e == nil && a.link.lost != nil {
			e = a.link.lostFault()
		}
		if e != nil {
			return g.s.onShardError(a.link.shard, g.told(e))
		}
	}
	if g.s.cut.Load() || g.s.abandoned() {
		return errShutdown
	}
	return nil
}

// told is an error of a server in the client's words: a place in a text that the client has not sent says nothing to it.
func (g *gatherer) told(e *pgwire.Error) *pgwire.Error {
	if !g.read {
		return e
	}
	told := *e
	told.Position = 0
	return &told
}

// stopAgain is how long a shard may take to give up until it is asked once more: one that has not begun yet ignores that it is asked.
const stopAgain = 500 * time.Millisecond

// stop has the shards that have not answered yet give up, and waits until they have.
func (g *gatherer) stop(all []gathered) {
	for i := range all {
		all[i].out = sink{fault: all[i].out.fault}
		if all[i].link.busy() {
			all[i].link.sink = &all[i].out
		}
	}
	g.cancel(all)
	for !g.s.haveAnswered(all, time.Now().Add(stopAgain)) {
		g.cancel(all)
	}
	g.s.gather(all, time.Time{})
}

// cancel asks the nodes to stop what has no answer yet.
func (g *gatherer) cancel(all []gathered) {
	s := g.s
	s.t.Await(func() {
		ctx, done := context.WithTimeout(context.Background(), cancelTime)
		defer done()
		for i := range all {
			if l := all[i].link; l.busy() && l.lost == nil {
				if err := l.backend.Cancel(ctx, &l.req); err != nil {
					s.log().Warn("what is left of a statement on all shards could not be stopped", "node", l.node(), "error", err)
				}
			}
		}
	})
}

// hand hands the rows of one backend on to the client as they come. A client that does not read holds it up, and nothing piles up.
func (g *gatherer) hand(a *gathered) *pgwire.Error {
	s, l := g.s, a.link
	a.out.keep = true
	l.sink = &a.out
	s.clock(l)
	defer s.stopClock()
	for {
		rest, e := g.take(a.out.frames)
		a.out.frames = a.out.frames[:copy(a.out.frames, rest)]
		if e == nil {
			e = g.failed([]gathered{*a})
		}
		if e == nil && len(rest)+len(g.held) > s.db.options().ScatterMemory {
			e = g.tooMuch(s.db.options().ScatterMemory)
		}
		if e != nil {
			g.stop([]gathered{*a})
			return e
		}
		if !l.busy() {
			l.sink = nil
			return nil
		}
		s.stopOverdue()
		_ = l.conn.Flush()
		_ = s.client.Flush()
		s.waitFor(l)
		if s.client.Pending() <= queueLimit {
			s.pump(l)
		}
	}
}

// row tells the client a row of the answer, or keeps it.
func (g *gatherer) row(frame []byte) {
	g.rows++
	if g.hold {
		g.held = append(g.held, frame...)
		return
	}
	g.s.client.Queue(frame)
}

// take tells the client the rows at the head of frames and returns what is left: a frame that is not whole yet.
func (g *gatherer) take(frames []byte) ([]byte, *pgwire.Error) {
	if g.copy.how != nil {
		return g.takeCopy(frames)
	}
	for typ, frame := range framesIn(frames) {
		frames = frames[len(frame):]
		switch typ {
		case pgwire.MsgDataRow:
			g.row(frame)
		case pgwire.MsgRowDescription, pgwire.MsgNoticeResponse:
			g.s.client.Queue(frame)
		case pgwire.MsgCopyOut, pgwire.MsgCopyIn:
			return nil, errProtocol
		}
	}
	return frames, nil
}
