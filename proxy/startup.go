package proxy

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// arrival is how far a connection has come before its startup message.
type arrival struct {
	begun bool                        // its first byte has come, and any direct TLS is done
	asked [pgwire.KindCancel + 1]bool // which kinds of packet it has sent
	late  atomic.Bool                 // the time for logging in is over
}

// loginEnd is when the time for logging in is over.
func (s *session) loginEnd() time.Time { return s.began.Time().Add(s.cfg.AuthTime) }

// welcomed reports that the client has taken what start has queued for it, after waiting for that.
func (s *session) welcomed() bool {
	return s.client.Flush() == nil && (s.client.Pending() == 0 || s.flushOut(s.loginEnd()))
}

// restsAtOnce reports that the session, which has just logged in, has nothing to do and rests: there is no need of a scratch for it to find that out.
func (s *session) restsAtOnce() bool {
	if len(s.links) > 0 || len(s.client.Buffered()) > 0 || s.draining.Load() {
		return false
	}
	s.resting = s.t.Rest()
	s.rested = s.resting
	return s.resting
}

// start reads the first packets of a connection: requests for encryption, then a startup message or a cancel request.
// It reports whether there is a session to run; if not, the session rests until more has come, and start is to be called again, or the client has been
// told all that it is to be told.
func (s *session) start() bool {
	if !s.arrival.begun {
		if direct, ok := s.directTLS(); direct && !ok {
			return false
		}
		s.arrival.begun = true
	}
	asked := &s.arrival.asked
	for {
		packet, ok := s.firstPacket()
		if !ok {
			return false
		}
		st, err := s.srv.familiar.read(packet)
		if err != nil {
			s.refuse(err)
			return false
		}
		s.consume(len(packet))
		if st.Kind != pgwire.KindStartup && asked[st.Kind] {
			s.refuse(st.Unsupported())
			return false
		}
		asked[st.Kind] = true
		switch st.Kind {
		case pgwire.KindSSLRequest:
			if !s.encrypt() || s.smuggled("SSL request") {
				return false
			}
		case pgwire.KindGSSENCRequest:
			s.client.Queue([]byte{'N'})
			if s.smuggled("GSSAPI encryption request") {
				return false
			}
		case pgwire.KindCancel:
			s.srv.cancel(s, st.PID, st.Secret)
			return false
		default:
			return s.greet(st)
		}
	}
}

// smuggled refuses a client that did not wait for the answer to its request for encryption: somebody else may have added what
// came behind it (CVE-2021-23214).
func (s *session) smuggled(what string) bool {
	if s.client.Encrypted() || len(s.client.Buffered()) == 0 {
		return false
	}
	s.refuse(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: "08P01", Message: "received unencrypted data after " + what,
		Detail: "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."})
	return true
}

// refuse tells the client why its first packet is no good, when PostgreSQL would.
func (s *session) refuse(err error) {
	var e *pgwire.Error
	if errors.As(err, &e) {
		s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
		s.flushOut(time.Now().Add(time.Second))
	}
}

// firstPacket is an untyped packet, which is valid until it is consumed. It waits for it as awaitPacket does.
func (s *session) firstPacket() ([]byte, bool) {
	for {
		b := s.client.Buffered()
		size, err := pgwire.PeekStartup(b)
		if err != nil {
			return nil, false
		}
		if size > 0 && len(b) >= size {
			return b[:size], true
		}
		if !s.awaitPacket(size) {
			return nil, false
		}
	}
}

// awaitPacket waits until more has arrived of a packet of size bytes (0: not known). It reports whether that is so; if not, the session rests until it is,
// or ends. A client that rests is told by the watch over sessions that it has taken too long (lateIn).
func (s *session) awaitPacket(size int) bool {
	if s.client.Flush() != nil || s.client.ReadErr() != nil || s.cut.Load() {
		return false
	}
	if s.draining.Load() {
		s.fatal("57P03", "PgDrover is shutting down", "")
		return false
	}
	s.client.Reserve(size)
	tooLate := s.arrival.late.Load()
	if s.client.Pending() > 0 {
		tooLate = s.t.Wait(s.loginEnd(), task.Interest{Conn: s.client, Read: true, Write: true})
	} else if s.resting = !tooLate && s.t.Rest(); s.resting {
		return false
	}
	if tooLate {
		s.fatal(errAuthTimeout.Code, errAuthTimeout.Message, errAuthTimeout.Hint)
		return false
	}
	return len(s.client.Buffered()) > 0 || s.client.ReadErr() == nil
}

// lateIn tells a session whose client has not logged in within the time for that. It is not the session's.
func (s *session) lateIn(now time.Time) {
	if !s.known.Load() && !now.Before(s.loginEnd()) {
		s.arrival.late.Store(true)
		s.t.Wake()
	}
}

// encrypt answers an SSLRequest and shakes hands if TLS is on and was not there before.
func (s *session) encrypt() bool {
	if s.client.Encrypted() || s.cfg.TLSMode == TLSOff {
		s.client.Queue([]byte{'N'})
		return true
	}
	s.client.Queue([]byte{'S'})
	return s.flushOut(s.loginEnd()) && s.handshake(s.client.ServerTLS)
}

