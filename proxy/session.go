package proxy

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// queueLimit is how much may wait to be written on one side before the other side is not read any more, in bytes.
const queueLimit = 256 << 10

// session is one client connection from startup to end. Its fields belong to its task, but for the atomics, and those that mu guards. What a plain
// statement looks at stands first, and together, so that it is in few lines of a processor's cache.
type session struct {
	*scratch // nil while it rests outside a transaction

	t        *task.Task
	client   *task.Conn
	srv      *Server
	db       *Database
	cfg      *Config
	links    []*link // in use, in the order of enlistment. mu guards changes, and looks by others than the session's task
	awaited  *link   // whose answer the turn ended to wait for: to a Query, whose frame is still in hand, or to a batch
	queued   *link   // whose request for a backend the turn ended to wait for; the frame of the Query or Bind is still in hand
	cur      int     // size of the frame in hand, which is consumed when it is done with
	copyRest int     // bytes that are still to come of a CopyData
	ear      *ear    // nil: it listens to nothing

	underway   bool // it is logged in, and has not failed
	resting    bool // the turn is over, and nothing is in flight but what queued and awaited say
	rested     bool // the turn ended to wait for the client, and nothing has been done since
	mayQueue   bool // a turn may end to wait for a backend now
	readyOwed  bool // the client waits for a ReadyForQuery that a backend has sent, or has been lost with
	skipping   bool // an error was met: messages are discarded until Sync
	replicates bool // it is a replication connection
	unsure     bool // some of it may be committed, whatever becomes of the rest
	stopped    bool // backends were told to stop a statement that ran for too long
	temporary  bool // it has had a temporary table
	dismissed  bool // the client was told why the session ends
	entered    bool // it is one of the server's sessions
	faulty     bool // it has failed by a mistake in PgDrover
	mode       Mode
	held       router.Hold // why backends are kept, as SHOW CLIENTS says it

	settings, committed    *settings // now; when the open transaction began
	reported, reportedIdle *params   // what the client has been told; when no transaction was open last
	lookup                 lookup
	dry                    *dryWork // for a dry run; nil: it has seen none
	portals                map[string]*portal
	unnamed                *prepared

	draining, cut atomic.Bool
	killed        atomic.Bool            // an operator has ended it
	slow          atomic.Bool            // it has taken long
	acquiring     atomic.Bool            // it is about to have a backend
	state         atomic.Uint32          // a ClientState
	partition     atomic.Int64           // of the open transaction's tenant, plus one; -1: any; 0: no transaction
	busySince     atomic.Int64           // when the statement in hand arrived, a task.Moment; negative: when the last one did, which is over
	limits        atomic.Pointer[Limits] // in force
	overdue       overdue
	timing        timing

	mu         sync.Mutex
	work       work
	statements map[string]*prepared
	shown      shownWork // guarded by mu

	place       *placement     // of the open transaction
	nodes       *pool.Topology // its nodes, with the pools that the session's backends come from
	env         router.Env     // what routing needs to know of the session
	usual       *params        // what servers report to who sets nothing, as far as routes depend on it
	lastShard   int
	key         cancelKey
	arrival     arrival
	stickyUntil time.Time
	room        sessionRoom

	userName, databaseName string
	asked                  *asked // what the configuration has by these names
	user                   *User
	login                  login
	minor                  uint16      // of the protocol
	began                  task.Moment // of its first turn
	seat                   seat        // among the server's sessions, whose mutex guards it

	asClient    *pool.Login // as whom its backends are logged in; nil: as the database's own user
	initial     *settings   // at startup
	reusedAt    int64       // when an unnamed statement was last reused, in Unix nanoseconds
	holdReasons []string    // why backends are kept; guarded by mu

	cancelled    atomic.Bool
	waiting      atomic.Bool  // in a pool's queue, or for an operator
	heldBack     atomic.Bool  // it waits for RESUME
	stops        atomic.Bool  // an operator has ended it, and what backends run for it
	waitingSince atomic.Int64 // when that began, in Unix nanoseconds
	channels     atomic.Int32 // that it listens to

	within atomic.Pointer[Database] // db, for others
	known  atomic.Bool              // who the client is stays as it is, and others may look
	set    atomic.Pointer[settings] // settings, for others

	console *consoleState // of a session of the console; nil for others
}

