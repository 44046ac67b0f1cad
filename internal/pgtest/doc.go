// Package pgtest has scripted peers for tests: a [Client] that says what a test
// wants said, byte by byte if need be, and a [Server] that plays a PostgreSQL
// backend, faults included. For real backends there is package pgcluster.
//
// Both speak through package pgwire for framing, and send any message that has
// an Encode method, such as those of pgproto3/v2, which shares no code with
// pgwire. SCRAM is done here, with the standard library only, for the same
// reason.
package pgtest