// greet takes the startup message, authenticates, and tells the client what it is connected to.
func (s *session) greet(st *hello) bool {
	s.userName, s.databaseName, s.asked = st.user, st.database, st.in(s.cfg)
	if s.cfg.TLSMode == TLSRequire && !s.client.Encrypted() {
		s.fatal("28000", "this server takes encrypted connections only", "connect with sslmode=require or stricter")
		return false
	}
	minor, must := st.Negotiate()
	if must {
		s.client.SetQueue(pgwire.AppendNegotiateProtocolVersion(s.client.QueueBuffer(), minor, st.Options))
	}
	s.minor = minor
	if st.unfit != nil {
		s.fatalError(st.unfit)
		return false
	}
	if !s.authenticate() {
		return false
	}
	s.client.SetQueue(pgwire.AppendAuthenticationOk(s.client.QueueBuffer()))
	if s.db == nil {
		return s.greetConsole()
	}
	s.mode, s.replicates = s.modeOf(), st.replicates
	if e := s.takeParams(st); e != nil {
		s.fatalError(e)
		return false
	}
	if s.replicates {
		return s.startReplication()
	}
	if !s.reportParams() {
		return false
	}
	s.ready()
	return true
}

// ready ends the startup: the cancel key, and that a query may come.
func (s *session) ready() {
	s.srv.keys.add(s, s.firstBackend())
	for _, l := range s.links {
		s.db.senders.add(processOf(l.backend), s.key.pid)
	}
	s.srv.metrics.Clients.Add(1)
	s.limit()
	s.known.Store(true)
	s.publish(ClientIdle)
	b := pgwire.AppendBackendKeyData(s.client.QueueBuffer(), s.key.pid, s.key.secret)
	s.client.SetQueue(pgwire.AppendReadyForQuery(b, 'I'))
}

// takeParams keeps the startup message's settings, which a session goes back to on RESET, and tells the router what they say.
func (s *session) takeParams(st *hello) *pgwire.Error {
	options := s.db.options()
	addHost := options.NameAddHost && !s.replicates
	ownAlone := !s.login.tenant.IsZero() || addHost
	if b := st.begin.Load(); b != nil && b.options == options && !ownAlone {
		s.beginWith(b.settings)
		s.set.Store(b.settings)
		s.env = b.env
		s.env.Prepared = s
		return nil
	}
	made, e := s.startSettings(&st.Startup, addHost)
	if e != nil {
		return e
	}
	s.beginWith(made)
	s.takeScratch()
	s.applyEnv()
	if !ownAlone && !slices.ContainsFunc(made.list, func(one setting) bool { return isOwn(one.name) }) {
		b := &beginning{options, made, s.env}
		b.env.Prepared = nil
		st.begin.Store(b)
	}
	return nil
}

// beginWith are the settings that the session begins with.
func (s *session) beginWith(initial *settings) {
	s.initial, s.settings, s.committed, s.lookup.settings = initial, initial, initial, initial
}

// startSettings are those of the startup message.
func (s *session) startSettings(st *pgwire.Startup, addHost bool) (*settings, *pgwire.Error) {
	pairs, e := s.startPairs(st, addHost)
	switch {
	case e != nil:
		return nil, e
	case len(pairs) == 0:
		return noSettings, nil
	}
	return s.checkSettings(pairs)
}

// startPairs are the settings that the startup message names, with the client's address if that is to be added. Those in "options" come before the
// others, as in PostgreSQL.
func (s *session) startPairs(st *pgwire.Startup, addHost bool) ([]pgwire.Param, *pgwire.Error) {
	var pairs []pgwire.Param
	if options, _ := st.Param("options"); options != "" {
		var e *pgwire.Error
		if pairs, e = splitOptions(options); e != nil {
			return nil, e
		}
	}
	for _, p := range st.Params {
		switch p.Name {
		case "user", "database", "replication", "options":
		default:
			pairs = append(pairs, p)
		}
	}
	if addHost {
		pairs = s.addHost(pairs)
	}
	return pairs, nil
}

// checkSettings are settings by their names and values; of one that is named again the last counts.
func (s *session) checkSettings(pairs []pgwire.Param) (*settings, *pgwire.Error) {
	list := make([]setting, 0, len(pairs))
	for _, p := range pairs {
		one, e := s.startSetting(strings.ToLower(p.Name), p.Value)
		if e != nil {
			return nil, e
		}
		list = append(slices.DeleteFunc(list, func(old setting) bool { return old.name == one.name }), one)
	}
	slices.SortFunc(list, compareSettings)
	return newSettings(list), nil
}

// startSetting is one startup setting, or says why it is refused.
func (s *session) startSetting(name, value string) (setting, *pgwire.Error) {
	if e := s.keepsRole(name); e != nil {
		return setting{}, e
	}
	if name == applicationName {
		return setting{name, setNameSQL(value), value}, nil
	}
	if !isOwn(name) {
		return setting{name, setConfigSQL(name, value), value}, nil
	}
	return setting{name: name, value: value}, s.checkOwn(name, value)
}
