package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// catalogTime bounds how long a statement waits for the catalog to be read again.
const catalogTime = 10 * time.Second

// lookup is what the session knows of the age of its routes.
type lookup struct {
	ddl      bool      // a transaction with DDL was committed: the catalog is old
	settings *settings // that env was made from
	asked    time.Time // when an unknown relation last made the session read the catalog
}

// router is what statements are routed by: the database's, or the transaction's own once it has seen its DDL.
func (s *session) router() *router.Router {
	if s.tx.router != nil {
		return s.tx.router
	}
	return s.place.router
}

// enterTransaction takes the placement in force, unless a transaction is open, which ends on the one it began with.
func (s *session) enterTransaction() {
	if !s.tx.open && len(s.links) == 0 || s.place == nil {
		if on := s.db.place.Load(); on != s.place {
			s.stand(on)
		}
	}
}

// stand puts the session on another placement.
func (s *session) stand(on *placement) {
	if s.place == nil || s.place.nodes != on.nodes {
		s.nodes = on.nodes
		if s.asClient != nil {
			s.nodes = s.asClient.Topology(on.nodes)
		}
	}
	s.place = on
}

// afterDDL reads the catalog again once DDL is committed, before the client that awaits the answer of all shards hears of it: what
// it tells others of can be used by them. Where routes are the same with a catalog that is behind, nobody waits for it.
func (s *session) afterDDL() {
	if !s.lookup.ddl || s.tx.open {
		return
	}
	s.lookup.ddl = false
	if s.routesBehind() {
		s.db.keepUp()
		return
	}
	s.t.Await(func() { s.refreshCatalog() })
}

// routesBehind reports whether statements of all sessions go where they belong while the catalog is behind: to the one node there is,
// with no cache, no session that may only do what the catalog allows, and no function that is declared to need its backend. What is
// left that the catalog says is what may change a session unseen, or notify, and meanwhile everything may (suspect, own), and that
// a statement is not of the tenant that its session has named: before it is refused for that, the catalog is waited for.
func (s *session) routesBehind() bool {
	p := s.place
	return p.single() && len(p.nodes.Replicas(0)) == 0 && s.db.cache == nil && s.db.options().Holding == nil && !s.srv.config.Load().Tokens.bind()
}

func (s *session) refreshCatalog() {
	ctx, cancel := context.WithTimeout(context.Background(), catalogTime)
	defer cancel()
	if err := s.db.refreshCatalog(ctx); err != nil {
		s.log().Warn("the catalog could not be read again", "database", s.db.Name(), "error", err)
		s.db.keepUp()
	}
}

// leaveTransaction lets a change of placement go on that waits for the session.
func (s *session) leaveTransaction() {
	if s.partition.Load() != noTransaction {
		s.partition.Store(noTransaction)
	}
	if s.dry != nil {
		s.dry.wrote = ""
	}
}

// route asks the router where the statement in q goes, which it writes to r, and waits while the placement of its tenant is being changed.
func (s *session) route(q *router.Query, p router.Params, r *router.Route) *pgwire.Error {
	if !q.Plain() || s.tx.redefined {
		if e := s.reread(q); e != nil {
			return e
		}
	}
	for {
		s.env.TempTables = len(s.links) > 0 && s.holds(router.HoldTempTable)
		err := s.ask(q, p, r)
		if err != nil || !s.place.single() {
			if err = s.routeIfOld(q, p, r, err); err != nil {
				return clientError(err)
			}
		}
		if !q.Plain() {
			if done, e := s.routeApart(q, r); done {
				return e
			}
		}
		entered, e := s.enterGate(r)
		if e != nil {
			return e
		}
		if entered {
			if s.db.dry.route.Load() != nil {
				s.routeDry(q, p)
			}
			return nil
		}
		if e := s.follow(); e != nil { // it was changed meanwhile
			return e
		}
		s.analyse(q, q.SQL())
	}
}

// routeApart is route for what the router does not know of a statement that is not plain. It reports whether the statement has its route by that, or is refused.
func (s *session) routeApart(q *router.Query, r *router.Route) (done bool, e *pgwire.Error) {
	if namesGID(q) {
		return true, s.routeGID(q, r)
	}
	e = s.mayMake(q, r)
	return e != nil, e
}

// routeIfOld routes a statement once more if a newer catalog may say something else of it than the one in force, which said err.
func (s *session) routeIfOld(q *router.Query, p router.Params, r *router.Route, err error) error {
	if s.mayBeOld(r, err) {
		return s.routeUnknown(q, p, r, err)
	}
	return err
}

// undefinedTable reports whether the router refused a statement because the catalog does not know a relation.
func undefinedTable(err error) bool {
	if err == nil {
		return false
	}
	var e *router.Error
	return errors.As(err, &e) && e.Code == "42P01"
}

