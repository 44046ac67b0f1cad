package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Protocols of pgbench.
const (
	simple   = "simple"
	extended = "extended"
	prepared = "prepared"
)

// Ways to log in.
const (
	trust     = "trust"
	scram     = "SCRAM"
	encrypted = "TLS" // and trusted: what SCRAM costs is another matter
)

// login is how clients connect.
type login struct{ user, password, sslmode string }

// trial is one way to put a target under a load.
type trial struct {
	name     string // in tables
	clients  int
	protocol string // of pgbench; "" means simple
	script   string // of pgbench
	login    string // "" means trust
	connect  bool   // a connection for each transaction
	threads  int    // of pgbench; 0 means two. It connects and prepares with calls that block all clients of a thread
	halfRate bool   // at half the rate that the slower of PgDrover and PgBouncer reaches
	bytes    int    // of results in a transaction, where the CPU for a gigabyte is asked for; else 0

	// measure is how targets are measured that pgbench cannot load; nil: with pgbench.
	measure func(ctx context.Context, r *run, v *server, t trial) (sample, error)
}

// login is the user and the encryption of a trial's clients.
func (s *stage) login(t trial) login {
	switch t.login {
	case scram:
		return login{"app", s.password(), "disable"}
	case encrypted:
		return login{"open", "", "require"}
	}
	return login{"open", "", "disable"}
}

// column is one column of a load's table.
type column struct {
	heading string
	metric  metric
	than    string // name of the target that it is compared with; "" for the figure itself
	minus   bool   // compared by difference instead of ratio
	digits  int
}

// load is a question, with the trials that answer it.
type load struct {
	name    string // on the command line
	title   string
	about   string // a paragraph
	quick   bool   // part of a quick run
	trials  []trial
	columns []column
	plots   []metric
	only    []string // names of the targets that take part; none: all but the extra ones
	alone   bool     // no targets with several shards
	anew    bool     // targets are started anew for each measurement
	once    bool     // one measurement of each target is enough
}

// takes reports whether a target takes part.
func (l load) takes(t target) bool {
	if len(l.only) > 0 {
		return slices.Contains(l.only, t.name)
	}
	return !t.extra && !(l.alone && t.shards > 0)
}

// chooseLoads are the loads that the command line names; all, or all that are quick, when it names none.
func chooseLoads(o options) ([]load, error) {
	all := loads()
	var names []string
	for _, l := range all {
		names = append(names, l.name)
	}
	for _, name := range o.loads {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no load %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	var chosen []load
	for _, l := range all {
		if len(o.loads) > 0 && slices.Contains(o.loads, l.name) || len(o.loads) == 0 && (l.quick || !o.quick) {
			if o.quick {
				l.trials = fewer(l.trials)
			}
			chosen = append(chosen, l)
		}
	}
	return chosen, nil
}

// fewer are the trials of a quick run: at 32 clients where there is a choice, and a tenth of a great crowd.
func fewer(trials []trial) []trial {
	var kept []trial
	for _, t := range trials {
		if t.clients == someClients || !slices.ContainsFunc(trials, func(t trial) bool { return t.clients == someClients }) {
			if t.clients == idleClients {
				t.clients /= 10
				t.name = strings.Replace(t.name, fmt.Sprint(idleClients), fmt.Sprint(t.clients), 1)
			}
			kept = append(kept, t)
		}
	}
	return kept
}
