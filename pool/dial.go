package pool

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// maxMessage is the largest message that a node may send while logging in or answering a control query, in bytes.
const maxMessage = 64 << 20

// loginTo is what pgconn is told to log in with: all of it ours, nothing from the environment.
func (cfg *Config) loginTo(id identity) (*pgconn.Config, error) {
	// Fixed values shadow those of PG* variables, which pgconn would read otherwise; the fields set below replace the rest.
	login, err := pgconn.ParseConfig("host=localhost port=5432 user=- password=- database=- sslmode=disable sslcertmode=allow " +
		"target_session_attrs=any connect_timeout=0 min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=prefer")
	if err != nil {
		return nil, fmt.Errorf("a PG* variable of the environment is in the way: %w", err)
	}
	login.Host, login.Port, login.Database = id.host, uint16(id.port), id.database
	login.User, login.Password = cfg.User, cfg.Password
	login.RequireAuth, login.KerberosSrvName, login.KerberosSpn = "", "", ""
	login.Fallbacks, login.ValidateConnect = nil, nil
	login.RuntimeParams = cfg.Params
	login.TLSConfig, login.DialFunc = nil, cfg.wiringTo(id.host).dial
	login.MaxProtocolMessageBodyLen, login.BuildFrontend = maxMessage, pgwire.BoundedFrontend
	return login, nil
}

// connect logs in, with run-time parameters besides those of the login, and hands over the connection, on which the server waits for a query.
func connect(ctx context.Context, login *pgconn.Config, params map[string]string) (*greeting, error) {
	if len(params) > 0 {
		login = login.Copy()
		login.RuntimeParams = with(login.RuntimeParams, params)
	}
	pc, err := pgconn.ConnectConfig(ctx, login)
	if err != nil {
		return nil, err
	}
	if err := pc.SyncConn(ctx); err != nil {
		_ = pc.Close(ctx)
		return nil, err
	}
	hc, err := pc.Hijack()
	if err != nil {
		_ = pc.Close(ctx)
		return nil, err
	}
	if hc.TxStatus != pgwire.StatusIdle {
		_ = hc.Conn.Close()
		return nil, fmt.Errorf("the node begins with transaction status %q", hc.TxStatus)
	}
	return &greeting{hc.Conn, hc.PID, hc.SecretKey, hc.ParameterStatuses}, nil
}

// greet logs in as the user whose pool n is, with run-time parameters besides those of the pool.
func (n *Node) greet(ctx context.Context, params map[string]string) (*greeting, error) {
	switch {
	case n.owner != nil:
		return n.owner.connect(ctx, n, params)
	case n.loginErr != nil:
		return nil, n.loginErr
	}
	return connect(ctx, n.login, params)
}

// dial makes a backend. Nobody holds it.
func (n *Node) dial(ctx context.Context) (*Backend, error) {
	return n.dialAs(ctx, nil)
}

// dialAs is dial with run-time parameters besides those of the pool.
func (n *Node) dialAs(ctx context.Context, params map[string]string) (*Backend, error) {
	born := time.Now()
	g, err := n.greet(ctx, params)
	if err != nil {
		return nil, err
	}
	w := wireOf(g.conn)
	if w == nil {
		_ = g.conn.Close()
		return nil, errors.New("the connection does not stand on the socket that was dialled")
	}
	c, err := n.cluster.cfg.Loops.Adopt(g.conn)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		Conn: c, PID: g.pid, Secret: g.secret, Params: reported(g.params), node: n, serial: n.cluster.serial.Add(1),
		born: born, wire: w, cipher: c.Cipher(), session: n.sessionOf(g), state: returning,
	}
	if life := n.cluster.limits.Load().lifetime; life > 0 {
		b.expires = task.MomentOf(b.born.Add(life - life/10 + rand.N(life/5+1)))
	}
	return b, nil
}

// wireOf finds the socket below a connection.
func wireOf(nc net.Conn) *task.Wire {
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	w, _ := nc.(*task.Wire)
	return w
}

// sessionOf is how to interrupt what runs on a connection.
func (n *Node) sessionOf(g *greeting) serverSession {
	with := wiring{mode: TLSOff}
	if _, secure := g.conn.(*tls.Conn); secure {
		with = n.cluster.cfg.wiringTo(n.id.host)
		with.mode = TLSRequire
	}
	return serverSession{node: n, pid: g.pid, secret: g.secret, address: g.conn.RemoteAddr(), wiring: with}
}

// reported lists parameters by name.
func reported(values map[string]string) []Param {
	params := make([]Param, 0, len(values))
	for name, value := range values {
		params = append(params, Param{name, value})
	}
	slices.SortFunc(params, func(a, b Param) int { return cmp.Compare(a.Name, b.Name) })
	return params
}