// mayBeOld reports whether a newer catalog may route a statement that the one in force does not know a relation of, or that it
// refuses while it is behind.
func (s *session) mayBeOld(r *router.Route, err error) bool {
	if s.place.single() {
		return err != nil && s.db.catalog.behind()
	}
	return (r.Unknown || undefinedTable(err)) && !s.env.TempTables || r.Temporary
}

// routeUnknown routes such a statement after reading the catalog again. What is still unknown is refused as PostgreSQL would: on the
// wrong shard it could be created or written.
func (s *session) routeUnknown(q *router.Query, p router.Params, r *router.Route, unknown error) error {
	if !s.tx.ddl && (s.db.catalog.behind() || time.Since(s.lookup.asked) > time.Second) {
		s.lookup.asked = time.Now()
		s.t.Await(func() { s.refreshCatalog() })
	}
	if now := s.db.place.Load(); !s.tx.ddl && now.shards == s.place.shards {
		s.stand(now) // only its catalog differs, if anything
	}
	if q.Router() == s.router() {
		return unknown
	}
	s.analyse(q, q.SQL())
	return s.ask(q, p, r)
}

// ask asks the router. What takes long is waited for where it does not hold up others.
func (s *session) ask(q *router.Query, p router.Params, r *router.Route) (err error) {
	err = s.router().RouteTo(r, q, p, &s.env)
	if err == router.ErrLong {
		return s.askLong(q, p, r)
	}
	return err
}

// askLong is ask for a statement that is planned for several shards.
func (s *session) askLong(q *router.Query, p router.Params, r *router.Route) (err error) {
	s.atLength(func() { *r, err = s.router().Route(q, p, &s.env) })
	return err
}

// askInner is ask for the query in EXPLAIN (ROUTE).
func (s *session) askInner(q *router.Query, p router.Params) (r router.Route, err error) {
	s.atLength(func() { r, err = s.router().Inner(q, p, &s.env) })
	return r, err
}

// atLength asks the router for what may take long.
func (s *session) atLength(ask func()) {
	s.env.Brief = false
	s.t.Await(ask)
	s.env.Brief = true
}

// reread has q read anew where it means something else by now than it meant when it was read, or refuses it.
func (s *session) reread(q *router.Query) *pgwire.Error {
	if e := s.redefine(q); e != nil {
		return e
	}
	return s.runsOtherwise(q)
}

// redefine has the statements that follow DDL in one transaction, up to the next DDL, routed by what that DDL made.
func (s *session) redefine(q *router.Query) *pgwire.Error {
	if !s.tx.redefined || s.tx.aborted || s.place.single() || onlyDDL(q) {
		return nil
	}
	if e := s.ownCatalog(); e != nil {
		return e
	}
	s.tx.redefined = false
	s.analyse(q, q.SQL())
	return nil
}

func onlyDDL(q *router.Query) bool {
	for i := range q.Statements() {
		if q.Statements()[i].Verb != router.DDL {
			return false
		}
	}
	return true
}

// ownCatalog reads the catalog inside the open transaction, which sees what its own DDL made.
func (s *session) ownCatalog() *pgwire.Error {
	joined := s.inTransaction()
	if len(joined) == 0 {
		return nil
	}
	if !s.settleBatch() || s.skipping {
		return errAborted
	}
	l := joined[0]
	out := sink{keep: true}
	l.sendQuery("SAVEPOINT pgdrover_catalog;" + router.CatalogSQL(s.place.shards) + ";ROLLBACK TO pgdrover_catalog;RELEASE pgdrover_catalog") // it sets search_path
	s.command(l, &out, time.Now().Add(catalogTime))
	if out.fault != nil {
		return out.fault
	}
	doc, err := firstValue(out.frames)
	if err != nil {
		return clientError(err)
	}
	var c *router.Catalog
	s.t.Await(func() { c, err = router.ParseCatalog(doc) })
	if err != nil {
		return clientError(err)
	}
	if s.place.router.Catalog().Unsettling && s.place.shards.BySchema() {
		c.Unsettle()
	}
	s.tx.router = s.db.newRouter(s.place.shards, c)
	return nil
}

// firstValue is the first column of the first row among frames.
func firstValue(frames []byte) ([]byte, error) {
	for len(frames) > 0 {
		typ, size, err := pgwire.Peek(frames, maxBackendFrame)
		if err != nil || size == 0 || size > len(frames) {
			break
		}
		if typ == pgwire.MsgDataRow && size >= 11 {
			n := int(int32(uint32(frames[7])<<24 | uint32(frames[8])<<16 | uint32(frames[9])<<8 | uint32(frames[10])))
			if n < 0 || 11+n > size {
				break
			}
			return frames[11 : 11+n], nil
		}
		frames = frames[size:]
	}
	return nil, protocolError(pgwire.MsgDataRow)
}
