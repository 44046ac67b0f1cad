package proxy

import (
	"slices"

	"github.com/pgdrover/pgdrover/router"
)

// prelude is what a backend hears when it joins the open transaction: BEGIN, savepoints, and what was set for the transaction
// alone. What was set for the session is in force on the backend before.
type prelude []early

// early is one statement of a prelude.
type early struct {
	sql       string
	setting   string // that it sets until the end of the transaction
	savepoint string // that it makes
}

// begun is the prelude of a transaction of which nothing is known but its BEGIN. It uses p's memory.
func (p prelude) begun(sql string) prelude { return append(p[:0], early{sql: sql}) }

// set adds what holds until the end of the transaction.
func (p prelude) set(sql, name string) prelude { return append(p, early{sql: sql, setting: name}) }

// settled forgets what was set for the transaction, once the session itself has a value; all says that every setting has.
func (p prelude) settled(name string, all bool) prelude {
	return slices.DeleteFunc(p, func(e early) bool { return e.setting != "" && (all || e.setting == name) })
}

// mark adds a savepoint.
func (p prelude) mark(sql, name string) prelude { return append(p, early{sql: sql, savepoint: name}) }

// released forgets the latest savepoint of a name and those made after it; what was set since stays.
func (p prelude) released(name string) prelude {
	at := -1
	for i, e := range p {
		if e.savepoint == name {
			at = i
		}
	}
	if at < 0 {
		return p
	}
	rest := slices.DeleteFunc(p[at:], func(e early) bool { return e.savepoint != "" })
	return p[:at+len(rest)]
}

// keepEarly notes what the i-th statement of q set, for backends that join the transaction later.
func (s *session) keepEarly(q *router.Query, i int, set []router.Change) {
	if !s.tx.open || s.place.single() {
		return
	}
	st := &q.Statements()[i]
	t := &s.tx
	if st.Verb == router.Set && len(set) == 0 { // SET CONSTRAINTS, SET TRANSACTION SNAPSHOT
		t.prelude = t.prelude.set(string(q.Text(i)), st.Name)
		return
	}
	for _, c := range set {
		switch {
		case isOwn(c.Name):
		case !c.Local:
			t.prelude = t.prelude.settled(c.Name, c.All)
		case st.Verb == router.Set:
			t.prelude = t.prelude.set(string(q.Text(i)), c.Name)
			return // one statement, however many settings
		default:
			t.prelude = t.prelude.set("SELECT pg_catalog.set_config("+quoteLiteral(c.Name)+","+quoteLiteral(c.Value)+",true)", c.Name)
		}
	}
}
