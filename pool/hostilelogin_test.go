package pool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// hostile is a node that answers every login with the same bytes, the client's nonce put in, and then with more for as long as anybody reads.
type hostile struct {
	answer, more []byte
}

func (h hostile) listen(t *testing.T) *net.TCPAddr {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer nc.Close(); h.serve(nc) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().(*net.TCPAddr)
}

func (h hostile) serve(nc net.Conn) {
	if p, err := packet(nc); err != nil || binary.BigEndian.Uint32(p)>>16 != 3 {
		return
	}
	answer := h.answer
	if bytes.Contains(answer, []byte(anyNonce)) {
		if _, err := nc.Write(pgwire.AppendAuthenticationSASL(nil, []string{scramMechanism})); err != nil {
			return
		}
		said := make([]byte, 512)
		n, err := nc.Read(said)
		if err != nil {
			return
		}
		_, nonce, _ := bytes.Cut(said[:n], []byte("r="))
		challenge := bytes.ReplaceAll(answer, []byte(anyNonce), nonce)
		answer = pgwire.AppendAuthenticationSASLContinue(nil, challenge)
	}
	if _, err := nc.Write(answer); err != nil {
		return
	}
	for len(h.more) > 0 {
		if _, err := nc.Write(h.more); err != nil {
			return
		}
	}
	_, _ = nc.Read(make([]byte, 1)) // until the client is gone
}

// TestHostileNodes logs in to nodes that break the protocol, or ask for what takes for ever: whoever waits gets an error soon, and nothing
// goes on after the cluster is closed.
func TestHostileNodes(t *testing.T) {
	login := pgwire.AppendAuthenticationOk(nil)
	for name, node := range map[string]hostile{
		"ten million iterations": {answer: []byte("r=" + anyNonce + "x,s=c2FsdA==,i=10000000")},
		"as many as fit":         {answer: []byte("r=" + anyNonce + "x,s=c2FsdA==,i=2147483647")},
		"more than fit":          {answer: []byte("r=" + anyNonce + "x,s=c2FsdA==,i=99999999999999999999")},
		"no iterations":          {answer: []byte("r=" + anyNonce + "x,s=c2FsdA==,i=0")},
		"a long salt":            {answer: []byte("r=" + anyNonce + "x,s=" + strings.Repeat("QUJD", 4000) + ",i=4096")},
		"a nonce of its own":     {answer: []byte("r=nonce,s=" + anyNonce + "A=,i=4096")},
		"silence":                {},
		"a length that lies":     {answer: []byte{'R', 0x7f, 0xff, 0xff, 0xff}},
		"a negative length":      {answer: []byte{'R', 0xff, 0xff, 0xff, 0xff}},
		"rows":                   {answer: pgwire.AppendDataRow(login, [][]byte{[]byte("x")})},
		"parameters without end": {answer: login, more: pgwire.AppendParameterStatus(nil, "name", strings.Repeat("x", 1<<10))},
		"notices without end":    {more: pgwire.AppendNotice(nil, &pgwire.Error{Severity: "NOTICE", Code: "00000", Message: strings.Repeat("x", 1<<10)})},
		"a transaction":          {answer: pgwire.AppendReadyForQuery(login, pgwire.StatusTransaction)},
		"no login":               {answer: pgwire.AppendReadyForQuery(nil, pgwire.StatusIdle)},
		"half an error":          {answer: pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "XX000", Message: "no"})[:12]},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			addr := node.listen(t)
			cfg := quick()
			cfg.ConnectTimeout, cfg.ProbeTimeout, cfg.ProbeEvery = 300*time.Millisecond, 300*time.Millisecond, time.Second
			c := open(t, cfg)
			shard := shardOf(&fake{addr: addr})
			top := c.Apply(mapOf(t, shard))
			own := loginOf(t, c, "una", keysOf(t, "secret", "salt", 4096)).Topology(top)
			for whose, top := range map[string]*Topology{"the cluster's user": top, "a client's": own} {
				began := time.Now()
				b, err := newSeeker().acquire(top, Primary)
				if b != nil {
					b.Destroy("test")
					t.Errorf("%s: logged in", whose)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s: %v after %s", whose, err, took)
				}
				if name == "ten million iterations" && whose == "the cluster's user" && !strings.Contains(fmt.Sprint(err), "10000000 iterations") {
					t.Errorf("it does not say why: %v", err)
				}
				if err != nil && len(err.Error()) > 1000 {
					t.Errorf("%s: an error of %d bytes", whose, len(err.Error()))
				}
			}
		})
	}
}
