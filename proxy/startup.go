package proxy

import (
	"errors"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// start reads the first packets of a connection: requests for encryption, then a startup message or a cancel request.
// It reports whether there is a session to run; if not, the client has been told all that it is to be told.
func (s *session) start(until time.Time) bool {
	if direct, ok := s.directTLS(until); direct && !ok {
		return false
	}
	asked := map[pgwire.Kind]bool{}
	for {
		packet, ok := s.firstPacket(until)
		if !ok {
			return false
		}
		st, err := pgwire.ParseStartup(packet)
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
			if !s.encrypt(until) || s.smuggled("SSL request") {
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
			return s.greet(&st, until)
		}
	}
}

// smuggled refuses a client that did not wait for the answer to its request for encryption: somebody else may have added what
// came behind it (CVE-2021-23214).
func (s *session) smuggled(what string) bool {
	if _, encrypted := s.client.TLS(); encrypted || len(s.client.Buffered()) == 0 {
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

// firstPacket waits for an untyped packet; it is valid until it is consumed.
func (s *session) firstPacket(until time.Time) ([]byte, bool) {
	for {
		b := s.client.Buffered()
		size, err := pgwire.PeekStartup(b)
		if err != nil {
			return nil, false
		}
		if size > 0 && len(b) >= size {
			return b[:size], true
		}
		if !s.await(size, until) {
			return nil, false
		}
	}
}

// encrypt answers an SSLRequest and shakes hands if TLS is on and was not there before.
func (s *session) encrypt(until time.Time) bool {
	if _, already := s.client.TLS(); already || s.cfg.TLSMode == TLSOff {
		s.client.Queue([]byte{'N'})
		return true
	}
	s.client.Queue([]byte{'S'})
	return s.flushOut(until) && s.handshake(s.client.ServerTLS, until)
}

// greet takes the startup message, authenticates, and tells the client what it is connected to.
func (s *session) greet(st *pgwire.Startup, until time.Time) bool {
	s.userName, _ = st.Param("user")
	if s.databaseName, _ = st.Param("database"); s.databaseName == "" {
		s.databaseName = s.userName
	}
	if _, encrypted := s.client.TLS(); !encrypted && s.cfg.TLSMode == TLSRequire {
		s.fatal("28000", "this server takes encrypted connections only", "connect with sslmode=require or stricter")
		return false
	}
	minor, must := st.Negotiate()
	if must {
		s.client.SetQueue(pgwire.AppendNegotiateProtocolVersion(s.client.QueueBuffer(), minor, st.Options))
	}
	s.minor = minor
	if r, _ := st.Param("replication"); r != "" && r != "false" && r != "off" && r != "no" && r != "0" {
		s.fatal("0A000", "replication connections are not served by PgDrover", "connect to the node itself")
		return false
	}
	if !s.authenticate(until) {
		return false
	}
	s.client.SetQueue(pgwire.AppendAuthenticationOk(s.client.QueueBuffer()))
	if s.db == nil {
		return s.greetConsole()
	}
	if !s.takeParams(st) {
		return false
	}
	if !s.reportParams() {
		return false
	}
	s.ready()
	return true
}

// ready ends the startup: the cancel key, and that a query may come.
func (s *session) ready() {
	s.srv.keys.add(s)
	s.srv.metrics.Clients.Add(1)
	s.seen.Store(&Client{PID: s.key.pid, User: s.userName, Database: s.databaseName, Address: s.client.RemoteAddr().String(),
		Local: s.client.LocalAddr().String(), Cipher: s.client.Cipher(), Began: s.began})
	s.publish(ClientIdle)
	b := pgwire.AppendBackendKeyData(s.client.QueueBuffer(), s.key.pid, s.key.secret)
	s.client.SetQueue(pgwire.AppendReadyForQuery(b, 'I'))
}

// takeParams keeps the startup message's settings, which a session goes back to on RESET.
func (s *session) takeParams(st *pgwire.Startup) bool {
	initial := &settings{}
	for _, p := range st.Params {
		switch p.Name {
		case "user", "database", "replication":
			continue
		case "options":
			pairs, err := splitOptions(p.Value)
			if err != nil {
				s.fatal("22023", err.Error(), "write options as -c name=value")
				return false
			}
			for _, o := range pairs {
				initial = s.takeParam(initial, o.Name, o.Value)
			}
		default:
			initial = s.takeParam(initial, p.Name, p.Value)
		}
		if initial == nil {
			return false
		}
	}
	s.initial, s.settings, s.committed = initial, initial, initial
	s.applyEnv()
	return true
}

// takeParam adds one startup setting; nil when it is refused.
func (s *session) takeParam(initial *settings, name, value string) *settings {
	name = strings.ToLower(name)
	if e := s.keepsRole(name); e != nil {
		s.fatal(e.Code, e.Message, e.Hint)
		return nil
	}
	if !isOwn(name) {
		return initial.with(setting{name, setConfigSQL(name, value), value})
	}
	if err := s.checkOwn(name, value); err != nil {
		s.fatal(err.Code, err.Message, err.Hint)
		return nil
	}
	return initial.with(setting{name: name, value: value})
}

// splitOptions reads the "options" parameter: -c name=value and --name=value, with blanks escaped by a backslash
// (manual, "Parameter Key Words").
func splitOptions(s string) ([]pgwire.Param, error) {
	var pairs []pgwire.Param
	words := optionWords(s)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return nil, errors.New("invalid command-line argument for server process: " + w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, errors.New("-c " + w + " requires a value")
		}
		pairs = append(pairs, pgwire.Param{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
	return pairs, nil
}

func optionWords(s string) []string {
	var words []string
	var w strings.Builder
	begun := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			w.WriteByte(s[i])
			begun = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if begun {
				words = append(words, w.String())
				w.Reset()
				begun = false
			}
		default:
			w.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, w.String())
	}
	return words
}
