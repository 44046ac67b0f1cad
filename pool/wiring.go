package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// wiring is how the sockets to a node are connected and encrypted.
type wiring struct {
	mode TLSMode
	tls  *tls.Config // not changed; nil when the mode is TLSOff
}

// wiringTo is the wiring that a cluster's configuration asks for.
func (cfg *Config) wiringTo(host string) wiring {
	if cfg.TLS == TLSOff {
		return wiring{mode: TLSOff}
	}
	secure := &tls.Config{}
	if cfg.TLSConfig != nil {
		secure = cfg.TLSConfig.Clone()
	}
	if secure.ServerName == "" {
		secure.ServerName = host
	}
	secure.InsecureSkipVerify = cfg.TLS != TLSVerifyFull
	return wiring{cfg.TLS, secure}
}

// dial connects a task.Wire, or a TLS connection over one. It is what pgconn dials with, so that one connection will do where
// pgconn's own negotiation would need a second one after a node's refusal.
func (w wiring) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	socket, err := dialSocket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if network == "unix" || w.mode == TLSOff {
		return socket, nil
	}
	nc, err := w.encrypt(ctx, socket)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return nc, nil
}

// sslRequest asks a server whether it speaks TLS, which it answers with S or N.
var sslRequest = [8]byte{0, 0, 0, 8, 4, 210, 22, 47}

// encrypt negotiates TLS. It reads one byte and no more, so nothing can be slipped in before the handshake.
func (w wiring) encrypt(ctx context.Context, socket net.Conn) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := socket.Write(sslRequest[:]); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(socket, answer[:]); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	switch {
	case answer[0] == 'N' && w.mode == TLSPrefer:
		return socket, nil
	case answer[0] == 'N':
		return nil, errors.New("the server refused TLS: switch it on there, or set tls to prefer or off under `backend:`")
	case answer[0] != 'S':
		return nil, fmt.Errorf("the server answered the request for TLS with %q", answer[0])
	}
	nc := tls.Client(socket, w.tls)
	if err := nc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return nc, nil
}

// dialSocket connects a socket that notices a dead peer by itself. TCP_NODELAY is on, as it is by default.
func dialSocket(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		ControlContext:  socketOptions,
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w, err := task.NewWire(nc)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return w, nil
}
