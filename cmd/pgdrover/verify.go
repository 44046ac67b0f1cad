package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// checkShards compares the tables of every shard that answers with the map, and with each other, and returns the catalog of the
// first that owns partitions. What does not fit the map is an error; a difference between shards is logged, since it may be a
// migration under way. The error is unreachable when no shard answered.
func (s *service) checkShards(ctx context.Context, nodes asker, m *shardmap.Map) (*router.Catalog, error) {
	var first *shardAnswer
	var down []error
	unsettling := false
	for _, shard := range m.Shards() {
		answer := nodes.askShard(ctx, m, shard, checkOptions{})
		if answer.err != nil && answer.catalog == nil {
			down = append(down, fmt.Errorf("shard %s: %w", shard.Name, answer.err))
			continue
		}
		unsettling = unsettling || answer.catalog.Unsettling
		var faults []error
		for _, problem := range answer.catalog.Check(m) {
			if problem.Severity == router.Fault {
				faults = append(faults, fmt.Errorf("shard %s: %s", shard.Name, problem))
			} else {
				s.log.Info("a table to look at", "database", m.Database(), "shard", shard.Name, "problem", problem.String())
			}
		}
		if len(faults) > 0 {
			return nil, errors.Join(faults...)
		}
		if first == nil || first.shard.Owned == 0 && shard.Owned > 0 {
			first = &answer
		}
		if first.shard.Name != shard.Name && first.err == nil && answer.err == nil {
			s.logDifferences(first, &answer)
		}
	}
	if first == nil {
		return nil, unreachable{errors.Join(down...)}
	}
	if m.BySchema() && (unsettling || len(down) > 0) {
		first.catalog.Unsettle()
	}
	for _, err := range down {
		s.log.Warn("a shard does not answer", "database", m.Database(), "error", err)
	}
	return first.catalog, nil
}

func (s *service) logDifferences(first, other *shardAnswer) {
	list := compareSchemas(first.shard.Name, other.shard.Name, first.schema, other.schema)
	for n, d := range list {
		if n == fewDifferences {
			s.log.Warn("more differences between shards: run pgdrover check --schema", "left_out", len(list)-n)
			break
		}
		s.log.Warn("the shards differ", "difference", d.text)
	}
}

// unreachable says that no shard answered: a reason to wait, not to give up.
type unreachable struct{ err error }

func (u unreachable) Error() string { return "no shard answers: " + u.err.Error() }
func (u unreachable) Unwrap() error { return u.err }

func isUnreachable(err error) bool {
	var u unreachable
	return errors.As(err, &u) && !refusedLogin(err)
}

// refusedLogin reports whether a node refused PgDrover's credentials, which does not mend itself.
func refusedLogin(err error) bool {
	var e *pool.Error
	return errors.As(err, &e) && len(e.Code) == 5 && e.Code[:2] == "28"
}
