package proxy

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// oneByOne runs a statement that cannot run in a transaction on one shard after the other, and tells the client of each. Nothing is
// begun unless every shard can be reached. One that makes or drops an index goes on where it was stopped: shards where that is done
// are passed over.
func (s *session) oneByOne(q *router.Query, send sender) ([]byte, *pgwire.Error) {
	if s.tx.open {
		return nil, &pgwire.Error{Code: "25001", Message: nameOf(q) + " cannot run inside a transaction block"}
	}
	all, e := s.joinEvery(q)
	if e != nil {
		return nil, e
	}
	index, e := s.indexOf(q, all)
	if e != nil {
		return nil, e
	}
	s.lookup.ddl = true
	var first []byte
	for i, l := range all {
		if index.done(i) {
			s.passedOver(q, i)
			continue
		}
		frames, e := s.runOn(all[i:i+1], send)
		if e == nil {
			e = index.made(s, i, l)
		}
		if e != nil {
			return nil, s.partly(q, index, i, e)
		}
		s.progress(q, i)
		if first == nil {
			first = frames
		}
	}
	if e := index.agrees(s); e != nil {
		return nil, s.partly(q, index, len(all), e)
	}
	s.settle(false)
	s.afterDDL()
	return first, nil
}

// progress tells the client that a statement is done on one of the shards, before it goes on.
func (s *session) progress(q *router.Query, shard int) {
	s.tell(nameOf(q)+" is done on shard %s", shard)
}

// passedOver tells the client that there is nothing to do on one of the shards.
func (s *session) passedOver(q *router.Query, shard int) {
	s.tell(nameOf(q)+" is done on shard %s already, which is passed over", shard)
}

func (s *session) tell(format string, shard int) {
	m := s.place.shards
	text := fmt.Sprintf(format, m.Shard(shard).Name) + fmt.Sprintf(" (%d of %d)", shard+1, m.ShardCount())
	s.client.SetQueue(pgwire.AppendNotice(s.client.QueueBuffer(), &pgwire.Error{Severity: "NOTICE", Code: "00000", Message: text}))
	_ = s.client.Flush() // what cannot be written now waits in the queue
}

// indexes is what the shards have of the index that a statement makes or drops, by shard: empty, its definition, or what it is instead.
// The zero value is for a statement that does neither.
type indexes struct {
	statement *router.Statement
	has       []string
	built     string // the definition that the statement has made on a shard
}

// What a shard may have in the place of an index.
const (
	indexInvalid = "invalid"
	indexOther   = "another relation"
)

// indexOf asks the shards what they have of the index of a statement.
func (s *session) indexOf(q *router.Query, all []*link) (*indexes, *pgwire.Error) {
	x := &indexes{}
	if len(q.Statements()) != 1 || q.Statements()[0].Index == "" {
		return x, nil
	}
	x.statement = &q.Statements()[0]
	there := 0
	for _, l := range all {
		has, e := x.ask(s, l)
		if e != nil {
			return nil, s.onShardError(l.shard, e)
		}
		if has == indexInvalid && x.makes() {
			return nil, x.invalid(s, l.shard)
		}
		x.has = append(x.has, has)
		if has != "" {
			there++
		}
	}
	if there == 0 || there == len(all) { // nothing was done before, or all: the server says what it thinks of that
		x.has = nil
	}
	return x, nil
}

func (x *indexes) makes() bool { return x.statement.IndexOn != "" }

// ask says what a shard has.
func (x *indexes) ask(s *session, l *link) (string, *pgwire.Error) {
	which := "c.oid = pg_catalog.to_regclass(" + quoteLiteral(x.statement.Index) + ")"
	if x.makes() {
		which = "c.oid = pg_catalog.to_regclass((SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace " +
			"WHERE t.oid = pg_catalog.to_regclass(" + quoteLiteral(x.statement.IndexOn) + ")) || '.' || " + quoteLiteral(x.statement.Index) + ")"
	}
	out := sink{keep: true}
	l.sendQuery("SELECT CASE WHEN i.indexrelid IS NULL THEN '" + indexOther + "' WHEN NOT i.indisvalid THEN '" + indexInvalid +
		"' ELSE pg_catalog.pg_get_indexdef(i.indexrelid) END FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE " + which)
	s.command(l, &out, time.Now().Add(commitTime))
	if out.fault != nil || out.tag == "SELECT 0" {
		return "", out.fault
	}
	has, err := firstValue(out.frames)
	if err != nil {
		return "", clientError(err)
	}
	return string(has), nil
}

// done reports whether there is nothing to do on a shard.
func (x *indexes) done(shard int) bool {
	if x.has == nil {
		return false
	}
	return (x.has[shard] != "") == x.makes()
}

// made notes what a statement has made on a shard, if that is compared with others.
func (x *indexes) made(s *session, shard int, l *link) (e *pgwire.Error) {
	if x.has != nil && x.makes() && x.built == "" {
		x.built, e = x.ask(s, l)
	}
	return e
}

// agrees says that a shard that was passed over has another index under the name.
func (x *indexes) agrees(s *session) *pgwire.Error {
	if x.has == nil || !x.makes() {
		return nil
	}
	for shard, has := range x.has {
		if has == "" || has == x.built {
			continue
		}
		e := s.onShardError(shard, &pgwire.Error{Code: "42P07", Message: "relation " + x.statement.Index + " already exists, and is not what was made on the other shards"})
		e.Detail += " There it is: " + has
		return e
	}
	return nil
}

// invalid says what to do about an index that a failure has left.
func (x *indexes) invalid(s *session, shard int) *pgwire.Error {
	e := s.onShardError(shard, &pgwire.Error{Code: "55000", Message: "index " + x.statement.Index + " is there and invalid",
		Hint: "If none is being made at this moment, a CREATE INDEX CONCURRENTLY that failed has left it. Mend the cause, and either have it made valid, REINDEX INDEX CONCURRENTLY " +
			x.statement.Index + ", or drop it on that shard; then repeat the statement, which passes over the shards where it is done."})
	return e
}

// noBlock is the index of the first statement that cannot run in a transaction, -1 if all can.
func noBlock(q *router.Query) int {
	for i := range q.Statements() {
		if q.Statements()[i].NoBlock {
			return i
		}
	}
	return -1
}

// nameOf is what the first statement that cannot run in a transaction is called: its first words.
func nameOf(q *router.Query) string {
	words := strings.Fields(string(q.Text(noBlock(q))))
	return strings.ToUpper(strings.Join(words[:min(2, len(words))], " "))
}

// partly says how far a statement got that runs on one shard after the other.
func (s *session) partly(q *router.Query, x *indexes, failed int, e *pgwire.Error) *pgwire.Error {
	named := *e
	var done []string
	for i := range failed {
		if !x.done(i) {
			done = append(done, s.place.shards.Shard(i).Name)
		}
	}
	hint := nameOf(q) + " runs on one shard after the other and cannot be undone. "
	if len(done) > 0 {
		hint += "It is done on " + strings.Join(done, ", ") + ". "
	}
	switch {
	case x.statement == nil:
		hint += "After mending the cause, undo it there or finish it on the others. What a failed CONCURRENTLY leaves behind is an invalid index."
	case x.makes():
		hint += "After mending the cause, drop the invalid index that a failure may have left on the shard, and repeat the statement: shards where it is done are passed over."
	default:
		hint += "After mending the cause, repeat the statement: shards where it is done are passed over."
	}
	named.Hint = hint
	s.settle(false)
	return &named
}
