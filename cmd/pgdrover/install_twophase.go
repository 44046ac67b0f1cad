package main

import (
	"context"
	"errors"
	"io"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// installTwoPhase makes what two_phase_commit needs on every shard that answers.
func installTwoPhase(ctx context.Context, w io.Writer, p *placement) error {
	m, nodes, err := p.asker()
	if err != nil {
		return err
	}
	defer nodes.close(ctx)
	rows := [][]string{{"SHARD", "STATE"}}
	var errs []error
	for _, s := range m.Shards() {
		if _, err := nodes.ask(ctx, s.Name, pool.Primary, s.Primary, proxy.DecisionSQL); err != nil {
			errs = append(errs, err)
			continue
		}
		rows = append(rows, []string{s.Name, "ready"})
	}
	if len(rows) > 1 {
		errs = append(errs, table(w, rows...))
	}
	return errors.Join(errs...)
}
