package proxy

import (
	"encoding/binary"
	"maps"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// A session LISTENs by its database's listeners and not by a backend of its own. As in PostgreSQL, LISTEN and UNLISTEN take effect
// when their transaction commits.

// listening is one LISTEN or UNLISTEN of the open transaction.
type listening struct {
	topic topic
	end   bool // UNLISTEN; of all channels, if the topic has none
}

// longName is from where on PostgreSQL may cut a name off, and say so: a name has 63 bytes at most, and whole characters.
const longName = 60

// askListeners asks, when the client of a session that listens has sent a message, what it will have to be told of before the answer to it ends.
// A backend is at it meanwhile.
func (s *session) askListeners(typ byte) {
	if len(s.ear.inForce) == 0 {
		return
	}
	begins := !s.tx.open && !s.batch.open
	if begins || endsUnit(typ) {
		s.ear.of.askAgain(s.ear, begins)
	}
	s.ear.begun = s.ear.begun || begins
}

// listensItself reports whether PgDrover itself answers a statement that is LISTEN or UNLISTEN. A name that PostgreSQL may have
// something to say about, because it is long or in the client's own encoding, goes to a backend, and so does what a session may not
// run that is bound to a tenant: the router refuses it.
func (s *session) listensItself(st *router.Statement) bool {
	return !s.direct() && (st.Verb == router.Unlisten || st.Verb == router.Listen && s.login.tenant.IsZero()) && plainName(st.Name)
}

func plainName(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return false
		}
	}
	return len(name) < longName
}

// listen carries out a LISTEN or UNLISTEN that no backend is told of.
func (s *session) listen(st *router.Statement) *pgwire.Error {
	if st.Verb == router.Listen {
		if e := s.listenAhead(map[topic]bool{s.topicOf(st.Name): false}); e != nil {
			return e
		}
		for _, l := range s.inTransaction() {
			s.ownLink(l) // it may have notified before
		}
	}
	s.noteListen(st)
	return nil
}

// topicOf is what a LISTEN that runs now listens to.
func (s *session) topicOf(channel string) topic {
	return topic{strings.Clone(channel), s.env.Tenant.Clone()}
}

// noteListen notes a statement that was carried out, for the end of the transaction.
func (s *session) noteListen(st *router.Statement) {
	if s.direct() {
		return
	}
	if st.Verb == router.Listen {
		s.tx.listens = append(s.tx.listens, listening{topic: s.topicOf(st.Name)})
	} else if s.ear != nil || len(s.tx.listens) > 0 {
		s.tx.listens = append(s.tx.listens, listening{topic{channel: strings.Clone(st.Name)}, true})
	}
}

// foresee prepares for the LISTENs in a string that a backend gets, before it gets them: they may notify the session itself, and an
// error afterwards would come too late.
func (s *session) foresee(q *router.Query) *pgwire.Error {
	sts := q.Statements()
	var topics map[topic]bool
	if s.direct() {
		return nil
	}
	for i := range sts {
		st := s.carriedOut(&sts[i])
		if st.Verb != router.Listen || !plainName(st.Name) {
			continue
		}
		if topics == nil {
			topics = map[topic]bool{}
		}
		topics[s.topicOf(st.Name)] = false
	}
	if topics == nil {
		return nil
	}
	return s.listenAhead(topics)
}

// listenAhead has listeners LISTEN to topics that are in force for the session only when its transaction has committed.
func (s *session) listenAhead(topics map[topic]bool) *pgwire.Error {
	s.openEar()
	e := s.ear
	before := e.topics // which the session alone replaces
	maps.Copy(topics, before)
	e.early = true
	e.of.listenTo(e, topics)
	fault := s.awaitAnswers()
	if fault != nil {
		e.of.listenTo(e, before)
	}
	return fault
}

// awaitAnswers waits for the answers that the session has asked its listeners for.
func (s *session) awaitAnswers() *pgwire.Error {
	until := time.Now().Add(listenTime)
	for {
		done, fault := s.ear.of.answered(s.ear)
		switch {
		case fault != nil:
			e := *clientError(fault)
			e.Severity = ""
			return &e
		case done:
			return nil
		case s.cut.Load():
			return errShutdown
		}
		if s.t.Wait(until) {
			s.ear.of.giveUp(s.ear)
			return &pgwire.Error{Code: "08006", Message: "the backend that listens for this session did not answer within " +
				listenTime.String(), Hint: "Look at the nodes of the shard map; then try again."}
		}
	}
}

// settleListens settles what the session listens to once a transaction is over, but for telling its listeners.
func (s *session) settleListens() {
	if s.ear == nil && (s.tx.faulted || len(s.tx.listens) == 0) {
		return
	}
	s.openEar()
	e := s.ear
	e.due, e.early = e.due || e.early, false
	if s.tx.faulted {
		return
	}
	for _, l := range s.links {
		e.told = e.told || l.owner.of != nil
	}
	e.due = e.due || e.told
	for _, do := range s.tx.listens {
		e.due = true
		if !do.end {
			e.inForce[do.topic] = struct{}{}
			continue
		}
		before := len(e.inForce)
		maps.DeleteFunc(e.inForce, func(t topic, _ struct{}) bool { return do.topic.channel == "" || do.topic.channel == t.channel })
		e.ends = e.ends || len(e.inForce) < before
	}
}

