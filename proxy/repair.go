package proxy

import (
	"bytes"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// A backend may know other statements than the notes say, since a function can run DEALLOCATE ALL; and it may have prepared a
// statement before DDL that the client's own Parse came after. PostgreSQL would have served the client. So where nothing was done
// yet, and no transaction would be aborted by the error, the backend is told the statement anew and what failed is sent again.

// tape holds the messages of a batch for as long as they can be sent again. Its memory is used again.
type tape struct {
	frames  []byte
	bound   []reply // to the Binds that were carried out
	owed    []reply // to what failed, and what the server discarded after it
	on      bool    // what comes is kept
	stopped bool    // it has been too much, or something of the batch is done
	used    bool    // something has been sent again: what fails a second time, fails
	mending bool    // what is owed waits until the backend has got over the failure
	ready   bool    // it has
}

// tapeLimit bounds the messages that are kept to be sent again, in bytes.
const tapeLimit = 64 << 10

// startTape begins to keep the messages of a batch, with the first that a statement of a name is used in.
func (s *session) startTape(l *link) {
	if t := &s.tape; !s.tx.open && !t.used && !t.stopped && !l.aside {
		t.on = true
	}
}

// record keeps a message of the client's, and returns what the tape has of it for its reply.
func (s *session) record(frame []byte) (from, to int32) {
	if !s.tape.on {
		return 0, 0
	}
	return s.tape.add(frame)
}

func (t *tape) add(frame []byte) (from, to int32) {
	if len(t.frames)+len(frame) > tapeLimit {
		t.stop()
		return 0, 0
	}
	from = int32(len(t.frames))
	t.frames = append(t.frames, frame...)
	return from, int32(len(t.frames))
}

// stop ends it for this batch: something is done, and would be done again.
func (t *tape) stop() { t.on, t.stopped = false, true }

// done notes what a backend has carried out.
func (t *tape) done(r *reply) {
	switch r.kind {
	case pgwire.MsgBind:
		t.bound = append(t.bound, *r)
	case pgwire.MsgClose:
		t.stop()
	}
}

// rewind makes the tape ready for the next batch. What is large is not kept for it: sessions are idle most of the time.
func (t *tape) rewind() {
	if cap(t.frames)+cap(t.bound)+cap(t.owed) > 1<<10 {
		*t = tape{}
		return
	}
	if len(t.bound)+len(t.owed) > 0 {
		clear(t.bound)
		clear(t.owed)
	}
	t.frames = t.frames[:0]
	t.bound = t.bound[:0]
	t.owed = t.owed[:0]
	t.on, t.stopped, t.used, t.mending, t.ready = false, false, false, false, false
}

// repairs reports whether the failure of the message that r is the reply to can be mended by telling the backend a statement anew.
func (s *session) repairs(l *link, r *reply, frame []byte) bool {
	if l.sink != nil || s.tx.open {
		return false
	}
	if r.check { // whatever else is wrong, it is the EXECUTE that says so
		s.lacks(l, r, pgwire.ErrorField(frame, pgwire.FieldMessage))
		return true
	}
	code := pgwire.ErrorField(frame, pgwire.FieldCode)
	switch string(code) {
	case "26000":
		return r.do == forward && s.lacks(l, r, pgwire.ErrorField(frame, pgwire.FieldMessage))
	case "42P05":
		return r.do == skip && r.name != nil
	case "0A000":
		return r.do == forward && string(pgwire.ErrorField(frame, pgwire.FieldRoutine)) == "RevalidateCachedQuery" && s.outdated(l, r)
	}
	return r.do == forward && s.outlivedTypes(r, code)
}

// lacks reports whether a message says that a statement of the client's is not there, and notes what that means.
func (s *session) lacks(l *link, r *reply, message []byte) bool {
	names := r.name != nil && bytes.Contains(message, []byte(`"`+r.name.name+`"`))
	if r.words != nil {
		for _, n := range r.words.names {
			names = names || n.stmt != nil && n.stmt.shared != nil && bytes.Contains(message, []byte(`"`+n.stmt.shared.name+`"`))
		}
	}
	if names {
		l.notes.forgetAll()
		l.notes.doubtful = true
	}
	return names
}

// outdated reports whether the client's statement was not prepared for it on any backend, so that the result that it has there need not
// be what the client's own Parse would have found. It gets another name.
func (s *session) outdated(l *link, r *reply) bool {
	again := false
	for _, p := range s.about(r) {
		own := p.name == "" && s.batch.parsed // the Parse is of this batch
		if p.shared == nil || p.proven || !own && p.shared.age.Load() != s.db.names.age.Load() {
			continue // what has changed since was changed through PgDrover, and PostgreSQL would say so
		}
		s.db.names.retire(p.shared)
		s.rename(p)
		again = true
	}
	return again
}

// about are the statements that a message uses.
func (s *session) about(r *reply) []*prepared {
	if r.words != nil {
		return r.words.uses
	}
	if r.of != nil {
		return []*prepared{r.of}
	}
	return nil
}

// rename gives a statement the name that it would get if it was prepared now; one that is reused is told backends as the client's own.
func (s *session) rename(p *prepared) {
	s.releaseName(p)
	if p.name != "" {
		p.shared = s.db.names.take(s.meaning(), p.wire(), p.key())
	}
}

// mend keeps what is owed from the failed message on, to be sent again once the backend has got over the failure. It reports whether
// that can be.
func (s *session) mend(l *link, first *reply, frame []byte) bool {
	t := &s.tape
	if !t.on || l != s.batch.link || !l.replies.recorded() || !s.repairs(l, first, frame) {
		return false
	}
	t.on, t.used, t.mending = false, true, true
	for f := l.replies.first(); f != nil && f.kind != pgwire.MsgSync; f = l.replies.first() {
		r := l.replies.pop()
		l.unnote(&r)
		if r.do != skip {
			t.owed = append(t.owed, r)
		}
	}
	if f := l.replies.first(); f != nil {
		t.owed = append(t.owed, *f)
		f.do = skip
		return true
	}
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	return true
}

// recorded reports whether all messages of the client's that are to be answered before the next Sync can be sent again.
func (q *replies) recorded() bool {
	for i := range q.n {
		switch r := q.at(i); {
		case r.kind == pgwire.MsgSync:
			return true
		case r.do != forward || r.kind == pgwire.MsgParse || r.kind == describeStatement:
		case r.from == r.to && (r.kind != pgwire.MsgExecute || r.text == nil):
			return false
		}
	}
	return true
}

// resendAll sends again what a backend could not do.
func (s *session) resendAll(l *link) {
	t := &s.tape
	t.mending, t.ready = false, false
	s.srv.metrics.Repaired.Add(1)
	for _, r := range t.bound {
		r.do = skip
		s.resend(l, r)
	}
	for _, r := range t.owed {
		s.resend(l, r)
	}
	if l.replies.open { // somebody may wait for the answer, who has sent a Flush
		l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
	}
	t.bound, t.owed = t.bound[:0], t.owed[:0]
}

// resend asks for one of the replies that are owed.
func (s *session) resend(l *link, r reply) {
	frame := s.tape.frames[r.from:r.to]
	switch {
	case r.kind == pgwire.MsgSync:
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), r)
	case r.kind == describeStatement:
		s.know(l, r.of)
		r.name = r.of.shared
		l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'S', r.of.backendName()), r)
	case r.kind == pgwire.MsgBind:
		var m pgwire.Bind
		if pgwire.DecodeBind(frame, &m) == nil { // as it was before
			ask := s.sendBind(l, frame, &m, r.of)
			r.name, r.words = ask.name, ask.words
			*ask = r
		}
	case r.stmt != nil && r.stmt.bySQL:
		s.know(l, r.stmt)
		s.oweOn(l, &deferred{fake: r.fake, stmt: r.stmt})
	case r.kind == pgwire.MsgParse, r.do == fake && r.stmt != nil && !r.stmt.own:
		s.apply(l, &deferred{kind: pgwire.MsgParse, stmt: r.stmt, gone: r.gone})
	case r.do == fake:
		s.oweOn(l, &deferred{fake: r.fake, stmt: r.stmt, gone: r.gone, made: r.made})
	default:
		if len(frame) == 0 { // a statement that PgDrover passes on in its own way
			l.run(string(r.text.SQL()), r)
			return
		}
		l.conn.Queue(frame)
		l.replies.push(r)
	}
}