// sessionRoom is the first memory of what nearly every session comes to have.
type sessionRoom struct {
	links  [1]*link
	secret [longSecret]byte
}

func newSession(srv *Server, cfg *Config, client *task.Conn) *session {
	s := &session{srv: srv, cfg: cfg, client: client, initial: noSettings, settings: noSettings,
		committed: noSettings}
	s.env.Prepared, s.env.Brief = s, true
	s.links = s.room.links[:0]
	s.limits.Store(noLimits)
	return s
}

// database is the database that the session is in, nil before it has logged in. Anyone may ask.
func (s *session) database() *Database { return s.within.Load() }

func (s *session) log() *slog.Logger { return s.cfg.Log }

// step takes the next message and does what it asks for. It reports whether the session goes on.
func (s *session) step() bool {
	frame, ok := s.next()
	if !ok {
		return false
	}
	s.cur = len(frame)
	goOn := s.handle(frame)
	if s.resting {
		return false
	}
	s.take()
	return goOn && !s.cut.Load()
}

func (s *session) handle(frame []byte) bool {
	typ := frame[0]
	if l := s.batch.link; l != nil && s.tape.mending {
		s.awaitMended(l)
	}
	if s.ear != nil {
		s.askListeners(typ)
	}
	if typ == pgwire.MsgQuery && !s.skipping {
		return s.simple(frame)
	}
	return s.handleOther(typ, frame)
}

// handleOther is handle for what is no Query, and for one that is discarded.
func (s *session) handleOther(typ byte, frame []byte) bool {
	switch typ {
	case pgwire.MsgQuery:
		return true
	case pgwire.MsgTerminate:
		return false
	case pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyFail:
		s.tape.stop()
		return s.copyMessage()
	case pgwire.MsgSync:
		return s.sync()
	}
	if pgwire.MessageName(true, typ) == "" || typ == pgwire.MsgPassword {
		s.closeBatch()
		s.fatal("08P01", "invalid frontend message type "+strconv.Itoa(int(typ)), "")
		return false
	}
	if s.skipping {
		return true
	}
	if typ == pgwire.MsgFunctionCall {
		return s.legacy(frame)
	}
	return s.extended(frame)
}

// next waits for a whole message of the client; it is valid until the client is read again.
func (s *session) next() ([]byte, bool) {
	if s.copyRest > 0 && !s.copyEnded() {
		return nil, false
	}
	for {
		b := s.client.Buffered()
		_, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
		if size > 0 && len(b) >= size {
			return b[:size], true
		}
		if !s.awaitMore(len(b), size, err) {
			return nil, false
		}
	}
}

// awaitMore waits for more of a message of size bytes (0: not known), of which so many are there, unless err says that it is none. It reports whether the
// session goes on.
func (s *session) awaitMore(there, size int, err error) bool {
	if err != nil {
		s.fatal("08P01", "invalid message length", "the limit is \"limits: max_message\" in pgdrover.yaml")
		return false
	}
	if s.draining.Load() && s.tx.status() == 'I' && there == 0 && !s.batch.open {
		s.fatal(errShutdown.Code, errShutdown.Message, "")
		return false
	}
	if size == 0 && s.mayRest() {
		return s.rest()
	}
	return s.park(size)
}

// frameInHand is the frame in hand. It is valid until the client is read again.
func (s *session) frameInHand() []byte { return s.client.Buffered()[:s.cur] }

// take consumes the frame in hand. Its bytes are not valid any more.
func (s *session) take() {
	s.consume(s.cur)
	s.cur = 0
}

func (s *session) consume(n int) {
	if n > 0 {
		s.client.Discard(n)
	}
}

