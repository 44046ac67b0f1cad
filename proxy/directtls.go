package proxy

import (
	"crypto"
	"crypto/tls"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// directTLS shakes hands with a client that begins with TLS at once (sslnegotiation=direct, PostgreSQL 17 and later). Such a client
// has to name the protocol, so that nobody can lead one of another protocol here; else it is left without a word, as PostgreSQL does.
func (s *session) directTLS() (direct, ok bool) {
	for len(s.client.Buffered()) == 0 {
		if !s.awaitPacket(0) {
			return true, false
		}
	}
	if !pgwire.DirectTLS(s.client.Buffered()) {
		return false, true
	}
	if s.cfg.TLSMode == TLSOff || !s.handshake(s.client.DirectTLS) {
		return true, false
	}
	if state, _ := s.client.TLS(); state.NegotiatedProtocol != alpnProtocol {
		s.log().Info("direct TLS without the protocol's name refused", "client", s.client.RemoteAddr().String())
		return true, false
	}
	return true, true
}

// handshake shakes hands, with the certificate for the server that the client names, which its authentication can be bound to.
func (s *session) handshake(shake func(*tls.Config, time.Time) error) bool {
	until := s.loginEnd()
	secure := s.cfg.secure.Clone()
	secure.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		chosen := s.cfg.certificates.choose(hello)
		s.login.binding = chosen.binding
		shown := chosen.Certificate
		if key, ok := shown.PrivateKey.(crypto.Signer); ok {
			shown.PrivateKey = signer{key, s.cfg.turns, until}
		}
		return &shown, nil
	}
	var err error
	s.t.Await(func() { err = shake(secure, until) })
	if err != nil {
		s.log().Info("TLS handshake failed", "client", s.client.RemoteAddr().String(), "error", err)
		return false
	}
	return true
}
