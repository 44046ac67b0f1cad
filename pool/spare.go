package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// spareTime is how long a node keeps the connection of its last control query: one statement of DDL comes soon after another, and each has
// the catalog read again. A login, and a server process that knows nothing yet, cost more than the query.
const spareTime = 2 * time.Second

// spare is a control connection that waits for the next query. Its methods may be called by anyone, and do not block but to say goodbye.
type spare struct {
	mu    sync.Mutex
	conn  *control // nil: none
	since time.Time
	ended bool // none is kept any more
}

// take gives the connection away; nil if there is none.
func (s *spare) take() *control {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn := s.conn
	s.conn = nil
	return conn
}

// put keeps a connection that is good, and closes the one that was kept.
func (s *spare) put(conn *control) {
	s.mu.Lock()
	old := s.conn
	if s.conn, s.since = conn, time.Now(); s.ended {
		s.conn, old = nil, conn
	}
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// expire closes a connection that nobody took for a while.
func (s *spare) expire(now time.Time) {
	s.mu.Lock()
	old := s.conn
	if old != nil && now.Sub(s.since) < spareTime {
		old = nil
	}
	if old != nil {
		s.conn = nil
	}
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// end closes the connection; from now on none is kept.
func (s *spare) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	if conn := s.take(); conn != nil {
		conn.close()
	}
}

// execKept is exec over the connection of the last query, if that is still there and good.
func (n *Node) execKept(ctx context.Context, sql string) (*Rows, error) {
	if conn := n.spare.take(); conn != nil {
		rows, err := n.execOn(ctx, conn, sql)
		if err == nil || answered(err) || ctx.Err() != nil {
			return rows, err
		}
	}
	conn, err := n.openControl(ctx)
	if err != nil {
		return nil, err
	}
	return n.execOn(ctx, conn, sql)
}

// execOn runs a query over a connection, which it keeps for the next or closes.
func (n *Node) execOn(ctx context.Context, conn *control, sql string) (*Rows, error) {
	rows, err := conn.query(ctx, n, sql)
	if ctx.Err() == nil && (err == nil || answered(err)) {
		n.spare.put(conn)
	} else {
		conn.close()
	}
	return rows, err
}

// answered reports whether an error is the server's answer to a query, after which the connection serves another.
func answered(err error) bool {
	var answer *pgwire.Error
	return errors.As(err, &answer) && answer.Severity != pgwire.SeverityFatal && answer.Severity != pgwire.SeverityPanic
}
