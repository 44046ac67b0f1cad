package main

import (
	"io"
	"log/slog"
	"time"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// Config is pgdrover.yaml: how the proxy runs. It is a plain tree with every default applied, variables replaced,
// secrets read and file names made relative to the working directory. A Config that Load returned has passed every
// check that needs no shard map and no server. It is not changed after that: a reload makes a new one.
type Config struct {
	// Files are the configuration files this was read from, in order.
	Files []string

	// Listen is the address (HOST:PORT) that PostgreSQL clients connect to. Key: listen. Default: 127.0.0.1:6432.
	Listen string `yaml:"listen"`
	// Admin is the HTTP side. Key: admin.
	Admin Admin `yaml:"admin"`
	// TLS is the encryption of client connections. Key: tls.
	TLS TLS `yaml:"tls"`
	// Databases are what clients may connect to, by name. Key: databases. Required: one or more.
	Databases map[string]*Database `yaml:"databases"`
	// Users are who may log in, in the order of the files. Key: users. Required: one or more.
	Users []User
	// Auth is how clients prove who they are. Key: auth.
	Auth Auth `yaml:"auth"`
	// PeerID is the number of this proxy among the peers, from 1 to 1023; 0 means that it is alone. Key: peer_id. Default: 0.
	PeerID int `yaml:"peer_id"`
	// Peers are the proxies that clients may reach by one address: a cancel request may arrive at any of them. Key: peers.
	// Default: none.
	Peers []Peer `yaml:"peers"`
	// Loops is how many event loops run the sessions: auto, off or a number. Key: loops. Default: auto.
	Loops Loops `yaml:"loops"`
	// Log is what is written to stderr. Key: log.
	Log Log `yaml:"log"`
	// Limits bound what one proxy takes upon itself. Key: limits.
	Limits Limits `yaml:"limits"`
}

// Admin is the HTTP side: health, readiness and metrics.
type Admin struct {
	// Listen is the address (HOST:PORT) of the HTTP server; empty means that there is none. Key: admin.listen.
	// Default: none.
	Listen string `yaml:"listen"`
	// Profile serves Go's profiles of the running program below /debug/pprof/. Key: admin.profile. Default: false.
	Profile bool `yaml:"profile"`
}

// TLS is the encryption of client connections.
type TLS struct {
	// Mode is off, prefer or require. Key: tls.mode. Default: prefer where cert and key are given, else off.
	Mode TLSMode `yaml:"mode"`
	// Cert is a PEM file with the server's certificate and the chain above it. Key: tls.cert. Required unless the mode
	// is off.
	Cert string `yaml:"cert"`
	// Key is a PEM file with the certificate's private key. Key: tls.key. Required unless the mode is off.
	Key string `yaml:"key"`
	// Certificates are more certificates, for clients that name the server they want. Key: tls.certificates. Default: none.
	Certificates []CertPair `yaml:"certificates"`
	// ClientCA is a PEM file of the authorities that sign the clients' own certificates. Key: tls.client_ca. Default: none.
	ClientCA string `yaml:"client_ca"`
	// ClientCerts is off, optional, require or verify. Key: tls.client_certs. Default: optional with client_ca, else off.
	ClientCerts ClientCerts `yaml:"client_certs"`
}

// Log is what PgDrover writes to stderr.
type Log struct {
	// Level is debug, info, warn or error. Key: log.level. Default: info.
	Level LogLevel `yaml:"level"`
	// Format is text or json. Key: log.format. Default: text.
	Format LogFormat `yaml:"format"`
}

// Logger makes the logger that l describes, writing to w.
func (l Log) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.Level.slog()}
	if l.Format == LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Limits bound what one proxy takes upon itself.
type Limits struct {
	// MaxMessage is the largest message taken from a client. Key: limits.max_message. Default: 256MB.
	MaxMessage yamlfile.ByteSize `yaml:"max_message"`
	// AuthTimeout bounds the time from connecting to being logged in. Key: limits.auth_timeout. Default: 15s.
	AuthTimeout time.Duration `yaml:"auth_timeout"`
	// AuthDelay is how long a client that could not prove who it is waits for its answer. Key: limits.auth_delay. Default: 100ms.
	AuthDelay time.Duration `yaml:"auth_delay"`
	// Logins is how many logins may compute at once, while the others wait in order; 0 means twice the processors. Key:
	// limits.logins. Default: 0.
	Logins int `yaml:"logins"`
	// PerAddress is the most sessions from one address; 0 means any number. Key: limits.per_address. Default: 0.
	PerAddress int `yaml:"per_address"`
	// Clients is the most sessions of all users and databases, those of the console not counted; 0 means any number. Key:
	// limits.clients. Default: 0.
	Clients int `yaml:"clients"`
	// PreparedStatements is the most statements kept prepared on each backend, all clients together. Key:
	// limits.prepared_statements. Default: 200.
	PreparedStatements int `yaml:"prepared_statements"`
	// Templates is the most statement shapes of a database whose analysis is kept. Key: limits.templates. Default:
	// 8192.
	Templates int `yaml:"templates"`
	// ReloadWait is how long a change of placement waits for the transactions it concerns before it is refused. Key:
	// limits.reload_wait. Default: 10s.
	ReloadWait time.Duration `yaml:"reload_wait"`
	// Drain is how long transactions may go on after SIGTERM before their clients are disconnected. Key: limits.drain.
	// Default: 30s.
	Drain time.Duration `yaml:"drain"`
}

// Default is the Config of an empty file: every default, no database and no user.
func Default() *Config {
	return &Config{
		Listen: "127.0.0.1:6432",
		Loops:  LoopsAuto,
		Auth:   Auth{QueryTTL: time.Minute, JWT: JWT{UserClaim: "sub", Leeway: 30 * time.Second, Refresh: 5 * time.Minute}},
		Log:    Log{Level: LogInfo, Format: LogText},
		Limits: Limits{
			MaxMessage:         256 << 20,
			AuthTimeout:        15 * time.Second,
			AuthDelay:          100 * time.Millisecond,
			PreparedStatements: 200,
			Templates:          8192,
			ReloadWait:         10 * time.Second,
			Drain:              30 * time.Second,
		},
	}
}
