package proxy

import (
	"context"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// A replication connection (manual, "Streaming Replication Protocol") speaks commands that are not SQL, and streams in both
// directions for as long as it lives. It gets a walsender of its own on one shard, and from then on all that either side says is
// passed on.

// replication reads the startup parameter of that name: whether the client asks for logical replication.
func replication(st *pgwire.Startup) (bool, *pgwire.Error) {
	value, _ := st.Param("replication")
	if value == "database" {
		return true, nil
	}
	switch on, ok := boolean(value); {
	case value == "" || ok && !on:
		return false, nil
	case !ok:
		return false, &pgwire.Error{Code: "22023", Message: "invalid value for parameter \"replication\": \"" + value + "\"",
			Hint: `Valid values are: "false", 0, "true", 1, "database".`}
	}
	return false, &pgwire.Error{Code: "0A000", Message: "physical replication does not go through PgDrover",
		Hint: "connect to the node itself; for logical replication ask for replication=database"}
}

// boolean reads a truth value as PostgreSQL does: a word, or as much of it as tells it from others.
func boolean(s string) (on, ok bool) {
	s = strings.ToLower(s)
	begins := func(word string, least int) bool { return len(s) >= least && strings.HasPrefix(word, s) }
	switch {
	case begins("true", 1), begins("yes", 1), s == "on", s == "1":
		return true, true
	case begins("false", 1), begins("no", 1), begins("off", 2), s == "0":
		return false, true
	}
	return false, false
}

// startReplication gets the client its walsender. It reports whether there is one; if not, the client has been told.
func (s *session) startReplication() bool {
	s.takeScratch()
	s.enterTransaction()
	shard, e := s.replicated()
	var l *link
	if e == nil {
		l, e = s.acquire(shard, pool.Primary, nil)
	}
	if e == nil {
		e = s.becomeWalsender(l)
	}
	if e != nil {
		s.fatalError(e)
		return false
	}
	s.report(l.notes.params)
	s.ready()
	return true
}

// replicated is the shard that a replication connection is to, by the setting pgdrover.shard or by the session's tenant.
func (s *session) replicated() (int, *pgwire.Error) {
	name, named := s.settings.lookup(ownShard)
	switch {
	case s.mode != ModeSession:
		return 0, &pgwire.Error{Code: "0A000", Message: "a replication connection needs session mode",
			Hint: "have \"pool: {mode: session}\" for the user in pgdrover.yaml"}
	case !s.login.tenant.IsZero():
		return 0, &pgwire.Error{Code: "42501", Message: "this session is bound to tenant \"" + s.login.tenant.String() + "\": replication shows all tenants",
			Hint: "log in in another way"}
	case named:
		i, _ := s.place.shards.ShardByName(name.value)
		return i, nil
	case s.place.single():
		return 0, nil
	case !s.env.Tenant.IsZero():
		return s.place.shards.Locate(s.env.Tenant), nil
	}
	return 0, &pgwire.Error{Code: "0A000", Message: "a replication connection is to one shard, and this database has several",
		Hint: "name it in the connection's options, as \"-c pgdrover.shard=" + s.place.shards.Shard(0).Name + "\" or \"-c pgdrover.tenant=KEY\""}
}

// checkShard says what is wrong with a value of pgdrover.shard.
func (s *session) checkShard(name string) *pgwire.Error {
	if !s.replicates {
		return &pgwire.Error{Code: "0A000", Message: "\"" + ownShard + "\" is for replication connections",
			Hint: "name a tenant instead: its statements go to its shard"}
	}
	if _, ok := s.db.Map().ShardByName(name); !ok {
		return &pgwire.Error{Code: "22023", Message: "invalid value for parameter \"" + ownShard + "\": \"" + name + "\"",
			Hint: "SHOW SHARDS on the console lists the shards"}
	}
	return nil
}

// becomeWalsender exchanges a backend for a walsender that begins with the client's settings.
func (s *session) becomeWalsender(l *link) *pgwire.Error {
	params := map[string]string{"replication": "database"}
	for _, e := range s.settings.sent() {
		params[e.name] = e.value
	}
	var own *pool.Backend
	var err error
	s.t.Await(func() { own, err = l.backend.Exchange(context.Background(), params) })
	if err != nil {
		e := *clientError(err)
		if e.Code == "42501" && e.Hint == "" {
			e.Hint = "the role that PgDrover logs in to the nodes with needs the attribute REPLICATION: ALTER ROLE … REPLICATION"
		}
		s.release(l)
		return &e
	}
	s.mu.Lock()
	l.backend, l.conn = own, own.Conn
	s.mu.Unlock()
	l.notes = &notes{settings: s.settings, params: newParams(own.Params)}
	l.hold = holdReplication
	s.noteHolds()
	return nil
}

// replicate passes on what either side says until one of them ends, or PgDrover does. It always reports that the session is over.
func (s *session) replicate() bool {
	l := s.links[0]
	var up, down framing
	for !s.cut.Load() {
		if !s.sayUp(l, &up) || !s.sayDown(l, &down) {
			break
		}
		if l.conn.Flush() != nil || s.client.Flush() != nil {
			break
		}
		if e := s.replicationOver(l); e != nil && down.rest == 0 {
			s.fatal(e.Code, e.Message, e.Hint)
			break
		}
		s.t.Wait(time.Time{},
			task.Interest{Conn: s.client, Read: l.conn.Pending() <= queueLimit && s.client.ReadErr() == nil, Write: s.client.Pending() > 0},
			task.Interest{Conn: l.conn, Read: s.client.Pending() <= queueLimit && l.conn.ReadErr() == nil, Write: l.conn.Pending() > 0})
	}
	l.rest = down.rest
	for until := time.Now().Add(time.Second); l.lost == nil && l.conn.Flush() == nil && l.conn.Pending() > 0; {
		if s.t.Wait(until, task.Writing(l.conn)) {
			break // the client's last words are lost with it
		}
	}
	s.settle(false)
	return false
}

// replicationOver is why PgDrover ends a replication connection; nil while it does not.
func (s *session) replicationOver(l *link) *pgwire.Error {
	if s.draining.Load() {
		return errShutdown
	}
	now := s.db.place.Load()
	if i, ok := now.shards.ShardByName(l.backend.Shard()); now != s.place && (!ok || !now.serves(i, l.backend.Node())) {
		return &pgwire.Error{Code: "57P01", Message: "node " + l.node() + ", which this connection replicates from, was taken out of the shard map"}
	}
	return nil
}

// framing finds where messages begin in a stream that is passed on as it comes.
type framing struct {
	rest int  // bytes to come of the message in hand
	typ  byte // of the latest message
}

// next is how many of the bytes b can be passed on, 0 when more have to come first; typ is that of the message that begins there, 0
// in the middle of one.
func (f *framing) next(b []byte, limit int) (n int, typ byte, err error) {
	if f.rest == 0 {
		if typ, f.rest, err = pgwire.Peek(b, limit); err != nil || f.rest == 0 {
			return 0, 0, err
		}
		f.typ = typ
	}
	n = min(f.rest, len(b))
	f.rest -= n
	return n, typ, nil
}

// sayUp passes on what the client has sent. It reports whether more can come.
func (s *session) sayUp(l *link, up *framing) bool {
	for l.conn.Pending() <= queueLimit {
		b := s.client.Buffered()
		n, typ, err := up.next(b, s.cfg.MaxFrame)
		if err != nil {
			s.fatal("08P01", "invalid message length", "the limit is \"limits: max_message\" in pgdrover.yaml")
			return false
		}
		if n == 0 {
			break
		}
		if typ == pgwire.MsgQuery {
			s.publish(ClientActive)
			s.mayWrite()
		}
		l.conn.QueueOrWrite(b[:n])
		s.consume(n)
	}
	return s.client.ReadErr() == nil || len(s.client.Buffered()) > 0 && l.conn.Pending() > 0
}

// sayDown passes on what the walsender has sent. It reports whether more can come; if not, the client has been told all there was.
func (s *session) sayDown(l *link, down *framing) bool {
	for s.client.Pending() <= queueLimit {
		b := l.conn.Buffered()
		n, typ, err := down.next(b, maxBackendFrame)
		if err != nil {
			l.lost = err
			return false
		}
		if n == 0 {
			break
		}
		switch typ {
		case pgwire.MsgReadyForQuery:
			s.publish(ClientIdle)
			s.settle(false)
		case pgwire.MsgCopyBoth:
			s.settle(false)
		}
		s.client.QueueOrWrite(b[:n])
		l.conn.Discard(n)
	}
	if l.conn.ReadErr() == nil || len(l.conn.Buffered()) > 0 && s.client.Pending() > 0 {
		return true
	}
	l.lost = l.conn.ReadErr()
	if down.rest == 0 && down.typ != pgwire.MsgErrorResponse {
		e := lostError(l.node(), l.lost)
		s.fatal(e.Code, e.Message, "")
		return false
	}
	s.flushOut(time.Now().Add(time.Second))
	return false
}

// mayWrite tells the cache that a command may write anything: it may be SQL.
func (s *session) mayWrite() {
	if s.db.cache == nil {
		return
	}
	s.written.Reset()
	if s.db.cache.Dirty(&s.mark, &s.written) {
		s.t.Await(func() { s.db.cache.Publish(context.Background(), &s.mark) })
	}
}
