package pgcluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// settings are what every node runs with unless Config.Settings says
// otherwise. Nodes are thrown away, so nothing is fsynced; shared memory is
// kept in files of the data directory, so that a killed node leaves none behind.
var settings = map[string]string{
	"listen_addresses":             "127.0.0.1",
	"unix_socket_directories":      "",
	"max_connections":              "300",
	"shared_buffers":               "32MB",
	"dynamic_shared_memory_type":   "mmap",
	"fsync":                        "off",
	"full_page_writes":             "off",
	"wal_level":                    "logical",
	"max_wal_senders":              "20",
	"max_replication_slots":        "20",
	"max_wal_size":                 "256MB",
	"max_prepared_transactions":    "100",
	"hot_standby":                  "on",
	"wal_receiver_status_interval": "1s",
	"wal_retrieve_retry_interval":  "200ms",
	"log_line_prefix":              "%m [%p] %q%u@%d ",
	"timezone":                     "UTC",
	"log_timezone":                 "UTC",
	"lc_messages":                  "C",
}

// accessRules let in whoever knows a password, over loopback only.
const accessRules = `host all         all 127.0.0.1/32 scram-sha-256
host all         all ::1/128      scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
host replication all ::1/128      scram-sha-256
`

// template is a data directory from which shards are copied: initdb, the
// application's user and its database have been done once.
type template struct {
	dir     string
	account account
	bin     Binaries
	login   login
}

// makeTemplate makes a template in the cluster's directory.
func (c *Cluster) makeTemplate(ctx context.Context, config Config) (*template, error) {
	t := &template{
		dir: filepath.Join(c.Dir, "nodes", "template"), account: c.account, bin: c.bin,
		login: login{config.Database, config.User, config.Password, randomPassword()},
	}
	if err := t.initdb(ctx); err != nil {
		return nil, err
	}
	if err := configure(t.dir, settings); err != nil {
		return nil, err
	}
	// The file exists, so it keeps its owner.
	if err := os.WriteFile(filepath.Join(t.dir, "pg_hba.conf"), []byte(accessRules), 0o600); err != nil {
		return nil, fmt.Errorf("configure the template: %w", err)
	}
	if err := t.createUser(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// initdb prefers the locale C.UTF-8, which knows letters beyond ASCII and
// sorts by code point, and takes C where the machine has no C.UTF-8. Segments
// of WAL are small, since each copy has one.
func (t *template) initdb(ctx context.Context) error {
	pwfile := t.dir + ".pw"
	if err := os.WriteFile(pwfile, []byte(t.login.superPassword+"\n"), 0o600); err != nil {
		return fmt.Errorf("make the template: %w", err)
	}
	defer os.Remove(pwfile)
	if err := t.account.own(pwfile); err != nil {
		return fmt.Errorf("make the template: %w", err)
	}
	var errs []error
	for _, locale := range []string{"C.UTF-8", "C"} {
		err := run(ctx, t.account.command(filepath.Dir(t.dir), t.bin.path("initdb"),
			"--pgdata="+t.dir, "--username="+superuser, "--pwfile="+pwfile, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale="+locale, "--wal-segsize=1", "--no-sync", "--no-instructions"))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
		if err := os.RemoveAll(t.dir); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return fmt.Errorf("make the template: %w", errors.Join(errs...))
}

// configure adds settings to those that a data directory has.
func configure(dir string, all map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	_, err = conf.WriteString("\n" + text.String())
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	return nil
}

// createUser makes the application's user and database with a server in
// single-user mode, which listens to nobody.
func (t *template) createUser(ctx context.Context) error {
	cmd := t.account.command(t.dir, t.bin.path("postgres"), "--single", "-j", "-D", t.dir,
		"-c", "log_min_error_statement=panic", "-c", "exit_on_error=on", "postgres")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(
		"CREATE ROLE %s LOGIN PASSWORD %s;\n\nCREATE DATABASE %s OWNER %s;\n\n",
		quoteIdent(t.login.user), quoteLiteral(t.login.password), quoteIdent(t.login.database), quoteIdent(t.login.user)))
	if err := run(ctx, cmd); err != nil {
		return fmt.Errorf("create user %s: %w", t.login.user, err)
	}
	return nil
}

// copyTo makes a data directory that is a cluster of its own, with settings
// besides the template's: it gets a system identifier that no other copy has.
// Copies may be made at once.
func (t *template) copyTo(ctx context.Context, dir string, more map[string]string) error {
	flags := []string{"-a", "--reflink=auto"}
	if runtime.GOOS != "linux" {
		flags = []string{"-Rpc"}
	}
	err := run(ctx, t.account.command(filepath.Dir(dir), "cp", append(flags, t.dir, dir)...))
	if err == nil {
		err = setSystemID(filepath.Join(dir, "global", "pg_control"), newSystemID(time.Now()))
	}
	if err == nil {
		err = run(ctx, t.account.command(dir, t.bin.path("pg_resetwal"), "-D", dir))
	}
	if err == nil {
		err = configure(dir, more)
	}
	if err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	return nil
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteLiteral(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// randomPassword has 128 bits.
func randomPassword() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
