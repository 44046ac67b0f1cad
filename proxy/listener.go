package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

const (
	listenTime      = 10 * time.Second // how long a listener may take to answer, and a session waits for one
	followTime      = 2 * time.Second  // how long a change of placement waits for listeners
	listenerLinger  = 10 * time.Second // for how long a listener is kept that nobody needs
	maxNotification = 64 << 10         // the largest message that a listener may be sent, in bytes; PostgreSQL's payloads have 8,000
)

// listener is one backend that LISTENs for all sessions of a database: on one shard, in one client encoding. It dials when there is
// somebody to listen for, again and again if need be, and ends when there has been nobody for a while.
//
// Whoever changes what is to be heard asks for an answer, and gets its number. An answer is the end of a query that the listener
// has sent after the question. PostgreSQL sends notifications in the order of their commits, and before the end of a query those
// that were committed before it began (async.c): so the answer says that the LISTEN is in force, and that all that was notified
// before the question has been heard.
type listener struct {
	of   *listeners
	key  listenerKey
	node *pool.Node // that it is for
	t    *task.Task
	open func() (*pool.Backend, error) // dials; call it in Await
	stop context.CancelFunc            // ends open

	// What follows is guarded by of.mu.
	subs     map[string]map[*ear]uint64 // by channel: who listens, and from which answer on
	owners   map[uint32]*ear            // by process id: whose the backend's notifications are
	waiting  map[*ear]struct{}          // woken at each answer
	asked    uint64                     // the last question
	answered uint64                     // the last answer
	failed   uint64                     // the last question that got none
	fault    error                      // why
	ended    bool
	listened map[string]bool // the channels that the backend listens to
	changed  map[string]bool // those that it may have to begin or to end

	// The rest is the task's own.
	backend  *pool.Backend // nil: not connected
	sent     uint64        // the question that the query in flight answers
	inFlight bool
	more     []string      // what that query LISTENs to
	less     []string      // and UNLISTENs
	refused  *pgwire.Error // what the server said to it
	deadline time.Time     // of its answer
	retryAt  time.Time     // no attempt before
	failures int           // in a row
	idle     time.Time     // since when nobody needs it; zero: somebody does
	need     int           // size of the message that is arriving
}

// run is the life of the listener.
func (l *listener) run() {
	defer l.stop()
	for {
		query, goOn := l.plan()
		if !goOn {
			break
		}
		switch {
		case query != nil:
			l.send(query)
		case l.backend == nil && l.idle.IsZero() && !time.Now().Before(l.retryAt):
			l.dial()
			continue
		}
		l.park()
		if l.backend != nil {
			l.read()
		}
	}
	if l.backend != nil {
		l.backend.Close()
	}
}

// end makes the listener end, and says why to those who need it. Nobody finds it any more. With of.mu held.
func (l *listener) end(why string) {
	l.ended = true
	if l.of.byKey[l.key] == l {
		delete(l.of.byKey, l.key)
	}
	l.fail(lostListener(l.key.shard, why))
	l.stop()
	l.t.Wake()
}

// question returns the number of the answer that covers what was committed, and asked for, up to now. With of.mu held.
func (l *listener) question() uint64 {
	l.asked++
	if l.ended {
		l.failed = l.asked
	}
	l.t.Wake()
	return l.asked
}

// add subscribes e to a channel, and returns the number of the answer that it has to wait for; 0 if it need not. With of.mu held.
func (l *listener) add(e *ear, channel string, inForce bool) uint64 {
	from, has := l.subs[channel][e]
	if has && (from != pending || !inForce) {
		return 0
	}
	if l.subs[channel] == nil {
		l.subs[channel] = map[*ear]uint64{}
		l.changed[channel] = true
	}
	ticket := l.question()
	l.subs[channel][e] = pending
	if inForce {
		l.subs[channel][e] = ticket
	}
	return ticket
}

// remove ends a subscription. With of.mu held.
func (l *listener) remove(e *ear, channel string) {
	delete(l.subs[channel], e)
	if len(l.subs[channel]) == 0 {
		delete(l.subs, channel)
		l.changed[channel] = true
		l.t.Wake()
	}
}

// fail tells all who wait that there is no answer, and those who listen that they may have missed something. With of.mu held.
func (l *listener) fail(fault *pgwire.Error) {
	for _, ears := range l.subs {
		for e, from := range ears {
			if from <= l.answered {
				e.fail(fault)
			}
		}
	}
	l.failed, l.fault = l.asked, fault
	l.wakeWaiting()
}

func (l *listener) wakeWaiting() {
	for e := range l.waiting {
		e.s.t.Wake()
	}
	clear(l.waiting)
}

// lostListener is what a session is told that listened by a listener that is lost.
func lostListener(shard, detail string) *pgwire.Error {
	return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: "57P01",
		Message: "the backend that listens on shard " + shard + " for this session was lost", Detail: detail,
		Hint: "Notifications may have been missed: connect and LISTEN again, and look at what they were to tell."}
}

// plan returns the query to be sent now, nil if there is none. It reports false when the listener has to end.
func (l *listener) plan() (query []byte, goOn bool) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.ended {
		return nil, false
	}
	now := time.Now()
	switch needed := len(l.subs) > 0 || l.asked > max(l.answered, l.failed); {
	case needed:
		l.idle = time.Time{}
	case l.idle.IsZero():
		l.idle = now
	case now.Sub(l.idle) >= listenerLinger && !l.inFlight:
		l.end("Nobody needed it.")
		return nil, false
	}
	if l.backend == nil || l.inFlight || now.Before(l.retryAt) {
		return nil, true
	}
	l.more, l.less = l.channels()
	if l.asked <= max(l.answered, l.failed) && len(l.more)+len(l.less) == 0 {
		return nil, true
	}
	l.sent = l.asked
	return pgwire.AppendQuery(nil, listenSQL(l.more, l.less)), true
}

