package proxy

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"io"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// alpnProtocol is what clients of PostgreSQL 17 and later name in a TLS handshake (manual, "SSL Session Encryption").
const alpnProtocol = "postgresql"

// ClientCerts says what is asked of clients about certificates of their own.
type ClientCerts uint8

// The kinds of question. A certificate that is shown has to be signed by one of the authorities in every case.
const (
	ClientCertsOff      ClientCerts = iota // none is asked for
	ClientCertsOptional                    // one may be shown
	ClientCertsRequire                     // one must be shown, as PostgreSQL's clientcert=verify-ca
	ClientCertsVerify                      // and its common name is the user's name, as clientcert=verify-full
)

// certificates are what clients may be shown, found by the name of the server that a client asks for. They are not changed.
type certificates struct {
	first  *certificate // for clients that name no server, or one that is not known
	byName map[string][]*certificate
}

// certificate is one of them.
type certificate struct {
	tls.Certificate
	binding []byte // its tls-server-end-point (RFC 5929); nil when its signature has no hash that could be used
}

// newCertificates finds the names that certificates are for. A pattern such as *.example.com is a name too.
func newCertificates(list []tls.Certificate) *certificates {
	c := &certificates{byName: map[string][]*certificate{}}
	for _, one := range list {
		added := &certificate{Certificate: one}
		if c.first == nil {
			c.first = added
		}
		leaf := one.Leaf
		if leaf == nil {
			var err error
			if leaf, err = x509.ParseCertificate(one.Certificate[0]); err != nil {
				continue
			}
		}
		added.binding = endPoint(leaf)
		for _, name := range leaf.DNSNames {
			name = strings.ToLower(name)
			c.byName[name] = append(c.byName[name], added)
		}
	}
	return c
}

// choose is the certificate for a handshake: the one that names the server, before one with a pattern for it, before the first.
func (c *certificates) choose(hello *tls.ClientHelloInfo) *certificate {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	candidates := c.byName[name]
	if _, parent, ok := strings.Cut(name, "."); len(candidates) == 0 && ok {
		candidates = c.byName["*."+parent]
	}
	for _, one := range candidates {
		if hello.SupportsCertificate(&one.Certificate) == nil {
			return one
		}
	}
	if len(candidates) > 0 {
		return candidates[0]
	}
	return c.first
}

// serverTLS is the TLS of the server's side, as PostgreSQL has it: with its protocol's name, and without resumption, so that every
// session has a certificate of its own to bind its authentication to.
func (c *Config) serverTLS() *tls.Config {
	secure := c.TLS.Clone()
	secure.NextProtos = []string{alpnProtocol}
	secure.SessionTicketsDisabled = true
	if secure.MinVersion == 0 {
		secure.MinVersion = tls.VersionTLS12
	}
	if c.ClientCerts != ClientCertsOff {
		secure.ClientAuth = tls.VerifyClientCertIfGiven // who has to show one is told so after the handshake
	}
	secure.Certificates = nil
	return secure
}

// signer lets a certificate's key sign when it is its turn.
type signer struct {
	crypto.Signer
	turns turns
	until time.Time
}

// Sign signs a digest. It may block, until the deadline at most.
func (s signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	late := s.turns.take(s.until, func() { signature, err = s.Signer.Sign(rand, digest, opts) })
	if late != nil {
		return nil, late
	}
	return signature, err
}

// clientCertificate says what is wrong with the certificate that the client has shown, if the server asks for one; nil when all is well.
func (s *session) clientCertificate() *pgwire.Error {
	mode := s.cfg.ClientCerts
	if mode < ClientCertsRequire {
		return nil
	}
	leaf := s.shownCertificate()
	switch {
	case leaf == nil:
		return &pgwire.Error{Code: "28000", Message: "connection requires a valid client certificate",
			Hint: "connect with TLS and with sslcert and sslkey; the authorities are those of \"tls: client_ca\" in pgdrover.yaml"}
	case mode == ClientCertsVerify && !names(leaf, s.userName):
		return certificateRefused(s.userName)
	}
	return nil
}

// byCertificate logs the client in by its certificate alone: its common name has to be the user's name.
func (s *session) byCertificate() *pgwire.Error {
	leaf := s.shownCertificate()
	switch {
	case leaf == nil:
		return &pgwire.Error{Code: "28000", Message: "connection requires a valid client certificate",
			Hint: "connect with TLS and with sslcert and sslkey: the rule for this connection is \"method: cert\""}
	case !names(leaf, s.userName):
		return certificateRefused(s.userName)
	}
	return nil
}

func certificateRefused(user string) *pgwire.Error {
	return &pgwire.Error{Code: "28000", Message: "certificate authentication failed for user \"" + user + "\"",
		Hint: "the certificate's common name has to be the user's name"}
}

// shownCertificate is the client's own certificate, if it has shown one that an authority vouches for.
func (s *session) shownCertificate() *x509.Certificate {
	state, ok := s.client.TLS()
	if !ok || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// subjectName is the type of the attribute that a certificate calls the common name (RFC 5280).
var subjectName = asn1.ObjectIdentifier{2, 5, 4, 3}

// names reports whether a certificate is for a user: its only common name is the user's name.
func names(leaf *x509.Certificate, user string) bool {
	count := 0
	for _, n := range leaf.Subject.Names {
		if n.Type.Equal(subjectName) {
			count++
		}
	}
	return count == 1 && leaf.Subject.CommonName == user
}
