package pool

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Why the pool ends the two backends of an exchange.
const (
	reasonExchanged = "exchanged" // another took its place
	reasonOwn       = "own"       // it was logged in for its holder alone
)

// Exchange logs in once more, with run-time parameters besides those of the pool, as replication=database is one, and gives b up for
// the backend that comes of it: that one has b's place in the pool and b's holder, and nobody else will ever have it. It blocks, for
// the node's ConnectTimeout at most; only b's holder may call it.
//
// After an error b is held as before. What the server said to the login is a *pgwire.Error; anything else is an *Error.
func (b *Backend) Exchange(ctx context.Context, params map[string]string) (*Backend, error) {
	n := b.node
	attempt, cancel := context.WithTimeout(ctx, n.cluster.cfg.ConnectTimeout)
	defer cancel()
	own, err := n.dialAs(attempt, params)
	if err != nil {
		return nil, n.answer(err)
	}
	n.mu.Lock()
	b.mustBeHeld("Exchange")
	own.state, own.holder, own.spoilt = held, b.holder, reasonOwn
	n.counts.Dials++
	n.all[own] = struct{}{}
	n.cluster.live.Add(1)
	n.forget(b, reasonExchanged)
	n.published()
	n.mu.Unlock()
	b.terminate()
	return own, nil
}

// answer is what the server said to a login, or why nothing was heard of it.
func (n *Node) answer(err error) error {
	var told *pgwire.Error
	if errors.As(err, &told) {
		return told
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return n.faultOf(err).err
	}
	return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: said.Code, Message: said.Message, Detail: said.Detail, Hint: said.Hint}
}