// park waits for the client, moving meanwhile what backends send without being asked. It reports whether the session goes on.
func (s *session) park(size int) bool {
	if s.ear != nil && !s.hearAll() || s.client.Flush() != nil || s.cut.Load() {
		return false
	}
	var room [4]task.Interest
	on, n := slices.Grow(room[:0], len(s.links)+1)[:len(s.links)+1], 0
	crowded := s.client.Pending() > queueLimit
	for _, l := range s.links {
		if !l.busy() && l.hold == 0 {
			continue
		}
		if l.conn.Pending() > queueLimit || s.direct() {
			_ = l.conn.Flush()
		}
		crowded = crowded || l.conn.Pending() > queueLimit
		on[n] = task.Interest{Conn: l.conn, Read: s.client.Pending() <= queueLimit, Write: l.conn.Pending() > queueLimit}
		n++
	}
	if size == 0 && n == 0 && !s.batch.open {
		s.forgetMessage()
	}
	s.client.Reserve(size)
	on[n] = task.Interest{Conn: s.client, Read: !crowded, Write: s.client.Pending() > 0}
	s.t.Wait(time.Time{}, on[:n+1]...)
	return s.heard()
}

// heard looks at what has come of a wait for the client. It reports whether the session goes on.
func (s *session) heard() bool {
	if s.idledTooLong() {
		return false
	}
	for i := range s.links {
		if i < len(s.links) {
			s.pump(s.links[i])
		}
	}
	return s.client.ReadErr() == nil || s.complete()
}

// complete reports whether a whole message has arrived: the client may close right behind it.
func (s *session) complete() bool {
	b := s.client.Buffered()
	_, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
	return err == nil && size > 0 && len(b) >= size
}

// flushOut waits until the client has taken all that is queued.
func (s *session) flushOut(until time.Time) bool {
	for s.client.Flush() == nil && s.client.Pending() > 0 {
		if s.t.Wait(until, task.Writing(s.client)) {
			return false
		}
	}
	return s.client.WriteErr() == nil
}

// fatal tells the client why the session ends.
func (s *session) fatal(code, message, hint string) {
	s.fatalError(&pgwire.Error{Code: code, Message: message, Hint: hint})
}

// fatalError is fatal for an error of whatever severity.
func (s *session) fatalError(e *pgwire.Error) {
	last := *e
	last.Severity = pgwire.SeverityFatal
	s.dismissed = true
	s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), &last))
	s.flushOut(time.Now().Add(time.Second))
}

// drain asks the session to end: between transactions, or with cut at once.
func (s *session) drain(cut bool) {
	s.draining.Store(true)
	if cut {
		s.cut.Store(true)
	}
	s.t.Wake()
}

// end gives back what the session has. A backend in a transaction is rolled back before anyone else gets it.
func (s *session) end() {
	s.srv.keys.remove(s)
	s.takeScratch()
	if s.queued != nil {
		s.queued.req.Cancel()
	}
	for len(s.links) > 0 {
		l := s.links[0]
		if l.busy() || l.replies.open || l.copyIn || s.copyRest > 0 || l.lost != nil || s.replicates {
			s.destroy(l, "the client left while it was in use")
			continue
		}
		if l.status != 'I' {
			s.rollback(l)
		}
		if l.lost != nil {
			s.destroy(l, "its transaction could not be rolled back")
			continue
		}
		if l.hold != 0 && !s.discardHeld(l) {
			s.destroy(l, "what its session had there could not be discarded")
			continue
		}
		s.release(l)
	}
	if s.db != nil {
		s.showWork(0, 0)
		s.settle(false)
		if len(s.statements) > 0 {
			s.forgetStatements()
		}
	}
	if s.ear != nil {
		s.ear.of.leave(s.ear)
	}
	s.leaveTransaction()
}

// rollback ends the transaction that the client left open, within a few seconds.
func (s *session) rollback(l *link) {
	var out sink
	l.sendQuery("ROLLBACK")
	s.command(l, &out, time.Now().Add(5*time.Second))
	l.notes.settings = l.before
	if l.lost == nil && (l.status != 'I' || out.fault != nil) {
		l.lost = errNotReset
	}
}

// releaseAfter gives back the backends that the session does not need any more.
func (s *session) releaseAfter() {
	for i := 0; i < len(s.links); {
		l := s.links[i]
		if !l.rests() || l.hold != 0 {
			i++
			continue
		}
		s.release(l)
	}
}
