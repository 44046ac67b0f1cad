package proxy

import (
	"context"
	"errors"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// namesGID reports whether a query is a statement of two-phase commit that the client itself carries out.
func namesGID(q *router.Query) bool {
	if q.Plain() || len(q.Statements()) != 1 {
		return false
	}
	switch q.Statements()[0].Verb {
	case router.PrepareTransaction, router.CommitPrepared, router.RollbackPrepared:
		return true
	}
	return false
}

// routeGID routes such a statement: PREPARE TRANSACTION to the shard of the transaction, the others to the shard where the transaction lies.
func (s *session) routeGID(q *router.Query, r *router.Route) *pgwire.Error {
	st := &q.Statements()[0]
	if strings.HasPrefix(st.Name, gidPrefix) {
		return &pgwire.Error{Code: "42939", Message: "transaction identifier \"" + st.Name + "\" is reserved",
			Detail: "PgDrover prepares its own transactions under such identifiers.", Hint: "use an identifier that does not begin with " + gidPrefix}
	}
	joined := s.inTransaction()
	switch {
	case s.place.single():
	case len(joined) > 0:
		r.Kind, r.Shard = router.Single, joined[0].shard
	case st.Verb == router.PrepareTransaction || s.tx.open: // the server says what it thinks of that
	case r.Tenant.IsZero():
		return s.findGID(st.Name, r)
	}
	return nil
}

// findGID routes to the one shard where a transaction is prepared; to the first, which will say so, if it is on none.
func (s *session) findGID(gid string, r *router.Route) *pgwire.Error {
	var on []int
	var failed error
	s.t.Await(func() { on, failed = s.db.preparedAt(gid) })
	r.Kind = router.Single
	switch {
	case len(on) > 1:
		return &pgwire.Error{Code: "42725", Message: "transaction identifier \"" + gid + "\" is in use on several shards",
			Hint: "name the tenant, as in /* pgdrover: tenant=42 */, to say which shard is meant"}
	case len(on) == 1:
		r.Shard = on[0]
	case failed != nil:
		return &pgwire.Error{Code: "08006", Message: "it is not known whether \"" + gid + "\" is prepared on a shard that does not answer",
			Detail: failed.Error(), Hint: "try again, or name the tenant, as in /* pgdrover: tenant=42 */"}
	default:
		r.Shard = s.place.home()
	}
	return nil
}

// preparedAt asks the primaries which of them has a prepared transaction. It blocks.
func (d *Database) preparedAt(gid string) (on []int, failed error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	for i, sh := range d.Map().Shards() {
		rows, err := d.cluster.Exec(ctx, sh.Name, pool.Primary, "SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = "+quoteLiteral(gid)+
			" AND database = pg_catalog.current_database()")
		if err != nil {
			failed = errors.Join(failed, err)
		} else if len(rows.Rows) > 0 {
			on = append(on, i)
		}
	}
	return on, failed
}

// prepareSeveral carries out the client's PREPARE TRANSACTION for a transaction that has joined several shards: the one that has written
// prepares, and the others have nothing to lose.
func (s *session) prepareSeveral(q *router.Query, send sender) ([]byte, *pgwire.Error) {
	joined := s.inTransaction()
	at := joined[0]
	var writers []string
	for _, l := range joined {
		if l.wrote {
			at = l
			writers = append(writers, s.place.shards.Shard(l.shard).Name)
		}
	}
	if len(writers) > 1 {
		return nil, &pgwire.Error{Code: "0A000", Message: "a transaction that has written on several shards cannot be prepared",
			Detail: "It has written on shards " + strings.Join(writers, ", ") + ".", Hint: "COMMIT it: that is atomic already"}
	}
	frames, e := s.runOn([]*link{at}, send)
	if e != nil {
		return nil, e
	}
	for _, l := range joined {
		if l != at {
			_ = s.endOn(l, "COMMIT")
		}
	}
	s.effect(at, q, 0, nil, false)
	return frames, nil
}

// preparesSeveral reports whether a statement is a PREPARE TRANSACTION that several backends hear of.
func (s *session) preparesSeveral(q *router.Query) bool {
	return namesGID(q) && q.Statements()[0].Verb == router.PrepareTransaction && len(s.inTransaction()) > 1
}
