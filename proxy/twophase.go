package proxy

import (
	"context"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// resolveTime bounds how long a client waits to hear how its transaction ended when the connection is lost that was committing it.
const resolveTime = 10 * time.Second

// commitJoint commits on all backends that have written, or on none: the first writer's own commit decides, and the others are
// prepared for either before. Readers follow. It returns what the client is told if nothing is committed, or if nobody knows.
func (s *session) commitJoint(writers, readers []*link) *pgwire.Error {
	first, others := firstWriter(writers)
	end := &jointEnd{s: s, joint: newJoint(s.db.recovery.name, s.place.shards.Shard(first.link.shard).Name), first: first, others: others}
	s.db.recovery.take(end.joint)
	defer s.db.recovery.leave(end.joint)
	e := end.prepare()
	if e == nil {
		e = end.decide()
	} else {
		end.undo()
	}
	for _, l := range readers {
		if e == nil {
			s.endOn(l, "COMMIT")
		} else {
			s.endOn(l, "ROLLBACK")
		}
	}
	switch {
	case e == nil:
		s.db.recovery.commits.Add(1)
	case e.Code != outcomeUnknown:
		s.db.recovery.rollbacks.Add(1)
	}
	return e
}

// outcomeUnknown is the SQLSTATE "transaction resolution unknown".
const outcomeUnknown = "08007"

// firstWriter chooses the writer that commits and decides, without being prepared: one that has what cannot be prepared, if any, else the
// first that joined.
func firstWriter(writers []*link) (first *writer, others []*writer) {
	chosen := 0
	for i, l := range writers {
		if l.hold|l.gained != 0 {
			chosen = i
			break
		}
	}
	for i, l := range writers {
		if i != chosen {
			others = append(others, &writer{gathered: gathered{link: l}})
		}
	}
	return &writer{gathered: gathered{link: writers[chosen]}}, others
}

// writer is a backend's part in the end of a joint transaction.
type writer struct {
	gathered
	gid      string
	prepared bool // or it may be
}

// jointEnd is the end of one joint transaction, step by step.
type jointEnd struct {
	s      *session
	joint  *joint
	first  *writer
	others []*writer
}

// tell sends each writer a Query of its own and waits for all. A zero deadline is none.
func (e *jointEnd) tell(ws []*writer, deadline time.Time, text func(*writer) string) {
	all := make([]gathered, len(ws))
	for i, w := range ws {
		all[i] = gathered{link: w.link, out: sink{keep: true}}
	}
	for i := range all {
		g := &all[i]
		if g.link.lost != nil || g.link.backend == nil {
			continue
		}
		g.link.sink = &g.out
		g.link.sendQuery(text(ws[i]))
		_ = g.link.conn.Flush()
	}
	e.s.gather(all, deadline)
	for i := range all {
		ws[i].out = all[i].out
	}
}

// prepare has the first writer look whether it could commit, and the others prepare for it, while the first notes the decision, which
// its commit makes.
func (e *jointEnd) prepare() *pgwire.Error {
	s := e.s
	if fault := s.drainAll(e); fault != nil {
		return fault
	}
	e.tell([]*writer{e.first}, time.Time{}, func(*writer) string {
		return "SET CONSTRAINTS ALL IMMEDIATE;SELECT pg_catalog.pg_current_xact_id()"
	})
	if e.first.out.fault != nil {
		return s.onShardError(e.first.link.shard, e.first.out.fault)
	}
	xid, err := firstValue(e.first.out.frames)
	if err != nil || !decimal(string(xid)) {
		return clientError(err)
	}
	e.joint.xid = string(xid)
	for _, w := range e.others {
		w.gid = e.joint.gid(s.place.shards.Shard(w.link.shard).Name, s.db.Name())
	}
	e.tell(append([]*writer{e.first}, e.others...), time.Time{}, e.preparing)
	for _, w := range e.others {
		w.prepared = w.out.fault == nil || w.link.lost != nil || w.link.busy()
	}
	return e.fault()
}

// preparing is what a writer is told before the decision. A part that is prepared belongs to the role that the backend logged in as, so that
// the recovery may end it, whatever SET ROLE has made of the session.
func (e *jointEnd) preparing(w *writer) string {
	if w == e.first {
		return "SELECT pgdrover.decide(" + quoteLiteral(e.joint.secret) + ")"
	}
	return "SET CONSTRAINTS ALL IMMEDIATE;SET LOCAL SESSION AUTHORIZATION DEFAULT;" +
		"SELECT pg_catalog.set_config('synchronous_commit','on',true) WHERE pg_catalog.current_setting('synchronous_commit') IN ('off','local');" +
		"PREPARE TRANSACTION " + quoteLiteral(w.gid)
}

// fault is the first error of the writers, those that are to be prepared before the first writer.
func (e *jointEnd) fault() *pgwire.Error {
	for _, w := range append(e.others[:len(e.others):len(e.others)], e.first) {
		if w.out.fault == nil {
			continue
		}
		fault := e.s.onShardError(w.link.shard, w.out.fault)
		if w == e.first {
			return undecidable(fault)
		}
		return fault
	}
	return nil
}

// undecidable says what it means that the first writer could not decide.
func undecidable(fault *pgwire.Error) *pgwire.Error {
	switch fault.Code {
	case "3F000", "42883":
		fault.Hint = "two_phase_commit keeps its decisions there: run \"pgdrover install two-phase\""
	case "23505":
		return &pgwire.Error{Code: "40000", Message: "the transaction was rolled back, since it took too long to be prepared", Detail: fault.Detail,
			Hint: "Repeat it. The recovery of another PgDrover has taken it for one that nobody commits any more."}
	}
	return fault
}

// undo rolls back all parts, none of which is committed.
func (e *jointEnd) undo() {
	s := e.s
	e.keptSettings()
	for _, w := range append([]*writer{e.first}, e.others...) {
		l := w.link
		if l.lost == nil && l.status != 'I' {
			s.endOn(l, "ROLLBACK")
		}
	}
	e.finish(rolledBack)
}

// keptSettings notes that backends have for good what the transaction has SET there, since PREPARE keeps that whatever follows.
func (e *jointEnd) keptSettings() {
	for _, w := range e.others {
		if w.prepared {
			w.link.before = nil
		}
	}
}

// decide commits the first writer's part, and with it the decision; then the others'.
func (e *jointEnd) decide() *pgwire.Error {
	s, l := e.s, e.first.link
	e.tell([]*writer{e.first}, time.Now().Add(commitTime), func(*writer) string { return "COMMIT" })
	fault := e.first.out.fault
	switch {
	case fault == nil && l.status == 'I' && e.first.out.tag == "COMMIT":
	case l.lost == nil && !l.busy(): // the server says that it is not committed
		if fault == nil {
			fault = errNotCommitted
		}
		e.undo()
		return s.onShardError(l.shard, fault)
	default:
		as := e.resolve()
		if as == rolledBack {
			e.undo()
			return s.onShardError(l.shard, fault)
		}
		if as == undecided {
			s.settle(false)
			e.keptSettings()
			s.db.recovery.soon()
			return e.unknown(fault)
		}
	}
	e.finish(committed)
	return nil
}

// errNotCommitted is what a server means that answers COMMIT with ROLLBACK.
var errNotCommitted = &pgwire.Error{Code: "40000", Message: "the transaction was rolled back by the server"}

// finish ends what is prepared as decided. What cannot be ended now, the recovery ends.
func (e *jointEnd) finish(as decision) {
	var prepared []*writer
	for _, w := range e.others {
		if w.prepared {
			e.s.backToLogin(w.link)
			prepared = append(prepared, w)
		}
	}
	if len(prepared) == 0 {
		return
	}
	e.tell(prepared, time.Now().Add(commitTime), func(w *writer) string { return as.verb(w.gid) })
	for _, w := range prepared {
		lost := w.link.lost != nil || w.link.busy()
		if fault := w.out.fault; lost || fault != nil && fault.Code != "42704" {
			e.s.log().Warn("a prepared transaction is left for the recovery", "database", e.s.db.Name(), "gid", w.gid, "outcome", as.String())
			e.s.db.recovery.leave(e.joint)
			e.s.db.recovery.soon()
		}
	}
}

// backToLogin has a backend be the role that it logged in as, which may end what is prepared.
func (s *session) backToLogin(l *link) {
	if l.lost != nil {
		return
	}
	if has := l.notes.settings; has != nil {
		_, role := has.lookup("role")
		_, authorized := has.lookup("session_authorization")
		if !role && !authorized {
			return
		}
	}
	l.notes.settings, l.before = nil, nil
	s.drainSkipped(l)
	l.sendQuery("SET SESSION AUTHORIZATION DEFAULT")
}

// resolve finds out whether the first writer's part is committed, if that can be had in time.
func (e *jointEnd) resolve() (as decision) {
	e.s.t.Await(func() {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
		defer cancel()
		for as == undecided && ctx.Err() == nil {
			var err error
			if as, err = e.s.db.decide(ctx, e.joint, 0); err != nil {
				time.Sleep(resolvePause)
			}
		}
	})
	return as
}

// resolvePause is between two questions to a shard that does not answer.
const resolvePause = 100 * time.Millisecond

// unknown is what the client is told when nobody knows.
func (e *jointEnd) unknown(cause *pgwire.Error) *pgwire.Error {
	told := &pgwire.Error{Code: outcomeUnknown, Message: "it is not known whether the transaction was committed", Detail: "The connection to shard " +
		e.joint.first + " was lost while it was committing.", Hint: "It is committed on all shards or on none, as soon as shard " + e.joint.first +
		" answers. There, \"SELECT committed FROM pgdrover.decision WHERE id = '" + e.joint.id + "'\" says which: no row is a rollback."}
	if cause != nil {
		told.Detail += " " + cause.Message + "."
	}
	for _, w := range e.others {
		told.Detail += "\nPrepared on shard " + e.s.place.shards.Shard(w.link.shard).Name + ": " + w.gid
	}
	return told
}

// drainAll waits for the replies to what the session itself has sent to the writers.
func (s *session) drainAll(e *jointEnd) *pgwire.Error {
	for _, w := range append([]*writer{e.first}, e.others...) {
		if fault := s.drainSkipped(w.link); fault != nil {
			return s.onShardError(w.link.shard, fault)
		}
	}
	return nil
}
