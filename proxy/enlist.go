package proxy

import (
	"slices"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// enlist gives the session a backend for a route: one that it has already, or one of the pool, with the session's settings in
// force there and, inside a transaction, with the transaction begun.
func (s *session) enlist(r *router.Route) (*link, *pgwire.Error) {
	shard := s.shardFor(r)
	if s.tx.open {
		if e := s.mayJoin(shard, r); e != nil {
			return nil, e
		}
	}
	return s.join(shard, s.role(r))
}

// role is where a statement may run.
func (s *session) role(r *router.Route) pool.Role {
	if r.Write || !s.db.options().Replicas {
		return pool.Primary
	}
	return s.roleOfRead()
}

// roleOfRead is role for a read, where there are replicas.
func (s *session) roleOfRead() pool.Role {
	if s.mode == ModeSession || s.tx.open && !s.tx.readOnly {
		return pool.Primary
	}
	if !s.stickyUntil.IsZero() && s.t.Now().Before(s.stickyUntil) {
		return pool.Primary
	}
	return pool.Replica
}

// join is enlist for a shard that the transaction may have.
func (s *session) join(shard int, role pool.Role) (*link, *pgwire.Error) {
	var l *link
	var e *pgwire.Error
	if len(s.links) > 0 {
		l, e = s.joined(shard, role)
	}
	if l == nil && e == nil {
		l, e = s.acquire(shard, role, nil)
	}
	if e != nil {
		return nil, e
	}
	if s.mode == ModeSession && l.hold != 0 && s.direct() {
		return l, nil // what is in force there is what the client made of it
	}
	if e := s.prepareLink(l); e != nil {
		return nil, e
	}
	s.keepLink(l)
	return l, nil
}

// joined is join for a backend that the session has already, nil if it has none.
func (s *session) joined(shard int, role pool.Role) (*link, *pgwire.Error) {
	l := s.linkTo(shard, role)
	if l != nil && s.db.orders.paused.Load() != nil {
		e := s.mayBegin()
		s.acquiring.Store(false)
		return l, e
	}
	return l, nil
}

// shardFor is the shard of a route; any shard will do for some, and then the one in use is best.
func (s *session) shardFor(r *router.Route) int {
	if r.Kind == router.Single {
		s.lastShard = r.Shard
		return r.Shard
	}
	return s.anyShard()
}

// anyShard is the shard in use, or else the one that was last.
func (s *session) anyShard() int {
	for _, l := range s.links {
		if l.owned {
			return l.shard
		}
	}
	if len(s.links) > 0 {
		return s.links[0].shard
	}
	if s.lastShard >= s.place.shards.ShardCount() || s.place.shards.Shard(s.lastShard).Owned == 0 {
		s.lastShard = s.place.home()
	}
	return s.lastShard
}

// linkTo is the link that the session has to a shard and that may serve a role.
func (s *session) linkTo(shard int, role pool.Role) *link {
	for _, l := range s.links {
		if l.shard == shard && l.lost == nil && (l.role == role || l.role == pool.Primary) {
			return l
		}
	}
	return nil
}

// mayJoin says why a statement may not run in the open transaction on a shard; nil if it may. DDL and writes to reference tables
// do not ask.
func (s *session) mayJoin(shard int, r *router.Route) *pgwire.Error {
	if !s.tx.open {
		return nil
	}
	for _, l := range s.links {
		if l.status == 'I' || l.lost != nil || l.shard == shard {
			continue
		}
		other, this := s.place.shards.Shard(l.shard).Name, s.place.shards.Shard(shard).Name
		switch {
		case s.tx.strict != "":
			return &pgwire.Error{Code: "0A000", Message: "a " + s.tx.strict + " transaction cannot span shards",
				Detail: "It has begun on shard " + other + ", and this statement belongs to shard " + this + "; there is no common snapshot.",
				Hint:   "use READ COMMITTED, or one transaction for each tenant"}
		case r.Write && l.owned && s.db.options().TwoPhase:
			s.tx.joint = true
		case r.Write && l.owned && !s.tx.joint:
			return &pgwire.Error{Code: "0A000", Message: "a transaction cannot write on several shards",
				Detail: "It has written on shard " + other + ", and this statement writes on shard " + this + ".",
				Hint:   "use one transaction for each tenant, or have commits over shards made atomic: \"two_phase_commit: on\" in pgdrover.yaml"}
		}
	}
	return nil
}

// acquire waits for a backend in the pool's queue. The client hears of a failure and stays connected. errQueued says that the turn ends to wait; in
// the next one the call is made again.
func (s *session) acquire(shard int, role pool.Role, not *pool.Node) (*link, *pgwire.Error) {
	if s.queued != nil {
		return s.acquireQueued(shard, role, not)
	}
	if e := s.mayBegin(); e != nil {
		return nil, e
	}
	l := s.spareLink()
	q := &l.req
	q.Exclude = not
	q.Affinity, q.Likeness, q.Wait = s.settings.id, s.settings.like, s.limits.Load().QueryWait
	b, err := s.nodes.Acquire(q, shard, role)
	switch {
	case err != nil:
		return nil, s.unserved(l, err)
	case b != nil:
		return s.use(l, b, shard, role, not)
	}
	s.beginQueue()
	if s.queuesLater(l) {
		return nil, errQueued
	}
	s.queued = l
	return s.acquireQueued(shard, role, not)
}

// acquireQueued is acquire for a session that is in the pool's queue, for the backend of which the turn may have ended.
func (s *session) acquireQueued(shard int, role pool.Role, not *pool.Node) (*link, *pgwire.Error) {
	l := s.queued
	s.queued = nil
	b, err := s.queue(l)
	if err != nil {
		return nil, s.unserved(l, err)
	}
	return s.use(l, b, shard, role, not)
}

// unserved says why the pool gave no backend to l.
func (s *session) unserved(l *link, err error) *pgwire.Error {
	s.acquiring.Store(false)
	s.keepSpare(l)
	return s.noBackend(err)
}

// use makes a backend that the pool gave the session's.
func (s *session) use(l *link, b *pool.Backend, shard int, role pool.Role, not *pool.Node) (*link, *pgwire.Error) {
	s.acquiring.Store(false)
	n := s.notesOf(b)
	if n.alone != 0 && n.alone != s.key.pid {
		n.alone = 0
	}
	l.backend, l.conn, l.notes, l.before = b, b.Conn, n, n.settings
	l.shard, l.role, l.status = shard, b.Role(), 'I'
	s.mu.Lock()
	s.links = append(s.links, l)
	s.mu.Unlock()
	if s.mode != ModeSession {
		return l, nil
	}
	if n.temporary { // a server tells by that whether the first temporary table hides another
		s.destroy(l, "others had temporary tables there")
		return s.acquire(shard, role, not)
	}
	if s.direct() {
		s.db.senders.add(processOf(b), s.key.pid)
	}
	return l, nil
}

func (s *session) spareLink() *link {
	l := s.spare
	if l == nil {
		l = &link{}
		l.reset()
	}
	s.spare, l.next = l.next, nil
	l.req.Notify, l.req.Task = s.t, s.t
	return l
}

// beginQueue notes that the wait in the pool's queue begins.
func (s *session) beginQueue() {
	s.cancelled.Store(false)
	s.beginWait()
	s.timing.queued = s.t.Moment()
}

// queue waits until the pool serves the request, its time is over, or the client cancels.
func (s *session) queue(l *link) (*pool.Backend, error) {
	defer func() {
		s.waiting.Store(false)
		s.timing.waited += time.Duration(s.t.Moment() - s.timing.queued)
	}()
	for {
		b, err, done := l.req.Take()
		if done {
			return b, err
		}
		if s.cancelled.Swap(false) {
			l.req.Cancel()
			return nil, errCancelled
		}
		if s.cut.Load() {
			l.req.Cancel()
			return nil, errShutdown
		}
		if s.t.Wait(l.req.Deadline()) {
			return nil, l.req.Expire()
		}
	}
}

// beginWait says that the session waits for others from now on.
func (s *session) beginWait() time.Time {
	now := s.t.Now()
	s.waitingSince.Store(now.UnixNano())
	s.waiting.Store(true)
	return now
}

// release gives a backend back, clean.
func (s *session) release(l *link) {
	if l.unsure && !s.cleanse(l) {
		s.destroy(l, "could not be cleaned")
		return
	}
	b := l.backend
	b.Affinity, b.Likeness = 0, 0
	if l.notes.settings != nil {
		b.Affinity, b.Likeness = l.notes.settings.id, l.notes.settings.like
	}
	s.unlink(l)
	b.Release()
}

// destroy closes a backend.
func (s *session) destroy(l *link, reason string) {
	b := l.backend
	s.unlink(l)
	b.Destroy(reason)
}

func (s *session) unlink(l *link) {
	if l.owner.of != nil || s.mode == ModeSession {
		s.notSender(l)
	}
	s.mu.Lock()
	if len(s.links) == 1 && s.links[0] == l {
		s.links[0] = nil
		s.links = s.links[:0]
	} else {
		s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
	}
	s.mu.Unlock()
	if s.batch.link == l {
		s.batch.link = nil
	}
	l.reset()
	s.keepSpare(l)
}

// keepSpare keeps a link that is not in use for the next time.
func (w *scratch) keepSpare(l *link) { w.spare, l.next = l, w.spare }

// notSender says that what a backend notifies from now on is not the session's.
func (s *session) notSender(l *link) {
	s.disown(l)
	if s.mode == ModeSession {
		s.db.senders.remove(processOf(l.backend))
	}
}

// prepareLink puts the session's settings in force on a backend and begins the transaction there, if one is open.
func (s *session) prepareLink(l *link) *pgwire.Error {
	if l.status == 'E' {
		return nil
	}
	if l.notes.settings != s.settings && !s.settingsInForce(l) {
		if e := s.sendSettings(l); e != nil {
			return e
		}
	}
	if s.tx.open && l.status == 'I' && s.batch.link != l {
		for _, e := range s.tx.prelude {
			l.sendQuery(e.sql)
		}
		l.status = 'T'
		l.before = l.notes.settings
	}
	if l.notes.params != s.reported {
		s.report(l.notes.params)
	}
	return nil
}

func (s *session) settingsInForce(l *link) bool {
	return l.notes.settings != nil && l.notes.settings.same(s.settings)
}

// sendSettings changes a backend's settings to the session's and waits for the result: a statement must not run under
// settings that are not in force.
func (s *session) sendSettings(l *link) *pgwire.Error {
	if s.batch.link == l && l.busy() {
		return nil // in the middle of an implicit transaction, what was SET there is in force there
	}
	if l.status == 'I' && s.nameOnly(l) {
		s.sendName(l)
		return nil
	}
	var out sink
	l.noteCustoms(s.settings)
	l.sendQuery(changeSQL(l.notes.settings, s.settings))
	l.notes.settings = nil
	s.command(l, &out, time.Now().Add(commitTime))
	if out.fault != nil {
		if l.lost == nil {
			l.lost = out.fault
		}
		s.sweep()
		return out.fault
	}
	l.notes.settings = s.settings
	if l.status == 'I' {
		l.before = s.settings
	}
	return nil
}
