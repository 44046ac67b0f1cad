package pgcluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// MinVersion is the oldest major version of PostgreSQL that shards may run.
const MinVersion = 15

// tools are what a cluster needs of one bin directory.
var tools = []string{"postgres", "initdb", "pg_basebackup", "pg_resetwal"}

// Binaries is one installation of PostgreSQL's server programs.
type Binaries struct {
	Dir     string // holds postgres, initdb, pg_basebackup and pg_resetwal
	Version string // as `postgres --version` has it: "15.18"
	Major   int
}

// NotInstalledError says that this machine has no PostgreSQL to run shards
// with, what was found instead, and what to install.
type NotInstalledError struct {
	Rejected []string // directories that were looked into, each with the reason it will not do
}

// Error names the packages to install.
func (e *NotInstalledError) Error() string {
	install := "install the server programs, for example with `apt-get install postgresql` (Debian, Ubuntu) or `dnf install postgresql-server`"
	if runtime.GOOS == "darwin" {
		install = "install them with `brew install postgresql@17`"
	}
	msg := fmt.Sprintf("no PostgreSQL %d or newer on this machine: %s", MinVersion, install)
	if len(e.Rejected) > 0 {
		msg += "; looked into " + strings.Join(e.Rejected, ", ")
	}
	return msg
}

// FindBinaries looks for server programs of MinVersion or newer: on PATH,
// where pg_config points, then in the places that packages use, newest first.
// The error is a *NotInstalledError when there are none.
func FindBinaries(ctx context.Context) (Binaries, error) {
	missing := &NotInstalledError{}
	for _, dir := range candidates(ctx) {
		found, err := inspect(ctx, dir)
		if err == nil {
			return found, nil
		}
		if ctx.Err() != nil {
			return Binaries{}, ctx.Err()
		}
		missing.Rejected = append(missing.Rejected, fmt.Sprintf("%s (%v)", dir, err))
	}
	return Binaries{}, missing
}

// candidates are the directories that exist among the known places, in order
// of preference, each once.
func candidates(ctx context.Context) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	var packaged []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/usr/local/pgsql/bin",
	} {
		if found, err := filepath.Glob(pattern); err == nil {
			packaged = append(packaged, found...)
		}
	}
	slices.SortStableFunc(packaged, func(a, b string) int { return pathVersion(b) - pathVersion(a) })

	var all []string
	for _, dir := range append(dirs, packaged...) {
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil && !slices.Contains(all, dir) {
			all = append(all, dir)
		}
	}
	return all
}

var number = regexp.MustCompile(`\d+`)

// pathVersion is the number in a package's path, 0 when it has none.
func pathVersion(path string) int {
	v, _ := strconv.Atoi(number.FindString(path))
	return v
}

func inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, tool := range tools {
		if _, err := os.Stat(filepath.Join(dir, tool)); err != nil {
			return Binaries{}, fmt.Errorf("%s is missing", tool)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("postgres --version: %w", err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return Binaries{}, fmt.Errorf("postgres --version printed %q", out)
	}
	major := pathVersion(fields[2])
	if major < MinVersion {
		return Binaries{}, fmt.Errorf("version %s is older than %d", fields[2], MinVersion)
	}
	return Binaries{Dir: dir, Version: fields[2], Major: major}, nil
}

// Pgbench is the path of PostgreSQL's load generator: the one that came with
// the servers, else the first on PATH.
func (b Binaries) Pgbench() (string, error) {
	program := b.path("pgbench")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	program, err := exec.LookPath("pgbench")
	if err != nil {
		return "", fmt.Errorf("there is no pgbench in %s or on PATH: install it, with Debian's package postgresql-contrib for example", b.Dir)
	}
	return program, nil
}

func (b Binaries) path(tool string) string { return filepath.Join(b.Dir, tool) }
