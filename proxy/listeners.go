package proxy

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// listeners are the backends of a database that LISTEN for its sessions: one for each shard that somebody listens on, and one more
// for each client encoding but the first. They own their tasks; close waits for them.
type listeners struct {
	db    *Database
	group sync.WaitGroup

	mu     sync.Mutex // guards what follows, and what listener and ear say it guards; tasks are woken under it
	byKey  map[listenerKey]*listener
	ears   map[*ear]struct{}
	closed bool
}

// listenerKey says which sessions a listener is for: the server sends what it hears in their encoding.
type listenerKey struct{ shard, encoding string }

// topic is a channel and the tenant on whose shard it is listened to; without a tenant, on all shards that own partitions.
type topic struct {
	channel string
	tenant  shardmap.Key
}

// pending is the answer from which on a subscription is in force whose transaction is open: none.
const pending = math.MaxUint64

func (ls *listeners) init(d *Database) {
	ls.db, ls.byKey, ls.ears = d, map[listenerKey]*listener{}, map[*ear]struct{}{}
}

// close ends all listeners and waits for their tasks. No session may be left.
func (ls *listeners) close() {
	ls.mu.Lock()
	ls.closed = true
	for _, l := range ls.byKey {
		l.end("PgDrover is stopping.")
	}
	ls.mu.Unlock()
	ls.group.Wait()
}

// listenTo makes topics what e listens to, those with false only once e's transaction is committed, and notes which answers e has to
// wait for.
func (ls *listeners) listenTo(e *ear, topics map[topic]bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	e.topics = topics
	ls.ears[e] = struct{}{}
	ls.place(e)
}

// leave ends all that e listens to.
func (ls *listeners) leave(e *ear) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l, channels := range e.subs {
		for ch := range channels {
			l.remove(e, ch)
		}
	}
	for l := range e.tickets {
		delete(l.waiting, e)
	}
	delete(ls.ears, e)
	e.inbox, e.size = nil, 0
}

// place subscribes e to what its topics mean by the placement in force. With ls.mu held.
func (ls *listeners) place(e *ear) {
	p := ls.db.place.Load()
	wanted := map[*listener]map[string]bool{}
	for t, inForce := range e.topics {
		for _, shard := range p.listenedShards(t.tenant) {
			l := ls.listener(p, shard, e.encoding)
			if wanted[l] == nil {
				wanted[l] = map[string]bool{}
			}
			wanted[l][t.channel] = wanted[l][t.channel] || inForce
		}
	}
	for l, channels := range e.subs {
		for ch := range channels {
			if _, still := wanted[l][ch]; !still {
				l.remove(e, ch)
			}
		}
	}
	for l, channels := range wanted {
		for ch, inForce := range channels {
			if ticket := l.add(e, ch, inForce); ticket != 0 {
				e.tickets[l] = ticket
			}
		}
	}
	e.subs = wanted
}

// listenedShards are the shards where what concerns a tenant is notified.
func (p *placement) listenedShards(tenant shardmap.Key) []int {
	if !tenant.IsZero() {
		return []int{p.shards.Locate(tenant)}
	}
	var list []int
	for i := range p.shards.ShardCount() {
		if p.shards.Shard(i).Owned > 0 || i == p.home() {
			list = append(list, i)
		}
	}
	return list
}

// listener is the listener of a shard and an encoding, made when it is not there. With ls.mu held.
func (ls *listeners) listener(p *placement, shard int, encoding string) *listener {
	key := listenerKey{p.shards.Shard(shard).Name, encoding}
	if l := ls.byKey[key]; l != nil {
		return l
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{of: ls, key: key, node: p.nodes.Primary(shard), t: task.New(), stop: stop, subs: map[string]map[*ear]uint64{},
		owners: map[uint32]*ear{}, waiting: map[*ear]struct{}{}, listened: map[string]bool{}, changed: map[string]bool{}}
	nodes := p.nodes
	l.open = func() (*pool.Backend, error) { return nodes.Open(ctx, shard) }
	if ls.closed {
		l.end("PgDrover is stopping.")
		return l
	}
	ls.byKey[key] = l
	ls.group.Go(l.run)
	return l
}

// follow takes over a placement that has been put in force. Whoever listens on a shard that has another primary now is told that
// its listener is lost.
func (ls *listeners) follow() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	p := ls.db.place.Load()
	for _, l := range ls.byKey {
		if i, ok := p.shards.ShardByName(l.key.shard); ok && p.nodes.Primary(i) != l.node {
			l.end("The shard has another primary now.")
			for e := range ls.ears {
				delete(e.subs, l)
			}
		}
	}
	for e := range ls.ears {
		ls.place(e)
	}
}

// caughtUp waits until all listeners have done what they were asked for so far, or cannot, or until it has taken long.
func (ls *listeners) caughtUp(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	asked := map[*listener]uint64{}
	ls.mu.Lock()
	for _, l := range ls.byKey {
		asked[l] = l.asked
	}
	ls.mu.Unlock()
	for until := time.Now().Add(followTime); time.Now().Before(until); {
		ls.mu.Lock()
		done := true
		for l, ticket := range asked {
			done = done && max(l.answered, l.failed) >= ticket
		}
		ls.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// own notes that what a backend notifies from now on is e's, until disown. It returns nil if e does not listen there. With known
// false, what others have notified by that backend may be still to be heard: then e has to wait for an answer first, and own is to
// be called again with true.
func (ls *listeners) own(e *ear, shard string, b *pool.Backend, known bool) (of *listener, wait bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[listenerKey{shard, e.encoding}]
	if l == nil || l.node != b.Node() || e.subs[l] == nil {
		return nil, false
	}
	if !known {
		e.tickets[l] = l.question()
		return l, true
	}
	l.owners[b.PID] = e
	return l, false
}

// disown ends own.
func (ls *listeners) disown(e *ear, l *listener, pid uint32) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.owners[pid] == e {
		delete(l.owners, pid)
	}
}

// askAgain has e wait for one more answer of each of its listeners: after that it has heard what was committed before the question. With
// begins, its next transaction begins with the question.
func (ls *listeners) askAgain(e *ear, begins bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range e.subs {
		e.tickets[l] = l.question()
	}
	if begins {
		clear(e.began)
		maps.Copy(e.began, e.tickets)
	}
}

// giveUp has e wait for no answer any more.
func (ls *listeners) giveUp(e *ear) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	clear(e.tickets)
}

// answered reports whether e has got all answers that it waits for. An error says that one will not come; e waits for none then.
func (ls *listeners) answered(e *ear) (bool, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var fault error
	for l, ticket := range e.tickets {
		switch {
		case l.answered >= ticket:
			delete(e.tickets, l)
		case l.failed >= ticket:
			fault = l.fault
		default:
			l.waiting[e] = struct{}{}
		}
	}
	if fault != nil {
		clear(e.tickets)
	}
	return len(e.tickets) == 0, fault
}

// channels are the channels that l has to LISTEN to and does not, and the other way round. With of.mu held.
func (l *listener) channels() (more, less []string) {
	for ch := range l.changed {
		switch wanted := l.subs[ch] != nil; {
		case wanted && !l.listened[ch]:
			more = append(more, ch)
		case !wanted && l.listened[ch]:
			less = append(less, ch)
		}
	}
	clear(l.changed)
	slices.Sort(more)
	slices.Sort(less)
	return more, less
}
