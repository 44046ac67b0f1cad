package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// uniqueIDSQL makes the function on a shard whose number stands where it says SHARD_NUMBER.
//
//go:embed uniqueid.sql
var uniqueIDSQL string

// maxShardNumber is the largest number of a shard that an id has room for. The first is 1.
const maxShardNumber = 1<<10 - 1

const installHelp = `Install functions on the primary of every shard. The configured backend user has to be
allowed to create a schema.

unique-id: the function pgdrover.unique_id(). It gives
ids that no other shard gives, as bigint, in the order of time:

  create table orders (tenant_id bigint, id bigint default pgdrover.unique_id(),
                       primary key (tenant_id, id))

Each shard has a number, which is in its ids and never changes. Shards that have one keep it,
others get the next; so run it again after you have added a shard, before its first rows.
It is refused where two shards have the same number, as when one was made as a copy of the
other.

two-phase: the table and the function that two_phase_commit keeps its decisions in. 'pgdrover
serve' makes them itself where two_phase_commit is on and backend.user may.`

const installExample = `  pgdrover install unique-id
  pgdrover install unique-id --database app
  pgdrover install two-phase`

func newInstallCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "install unique-id|two-phase",
		Short:     "Install functions on the shards",
		Long:      installHelp,
		Example:   installExample,
		ValidArgs: []string{"unique-id", "two-phase"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != "unique-id" && args[0] != "two-phase" {
				return usageErrorf("say what to install: pgdrover install unique-id, or two-phase")
			}
			return nil
		},
	}
	flags := addDatabaseFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, p, err := flags.load()
		if err != nil {
			return err
		}
		if args[0] == "two-phase" {
			return installTwoPhase(cmd.Context(), cmd.OutOrStdout(), p)
		}
		return installUniqueID(cmd.Context(), cmd.OutOrStdout(), p)
	}
	return cmd
}

// installUniqueID gives every shard a number and the function. Nothing is written unless every shard has answered.
func installUniqueID(ctx context.Context, w io.Writer, p *placement) error {
	m, nodes, err := p.asker()
	if err != nil {
		return err
	}
	defer nodes.close(ctx)
	numbers, err := nodes.shardNumbers(ctx, m)
	if err != nil {
		return err
	}
	had := map[string]bool{}
	for name := range numbers {
		had[name] = true
	}
	if err := numberShards(m.Shards(), numbers); err != nil {
		return err
	}
	rows := [][]string{{"SHARD", "NUMBER", "STATE"}}
	for _, s := range m.Shards() {
		number := strconv.Itoa(numbers[s.Name])
		sql := strings.ReplaceAll(uniqueIDSQL, "SHARD_NUMBER", number)
		if _, err := nodes.ask(ctx, s.Name, pool.Primary, s.Primary, sql); err != nil {
			if len(rows) > 1 {
				err = errors.Join(err, table(w, rows...))
			}
			return err
		}
		state := "new"
		if had[s.Name] {
			state = "had it"
		}
		rows = append(rows, []string{s.Name, number, state})
	}
	return table(w, rows...)
}

// shardNumberSQL gives the number that a shard has: no row, if it has none; not a number, if the function is another's.
const shardNumberSQL = `SELECT coalesce(substring(prosrc FROM '^SELECT ([0-9]+)$'), prosrc) FROM pg_catalog.pg_proc
WHERE oid = pg_catalog.to_regprocedure('pgdrover.shard_number()')`

// shardNumbers asks the shards for the numbers that they have. Every shard has to answer.
func (a asker) shardNumbers(ctx context.Context, m *shardmap.Map) (map[string]int, error) {
	numbers := map[string]int{}
	var errs []error
	for _, s := range m.Shards() {
		rows, err := a.ask(ctx, s.Name, pool.Primary, s.Primary, shardNumberSQL)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(rows) == 0 {
			continue
		}
		number, err := strconv.Atoi(rows[0][0])
		if err != nil || number < 1 || number > maxShardNumber {
			errs = append(errs, fmt.Errorf("shard %s: pgdrover.shard_number() there is not what 'pgdrover install' made: %q", s.Name, rows[0][0]))
			continue
		}
		numbers[s.Name] = number
	}
	return numbers, errors.Join(errs...)
}

// numberShards gives a number to the shards that have none: the next above those in use, so that the number of a shard
// that was removed is not used again as long as there are others.
func numberShards(shards []shardmap.Shard, numbers map[string]int) error {
	owner, last := map[int]string{}, 0
	for _, s := range shards {
		number, has := numbers[s.Name]
		if !has {
			continue
		}
		if other := owner[number]; other != "" {
			return fmt.Errorf("shards %s and %s both have the number %d: one was made as a copy of the other. "+
				"DROP FUNCTION pgdrover.shard_number() on the copy, before it has given ids, and run this again",
				other, s.Name, number)
		}
		owner[number], last = s.Name, max(last, number)
	}
	for _, s := range shards {
		if _, has := numbers[s.Name]; has {
			continue
		}
		number := freeNumber(owner, last)
		if number == 0 {
			return fmt.Errorf("there are numbers for %d shards, and all are in use", maxShardNumber)
		}
		numbers[s.Name], owner[number], last = number, s.Name, number
	}
	return nil
}

// freeNumber is the next number above last that no shard owns, from 1 on again where there is none; 0: all are in use.
func freeNumber(owner map[int]string, last int) int {
	for i := range maxShardNumber {
		if number := 1 + (last+i)%maxShardNumber; owner[number] == "" {
			return number
		}
	}
	return 0
}
