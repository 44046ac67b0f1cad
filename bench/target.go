package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// backends is how many connections to PostgreSQL a pool may have, for every target that has a pool.
const backends = 20

// target is something that clients connect to: PostgreSQL itself, or a proxy before it.
type target struct {
	name     string   // on the command line
	title    string   // in tables
	programs []string // names of its program, of which the first that is found counts; none: PostgreSQL itself
	version  []string // arguments that make the program print its version
	pooling  bool     // serves any number of clients over the stage's few backends
	shards   int      // how many shards it stands before; 0: before the one PostgreSQL that has all rows
	extra    bool     // takes part in the loads that name it only
	clients  int      // most clients that it takes, 0 for any number
	setup    func(stage *stage, at place) setup
	lacks    func(version string, t trial) string // why it cannot do a trial, "" if it can; nil: it can do all
}

// place is where a target is to run.
type place struct {
	dir     string
	port    int
	program string
	version string
}

// setup is how a target is run.
type setup struct {
	files   map[string]string // by name in its folder; the report shows those that shown names
	shown   []string
	command []string // without the program
}

// foundTarget is a target that this machine has.
type foundTarget struct {
	target
	program string // path; "" for PostgreSQL itself
	printed string // version
}

// targets are all that can be measured, in the order of tables.
func targets() []target {
	return []target{
		direct(), drover(), droverTwo(), droverFour(), droverCached(),
		pgbouncer(), haproxy(), floorGo(), floorC(), pgpool(), pgpoolCached(), odyssey(), pgcat(), pgdog(), spqr(),
	}
}

// chooseTargets looks for the programs of the targets that the command line names, and says in a line each what is missing.
func chooseTargets(ctx context.Context, o options) (found []foundTarget, missing []string, err error) {
	known := targets()
	var wanted []string
	if o.targets != "" {
		wanted = strings.Split(o.targets, ",")
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(known, func(t target) bool { return t.name == name }) {
			return nil, nil, fmt.Errorf("-targets: there is no target %q; -list names them", name)
		}
	}
	for _, t := range known {
		if len(wanted) > 0 && !slices.Contains(wanted, t.name) {
			continue
		}
		f, ok := find(ctx, t, o)
		if !ok {
			missing = append(missing, fmt.Sprintf("%s: left out, there is no program %s here", t.title, strings.Join(t.programs, " or ")))
			continue
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("nothing to measure: %s", strings.Join(missing, "; "))
	}
	return found, missing, nil
}

// find looks for a target's program on PATH and where servers are installed, for PgDrover's where the command line says.
func find(ctx context.Context, t target, o options) (foundTarget, bool) {
	if len(t.programs) == 0 {
		return foundTarget{target: t}, true
	}
	names := t.programs
	if t.programs[0] == droverProgram {
		names = []string{o.pgdrover}
	}
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
			candidate := name
			if dir != "" {
				candidate = filepath.Join(dir, name)
			}
			path, err := exec.LookPath(candidate)
			if err != nil {
				continue
			}
			if path, err = filepath.Abs(path); err == nil {
				return foundTarget{target: t, program: path, printed: printedVersion(ctx, path, t.version)}, true
			}
		}
	}
	return foundTarget{}, false
}

// printedVersion is the first line that a program prints about its version; none of one that cannot say it.
func printedVersion(ctx context.Context, path string, args []string) string {
	if len(args) == 0 {
		return "none"
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return "version unknown"
	}
	return line
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)`)

// olderThan reports whether a printed version is below major.minor; one without a number is not.
func olderThan(printed string, major, minor int) bool {
	match := versionNumber.FindStringSubmatch(printed)
	if match == nil {
		return false
	}
	first, _ := strconv.Atoi(match[1])
	second, _ := strconv.Atoi(match[2])
	return first < major || first == major && second < minor
}

// cannot says why the target does not take part in a trial, "" if it does.
func (f foundTarget) cannot(t trial) string {
	if f.clients > 0 && t.clients > f.clients {
		return fmt.Sprintf("takes %d clients at most as it is set up here", f.clients)
	}
	if f.lacks == nil {
		return ""
	}
	return f.lacks(f.printed, t)
}
