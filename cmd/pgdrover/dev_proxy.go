package main

import (
	"context"
	"errors"
)

// devProxy is the proxy that runs inside dev. Whoever started it calls stop.
type devProxy struct {
	cancel context.CancelFunc
	ready  chan proxyAddrs
	done   chan struct{} // closed when the proxy has ended
	err    error         // why; valid once done is closed
}

// startDevProxy runs the proxy with the configuration files. It outlives ctx and ends by stop, so that whoever uses it may
// finish.
func startDevProxy(ctx context.Context, configs []string) *devProxy {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &devProxy{cancel: cancel, ready: make(chan proxyAddrs, 1), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = runProxy(ctx, configs, p.ready)
	}()
	return p
}

// await returns where the proxy listens once it does.
func (p *devProxy) await(ctx context.Context) (proxyAddrs, error) {
	select {
	case addrs := <-p.ready:
		return addrs, nil
	case <-p.done:
		return proxyAddrs{}, p.failure()
	case <-ctx.Done():
		return proxyAddrs{}, ctx.Err()
	}
}

var errProxyEnded = errors.New("it stopped by itself")

// failure says why a proxy ended that nobody had stopped; it may be called once done is closed.
func (p *devProxy) failure() error {
	if p.err == nil {
		return errProxyEnded
	}
	return p.err
}

// stop drains the proxy and waits for it, unless ctx is done first: then the end of the program ends it.
func (p *devProxy) stop(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.cancel()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return nil
	}
}
