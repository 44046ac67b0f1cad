package proxy

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// The largest messages that a client may send while it is not known, in bytes, as in PostgreSQL.
const (
	maxPassword = 65535 + pgwire.HeaderLen
	maxSASL     = 1024 + pgwire.HeaderLen
)

// login is how a client got in.
type login struct {
	from    netip.Addr // without a port, and IPv4 where it is that; the zero Addr for other sockets than TCP's
	tally   *tally     // of its address
	counted bool       // among the sessions of its address
	binding []byte     // tls-server-end-point of the certificate that the client was shown; nil without TLS
	claim   *claim     // what its token says; nil without one
	keys    *pool.Keys // for logging in to nodes as the client; nil where that is not done
	tenant  shardmap.Key

	ofUser, ofDatabase *presence // among whose sessions it is counted; nil: it is not
}

// silence stands for the error of a client that has left or has been told.
var silence = &pgwire.Error{}

// authenticate finds out who the client is, by the method of the rule for it, and looks up what it may use. On failure the
// client has been told.
func (s *session) authenticate() bool {
	e := s.crowded()
	if e == nil {
		e = s.turnedAway()
	}
	if e == nil {
		e = s.identify()
	}
	if e != nil && e != silence && e.Code[:2] == "28" {
		s.pause(s.loginEnd())
	}
	if e == nil {
		e = s.enterDatabase()
	}
	if e == nil {
		return true
	}
	if e != silence && s.client.ReadErr() == nil && s.client.WriteErr() == nil {
		s.srv.metrics.Rejected.Add(1)
		s.log().Info("login refused", "client", s.client.RemoteAddr().String(), "user", s.userName, "database", s.databaseName, "code", e.Code,
			"error", e.Message)
		told := *e
		told.Severity = pgwire.SeverityFatal
		s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), &told))
		s.flushOut(time.Now().Add(time.Second))
	}
	return false
}

// identify has the client prove who it is.
func (s *session) identify() *pgwire.Error {
	if e := s.clientCertificate(); e != nil {
		return e
	}
	method, e := s.method()
	switch {
	case e != nil:
		return e
	case method == MethodJWT:
		return s.byToken(s.loginEnd())
	}
	user, e := s.account(method)
	if e != nil {
		return e
	}
	switch method {
	case MethodCert:
		e = s.byCertificate()
	case MethodMD5:
		e = s.byMD5(user, s.loginEnd())
	case MethodSCRAM:
		e = s.bySCRAM(user, s.loginEnd())
	}
	switch {
	case e == nil && user == nil:
		e = &pgwire.Error{Code: "28000", Message: "role \"" + s.userName + "\" does not exist",
			Hint: "who may log in is listed under \"users\" in pgdrover.yaml, or found by \"auth: query\""}
	case e != nil && e.Code == "28P01" && s.cfg.Query != nil:
		s.cfg.Query.doubt(s.databaseName, s.userName)
	}
	s.user = user
	return e
}

// account looks up the user, in the configuration and then in the database; nil when nobody knows the name. Of a user that is listed
// without a verifier the database has that, and the configuration all else.
func (s *session) account(method Method) (*User, *pgwire.Error) {
	user := s.asked.user
	if user != nil && (user.Verifier != nil || user.MD5 != "" || method != MethodSCRAM && method != MethodMD5) {
		return user, nil
	}
	if s.cfg.Query == nil || s.asked.database == nil || !possibleName(s.userName) {
		return user, nil
	}
	found, e := s.lookUp(s.loginEnd())
	if user == nil || found == nil || e != nil {
		return found, e
	}
	whole := *user
	whole.Verifier, whole.MD5 = found.Verifier, found.MD5
	return &whole, nil
}

// lookUp asks the database about the user.
func (s *session) lookUp(until time.Time) (*User, *pgwire.Error) {
	ask := s.cfg.Query.find(s.databaseName, s.userName, s.t)
	defer ask.leave(s.t)
	for !ask.answered() {
		if s.t.Wait(until) {
			return nil, errAuthTimeout
		}
		if s.cut.Load() {
			return nil, silence
		}
	}
	return ask.user()
}

// enterDatabase looks up what the client wants to use.
func (s *session) enterDatabase() *pgwire.Error {
	db := s.asked.database
	switch {
	case db == nil && s.databaseName != consoleDatabase:
		return &pgwire.Error{Code: "3D000", Message: "database \"" + s.databaseName + "\" does not exist",
			Hint: "the databases that PgDrover serves are listed in pgdrover.yaml"}
	case !s.user.mayUse(s.databaseName):
		return &pgwire.Error{Code: "42501", Message: "permission denied for database \"" + s.databaseName + "\"",
			Hint: "add it to the user's \"databases\" in pgdrover.yaml"}
	case s.databaseName == consoleDatabase:
		return nil
	case db.Disabled():
		return errDisabled(s.databaseName)
	}
	s.db = db
	s.within.Store(db)
	if e := s.bindTenant(); e != nil {
		return e
	}
	if e := s.counted(); e != nil {
		return e
	}
	return s.becomeClient()
}

// pause makes a client that could not prove who it is wait for the answer, so that guessing takes time. It takes none of anyone else's.
func (s *session) pause(until time.Time) {
	end := time.Now().Add(s.cfg.AuthDelay)
	if end.After(until) {
		end = until
	}
	for s.cfg.AuthDelay > 0 && !s.cut.Load() && !s.t.Wait(end) {
	}
}

