package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// TLSMode says whether clients may, or must, encrypt.
type TLSMode uint8

const (
	TLSOff     TLSMode = iota // SSLRequest is answered N
	TLSPrefer                 // both are welcome
	TLSRequire                // plaintext is refused
)

// Config is what a Server runs with. It is copied by NewServer and Reconfigure; what it points to must not change afterwards.
type Config struct {
	Users      map[string]*User     // by name
	Databases  map[string]*Database // by name
	TLSMode    TLSMode
	TLS        *tls.Config   // certificates shown to clients, the first to who names no server, and the authorities that vouch for theirs; needed unless TLSMode is TLSOff
	Console    Console       // answers database "pgdrover"; nil refuses it
	MaxFrame   int           // largest message taken from a client, in bytes (default 256 MiB)
	AuthTime   time.Duration // how long a client may take to log in (default 15s)
	Statements int           // prepared statements kept on each backend (default 200)
	Log        *slog.Logger  // default slog.Default()

	ClientCerts ClientCerts   // what is asked of clients about certificates of their own
	Rules       []Rule        // how which clients log in: the first that fits counts; none: everybody by SCRAM
	Query       *AuthQuery    // knows users that Users does not; nil: there is none
	Tokens      *Tokens       // checks tokens for MethodJWT; nil: no token is good
	Logins      int           // how many logins may compute at once (default twice the processors)
	PerAddress  int           // sessions from one address (default 0: any number)
	Clients     int           // sessions of all users and databases, but not of the console (default 0: any number)
	AuthDelay   time.Duration // how long a client that could not prove who it is waits for its answer

	PeerID int            // the number of this proxy in its fleet, from 1 to MaxPeer; 0: it has none
	Peers  map[int]string // where cancel requests for the sessions of other proxies go: addresses (HOST:PORT) by number

	Loops *task.Loops // run the sessions, from NewServer on; nil: sessions are goroutines. They outlive the server

	turns        turns
	pause        time.Duration // between two looks at the sessions
	unlimited    bool          // no user has limits
	certificates *certificates
	secure       *tls.Config // TLS as a handshake needs it, but for the certificates
}

// User is somebody who may log in, with what is kept of the password: one verifier, both or none.
type User struct {
	Name      string
	Verifier  *Verifier
	MD5       string   // the 32 hexadecimal digits of an md5 verifier
	Databases []string // what it may connect to; empty: every database
	Admin     bool     // may use the console
	Mode      Mode     // of its sessions; ModeUnset: the database's
	Limits    Limits
}

// Console reads the statements of sessions on database "pgdrover". It is used by many sessions at once.
type Console interface {
	// Read gives the statements of a text, which are separated by semicolons. Its errors are *pgwire.Error.
	Read(text string) ([]Command, error)
}

// Command is a statement of the console that has been read.
type Command struct {
	Columns []Column // of its rows; nil: it has none
	Block   Block
	// Run carries it out for a user, more than once if need be; its errors are *pgwire.Error. It may block, until ctx ends and a
	// little longer. nil where Block says all there is to do.
	Run func(ctx context.Context, user string) (Table, error)
}

// Block says what a statement of the console does to a transaction block, which is there for drivers that want one: nothing that
// happens in it is ever undone.
type Block uint8

const (
	BlockNone     Block = iota // nothing
	BlockBegin                 // it begins one
	BlockCommit                // it ends it, or is ROLLBACK if the block is aborted
	BlockRollback              // it ends it
)

// Table is what the console answers: the tag, and rows where there are any.
type Table struct {
	Columns []Column
	Rows    [][]string // an empty number is NULL
	Tag     string
}

// Column is a column of a Table: text, or a number (bigint).
type Column struct {
	Name   string
	Number bool
}

const consoleDatabase = "pgdrover"

func (c Config) withDefaults() Config {
	if c.MaxFrame == 0 {
		c.MaxFrame = 256 << 20
	}
	if c.AuthTime == 0 {
		c.AuthTime = 15 * time.Second
	}
	if c.Statements == 0 {
		c.Statements = 200
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Logins == 0 {
		c.Logins = 2 * task.Processors()
	}
	return c
}

// prepare makes what sessions need of the settings, and keeps the turns of the configuration before if their number is the same.
func (c *Config) prepare(before *Config) {
	if before != nil && before.Logins == c.Logins {
		c.turns = before.turns
	} else {
		c.turns = make(turns, c.Logins)
	}
	c.pause = c.pace()
	c.unlimited = true
	for _, u := range c.Users {
		c.unlimited = c.unlimited && u.Limits == (Limits{})
	}
	if c.TLS != nil {
		c.certificates = newCertificates(c.TLS.Certificates)
		c.secure = c.serverTLS()
	}
}

// mayUse reports whether the user may connect to a database.
func (u *User) mayUse(database string) bool {
	if database == consoleDatabase {
		return u.Admin
	}
	if len(u.Databases) == 0 {
		return true
	}
	for _, d := range u.Databases {
		if d == database {
			return true
		}
	}
	return false
}