// listenSQL may be empty: the answer is what it is sent for.
func listenSQL(more, less []string) string {
	var sql strings.Builder
	for _, ch := range less {
		sql.WriteString("UNLISTEN " + quoteIdent(ch) + ";")
	}
	for _, ch := range more {
		sql.WriteString("LISTEN " + quoteIdent(ch) + ";")
	}
	return sql.String()
}

func (l *listener) send(query []byte) {
	l.backend.Conn.Queue(query)
	_ = l.backend.Conn.Flush()
	l.inFlight, l.refused, l.deadline = true, nil, time.Now().Add(listenTime)
}

// dial connects, and has the new backend told how it has to speak.
func (l *listener) dial() {
	var b *pool.Backend
	var err error
	l.t.Await(func() { b, err = l.open() })
	if err != nil {
		l.lose(clientError(err))
		return
	}
	l.backend = b
	sql := "SET idle_session_timeout TO 0;SET application_name TO 'pgdrover listen'"
	if l.key.encoding != "" {
		sql += ";SET client_encoding TO " + quoteLiteral(l.key.encoding)
	}
	l.sent = 0
	l.send(pgwire.AppendQuery(nil, sql))
}

// lose gives up the connection, or the attempt to make one.
func (l *listener) lose(why *pgwire.Error) {
	fault := why
	if l.backend != nil {
		l.backend.Close()
		l.backend = nil
		fault = lostListener(l.key.shard, why.Message+".")
	}
	if l.failures == 0 {
		l.of.db.options().Log.Warn("a listening backend was lost, or cannot be had", "shard", l.key.shard, "error", why.Message)
	}
	pause := min(50*time.Millisecond<<min(l.failures, 5), time.Second)
	l.failures++
	l.retryAt = time.Now().Add(pause)
	l.inFlight, l.more, l.less = false, nil, nil
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	clear(l.listened)
	for ch := range l.subs {
		l.changed[ch] = true
	}
	l.fail(fault)
}

// park waits until there is something to do.
func (l *listener) park() {
	var until time.Time
	switch {
	case l.inFlight:
		until = l.deadline
	case !l.idle.IsZero():
		until = l.idle.Add(listenerLinger)
	case time.Now().Before(l.retryAt):
		until = l.retryAt
	}
	if l.backend == nil {
		l.t.Wait(until)
		return
	}
	c := l.backend.Conn
	if l.t.Wait(until, task.Interest{Conn: c, Read: true, Write: c.Pending() > 0}) && l.inFlight {
		l.lose(&pgwire.Error{Message: errTooSlow.Error()})
	}
}

// read takes what the server has sent.
func (l *listener) read() {
	c := l.backend.Conn
	for {
		b := c.Buffered()
		_, size, err := pgwire.Peek(b, maxNotification)
		if err != nil {
			l.lose(&pgwire.Error{Message: err.Error()})
			return
		}
		if size == 0 || len(b) < size {
			l.need = size
			break
		}
		if e := l.frame(b[:size]); e != nil {
			l.lose(e)
			return
		}
		c.Discard(size)
	}
	c.Reserve(l.need)
	for _, err := range []error{c.ReadErr(), c.WriteErr()} {
		if err != nil {
			l.lose(&pgwire.Error{Message: "the connection was closed: " + err.Error()})
			return
		}
	}
}

// frame takes one message. An error is the end of the connection.
func (l *listener) frame(frame []byte) *pgwire.Error {
	switch frame[0] {
	case pgwire.MsgNotification:
		pid, channel, _, err := pgwire.Notification(frame)
		if err != nil {
			return &pgwire.Error{Message: err.Error()}
		}
		l.deliver(pid, channel, frame)
	case pgwire.MsgErrorResponse:
		e, err := pgwire.DecodeError(frame)
		if err != nil {
			return &pgwire.Error{Message: err.Error()}
		}
		if !l.inFlight || lastWords(frame) != nil {
			return e
		}
		l.refused = e
	case pgwire.MsgReadyForQuery:
		l.answer()
	}
	return nil
}

// answer ends the query in flight.
func (l *listener) answer() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.inFlight = false
	if l.refused != nil {
		l.failed, l.fault = max(l.failed, l.sent), l.refused
		l.retryAt = time.Now().Add(time.Second)
		for _, ch := range slices.Concat(l.more, l.less) {
			l.changed[ch] = true
		}
		l.wakeWaiting()
		return
	}
	l.failures = 0
	l.answered = max(l.answered, l.sent)
	for _, ch := range l.less {
		delete(l.listened, ch)
	}
	for _, ch := range l.more {
		l.listened[ch] = true
	}
	l.more, l.less = nil, nil
	l.wakeWaiting()
}

// deliver gives a notification to those who listen: under the process id that their clients know the notifier by, if that is one of
// them, and else that of the server's process, which no client has.
func (l *listener) deliver(pid uint32, channel, frame []byte) {
	sender := l.of.db.senders.known(serverProcess{l.node.Addr(), pid})
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	ears := l.subs[string(channel)]
	if len(ears) == 0 {
		return
	}
	n := notification{string(channel), bytes.Clone(frame), l, l.answered}
	owner := l.owners[pid]
	if owner != nil {
		sender = owner.s.key.pid
	}
	binary.BigEndian.PutUint32(n.frame[pgwire.HeaderLen:], sender)
	for e, from := range ears {
		switch own := n; {
		case e == owner:
			own.after = math.MaxUint64
			e.receive(own)
		case from <= l.answered:
			e.receive(n)
		}
	}
}
