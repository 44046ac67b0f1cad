package pgcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// enableTLS gives every node that is copied from the template a certificate,
// of its own signing, for localhost and 127.0.0.1. It leaves a copy of the
// certificate in dir and returns its path.
func (t *template) enableTLS(dir string) (string, error) {
	certificate, private, err := newCertificate(time.Now())
	if err != nil {
		return "", fmt.Errorf("make a certificate: %w", err)
	}
	var errs []error
	for name, content := range map[string][]byte{"server.crt": certificate, "server.key": private} {
		path := filepath.Join(t.dir, name)
		// PostgreSQL wants its key to be its own and nobody else's.
		errs = append(errs, os.WriteFile(path, content, 0o600), t.account.own(path))
	}
	copied := filepath.Join(dir, "ca.crt")
	errs = append(errs, os.WriteFile(copied, certificate, 0o644), configure(t.dir, map[string]string{"ssl": "on"}))
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("enable TLS: %w", err)
	}
	return copied, nil
}

// newCertificate makes a certificate and its key, both in PEM.
func newCertificate(now time.Time) (certificate, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	wanted := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, errSign := x509.CreateCertificate(rand.Reader, &wanted, &wanted, key.Public(), key)
	encoded, errKey := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(errSign, errKey); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), nil
}
