package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// A control query often follows another: each statement of DDL has the catalog read again, and in a storm of logins one user after the
// other is looked up. A login, and a server process that knows nothing yet, cost about half of such a query.
const (
	spareIdle = 2 * time.Second // how long a connection waits for the next query
	spareLife = time.Minute     // how old it becomes
	spareMost = 8               // connections to one node that are kept
)

// spares are the control connections of a cluster that wait for the next query. Its methods may be called by anyone, and do not block but
// to say goodbye.
type spares struct {
	mu    sync.Mutex
	kept  map[identity][]*control
	ended bool // none is kept any more
}

// take gives away the connection to a node that was used last; nil if there is none.
func (s *spares) take(id identity) *control {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.kept[id]
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	s.kept[id] = all[:len(all)-1]
	return last
}

// put keeps a connection that is good, or closes it.
func (s *spares) put(id identity, conn *control) {
	now := time.Now()
	conn.since = now
	s.mu.Lock()
	keep := !s.ended && len(s.kept[id]) < spareMost && now.Sub(conn.born) < spareLife
	if keep {
		if s.kept == nil {
			s.kept = map[identity][]*control{}
		}
		s.kept[id] = append(s.kept[id], conn)
	}
	s.mu.Unlock()
	if !keep {
		conn.close()
	}
}

// expire closes the connections that nobody has taken for a while.
func (s *spares) expire(now time.Time) {
	s.closeIf(func(c *control) bool { return now.Sub(c.since) >= spareIdle })
}

// end closes all; from now on none is kept.
func (s *spares) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.closeIf(func(*control) bool { return true })
}

func (s *spares) closeIf(over func(*control) bool) {
	var closing []*control
	s.mu.Lock()
	for id, all := range s.kept {
		s.kept[id] = slices.DeleteFunc(all, func(c *control) bool {
			if over(c) {
				closing = append(closing, c)
				return true
			}
			return false
		})
		if len(s.kept[id]) == 0 {
			delete(s.kept, id)
		}
	}
	s.mu.Unlock()
	for _, c := range closing {
		c.close()
	}
}

// readyControl is a control connection as a login would leave it: a kept one on which everything is discarded, or a new one.
func (n *Node) readyControl(ctx context.Context) (*control, error) {
	for conn := n.cluster.spares.take(n.id); conn != nil; conn = n.cluster.spares.take(n.id) {
		if conn.cleanse(ctx, n.cluster.cfg.ProbeTimeout) == nil {
			return conn, nil
		}
		conn.close()
	}
	return n.openControl(ctx)
}

// cleanse discards what the query before has left in its session. It fails where the connection has broken meanwhile.
func (c *control) cleanse(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := c.run(ctx, "DISCARD ALL")
	return errors.Join(err, ctx.Err())
}

// answered reports whether an error is the server's answer to a query, after which the connection serves another.
func answered(err error) bool {
	var answer *pgwire.Error
	return errors.As(err, &answer) && answer.Severity != pgwire.SeverityFatal && answer.Severity != pgwire.SeverityPanic
}
