package main

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// tap stands between a proxy and a shard, and sees the messages by which a transaction on several shards is committed.
type tap struct {
	proxy, shard int
	listener     net.Listener
	target       string                                      // the shard's address
	reached      func(t *tap, message string, answered bool) // is called before a message goes to the server, and before its answer goes to the proxy
	group        sync.WaitGroup
}

// The messages of a commit on several shards, in the words of their texts.
var jointMessages = []struct{ name, text string }{
	{"check", "pg_current_xact_id()"},
	{"decide", "SELECT pgdrover.decide("},
	{"finish", "COMMIT PREPARED "}, // before commit, which it begins with, too
	{"undo", "ROLLBACK PREPARED "},
	{"prepare", "PREPARE TRANSACTION "},
	{"commit", "COMMIT"},
}

func newTap(t *testing.T, proxy, shard int, target string, reached func(*tap, string, bool)) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := &tap{proxy: proxy, shard: shard, listener: ln, target: target, reached: reached}
	at.group.Go(at.serve)
	t.Cleanup(func() {
		ln.Close()
		at.group.Wait()
	})
	return at
}

func (t *tap) serve() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.group.Go(func() { t.relay(conn) })
	}
}

// tapped is one connection. Each Query and Sync is answered by one ReadyForQuery.
type tapped struct {
	tap    *tap
	mu     sync.Mutex
	asked  []string // names of messages that are to be answered; empty for those of no interest
	joined bool     // it has decided: the next COMMIT is that of a first writer
}

func (t *tap) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", t.target)
	if err != nil {
		return
	}
	defer server.Close()
	c := &tapped{tap: t}
	if !c.startup(client, server) {
		return
	}
	t.group.Go(func() {
		defer client.Close()
		defer server.Close()
		c.copy(client, server, c.answer)
	})
	c.copy(server, client, c.ask)
}

// startup passes the first packet on, which has no type.
func (c *tapped) startup(client, server net.Conn) bool {
	var size [4]byte
	if _, err := io.ReadFull(client, size[:]); err != nil {
		return false
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:])-4)
	if _, err := io.ReadFull(client, body); err != nil {
		return false
	}
	_, err := server.Write(append(size[:], body...))
	return err == nil
}

// copy passes messages on, each after see has looked at it.
func (c *tapped) copy(dst io.Writer, src io.Reader, see func(typ byte, body []byte)) {
	for {
		var header [5]byte
		if _, err := io.ReadFull(src, header[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(src, body); err != nil {
			return
		}
		see(header[0], body)
		if _, err := dst.Write(append(header[:], body...)); err != nil {
			return
		}
	}
}

func (c *tapped) ask(typ byte, body []byte) {
	if typ != 'Q' && typ != 'S' {
		return
	}
	name := ""
	if typ == 'Q' {
		name = c.nameOf(string(body))
	}
	c.mu.Lock()
	c.asked = append(c.asked, name)
	c.mu.Unlock()
	if name != "" {
		c.tap.reached(c.tap, name, false)
	}
}

func (c *tapped) nameOf(text string) string {
	for _, m := range jointMessages {
		if !strings.Contains(text, m.text) {
			continue
		}
		if m.name == "commit" && !c.joined {
			return ""
		}
		c.joined = m.name == "decide"
		return m.name
	}
	return ""
}

func (c *tapped) answer(typ byte, _ []byte) {
	if typ != 'Z' {
		return
	}
	name := ""
	c.mu.Lock()
	if len(c.asked) > 0 { // else it ends the login
		name, c.asked = c.asked[0], c.asked[1:]
	}
	c.mu.Unlock()
	if name != "" {
		c.tap.reached(c.tap, name, true)
	}
}
