package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// maxAuthFrame bounds what a client may send before it is known.
const maxAuthFrame = 64 << 10

// authenticate finds out who the client is by SCRAM-SHA-256 and looks up what it may use. On failure the client has been told.
//
// An unknown user goes through the same exchange as a known one with a wrong password, so that neither the messages nor the
// time tell which names exist.
func (s *session) authenticate(until time.Time) bool {
	user, known := s.cfg.Users[s.userName]
	verifier := s.srv.nobody
	if known {
		verifier = user.Verifier
	}
	if !s.scram(verifier, until) || !known {
		if s.client.ReadErr() == nil && s.client.WriteErr() == nil {
			s.fatal("28P01", "password authentication failed for user \""+s.userName+"\"", "")
		}
		return false
	}
	s.user = user
	if !user.mayUse(s.databaseName) {
		s.fatal("42501", "permission denied for database \""+s.databaseName+"\"",
			"add it to the user's \"databases\" in pgdrover.yaml")
		return false
	}
	if s.databaseName == consoleDatabase {
		return true
	}
	if s.db = s.cfg.Databases[s.databaseName]; s.db == nil {
		s.fatal("3D000", "database \""+s.databaseName+"\" does not exist", "the databases that PgDrover serves are listed in pgdrover.yaml")
		return false
	}
	return true
}

// scram runs the exchange and reports whether the client proved that it knows the password.
func (s *session) scram(v *Verifier, until time.Time) bool {
	talk, err := v.conversation()
	if err != nil {
		s.log().Error("SCRAM is not available", "error", err)
		return false
	}
	s.client.SetQueue(pgwire.AppendAuthenticationSASL(s.client.QueueBuffer(), []string{scramMechanism}))
	frame, ok := s.authFrame(until)
	if !ok {
		return false
	}
	mechanism, first, err := pgwire.SASLInitialResponse(frame)
	if err != nil || mechanism != scramMechanism {
		return false
	}
	answer, err := talk.Step(string(first))
	s.consume(len(frame))
	if err != nil {
		return false
	}
	s.client.SetQueue(pgwire.AppendAuthenticationSASLContinue(s.client.QueueBuffer(), []byte(answer)))
	if frame, ok = s.authFrame(until); !ok {
		return false
	}
	last, err := pgwire.SASLResponse(frame)
	if err != nil {
		return false
	}
	answer, err = talk.Step(string(last))
	s.consume(len(frame))
	if err != nil || !talk.Valid() {
		return false
	}
	s.client.SetQueue(pgwire.AppendAuthenticationSASLFinal(s.client.QueueBuffer(), []byte(answer)))
	return true
}

// authFrame waits for a password message; the frame is valid until it is consumed.
func (s *session) authFrame(until time.Time) ([]byte, bool) {
	for {
		b := s.client.Buffered()
		typ, size, err := pgwire.Peek(b, maxAuthFrame)
		switch {
		case err != nil || size > 0 && typ != pgwire.MsgPassword:
			s.fatal("08P01", "expected a password message", "")
			return nil, false
		case size > 0 && len(b) >= size:
			return b[:size], true
		}
		if !s.await(size, until) {
			return nil, false
		}
	}
}
