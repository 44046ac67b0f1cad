package proxy

import (
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// inboxLimit bounds what waits for one session that listens, in bytes: until its transaction ends, and its client reads.
const inboxLimit = 8 << 20

// ear is what a session listens to, and what was heard for it. Its fields are the session's, but for those said to be guarded.
type ear struct {
	s        *session
	of       *listeners
	encoding string             // that notifications come in: the session's when the ear was made
	inForce  map[topic]struct{} // by the transactions that are over
	early    bool               // the open transaction has had listeners LISTEN for it
	told     bool               // a transaction is over that may have notified
	due      bool               // a transaction is over, and its listeners have to be told before its client is
	begun    bool               // one has begun, and its first ReadyForQuery has not come
	ends     bool               // one is over that has ended something that was in force

	arrived atomic.Bool // inbox has something, or fault

	// What follows is guarded by of.mu.
	topics  map[topic]bool                // inForce, with true, and those that the open transaction LISTENs to
	subs    map[*listener]map[string]bool // what that means by the placement in force
	tickets map[*listener]uint64          // answers to wait for
	began   map[*listener]uint64          // those to the questions with which the last transaction began that had something in force
	inbox   []notification
	size    int           // of what is in inbox, in bytes
	fault   *pgwire.Error // why the session has to end
}

// notification is a NotificationResponse. Its frame is shared by all who hear it.
type notification struct {
	channel string
	frame   []byte
	by      *listener
	after   uint64 // the last answer before it; math.MaxUint64 for the notifier itself
}

// ownership is a backend whose notifications are known to be the session's.
type ownership struct {
	of  *listener
	pid uint32
}

// notificationCost is what a notification costs besides its frame, in bytes.
const notificationCost = 64

// receive puts a notification into the inbox. A session that leaves too many there has to end: none is dropped in silence. With of.mu
// held.
func (e *ear) receive(n notification) {
	if e.fault != nil {
		return
	}
	e.size += len(n.frame) + notificationCost
	if e.size > inboxLimit {
		e.inbox, e.size = nil, 0
		e.fail(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: "54000", Message: "too many notifications wait for this session",
			Detail: "More than 8 MB of them came while a transaction was open or the client did not read.",
			Hint:   "Listen on a connection that runs no long transactions, and read from it; then connect and LISTEN again."})
		return
	}
	e.inbox = append(e.inbox, n)
	if !e.arrived.Swap(true) {
		e.s.t.Wake()
	}
}

// fail makes the session end when it is between transactions. With of.mu held.
func (e *ear) fail(fault *pgwire.Error) {
	if e.fault == nil {
		e.fault = fault
		e.arrived.Store(true)
		e.s.t.Wake()
	}
}

// listening reports whether a channel is listened to, by the transactions that are over.
func (e *ear) listening(channel string) bool {
	for t := range e.inForce {
		if t.channel == channel {
			return true
		}
	}
	return false
}

// deaf reports that a session has nothing to hear, and needs its ear no more.
func (e *ear) deaf() bool { return len(e.inForce) == 0 && !e.early && !e.due }

// openEar makes the session's ear, if it has none.
func (s *session) openEar() {
	if s.ear == nil {
		encoding, _ := s.reported.value("client_encoding")
		s.ear = &ear{s: s, of: &s.db.listeners, encoding: encoding, inForce: map[topic]struct{}{}, tickets: map[*listener]uint64{}, began: map[*listener]uint64{}}
	}
}

// hear gives the client what has been heard for it: between its transactions, as PostgreSQL does, and while one is open what was
// notified before it began. With all false it leaves what the client does not take at once. It reports false when the session has to end; the client has been told why.
func (s *session) hear(all bool) bool {
	if fault := s.empty(all); fault != nil && len(s.ear.inForce) > 0 {
		s.ending(fault)
		return false
	}
	return true
}

// empty takes what the client is to get out of the inbox. It returns why the session has to end; nil when it need not.
func (s *session) empty(all bool) *pgwire.Error {
	e := s.ear
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	i := 0
	for ; i < len(e.inbox) && (all || s.client.Pending() <= queueLimit); i++ {
		n := e.inbox[i]
		before := n.after < e.began[n.by] // a transaction that UNLISTENs hears that, as in PostgreSQL
		if s.tx.open && !before {
			break
		}
		if before || e.listening(n.channel) {
			s.client.Queue(n.frame)
		}
		e.size -= len(n.frame) + notificationCost
	}
	if e.inbox = e.inbox[i:]; len(e.inbox) == 0 {
		e.inbox = nil
	}
	e.arrived.Store(len(e.inbox) > 0)
	return e.fault
}

// ending tells the client why the session ends.
func (s *session) ending(fault *pgwire.Error) {
	e := *fault
	e.Severity = pgwire.SeverityFatal
	s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), &e))
	s.flushOut(time.Now().Add(time.Second))
	s.cut.Store(true)
}

// hearAll is hear, while the session waits for its client outside a transaction, for as long as the client takes what there is.
func (s *session) hearAll() bool {
	if s.tx.open || s.batch.open || s.copyRest > 0 {
		return true
	}
	for s.ear.arrived.Load() {
		if !s.hear(false) {
			return false
		}
		if s.client.Flush() != nil || s.client.Pending() > queueLimit {
			break
		}
	}
	return true
}
