package pool

import "context"

// Open makes a backend of a shard's primary that is none of the pool's, for who listens there: it does not count against Size, nobody
// can acquire it, and it has no lifetime. It is the caller's until Close. An error is an *Error. Open blocks, for ConnectTimeout at most.
func (t *Topology) Open(ctx context.Context, shard int) (*Backend, error) {
	n := t.shards[shard].primary.node
	attempt, cancel := context.WithTimeout(ctx, n.cluster.cfg.ConnectTimeout)
	defer cancel()
	b, err := n.dial(attempt)
	if err != nil {
		ring(n.check)
		return nil, n.faultOf(err).err
	}
	n.mu.Lock()
	closed := n.closed
	if !closed {
		b.state = apart
		n.apart[b] = struct{}{}
		n.cluster.live.Add(1)
	}
	n.mu.Unlock()
	if closed {
		b.terminate()
		return nil, n.gone()
	}
	return b, nil
}

// Close ends a backend that Open has made.
func (b *Backend) Close() {
	n := b.node
	n.mu.Lock()
	if b.state != apart {
		n.mu.Unlock()
		panic("pool: Close of a backend that Open has not made") // a programmer's mistake
	}
	b.state = dead
	delete(n.apart, b)
	n.mu.Unlock()
	failed := b.Conn.ReadErr() != nil || b.Conn.WriteErr() != nil
	b.terminate()
	n.cluster.lost()
	if failed {
		ring(n.check)
	}
}
