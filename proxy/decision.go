package proxy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// DecisionSQL makes on a shard what two_phase_commit needs there. It may run again.
//
//go:embed decision.sql
var DecisionSQL string

// decision is what is known of the end of a joint transaction.
type decision uint8

const (
	undecided  decision = iota // its first writer is not done yet, or nobody can tell
	committed                  // its first writer is committed
	rolledBack                 // its first writer is not, and never will be
)

func (d decision) String() string { return [...]string{"undecided", "committed", "rolled back"}[d] }

// verb ends a part that was prepared as the decision says.
func (d decision) verb(gid string) string {
	if d == committed {
		return "COMMIT PREPARED " + quoteLiteral(gid)
	}
	return "ROLLBACK PREPARED " + quoteLiteral(gid)
}

// PrepareTwoPhase makes what two_phase_commit needs on the shards that do not have it, and can be reached. An error of a shard that
// refuses it says what to do; one that cannot be reached is an *pool.Error, and is asked again by the recovery.
func (d *Database) PrepareTwoPhase(ctx context.Context) error {
	var errs []error
	for _, sh := range d.Map().Shards() {
		if err := d.keepDecisions(ctx, sh.Name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// keepDecisions makes sure that a shard has the table of decisions.
func (d *Database) keepDecisions(ctx context.Context, shard string) error {
	rows, err := d.cluster.Exec(ctx, shard, pool.Primary, "SELECT pg_catalog.to_regprocedure('pgdrover.decide(text)') IS NOT NULL, "+
		"pg_catalog.current_setting('max_prepared_transactions')")
	if err == nil && string(rows.Rows[0][1]) == "0" {
		return fmt.Errorf("shard %s: %w: set max_prepared_transactions to max_connections there, on replicas first, and restart it, "+
			"or write two_phase_commit: off", shard, errNoRoom)
	}
	if err == nil && string(rows.Rows[0][0]) == "t" {
		return nil
	}
	if err == nil {
		_, err = d.cluster.Exec(ctx, shard, pool.Primary, DecisionSQL)
	}
	var refused *pgwire.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("shard %s: two_phase_commit needs a table that could not be made: %w: run \"pgdrover install two-phase\" "+
			"with a backend.user who may create a schema, or let this one: GRANT CREATE ON DATABASE", shard, err)
	}
	return err
}

// errNoRoom is what a server means by 55000, "prepared transactions are disabled".
var errNoRoom = &pgwire.Error{Code: "55000", Message: "two_phase_commit needs room for prepared transactions, and max_prepared_transactions is 0"}

// decide finds out how a joint transaction ended, on its first writer's shard. Unless the first writer is still at work, and not for
// longer than patience allows, that is final: if there is no decision yet, one is made, and a first writer that would commit after all
// fails. It waits while the first writer is committing.
func (d *Database) decide(ctx context.Context, j *joint, patience time.Duration) (decision, error) {
	if patience > 0 && d.atWork(ctx, j) {
		return undecided, nil
	}
	rows, err := d.cluster.Exec(ctx, j.first, pool.Primary, "INSERT INTO pgdrover.decision (id, committed) VALUES ('"+j.id+
		"', false) ON CONFLICT DO NOTHING;SELECT committed FROM pgdrover.decision WHERE id = '"+j.id+"'")
	if err != nil {
		return undecided, err
	}
	if len(rows.Rows) != 1 {
		return undecided, fmt.Errorf("shard %s does not keep decisions", j.first)
	}
	if string(rows.Rows[0][0]) == "t" {
		return committed, nil
	}
	return rolledBack, nil
}

// atWork reports whether the first writer's transaction is in progress. A server that does not know its number, since it is another
// than that which gave it, says no.
func (d *Database) atWork(ctx context.Context, j *joint) bool {
	rows, err := d.cluster.Exec(ctx, j.first, pool.Primary, "SELECT pg_catalog.pg_xact_status('"+j.xid+"')")
	return err == nil && string(rows.Rows[0][0]) == "in progress"
}

// finish ends a part as decided, and reports whether it did: a part that is not there any more has been ended by somebody else, who knew
// the decision.
func (d *Database) finish(ctx context.Context, shard, gid string, as decision) (bool, error) {
	_, err := d.cluster.Exec(ctx, shard, pool.Primary, as.verb(gid))
	var told *pgwire.Error
	if errors.As(err, &told) && told.Code == "42704" {
		return false, nil
	}
	return err == nil, err
}
