package proxy

import (
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// Usage is what the clients of one database have done. All of it only grows.
type Usage struct {
	Transactions    int64 // ended, those of one statement included
	TransactionTime time.Duration
	Received, Sent  int64 // bytes of clients, and to them
	Parses          int64 // statements that clients prepared by the protocol
	BackendParses   int64 // statements that backends were told for that
	Binds           int64

	Statements    int64 // answered by backends, each of them counted
	StatementTime time.Duration
	Acquired      int64 // backends that sessions were given
	Waited        time.Duration
}

// plus is the sum of two.
func (u Usage) plus(o Usage) Usage {
	u.add(&o)
	return u
}

func (u *Usage) add(o *Usage) {
	u.Transactions += o.Transactions
	u.TransactionTime += o.TransactionTime
	u.Received += o.Received
	u.Sent += o.Sent
	u.Parses += o.Parses
	u.BackendParses += o.BackendParses
	u.Binds += o.Binds
	u.Statements += o.Statements
	u.StatementTime += o.StatementTime
	u.Acquired += o.Acquired
	u.Waited += o.Waited
}

// since is what was done after an earlier moment.
func (u Usage) since(o Usage) Usage {
	return u.plus(Usage{
		-o.Transactions, -o.TransactionTime, -o.Received, -o.Sent, -o.Parses, -o.BackendParses, -o.Binds,
		-o.Statements, -o.StatementTime, -o.Acquired, -o.Waited,
	})
}

// work is what a session counts as it goes. It costs a statement no more than additions: others see it when a transaction ends.
type work struct {
	parses, backendParses, binds int64 // as in Usage

	began task.Moment // the first statement of the open transaction; 0: there was none
	ended task.Moment // the last one's answer
}

// statement notes the time of a statement that is over.
func (w *work) statement(t *timing) {
	if t.began == 0 {
		return
	}
	if w.began == 0 {
		w.began = t.began
	}
	w.ended = t.began + task.Moment(t.took)
}

// countTransaction counts the transaction that has ended, and shows others what the session has done.
func (s *session) countTransaction() {
	if w := &s.work; w.began != 0 {
		took := time.Duration(w.ended - w.began)
		w.began = 0
		s.showWork(1, took)
	}
}

// showWork shows others what the session has done, with so many transactions that have ended since.
func (s *session) showWork(transactions int64, took time.Duration) {
	received, sent := s.client.Traffic()
	s.mu.Lock()
	u, w := &s.shown.usage, &s.work
	u.Transactions += transactions
	u.TransactionTime += took
	u.Received, u.Sent = int64(received), int64(sent)
	u.Parses, u.BackendParses, u.Binds = w.parses, w.backendParses, w.binds
	s.shown.statements = len(s.statements)
	s.mu.Unlock()
}

// shownWork is what others see of a session's work.
type shownWork struct {
	usage      Usage
	statements int // prepared by the client, with a name
}

// usages keeps the sum of what sessions have done that are gone, and what all had done at two moments.
type usages struct {
	gone map[string]*Usage // guarded by the server's mutex

	mu             sync.Mutex // guards what follows
	before, latest usageAt
}

// goneOf is the sum for a database. The caller holds the server's mutex, also while it changes it.
func (u *usages) goneOf(database string) *Usage {
	gone := u.gone[database]
	if gone == nil {
		if u.gone == nil {
			u.gone = map[string]*Usage{}
		}
		gone = new(Usage)
		u.gone[database] = gone
	}
	return gone
}

// usageAt is what was done up to a moment, by database.
type usageAt struct {
	at  time.Time
	all map[string]Usage
}

// usagePeriod is the time that averages are of.
const usagePeriod = time.Minute

// Usage is what has been done since the server was made, by database.
func (s *Server) Usage() map[string]Usage {
	s.mu.Lock()
	all := make(map[string]Usage, len(s.usages.gone))
	for name, gone := range s.usages.gone {
		all[name] = *gone
	}
	sessions := s.sessions.list()
	s.mu.Unlock()
	for _, ss := range sessions {
		if d := ss.database(); d != nil {
			ss.mu.Lock()
			shown := ss.shown.usage
			ss.mu.Unlock()
			all[d.Name()] = all[d.Name()].plus(shown)
		}
	}
	for key, m := range s.metrics.Meters() {
		_, _, count, sum := m.Statements.Snapshot()
		all[key.Database] = all[key.Database].plus(Usage{Statements: int64(count), StatementTime: time.Duration(sum * float64(time.Second))})
	}
	for name, d := range s.Databases() {
		for _, n := range d.cluster.Stats() {
			all[name] = all[name].plus(Usage{Acquired: int64(n.Counts.Acquired), Waited: n.Counts.Waited})
		}
	}
	return all
}

// RecentUsage is what was done within the last whole period, which is a minute, and how long that was. Before the first one is over
// it is what was done up to now.
func (s *Server) RecentUsage() (all map[string]Usage, period time.Duration) {
	u := &s.usages
	u.mu.Lock()
	before, latest := u.before, u.latest
	u.mu.Unlock()
	if before.at.IsZero() {
		before, latest = latest, usageAt{time.Now(), s.Usage()}
	}
	all = map[string]Usage{}
	for name, now := range latest.all {
		all[name] = now.since(before.all[name])
	}
	return all, latest.at.Sub(before.at)
}

// noteUsage ends a period of RecentUsage.
func (s *Server) noteUsage(now time.Time) {
	next := usageAt{now, s.Usage()}
	u := &s.usages
	u.mu.Lock()
	defer u.mu.Unlock()
	u.before, u.latest = u.latest, next
}

// keepUsage notes once a period what has been done, until Shutdown.
func (s *Server) keepUsage() {
	tick := time.NewTicker(usagePeriod)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			s.noteUsage(now)
		}
	}
}