// check has a backend say whether it knows statements, before it gets an EXECUTE of them: a Bind of that does not say so, and describes
// no rows.
func (l *link) check(list []*prepared) {
	for _, p := range list {
		if p.shared != nil {
			l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'S', p.shared.name),
				reply{kind: describeStatement, do: skip, check: true, name: p.shared})
		}
	}
}

// awaitMended waits until a failure is mended, before the client is heard again.
func (s *session) awaitMended(l *link) {
	for s.tape.mending && l.lost == nil && !s.cut.Load() {
		_ = l.conn.Flush()
		s.t.Wait(time.Time{}, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
		s.pump(l)
	}
}

// unmended takes back that what a backend could not do is to be sent again: it is lost.
func (s *session) unmended(l *link) {
	if t := &s.tape; t.mending && l == s.batch.link {
		for _, r := range t.owed {
			l.replies.push(r)
		}
		t.mending, t.ready, t.owed = false, false, t.owed[:0]
	}
	if f := l.replies.first(); f != nil && f.words != nil && f.words.again {
		f.do, f.words.again = forward, false
	}
}

// mendSimple notes that a Query which is one EXECUTE, and failed, can be sent again. Its ReadyForQuery is the session's business.
func (s *session) mendSimple(l *link, first *reply, frame []byte) bool {
	w := first.words
	if first.kind != pgwire.MsgQuery || w == nil || w.tried || first.text == nil || len(first.text.Statements()) != 1 || !s.repairs(l, first, frame) {
		return false
	}
	w.tried, w.again = true, true
	first.do = skip
	s.srv.metrics.Repaired.Add(1)
	return true
}
