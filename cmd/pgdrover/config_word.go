package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
	"github.com/pgdrover/pgdrover/proxy"
)

// TLSMode says whether clients encrypt their connections.
type TLSMode string

// The values of tls.mode.
const (
	TLSOff     TLSMode = "off"     // who asks for encryption is told that there is none
	TLSPrefer  TLSMode = "prefer"  // a client may encrypt or not, as it likes
	TLSRequire TLSMode = "require" // a client that does not encrypt is refused
)

// UnmarshalText reads a value of tls.mode.
func (m *TLSMode) UnmarshalText(text []byte) error {
	return choose(m, text, []TLSMode{TLSOff, TLSPrefer, TLSRequire})
}

// BackendTLS says how connections to the nodes are encrypted, in the words of libpq's sslmode.
type BackendTLS string

// The values of databases.NAME.backend.tls.
const (
	BackendTLSDisable    BackendTLS = "disable"     // plaintext
	BackendTLSPrefer     BackendTLS = "prefer"      // encrypted where the server can, plaintext otherwise
	BackendTLSRequire    BackendTLS = "require"     // encrypted, whoever answers
	BackendTLSVerifyFull BackendTLS = "verify-full" // encrypted, and the server's certificate must name the host
)

// UnmarshalText reads a value of databases.NAME.backend.tls.
func (m *BackendTLS) UnmarshalText(text []byte) error {
	return choose(m, text, []BackendTLS{BackendTLSDisable, BackendTLSPrefer, BackendTLSRequire, BackendTLSVerifyFull})
}

// PoolMode says how long a client has a backend to itself.
type PoolMode string

// The values of databases.NAME.pool.mode and users[].pool.mode.
const (
	PoolTransaction PoolMode = "transaction" // for one transaction
	PoolSession     PoolMode = "session"     // from its first statement until it leaves
	PoolStatement   PoolMode = "statement"   // for one statement
)

// UnmarshalText reads a value of databases.NAME.pool.mode or users[].pool.mode.
func (m *PoolMode) UnmarshalText(text []byte) error {
	return choose(m, text, []PoolMode{PoolTransaction, PoolSession, PoolStatement})
}

// proxy is the mode in the words of package proxy. It may be empty.
func (m PoolMode) proxy() proxy.Mode {
	switch m {
	case PoolTransaction:
		return proxy.ModeTransaction
	case PoolSession:
		return proxy.ModeSession
	case PoolStatement:
		return proxy.ModeStatement
	}
	return proxy.ModeUnset
}

// ReadTarget says which nodes answer reads outside transactions.
type ReadTarget string

// The values of databases.NAME.reads.to.
const (
	ReadReplicas ReadTarget = "replicas" // a replica while one is healthy, the primary otherwise
	ReadPrimary  ReadTarget = "primary"  // always the primary
)

// UnmarshalText reads a value of databases.NAME.reads.to.
func (t *ReadTarget) UnmarshalText(text []byte) error {
	return choose(t, text, []ReadTarget{ReadReplicas, ReadPrimary})
}

// ReadPolicy chooses among the healthy replicas of a shard.
type ReadPolicy string

// LeastInFlight takes the replica with the fewest statements in flight for its weight.
const LeastInFlight ReadPolicy = "least_in_flight"

// UnmarshalText reads a value of databases.NAME.reads.policy.
func (p *ReadPolicy) UnmarshalText(text []byte) error {
	return choose(p, text, []ReadPolicy{LeastInFlight}, "round_robin", "random", "client_hash")
}

// Scatter says what becomes of a statement on sharded tables that names no tenant.
type Scatter string

// ScatterDeny refuses it, unless a session or a hint asks for scatter; ScatterReads answers it from all shards if it is a read.
const (
	ScatterDeny  Scatter = "deny"
	ScatterReads Scatter = "reads"
)

// UnmarshalText reads a value of databases.NAME.scatter.
func (s *Scatter) UnmarshalText(text []byte) error {
	return choose(s, text, []Scatter{ScatterDeny, ScatterReads})
}

// Switch says whether PgDrover does something.
type Switch string

// The values of a Switch.
const (
	SwitchOn  Switch = "on"
	SwitchOff Switch = "off"
)

// UnmarshalText reads on or off.
func (s *Switch) UnmarshalText(text []byte) error {
	return choose(s, text, []Switch{SwitchOn, SwitchOff})
}

// TwoPhaseCommit says whether a transaction may write to several shards.
type TwoPhaseCommit string

// The values of databases.NAME.two_phase_commit.
const (
	TwoPhaseOff TwoPhaseCommit = "off" // it may not, DDL and reference tables apart
	TwoPhaseOn  TwoPhaseCommit = "on"  // it may, and is committed on all of them or on none
)

// UnmarshalText reads a value of databases.NAME.two_phase_commit.
func (c *TwoPhaseCommit) UnmarshalText(text []byte) error {
	return choose(c, text, []TwoPhaseCommit{TwoPhaseOff, TwoPhaseOn})
}

// LogLevel is the least level that is logged.
type LogLevel string

// The values of log.level.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// UnmarshalText reads a value of log.level.
func (l *LogLevel) UnmarshalText(text []byte) error {
	return choose(l, text, []LogLevel{LogDebug, LogInfo, LogWarn, LogError})
}

// slog is the level in slog's terms.
func (l LogLevel) slog() slog.Level {
	switch l {
	case LogDebug:
		return slog.LevelDebug
	case LogWarn:
		return slog.LevelWarn
	case LogError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the form of log lines.
type LogFormat string

// The values of log.format.
const (
	LogText LogFormat = "text" // key=value
	LogJSON LogFormat = "json" // one JSON object a line
)

// UnmarshalText reads a value of log.format.
func (f *LogFormat) UnmarshalText(text []byte) error {
	return choose(f, text, []LogFormat{LogText, LogJSON})
}

// choose sets into to the one of words that text is. later are the words that are part of the format, but that this
// version does not act on.
func choose[W ~string](into *W, text []byte, words []W, later ...W) error {
	word := W(text)
	if slices.Contains(words, word) {
		*into = word
		return nil
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	if slices.Contains(later, word) {
		return fmt.Errorf("this version does not have %q: write %s", string(word), either(list))
	}
	return fmt.Errorf("unknown word %q%s", string(word), yamlfile.DidYouMean(string(word), list, ": write "+either(list)))
}

// either joins words as a sentence does: "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
