package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/shardmap"
)

const shardmapHelp = `The shard map says what you want: which shards there are, which tables, which pins.
The lock beside it says what is: which shard owns which partition now, and the epoch.
Only PgDrover writes the lock; commit both files.

A tenant's key hashes to a partition, as PostgreSQL itself would hash it, and a
partition has one owner. A pin places one tenant on a shard whatever its partition
says. A shard that you add to the map owns nothing until partitions are given to it;
a running PgDrover copies the rows of the reference tables to it before it takes it up.`

func newShardmapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shardmap",
		Short: "Show placement, write the first lock, give partitions to new shards",
		Long:  shardmapHelp,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newShardmapShowCommand(), newShardmapInitCommand(), newShardmapAssignCommand())
	return cmd
}

// addDatabaseFlags gives a command --config and --database.
func addDatabaseFlags(cmd *cobra.Command) *databaseFlags {
	f := &databaseFlags{config: addConfigFlag(cmd)}
	cmd.Flags().StringVarP(&f.database, "database", "d", "", "the `NAME` of the database, where the configuration has several")
	return f
}

func newShardmapShowCommand() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "show [--tenant KEY]",
		Short: "Show shards, partitions, pins and tables; or where one tenant lives",
		Long: `Show shards, weights, partitions owned and planned, pins, tables and the epoch, as the
files have them now; or with --tenant where one tenant lives, and why. No server is
asked. A running PgDrover may still be on an older epoch: SHOW SHARDS on its console
says.`,
		Example: "  pgdrover shardmap show\n  pgdrover shardmap show --tenant 42",
		Args:    cobra.NoArgs,
	}
	flags := addDatabaseFlags(cmd)
	cmd.Flags().StringVarP(&tenant, "tenant", "t", "", "show where the tenant of this `KEY` lives")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, p, err := flags.load()
		if err != nil {
			return err
		}
		m, err := p.toMap()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("tenant") {
			return showTenant(cmd.OutOrStdout(), m, tenant)
		}
		return showMap(cmd.OutOrStdout(), p, m)
	}
	return cmd
}

// showTenant prints where a tenant lives, and why.
func showTenant(w io.Writer, m *shardmap.Map, text string) error {
	key, err := m.TenantType().ParseText([]byte(text))
	if err != nil {
		return usageErrorf("--tenant: %v", err)
	}
	shard := m.Shard(m.Locate(key))
	partition := m.Partition(key)
	why := fmt.Sprintf("owner of partition %d", partition)
	if _, pinned := m.Pin(key); pinned {
		why = fmt.Sprintf("pinned; partition %d is owned by %s", partition, m.Shard(m.Owner(partition)).Name)
	}
	return table(w,
		[]string{"tenant", key.String()},
		[]string{"shard", shard.Name},
		[]string{"primary", shard.Primary.Addr()},
		[]string{"partition", strconv.Itoa(partition)},
		[]string{"why", why},
		[]string{"epoch", strconv.FormatUint(m.Epoch(), 10)},
	)
}

// showMap prints a whole map.
func showMap(w io.Writer, p *placement, m *shardmap.Map) error {
	epoch := fmt.Sprintf("%d (%s)", m.Epoch(), p.db.Lock)
	if p.lock == nil {
		epoch = "none yet: this is what 'pgdrover shardmap init' or the first 'pgdrover serve' will write"
	}
	err := table(w,
		[]string{"database", m.Database()},
		[]string{"map", p.db.ShardMap},
		[]string{"epoch", epoch},
		[]string{"tenant", m.TenantColumn() + " " + m.TenantType().String()},
		[]string{"partitions", strconv.Itoa(m.Partitions())},
	)
	if err != nil {
		return err
	}
	planned, err := plannedCounts(p.file)
	if err != nil {
		return err
	}
	rows := [][]string{{"SHARD", "WEIGHT", "OWNED", "PLANNED", "PRIMARY", "REPLICAS"}}
	for _, s := range m.Shards() {
		rows = append(rows, []string{s.Name, strconv.Itoa(s.Weight), strconv.Itoa(s.Owned), strconv.Itoa(planned[s.Name]), s.Primary.Addr(), replicaList(s)})
	}
	fmt.Fprintln(w)
	if err := table(w, rows...); err != nil {
		return err
	}
	return showPinsAndTables(w, m)
}

// plannedCounts is how many partitions each shard would own if placement began today.
func plannedCounts(f *shardmap.File) (map[string]int, error) {
	plan, err := shardmap.Plan(f)
	if err != nil {
		return nil, err
	}
	return ownedCounts(plan), nil
}

func ownedCounts(l *shardmap.Lock) map[string]int {
	counts := map[string]int{}
	for _, owner := range l.Owners {
		counts[owner]++
	}
	return counts
}