// readyForQuery ends the answer to what the client sent. It waits before that until what the client's transactions have LISTENed
// to is in force, and until the client has got what they have notified, and what others had when it was asked for.
func (s *session) readyForQuery() {
	s.readyOwed = false
	if s.ear != nil && !s.catchUp() {
		return
	}
	s.client.SetQueue(pgwire.AppendReadyForQuery(s.client.QueueBuffer(), s.tx.status()))
}

// catchUp reports false when the session has to end; the client has been told why.
func (s *session) catchUp() bool {
	e := s.ear
	if !s.hearBefore() {
		return false
	}
	if e.due {
		e.due = false
		s.channels.Store(int32(len(e.inForce)))
		e.of.listenTo(e, s.topics())
		if e.told {
			e.told = false
			e.of.askAgain(e, false)
		}
	} else if s.tx.open {
		return true
	}
	if fault := s.awaitAnswers(); fault != nil && len(e.inForce) > 0 {
		s.ending(fault)
		return false
	}
	if s.tx.open {
		return true
	}
	for _, l := range s.links {
		s.disown(l)
	}
	if e.arrived.Load() && !s.hear(true) {
		return false
	}
	if e.deaf() {
		e.of.leave(e)
		s.ear = nil
	}
	return true
}

// hearBefore has the client told of what was notified before a transaction began, where that is not over or has UNLISTENed: what comes
// later it does not hear, or not yet. It reports false when the session has to end; the client has been told why.
func (s *session) hearBefore() bool {
	e := s.ear
	wait, ends := e.begun && (s.tx.open || e.ends), e.ends
	e.begun, e.ends = false, false
	if !wait {
		return true
	}
	if fault := s.awaitAnswers(); fault != nil && ends {
		s.ending(fault)
		return false
	}
	return !e.arrived.Load() || s.hear(true)
}

// topics are those in force, with true, and those of the transaction that is open.
func (s *session) topics() map[topic]bool {
	all := map[topic]bool{}
	for _, do := range s.tx.listens {
		if !do.end {
			all[do.topic] = false
		}
	}
	for t := range s.ear.inForce {
		all[t] = true
	}
	return all
}

// own makes what a backend notifies known as the session's, before it gets a statement that may notify, as anything may of which the
// catalog does not tell yet, if the session listens there: its client knows its own notifications by the process id, and gets them
// before it is told that the transaction is over. q is nil for a function call.
func (s *session) own(l *link, q *router.Query) {
	if s.ear != nil {
		s.ownIfNotifies(l, q)
	}
}

func (s *session) ownIfNotifies(l *link, q *router.Query) {
	if l.owner.of == nil && l.lost == nil && !l.isReplica() && (q == nil || s.db.catalog.behind() || mayNotify(q)) {
		s.ownLink(l)
	}
}

func (s *session) ownLink(l *link) {
	shard := s.place.shards.Shard(l.shard).Name
	of, wait := s.ear.of.own(s.ear, shard, l.backend, l.notes.alone == s.key.pid)
	if wait { // what others have notified by this backend is not the session's
		if s.awaitAnswers() != nil {
			return
		}
		l.notes.alone = s.key.pid
		of, _ = s.ear.of.own(s.ear, shard, l.backend, true)
	}
	if of != nil {
		l.owner = ownership{of, l.backend.PID}
	}
}

// disown ends own.
func (s *session) disown(l *link) {
	if l.owner.of != nil {
		s.ear.of.disown(s.ear, l.owner.of, l.owner.pid)
		l.owner = ownership{}
	}
}

// mayNotify reports whether a statement of q may send notifications.
func mayNotify(q *router.Query) bool {
	sts := q.Statements()
	for i := range sts {
		if sts[i].Notifies || sts[i].WritesUnknown {
			return true
		}
	}
	return false
}

// sayListens lets a backend know that the transaction has LISTENed, before it gets a PREPARE TRANSACTION, which it refuses then.
// batch says that it gets it by the extended protocol.
func (s *session) sayListens(l *link, q *router.Query, batch bool) {
	const sql = "LISTEN pgdrover"
	switch {
	case len(s.tx.listens) == 0 || q.Statements()[0].Verb != router.PrepareTransaction:
	case batch:
		l.run(sql, reply{kind: pgwire.MsgExecute, do: skip})
	default:
		l.sendQuery(sql)
	}
}

// endsUnit reports whether a client's message is answered by a ReadyForQuery.
func endsUnit(typ byte) bool {
	return typ == pgwire.MsgQuery || typ == pgwire.MsgSync || typ == pgwire.MsgFunctionCall
}

// notified is a notification by a backend of the session's: something LISTENed there that was not seen. It is the client's if that is a
// function which is declared to need the backend, and nobody's else: the session hears by listeners.
func (s *session) notified(l *link, frame []byte) verdict {
	pid, channel, _, err := pgwire.Notification(frame)
	if err != nil {
		l.lost = err
		return stop
	}
	if l.hold&router.HoldFunction == 0 && !s.direct() || s.ear != nil && s.ear.listening(string(channel)) {
		l.unsure = true
		return drop
	}
	from := s.key.pid
	if pid != l.backend.PID {
		from = s.db.senders.known(serverProcess{l.backend.Node().Addr(), pid})
	}
	binary.BigEndian.PutUint32(frame[pgwire.HeaderLen:], from)
	s.answering(l)
	return pass
}
