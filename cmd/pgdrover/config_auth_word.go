package main

// Method is how a client proves who it is.
type Method string

// The values of auth.rules[].method.
const (
	MethodSCRAM  Method = "scram"  // SCRAM-SHA-256, with channel binding over TLS where the client can
	MethodMD5    Method = "md5"    // PostgreSQL's old challenge for users with an md5 verifier, scram for the others
	MethodCert   Method = "cert"   // a client certificate whose common name is the user's name
	MethodJWT    Method = "jwt"    // a token in the place of the password
	MethodTrust  Method = "trust"  // nothing
	MethodReject Method = "reject" // nobody logs in
)

// UnmarshalText reads a value of auth.rules[].method.
func (m *Method) UnmarshalText(text []byte) error {
	return choose(m, text, []Method{MethodSCRAM, MethodMD5, MethodCert, MethodJWT, MethodTrust, MethodReject})
}

// RuleTLS says which connections a rule is for.
type RuleTLS string

// The values of auth.rules[].tls.
const (
	RuleTLSAny     RuleTLS = "any"
	RuleTLSRequire RuleTLS = "require" // those with TLS
	RuleTLSOff     RuleTLS = "off"     // those without
)

// UnmarshalText reads a value of auth.rules[].tls.
func (m *RuleTLS) UnmarshalText(text []byte) error {
	return choose(m, text, []RuleTLS{RuleTLSRequire, RuleTLSAny, RuleTLSOff})
}

// ClientCerts says what is asked of clients about certificates of their own.
type ClientCerts string

// The values of tls.client_certs.
const (
	ClientCertsOff      ClientCerts = "off"      // none is asked for
	ClientCertsOptional ClientCerts = "optional" // one that is shown has to be good
	ClientCertsRequire  ClientCerts = "require"  // one has to be shown
	ClientCertsVerify   ClientCerts = "verify"   // and its common name is the user's name
)

// UnmarshalText reads a value of tls.client_certs.
func (m *ClientCerts) UnmarshalText(text []byte) error {
	return choose(m, text, []ClientCerts{ClientCertsOff, ClientCertsOptional, ClientCertsRequire, ClientCertsVerify})
}