// bySCRAM logs the client in by SCRAM-SHA-256, with channel binding where the client can. A user that is not there, or has no
// such verifier, goes through the same exchange as one with a wrong password, so that neither the messages nor the time tell
// which names exist.
func (s *session) bySCRAM(user *User, until time.Time) *pgwire.Error {
	salt := s.srv.nobody.mockSalt(s.userName) // for those who are known too: it takes its time
	known := user != nil && user.Verifier != nil
	x := s.srv.exchanges.Take(s.t)
	verifier := &x.room.stranger
	if known {
		verifier = user.Verifier
	} else {
		*verifier = s.srv.nobody.mock(salt)
	}
	proven, e := s.scram(x, verifier, until)
	x.end()
	s.srv.exchanges.Give(s.t, x)
	if e == nil && (!proven || !known) {
		return s.wrongPassword()
	}
	return e
}

func (s *session) wrongPassword() *pgwire.Error {
	return &pgwire.Error{Code: "28P01", Message: "password authentication failed for user \"" + s.userName + "\""}
}

// scram runs an exchange about v and reports whether the client proved that it knows the password. A server that has a verifier computes a few hashes for
// that, whatever the number of iterations, which takes less than having others do it.
func (s *session) scram(x *exchange, v *Verifier, until time.Time) (proven bool, e *pgwire.Error) {
	frame, first, e := s.saslOpening(x, v, until)
	if e != nil {
		return false, e
	}
	answer, e := x.first(first)
	if e != nil {
		return false, e
	}
	s.consume(len(frame))
	s.client.SetQueue(pgwire.AppendAuthenticationSASLContinue(s.client.QueueBuffer(), answer))
	frame, last, e := s.saslResponse(until)
	if e != nil {
		return false, e
	}
	answer, proven, e = x.final(last)
	if e != nil || !proven {
		return false, e
	}
	if s.passesThrough() {
		s.login.keys = x.keys()
	}
	s.consume(len(frame))
	s.client.SetQueue(pgwire.AppendAuthenticationSASLFinal(s.client.QueueBuffer(), answer))
	return true, nil
}

// saslOpening offers mechanisms, begins the exchange with the one that the client chooses, and waits for its first message; both results are valid until
// the frame is consumed.
func (s *session) saslOpening(x *exchange, v *Verifier, until time.Time) (frame, first []byte, e *pgwire.Error) {
	binding := s.login.binding
	s.client.SetQueue(pgwire.AppendAuthenticationSASL(s.client.QueueBuffer(), mechanisms(binding)))
	if frame, e = s.authFrame("SASL", maxSASL, until); e != nil {
		return nil, nil, e
	}
	mechanism, first, err := pgwire.SASLInitialResponse(frame)
	if err != nil {
		return nil, nil, protocolViolation("malformed SASLInitialResponse message", "")
	}
	if e = x.begin(v, mechanism, binding, &s.srv.chance); e != nil || first != nil {
		return frame, first, e
	}
	s.consume(len(frame)) // the client waits for a challenge before it says anything (RFC 4422, section 5)
	s.client.SetQueue(pgwire.AppendAuthenticationSASLContinue(s.client.QueueBuffer(), nil))
	return s.saslResponse(until)
}

// saslResponse waits for the client's next SASL message; both results are valid until the frame is consumed.
func (s *session) saslResponse(until time.Time) (frame, content []byte, e *pgwire.Error) {
	frame, e = s.authFrame("SASL", maxSASL, until)
	if e != nil {
		return nil, nil, e
	}
	content, err := pgwire.SASLResponse(frame)
	if err != nil {
		return nil, nil, protocolViolation("malformed SASLResponse message", "")
	}
	return frame, content, nil
}

// password asks for a password by one of the simple methods, whose request is queued, and returns it.
func (s *session) password(until time.Time) (string, *pgwire.Error) {
	frame, e := s.authFrame("password", maxPassword, until)
	if e != nil {
		return "", e
	}
	text, err := pgwire.PasswordMessage(frame)
	s.consume(len(frame))
	switch {
	case err != nil:
		return "", protocolViolation("invalid password packet size", "")
	case text == "":
		return "", &pgwire.Error{Code: "28P01", Message: "empty password returned by client"}
	}
	return text, nil
}

// authFrame waits for a message of type p of at most limit bytes; it is valid until it is consumed. what it is called in errors.
func (s *session) authFrame(what string, limit int, until time.Time) ([]byte, *pgwire.Error) {
	for {
		b := s.client.Buffered()
		typ, size, err := pgwire.Peek(b, limit)
		switch {
		case len(b) > 0 && b[0] != pgwire.MsgPassword:
			return nil, protocolViolation("expected "+what+" response, got message type "+strconv.Itoa(int(b[0])), "")
		case err != nil:
			return nil, protocolViolation("invalid length of "+what+" response", "")
		case size > 0 && len(b) >= size && typ == pgwire.MsgPassword:
			return b[:size], nil
		}
		if s.client.Flush() != nil || s.client.ReadErr() != nil || s.cut.Load() {
			return nil, silence
		}
		s.client.Reserve(size)
		if s.t.Wait(until, task.Interest{Conn: s.client, Read: true, Write: s.client.Pending() > 0}) {
			return nil, errAuthTimeout
		}
	}
}
