package proxy

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// local reports whether PgDrover itself answers a statement: its own settings, and transaction control that is not the business
// of exactly one backend.
func (s *session) local(st *router.Statement) bool {
	if isTransactionVerb(st.Verb) {
		if s.direct() && !s.tx.poisoned {
			return false
		}
		if s.place.single() && !s.tx.poisoned && s.inImplicit() {
			return false
		}
		if st.Verb == router.Begin {
			return !s.tx.open || len(s.inTransaction()) != 1 || s.tx.poisoned
		}
		return s.tx.poisoned || s.tx.open && len(s.inTransaction()) != 1
	}
	return st.Verb != router.ExplainRoute && s.isOwnStatement(st) || s.deallocates(st) || s.listensItself(st)
}

// inImplicit reports whether a backend is in the implicit transaction of a batch that has not ended.
func (s *session) inImplicit() bool {
	for _, l := range s.links {
		if l.replies.open && !l.aside {
			return true
		}
	}
	return false
}

// deallocates reports whether a DEALLOCATE is the session's business alone: its statements have other names on backends, which keep
// them for others.
func (s *session) deallocates(st *router.Statement) bool {
	if st.Verb != router.Deallocate {
		return false
	}
	p := s.statements[st.Name]
	if s.direct() {
		return p != nil && p.own
	}
	return st.Name == "" && !s.holds(router.HoldPrepare) || p != nil
}

// isOwnStatement reports whether no backend is told of a statement as it is: transaction control, which the session passes on
// in its own way, PgDrover's settings, and EXPLAIN (ROUTE).
func (s *session) isOwnStatement(st *router.Statement) bool {
	switch st.Verb {
	case router.Set, router.Reset, router.Show:
		return isOwn(st.Name)
	case router.ExplainRoute:
		return true
	}
	return isTransactionVerb(st.Verb) && !s.direct()
}

// answerLocal answers a Query that is local.
func (s *session) answerLocal(q *router.Query) {
	rows, tag, e := s.runLocal(q, nil)
	if e != nil {
		s.refuseSimple(e)
		return
	}
	b := append(s.client.QueueBuffer(), rows...)
	s.client.SetQueue(pgwire.AppendCommandComplete(b, tag))
	if s.place.single() && len(s.links) == 1 && s.links[0].notes.params != s.reported { // the implicit transaction that the Query has ended may have changed something
		s.report(s.links[0].notes.params)
	}
	if !s.tx.open {
		s.transactionEnded(false)
	}
	s.readyForQuery()
}

// runLocal carries out a local statement: it returns the rows, with their description, and the command tag.
func (s *session) runLocal(q *router.Query, p router.Params) (rows []byte, tag string, e *pgwire.Error) {
	st := &q.Statements()[0]
	if isTransactionVerb(st.Verb) {
		tag, e = s.control(st, string(q.Text(0)))
		return nil, tag, e
	}
	if s.tx.aborted {
		return nil, "", errAborted
	}
	if st.Verb == router.Listen || st.Verb == router.Unlisten {
		return nil, st.Verb.String(), s.listen(st)
	}
	if st.Verb == router.Deallocate {
		if p := s.statements[st.Name]; p != nil {
			s.forgetStatement(p)
			return nil, "DEALLOCATE", nil
		}
		s.forgetStatements()
		return nil, "DEALLOCATE ALL", nil
	}
	if st.Verb == router.Show {
		if e := s.knownOwn(st.Name); e != nil {
			return nil, "", e
		}
		return textRows(st.Name, []string{s.showOwn(st.Name)}), "SHOW", nil
	}
	changes, _ := q.Changes(0, p)
	for _, c := range changes {
		if !c.Reset {
			e = s.checkOwn(c.Name, c.Value)
		} else {
			e = s.knownOwn(c.Name)
		}
		if e != nil {
			return nil, "", e
		}
		if c.Local && !s.tx.open {
			s.warn("25P01", "SET LOCAL can only be used in transaction blocks")
			continue
		}
		s.change(nil, c)
	}
	return nil, strings.ToUpper(st.Verb.String()), nil
}

func (s *session) knownOwn(name string) *pgwire.Error {
	if name == ownTenant || name == ownScatter {
		return nil
	}
	return s.checkOwn(name, "")
}

// answerRoute answers EXPLAIN (ROUTE).
func (s *session) answerRoute(q *router.Query) {
	r, err := s.askInner(q, nil)
	if err != nil {
		s.refuseSimple(clientError(err))
		return
	}
	b := append(s.client.QueueBuffer(), textRows("ROUTE", s.explain(q, r))...)
	s.client.SetQueue(pgwire.AppendCommandComplete(b, "EXPLAIN"))
	s.readyForQuery()
}

// explain is the router's answer in words.
func (s *session) explain(q *router.Query, r router.Route) []string {
	shard, role := r.Kind.String(), "primary"
	if r.Kind == router.Single {
		shard = s.place.shards.Shard(r.Shard).Name
	}
	if s.role(&r) == pool.Replica {
		role = "replica"
	}
	return []string{"shard: " + shard, "role: " + role, "why: " + q.Why(r)}
}

// textRows are rows of one text column and their description.
func textRows(column string, values []string) []byte {
	b := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: column, OID: textOID, Size: -1}})
	for _, v := range values {
		b = pgwire.AppendDataRow(b, [][]byte{[]byte(v)})
	}
	return b
}

const textOID = 25

// answersItself reports whether a statement by the extended protocol is no backend's, though one may be told of it in another way.
func (s *session) answersItself(st *router.Statement) bool {
	return s.isOwnStatement(st) || s.deallocates(st) || s.listensItself(st) || st.Verb == router.Prepare && !s.direct()
}
