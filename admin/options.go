package admin

import (
	"context"
	"log/slog"

	"github.com/pgdrover/pgdrover/proxy"
)

// Options are what the console and the HTTP side show, and what they may do. The functions are called by many goroutines at once.
type Options struct {
	// Server is the proxy; it may return nil as long as there is none yet. Required.
	Server func() *proxy.Server
	// Version is the program's version.
	Version string
	// Log takes what goes wrong here, and who asked for a reload (slog.Default()).
	Log *slog.Logger

	// Reload reads the files again, for RELOAD. Its error names file, line and column; what was in force then still is. It
	// bounds its own time. nil: RELOAD is refused.
	Reload func(context.Context) error
	// Shutdown has the program end: at once, or else when open transactions have ended, as on SIGTERM. It returns without waiting for
	// that. nil: SHUTDOWN is refused.
	Shutdown func(now bool)
	// Config lists the settings in force, secrets masked, for SHOW CONFIG. nil: there are none to show.
	Config func() []Setting
	// Users are who may log in, for SHOW USERS. nil: there are none to show.
	Users func() map[string]*proxy.User

	// SchemaDifferences says how many objects of a shard's schema are not as on the first shard, by database and shard, where that
	// has been compared. nil: nowhere.
	SchemaDifferences func() map[string]map[string]int

	// Draining reports whether the program is about to end and should get no new clients. nil: never.
	Draining func() bool
	// Profile serves Go's profiles below /debug/pprof/.
	Profile bool
}

// Setting is a key of the configuration.
type Setting struct {
	Key, Value, Default string // as text
	Changeable          bool   // a reload takes a new value into force
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Config == nil {
		o.Config = func() []Setting { return nil }
	}
	if o.Users == nil {
		o.Users = func() map[string]*proxy.User { return nil }
	}
	if o.SchemaDifferences == nil {
		o.SchemaDifferences = func() map[string]map[string]int { return nil }
	}
	if o.Draining == nil {
		o.Draining = func() bool { return false }
	}
	return o
}
