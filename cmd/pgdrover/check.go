package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/shardmap"
)

const checkHelp = `Check pgdrover.yaml, the shard maps that it names and their locks, and say what they would
change. Every mistake is named with file, line and column. Nothing is written.

With --online the nodes are asked too: can they be reached with the configured user, is
each primary a primary and each replica a replica of it, is the encoding UTF8, does the
tenant column of every table have the type the map says and a deterministic collation,
have they room for prepared transactions where two_phase_commit is on,
have all shards the same rows in the reference tables, and is the schema the same on all shards? --schema asks only for the last of these, and
shows every difference; it also finds DDL that a failure left on some shards only.

With --against the map is compared with an older one, as a reload would: what changes,
and may it?`

const checkExample = `  pgdrover check
  pgdrover check --online
  git show HEAD:shardmap.yaml > /tmp/old.yaml && pgdrover check --against /tmp/old.yaml`

// checkOptions say how far a check goes.
type checkOptions struct {
	online, schema bool
	against        string // an older shard map
	database       string // "" checks all
	files          []string
}

func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check the files, and say what they would change",
		Long:    checkHelp,
		Example: checkExample,
		Args:    cobra.NoArgs,
	}
	flags := addDatabaseFlags(cmd)
	cmd.Flags().BoolVar(&o.online, "online", false, "ask the nodes too")
	cmd.Flags().BoolVar(&o.schema, "schema", false, "compare the shards' schemas, showing every difference")
	cmd.Flags().StringVar(&o.against, "against", "", "an older shard map `FILE` to compare with")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.database, o.files = flags.database, flags.config.files()
		return check(cmd.Context(), cmd.OutOrStdout(), flags.config.files(), o)
	}
	return cmd
}

// check prints a report on the configuration, and gives the exit status 1 if it found a fault.
func check(ctx context.Context, w io.Writer, files []string, o checkOptions) error {
	r := newReport(w)
	config, err := Load(files...)
	if err != nil {
		r.errors(err)
		return r.status()
	}
	names := config.databaseNames()
	r.ok("%s: %s, %s", strings.Join(files, ", "), plural(len(names), "database"), plural(len(config.Users), "user"))
	if o.database != "" || o.against != "" {
		name, _, err := config.pickDatabase(o.database)
		if err != nil {
			return err
		}
		names = []string{name}
	}
	for _, name := range names {
		m := checkFiles(r, name, config.Databases[name], o.against)
		if m != nil && (o.online || o.schema) {
			checkNodes(ctx, r, config.Databases[name], m, o)
		}
	}
	return r.status()
}

// checkFiles checks the shard map of a database and its lock, and returns what they make together: nil after a fault.
func checkFiles(r *report, name string, db *Database, against string) *shardmap.Map {
	p, err := readPlacement(name, db)
	if err != nil {
		r.errors(err)
		return nil
	}
	m, err := p.toMap()
	if err != nil {
		r.errors(err)
		return nil
	}
	r.ok("%s: database %s, %s, %d partitions by %s %s", db.ShardMap, name,
		plural(m.ShardCount(), "shard"), m.Partitions(), m.TenantColumn(), m.TenantType())
	checkLock(r, p)
	if against != "" {
		compareMaps(r, p, m, against)
	}
	return m
}

// checkLock says what the map would change against the lock.
func checkLock(r *report, p *placement) {
	if p.lock == nil {
		plan, err := shardmap.Plan(p.file)
		if err != nil {
			r.errors(err)
			return
		}
		r.note("%s: not there yet; 'pgdrover serve' or 'pgdrover shardmap init' will write it: %s", p.db.Lock, ownedText(p.file, plan))
		return
	}
	r.ok("%s: epoch %d, %s", p.db.Lock, p.lock.Epoch, ownedText(p.file, p.lock))
	next, moves, err := shardmap.Assign(p.file, p.lock)
	if err != nil {
		r.errors(err)
		return
	}
	if len(moves) == 0 {
		return
	}
	before, after := ownedCounts(p.lock), ownedCounts(next)
	for _, shard := range p.file.Shards {
		if n := after[shard.Name] - before[shard.Name]; n > 0 {
			r.note("shard %s owns %d of %d planned partitions: 'pgdrover shardmap assign' gives it %d more while the cluster is empty",
				shard.Name, before[shard.Name], after[shard.Name], n)
		}
	}
}

// compareMaps says what a reload would change if the map in force were made of an older file and the same lock.
func compareMaps(r *report, p *placement, m *shardmap.Map, against string) {
	text, err := os.ReadFile(against)
	if err != nil {
		r.errors(err)
		return
	}
	file, err := shardmap.Parse(against, text)
	if err != nil {
		r.errors(err)
		return
	}
	lock := p.lock
	if lock == nil {
		lock, err = shardmap.Plan(file)
	}
	if err != nil {
		r.errors(err)
		return
	}
	old, err := shardmap.New(file, lock)
	if err != nil {
		r.errors(fmt.Errorf("the older map does not fit the lock:\n%w", err))
		return
	}
	if err := shardmap.Transition(old, p.file); err != nil {
		r.errors(err)
		return
	}
	changes := shardmap.Diff(old, m)
	if len(changes) == 0 {
		r.ok("nothing changes against %s", against)
	}
	for _, change := range changes {
		r.note("change: %s", change.Text)
	}
}
