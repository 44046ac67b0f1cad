package pool

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/pgwire"
)

// maxGreeting is how much a node may say before it waits for a query, in bytes.
const maxGreeting = 1 << 20

// greeting is a connection that is logged in, and what the server said of it.
type greeting struct {
	conn   net.Conn
	pid    uint32
	secret []byte
	params map[string]string
}

// logIn connects to a node and logs in with keys, within ctx. An error of the node is a *pgwire.Error.
func logIn(ctx context.Context, n *Node, user string, keys *Keys, params map[string]string) (*greeting, error) {
	network, addr := pgconn.NetworkAddress(n.id.host, uint16(n.id.port))
	nc, err := n.cluster.cfg.wiringTo(n.id.host).dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	h := handshake{conn: nc, keys: keys, nonce: rand.Text(), greeting: greeting{conn: nc, params: map[string]string{}}}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	err = h.run(n.cluster.cfg.startup(n.id, user, params))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		var answer *pgwire.Error
		if errors.As(err, &answer) || errors.Is(err, errOtherVerifier) {
			return nil, err
		}
		return nil, errors.Join(ctx.Err(), err)
	}
	return &h.greeting, nil
}

// startup are the parameters of the startup packet of a user, its name and the database first; others are besides those of the pool.
func (cfg *Config) startup(id identity, user string, others map[string]string) []pgwire.Param {
	list := []pgwire.Param{{Name: "user", Value: user}, {Name: "database", Value: id.database}}
	more := with(cfg.Params, others)
	for _, name := range slices.Sorted(maps.Keys(more)) {
		list = append(list, pgwire.Param{Name: name, Value: more[name]})
	}
	return list
}

// with is a copy of run-time parameters, with others besides.
func with(params, others map[string]string) map[string]string {
	both := make(map[string]string, len(params)+len(others))
	maps.Copy(both, params)
	maps.Copy(both, others)
	return both
}

// handshake is one login by keys (manual, "Start-up"). It blocks. It reads no byte that comes after the server's first ReadyForQuery.
type handshake struct {
	conn   net.Conn
	keys   *Keys
	nonce  string
	prover *prover // nil: no exchange was begun
	proven bool    // by the server
	known  bool    // the server let the client in
	said   int     // bytes so far
	frame  []byte
	greeting
}

func (h *handshake) run(startup []pgwire.Param) error {
	if _, err := h.conn.Write(pgwire.AppendStartup(nil, startup)); err != nil {
		return err
	}
	for {
		if err := h.next(); err != nil {
			return err
		}
		done, err := h.take()
		if done || err != nil {
			return err
		}
	}
}

// next reads one message into h.frame.
func (h *handshake) next() error {
	var header [pgwire.HeaderLen]byte
	if _, err := io.ReadFull(h.conn, header[:]); err != nil {
		return fmt.Errorf("the node ended the login: %w", err)
	}
	_, size, err := pgwire.Peek(header[:], maxGreeting)
	if err != nil {
		return err
	}
	if h.said += size; h.said > maxGreeting {
		return fmt.Errorf("the node says more than %d bytes before it takes a query", maxGreeting)
	}
	h.frame = append(slices.Grow(h.frame[:0], size), header[:]...)[:size]
	_, err = io.ReadFull(h.conn, h.frame[len(header):])
	return err
}

// take takes the message in h.frame; done says that the server waits for a query.
func (h *handshake) take() (done bool, err error) {
	typ := h.frame[0]
	if !h.known && typ != pgwire.MsgAuthentication && typ != pgwire.MsgErrorResponse && typ != pgwire.MsgNoticeResponse {
		return false, fmt.Errorf("the node sent %s before it knew who logs in", pgwire.MessageName(false, typ))
	}
	switch typ {
	case pgwire.MsgAuthentication:
		return false, h.authenticate()
	case pgwire.MsgErrorResponse:
		answer, err := pgwire.DecodeError(h.frame)
		return false, cmp.Or[error](err, answer)
	case pgwire.MsgNoticeResponse:
		return false, nil
	case pgwire.MsgParameterStatus:
		name, value, err := pgwire.ParameterStatus(h.frame)
		if err == nil {
			h.params[string(name)] = string(value)
		}
		return false, err
	case pgwire.MsgBackendKeyData:
		h.pid, h.secret, err = pgwire.BackendKeyData(h.frame)
		h.secret = slices.Clone(h.secret)
		return false, err
	case pgwire.MsgReadyForQuery:
		status, err := pgwire.ReadyStatus(h.frame)
		if err == nil && status != pgwire.StatusIdle {
			err = fmt.Errorf("the node begins with transaction status %q", status)
		}
		return true, err
	}
	return false, fmt.Errorf("the node sent %s during the login", pgwire.MessageName(false, typ))
}

// authenticate takes an Authentication message.
func (h *handshake) authenticate() error {
	kind, content, err := pgwire.Authentication(h.frame)
	switch {
	case err != nil:
		return err
	case h.known:
		return errors.New("the node asks for authentication again")
	case kind == pgwire.AuthenticationOk && h.prover != nil && !h.proven:
		return errors.New("the node ended the SCRAM exchange before it proved who it is")
	case kind == pgwire.AuthenticationOk:
		h.known = true
		return nil
	case kind == pgwire.AuthenticationSASL && h.prover == nil:
		return h.propose(content)
	case kind == pgwire.AuthenticationSASLContinue && h.prover != nil && h.prover.signed == "":
		proof, err := h.prover.final(content)
		if err != nil {
			return err
		}
		_, err = h.conn.Write(pgwire.AppendSASLResponse(nil, proof))
		return err
	case kind == pgwire.AuthenticationSASLFinal && h.prover != nil && !h.proven:
		err := h.prover.verify(content)
		h.proven = err == nil
		return err
	}
	return &pgwire.Error{Code: "28000", Message: fmt.Sprintf("the node asks for authentication of kind %d, which the client's SCRAM keys are no answer to", kind)}
}

// propose begins the SCRAM exchange.
func (h *handshake) propose(content []byte) error {
	offered, err := pgwire.Mechanisms(content)
	if err != nil {
		return err
	}
	var state *tls.ConnectionState
	if tc, ok := h.conn.(*tls.Conn); ok {
		now := tc.ConnectionState()
		state = &now
	}
	p, mechanism, err := newProver(h.keys, h.nonce, offered, state)
	if err != nil {
		return err
	}
	h.prover = p
	_, err = h.conn.Write(pgwire.AppendSASLInitialResponse(nil, mechanism, p.first()))
	return err
}