func replicaList(s shardmap.Shard) string {
	list := make([]string, len(s.Replicas))
	for i, r := range s.Replicas {
		list[i] = r.Addr()
		if r.Backup {
			list[i] += " (backup)"
		}
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}

func showPinsAndTables(w io.Writer, m *shardmap.Map) error {
	if pins := m.Pins(); len(pins) > 0 {
		rows := [][]string{{"PIN", "SHARD", "PARTITION", "OWNER"}}
		for _, pin := range pins {
			partition := m.Partition(pin.Key)
			rows = append(rows, []string{pin.Key.String(), m.Shard(pin.Shard).Name, strconv.Itoa(partition), m.Shard(m.Owner(partition)).Name})
		}
		fmt.Fprintln(w)
		if err := table(w, rows...); err != nil {
			return err
		}
	}
	rows := [][]string{{"TABLE", "KIND"}}
	for _, t := range m.Tables() {
		rows = append(rows, []string{t.String(), kindText(m, t)})
	}
	rows = append(rows, []string{"(any other)", "sharded by " + m.TenantColumn() + " where it has that column"})
	fmt.Fprintln(w)
	return table(w, rows...)
}

func kindText(m *shardmap.Map, t shardmap.Table) string {
	switch t.Kind {
	case shardmap.Unsharded:
		return "unsharded, on " + m.Shard(t.On).Name
	case shardmap.Sharded:
		return "sharded by " + t.Column
	}
	return t.Kind.String()
}

func newShardmapInitCommand() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write the first lock",
		Long: `Plan the first placement from the shard map and write the lock. It refuses when there is
a lock; and when there are several shards and one of them has rows of tenants, because
only the lock that was lost knew where they belong: restore that one.

'pgdrover serve' does the same when it finds no lock, so this is for those who want to
look at the lock, or commit it, before anything runs.`,
		Args: cobra.NoArgs,
	}
	flags := addDatabaseFlags(cmd)
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the shards whether they are empty: you know that they are")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, p, err := flags.load()
		if err != nil {
			return err
		}
		if p.lock != nil {
			return fmt.Errorf("%s is there already, at epoch %d: nothing was written", p.db.Lock, p.lock.Epoch)
		}
		if len(p.file.Shards) > 1 && !offline {
			if err := p.checkEmpty(cmd.Context()); err != nil {
				return fmt.Errorf("a first placement is for empty shards: %w", err)
			}
		}
		if err := p.writeFirstLock(); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, epoch %d: %s\n", p.db.Lock, p.lock.Epoch, ownedText(p.file, p.lock))
		return nil
	}
	return cmd
}

// ownedText says how many partitions each shard owns, in the order of the file.
func ownedText(f *shardmap.File, l *shardmap.Lock) string {
	counts := ownedCounts(l)
	parts := make([]string, len(f.Shards))
	for i, s := range f.Shards {
		parts[i] = fmt.Sprintf("%s owns %s", s.Name, plural(counts[s.Name], "partition"))
	}
	return strings.Join(parts, ", ")
}

func newShardmapAssignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "assign",
		Short: "Give partitions to new shards, while the cluster is empty",
		Long: `Give partitions to shards that own less than their weight says, as a shard that was just
added to the map. Rows do not move with them, so this asks every shard for every
sharded table first, and refuses when one of them has a row. Reference tables get their
rows on those shards before, and are verified to be the same. Then it writes the lock
with the next epoch; a running PgDrover takes it up by itself, or at once on RELOAD.`,
		Args: cobra.NoArgs,
	}
	flags := addDatabaseFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, p, err := flags.load()
		if err != nil {
			return err
		}
		return assign(cmd.Context(), cmd.OutOrStdout(), config, p, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
	}
	return cmd
}

// assign gives partitions to the shards that own less than planned, if the cluster is empty.
func assign(ctx context.Context, w io.Writer, config *Config, p *placement, log *slog.Logger) error {
	if p.lock == nil {
		return fmt.Errorf("there is no lock %s yet: run 'pgdrover shardmap init'", p.db.Lock)
	}
	next, moves, err := shardmap.Assign(p.file, p.lock)
	if err != nil {
		return err
	}
	if len(moves) == 0 {
		fmt.Fprintf(w, "nothing to do: %s\n", ownedText(p.file, p.lock))
		return nil
	}
	if err := p.checkEmpty(ctx); err != nil {
		return fmt.Errorf("partitions cannot be given away: %w", err)
	}
	if err := p.fillAssigned(ctx, next, config.Limits.ReloadWait, log); err != nil {
		return fmt.Errorf("partitions cannot be given away: %w", err)
	}
	if err := shardmap.WriteLock(p.db.Lock, next); err != nil {
		return err
	}
	fmt.Fprintf(w, "wrote %s, epoch %d, with %s: %s\n", p.db.Lock, next.Epoch, plural(len(moves), "move"), ownedText(p.file, next))
	fmt.Fprintln(w, "A running PgDrover that watches the file takes it up by itself; otherwise say RELOAD on its console.")
	return nil
}
