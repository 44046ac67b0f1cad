package pool

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// Role is what a request needs of a node: that it takes writes, or that it may be asked for reads.
type Role uint8

// The roles of a node.
const (
	Primary Role = iota
	Replica
)

// String is the word that the files and the console use.
func (r Role) String() string {
	if r == Replica {
		return "replica"
	}
	return "primary"
}

// TLSMode says how connections to nodes are encrypted; the empty mode is TLSPrefer. Sockets of the file system never are.
type TLSMode string

// The modes, in the words of pgdrover.yaml. Only TLSVerifyFull checks who answers.
const (
	TLSOff        TLSMode = "off"
	TLSPrefer     TLSMode = "prefer" // plaintext when the server says it has no TLS
	TLSRequire    TLSMode = "require"
	TLSVerifyFull TLSMode = "verify-full"
)

// Config is how a Cluster logs in to its nodes and how many backends it keeps. Zero fields mean their defaults.
type Config struct {
	Database  string // for nodes of the map that name none
	User      string
	Password  string
	TLS       TLSMode
	TLSConfig *tls.Config       // root and client certificates; not changed after New
	Params    map[string]string // run-time parameters of every backend

	Size       int // backends for each node (20)
	MaxWaiting int // requests that may wait for each node (10,000)

	Wait           time.Duration // how long a request may wait (10s)
	Idle           time.Duration // after which an idle backend is closed (10m); negative: never
	Lifetime       time.Duration // after which a backend is closed, give or take a tenth (1h); negative: never
	ConnectTimeout time.Duration // for one attempt, and for how long an unreachable node is waited for (5s)
	ProbeEvery     time.Duration // (1s)
	ProbeTimeout   time.Duration // (2s)

	Log *slog.Logger // slog.Default()

	Loops *task.Loops // tell when backends are ready, and run the tasks that use them; nil: those are goroutines. They outlive the cluster
}

// withDefaults fills in the defaults.
func (cfg Config) withDefaults() Config {
	number := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	number(&cfg.Size, 20)
	number(&cfg.MaxWaiting, 10_000)
	span := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	span(&cfg.Wait, 10*time.Second)
	span(&cfg.Idle, 10*time.Minute)
	span(&cfg.Lifetime, time.Hour)
	span(&cfg.ConnectTimeout, 5*time.Second)
	span(&cfg.ProbeEvery, time.Second)
	span(&cfg.ProbeTimeout, 2*time.Second)
	if cfg.TLS == "" {
		cfg.TLS = TLSPrefer
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

// limits are the settings that Adjust may change while the cluster runs.
type limits struct {
	size, maxWaiting     int
	wait, idle, lifetime time.Duration
}

func (cfg Config) limits() *limits {
	return &limits{size: cfg.Size, maxWaiting: cfg.MaxWaiting, wait: cfg.Wait, idle: cfg.Idle, lifetime: cfg.Lifetime}
}
