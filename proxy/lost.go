package proxy

import (
	"errors"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// errReadOnly marks an answer of a replica that it may not run the statement: the primary is asked instead.
var errReadOnly = errors.New("a replica can not run the statement")

// linkLost tells the client what became of the answer that it waits for when a backend is gone, and gives the backend up.
// The session goes on: outside a transaction as if a statement had failed, inside one with the transaction aborted.
func (s *session) linkLost(l *link) {
	if l.retry && (errors.Is(l.lost, errReadOnly) || l.isReplica()) && l.sink == nil {
		return // whoever sent the statement asks another node
	}
	s.unmended(l)
	broken := l.rest > 0 && !l.restSkip
	owed := l.busy() || s.tx.open || l.hold != 0
	e := s.lostMessage(l)
	s.tx.lost(l)
	s.settle(false) // nobody knows what became of it
	if broken {     // the client has half a message: nothing can be said any more
		s.cut.Store(true)
		return
	}
	switch {
	case !owed || l.sink != nil:
		return
	case l.hold != 0 || e.Code == "08P01": // what the session had there cannot be had again; or the client said what it must not
		e.Severity = pgwire.SeverityFatal
		s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
		s.flushOut(time.Now().Add(time.Second))
		s.cut.Store(true)
		return
	case !l.busy(): // the client is told when it speaks
		s.tx.reason = e
		return
	}
	s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
	if s.tx.open && l.ending() {
		s.transactionEnded(false)
	}
	waits := false // for a ReadyForQuery
	for l.busy() && !waits {
		r := l.replies.pop()
		s.undo(l, r)
		waits = r.do == forward && (r.kind == pgwire.MsgQuery || r.kind == pgwire.MsgSync || r.kind == pgwire.MsgFunctionCall)
	}
	for l.busy() {
		l.replies.pop()
	}
	s.readyOwed = waits
	if !waits {
		s.skipping = s.batch.open
	}
}

// ending reports whether the statement that a link was to answer first was the end of the transaction: a COMMIT that fails ends
// it, too.
func (l *link) ending() bool {
	for i := range l.replies.n {
		r := l.replies.at(i)
		if r.do != forward || r.text == nil {
			continue
		}
		sts := r.text.Statements()
		return r.at < len(sts) && (sts[r.at].Verb == router.Commit || sts[r.at].Verb == router.Rollback)
	}
	return false
}

// lostMessage is what the client is told: the server's last words if it had any, as an error that does not end the session.
func (s *session) lostMessage(l *link) *pgwire.Error {
	var last *pgwire.Error
	if errors.As(l.lost, &last) {
		e := *last
		e.Severity = pgwire.SeverityError
		return &e
	}
	return lostError(l.node(), l.lost)
}

// sweep gives up the links that were lost.
func (s *session) sweep() {
	for i := 0; i < len(s.links); {
		if l := s.links[i]; l.lost != nil {
			s.endPortals()
			s.destroy(l, l.lost.Error())
			continue
		}
		i++
	}
}

// lostFault is what the client is told of a statement whose backend was lost. What the session had there cannot be had again, so the
// error is fatal where it held the backend.
func (l *link) lostFault() *pgwire.Error {
	e := lostError(l.node(), l.lost)
	if l.hold != 0 {
		e.Severity = pgwire.SeverityFatal
	}
	return e
}
