package proxy

import (
	"errors"
	"fmt"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// loader carries out a COPY FROM STDIN whose rows go to several shards: it reads what the client sends and gives each row to the
// backend of its shard, as it is. Nothing piles up: while a shard does not take its rows, the client is not read.
type loader struct {
	s    *session
	q    *router.Query
	how  *router.Splitting
	rows splitter
	own  bool // the transaction is this COPY's own: its rows may go to all shards

	outlets []*outlet // that have the COPY, in the order in which they got it
	byShard []*outlet // nil: the shard has it not
	now     *outlet   // where the row in hand goes, once that is known
	head    []byte    // the header, for shards that get the COPY later
	held    []byte    // of the row in hand, as long as its shard is not known
	line    int64     // of the client's lines, or of the rows of binary data, that have ended
	began   int64     // line when the row in hand began
	on      []task.Interest
	over    bool    // the mark that ends the data was read
	doubted *outlet // has the row that no shard is known for, and is to say what is wrong with it
}

// outlet is one shard's part in a COPY.
type outlet struct {
	gathered
	start   int // of the CopyData that is open in the queue of its connection; -1: none is
	lines   copyLines
	begun   int64
	stopped bool // it was told to give up
}

// piled is how much may wait for one backend before it is written, in bytes.
const piled = 32 << 10

// copySimple carries out a Query that is a COPY for several shards. It reports whether the session goes on.
func (s *session) copySimple(q *router.Query, r router.Route) bool {
	how := q.Splitting()
	s.query = *q.Clone() // its text is about to be consumed
	s.take()
	ld := &loader{s: s, q: &s.query, how: how, own: !s.tx.open}
	if ld.own {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
	}
	n, e, ok := ld.load(r, false)
	if !ok {
		return false
	}
	if ld.own {
		end := router.Statement{Verb: router.Commit}
		if e != nil {
			end.Verb, s.tx.aborted = router.Rollback, true
		}
		if _, failed := s.endTransaction(&end); e == nil {
			e = failed
		}
	}
	if e != nil {
		return s.refuseSimple(e)
	}
	s.client.Queue(pgwire.AppendCommandComplete(nil, fmt.Sprint("COPY ", n)))
	s.readyForQuery()
	return s.unitEnd()
}

// executeCopy is copySimple for a portal. Outside a transaction the whole batch is one, which its Sync commits.
func (s *session) executeCopy(at *portal) bool {
	if !s.detach() {
		return !s.cut.Load()
	}
	s.take()
	ld := &loader{s: s, q: &at.stmt.query, how: at.splitting, own: !s.tx.open || s.tx.ofBatch}
	if !s.tx.open {
		s.begin(&router.Statement{Verb: router.Begin}, "BEGIN")
		s.tx.ofBatch = true
	}
	n, e, ok := ld.load(at.route, at.described)
	switch {
	case !ok:
		return false
	case e != nil:
		return s.fail(e)
	}
	s.client.Queue(pgwire.AppendCommandComplete(nil, fmt.Sprint("COPY ", n)))
	return true
}

// load copies what the client sends, and returns how many rows the shards have taken. It reports whether the session goes on.
func (ld *loader) load(r router.Route, described bool) (int64, *pgwire.Error, bool) {
	s := ld.s
	switch {
	case s.tx.aborted:
		return 0, errAborted, true
	case s.tx.strict != "" && ld.how.Every:
		return 0, &pgwire.Error{Code: "0A000", Message: "a " + s.tx.strict + " transaction cannot span shards",
			Hint: "use READ COMMITTED for writes to reference tables"}, true
	}
	encoding, _ := s.reported.value("client_encoding")
	if err := ld.how.Encoded(encoding); err != nil {
		return 0, clientError(err), true
	}
	ld.rows = newSplitter(ld.how)
	ld.byShard = make([]*outlet, s.place.shards.ShardCount())
	s.markWrite(ld.q, &r)
	defer s.answeredBySeveral()
	e := ld.open(described)
	if e == nil {
		s.clock(ld.outlets[0].link)
		var ok bool
		e, ok = ld.copy()
		s.stopClock()
		if !ok {
			return 0, e, false
		}
	}
	n, e := ld.close(e)
	return n, e, true
}

// open begins the COPY on the shards, and tells the client to send its data. In a transaction of the client's a shard joins when a row
// of its comes; otherwise all do now, in order, so that two that do so cannot wait for each other.
func (ld *loader) open(described bool) *pgwire.Error {
	s := ld.s
	first := s.shardFor(&router.Route{})
	if ld.how.Every {
		first = 0
	}
	if !ld.own && !ld.how.Every {
		if _, e := ld.join(first); e != nil {
			return e
		}
	}
	for i := range ld.byShard {
		if ld.how.Every || ld.own && s.place.shards.Shard(i).Owned > 0 {
			if _, e := ld.join(i); e != nil {
				return e
			}
		}
	}
	for typ, frame := range framesIn(ld.outlets[0].out.frames) {
		if typ != pgwire.MsgCopyIn {
			continue
		}
		if n := pgwire.CopyColumns(frame); ld.how.Fields > 0 && n != ld.how.Fields {
			return &pgwire.Error{Code: "0A000", Message: fmt.Sprintf("the rows for %q have %d columns, and the table %d", ld.how.Name, n, ld.how.Fields),
				Detail: "It has generated columns, or was changed a moment ago.", Hint: "List the columns: COPY " + ld.how.Name + " (…) FROM STDIN."}
		}
		if described {
			s.client.Queue(pgwire.AppendNoData(nil))
		}
		s.client.Queue(frame)
	}
	for _, o := range ld.outlets {
		o.out.frames, o.out.keep = nil, false
	}
	return nil
}

// join begins the COPY on a shard.
func (ld *loader) join(shard int) (*outlet, *pgwire.Error) {
	s := ld.s
	if !ld.own && !ld.how.Every {
		if e := s.mayJoin(shard, &router.Route{Kind: router.Single, Shard: shard, Write: true}); e != nil {
			return nil, e
		}
	}
	l, e := s.join(shard, pool.Primary)
	if e == nil {
		e = s.drainSkipped(l)
	}
	if e == nil && ld.how.Every && len(ld.outlets) == 0 { // of two that write the same rows one is first there, and so on all shards
		e = s.run1(l, "LOCK TABLE "+ld.how.Table+" IN SHARE ROW EXCLUSIVE MODE")
	}
	if e != nil {
		return nil, s.onShardError(shard, e)
	}
	s.suspect(l, ld.q)
	s.own(l, ld.q)
	s.sentToSeveral(l)
	o := &outlet{gathered: gathered{link: l, out: sink{keep: true}}, start: -1}
	ld.outlets = append(ld.outlets, o)
	ld.byShard[shard] = o
	l.sink = &o.out
	l.send(pgwire.AppendQuery(l.conn.QueueBuffer(), string(ld.q.SQL())), reply{kind: pgwire.MsgQuery, do: skip, aloud: true})
	if e := ld.started(o); e != nil {
		return nil, e
	}
	if len(ld.head) > 0 {
		ld.give(o, ld.head)
		o.lines.add(1, 1)
	}
	return o, nil
}

// started waits until a backend asks for data.
func (ld *loader) started(o *outlet) *pgwire.Error {
	s, l := ld.s, o.link
	for l.busy() && !l.copyIn && l.lost == nil && !s.cut.Load() {
		s.stopOverdue()
		_ = l.conn.Flush()
		s.t.Wait(never, l.interest())
		s.pump(l)
	}
	switch {
	case o.out.fault != nil:
		return s.onShardError(l.shard, o.out.fault)
	case l.lost != nil:
		return s.onShardError(l.shard, l.lostFault())
	case !l.copyIn && s.cut.Load():
		return errShutdown
	case !l.copyIn:
		return errProtocol
	}
	return nil
}

// give appends data to what a shard is sent next.
func (ld *loader) give(o *outlet, p []byte) {
	b := o.link.conn.QueueBuffer()
	if o.start < 0 {
		o.start = len(b)
		b = append(b, pgwire.MsgCopyData, 0, 0, 0, 0)
	}
	o.link.conn.SetQueue(append(b, p...))
}

// send ends the messages that are open, and writes them where that is much, or everywhere.
func (ld *loader) send(all bool) {
	for _, o := range ld.outlets {
		l := o.link
		if l.lost != nil || !all && l.conn.Pending() < piled {
			continue
		}
		if o.start >= 0 {
			pgwire.SetCopyData(l.conn.QueueBuffer()[o.start:])
			o.start = -1
		}
		_ = l.conn.Flush()
	}
}

// where says where in the data something is, as a server does.
func (ld *loader) where(line int64) string {
	if ld.how.Every { // whose lines are not counted
		return "COPY " + ld.how.Name
	}
	return fmt.Sprintf("COPY %s, line %d", ld.how.Name, line)
}

// tenantFault is what is wrong with the tenant's field of the row in hand, if no server finds anything wrong with the row.
func (ld *loader) tenantFault(err error) *pgwire.Error {
	where := ld.where(ld.began + 1)
	var key *shardmap.KeyError
	switch sp := &ld.rows; {
	case errors.As(err, &key):
		e := &pgwire.Error{Code: key.SQLState(), Message: key.Error(), Where: where}
		if ld.how.Format != router.CopyBinary {
			e.Where += fmt.Sprintf(", column %s: \"%s\"", ld.how.Column, key.Value)
		}
		return e
	case sp.found && sp.null:
		return &pgwire.Error{Code: "23502", Message: fmt.Sprintf("the tenant in column %q of a row for %q is null", ld.how.Column, ld.how.Name),
			Hint: "A row of a sharded table belongs to a tenant.", Where: where + ", column " + ld.how.Column + ": null input"}
	case sp.found && sp.unsaid:
		return &pgwire.Error{Code: "0A000", Message: fmt.Sprintf("nothing says which tenant a row for %q belongs to: its column %q has the default", ld.how.Name, ld.how.Column),
			Hint: "Give the column a value in every row.", Where: where}
	}
	return &pgwire.Error{Code: "22P04", Message: "the data of the COPY cannot be read as rows from here on", Where: where}
}
