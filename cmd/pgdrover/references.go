package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// fillReferences gives the shards that may be new at a start the rows of the reference tables, and verifies that they have them: all but the first
// where the lock was just written, and else those that own no partition. Rows that stand against that are an error. A shard that cannot
// be reached, or a transaction that keeps the tables locked, which may be one that only this proxy will end, do not keep the others from being
// served: what owns nothing is looked at again before it gets anything.
func (s *service) fillReferences(ctx context.Context, p *placement, m *shardmap.Map, first bool, wait time.Duration) error {
	nodes, err := newAsker(p.name, p.db)
	if err != nil {
		return err
	}
	defer nodes.close(ctx)
	var shards []string
	for i, shard := range m.Shards() {
		if first && i > 0 || !first && shard.Owned == 0 {
			shards = append(shards, shard.Name)
		}
	}
	err = proxy.FillReferences(ctx, nodes.cluster, m, shards, wait, s.log)
	var refused *proxy.RefusedError
	if err != nil && !errors.As(err, &refused) {
		s.log.Error("it could not be verified that all shards have the rows of the reference tables: run pgdrover check --online", "database", p.name,
			"shards", shards, "error", err)
		return nil
	}
	return placed(err, p)
}

// fillAssigned is fillReferences for the shards that are about to get their first partitions.
func (p *placement) fillAssigned(ctx context.Context, next *shardmap.Lock, wait time.Duration, log *slog.Logger) error {
	before, nodes, err := p.asker()
	if err != nil {
		return err
	}
	defer nodes.close(ctx)
	after, err := shardmap.New(p.file, next)
	if err != nil {
		return err
	}
	var shards []string
	for i, shard := range after.Shards() {
		if before.Idle(i) && !after.Idle(i) {
			shards = append(shards, shard.Name)
		}
	}
	return placed(proxy.FillReferences(ctx, nodes.cluster, after, shards, wait, log), p)
}

// referenceAgain is how long after that a difference of reference tables is looked for again: writes reach the shards one after the other.
const referenceAgain = time.Second

// reportReferences reports reference tables whose rows are not the same on all shards, if all shards answer.
func reportReferences(ctx context.Context, r *report, nodes asker, m *shardmap.Map, answers []shardAnswer) {
	for _, answer := range answers {
		if answer.nodes[0].err != nil {
			return // reportNodes has said so
		}
	}
	tables, differences, err := proxy.ReferenceDifferences(ctx, nodes.cluster, m)
	if err == nil && len(differences) > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(referenceAgain):
		}
		tables, differences, err = proxy.ReferenceDifferences(ctx, nodes.cluster, m)
	}
	if err != nil {
		r.errors(err)
	}
	for _, d := range differences {
		r.fault("%s", d)
	}
	if err == nil && len(differences) == 0 && tables > 0 {
		r.ok("%s: the same rows on all %d shards", plural(tables, "reference table"), m.ShardCount())
	}
}
