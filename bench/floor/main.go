// Package main is a floor for the cost of a proxy in Go: a relay on the event loop that PgDrover's sessions run on, which moves bytes
// between a client and a connection of its own to the server, and knows nothing else. What PgDrover costs beyond it is what PgDrover does.
//
//	floor 127.0.0.1:6432 127.0.0.1:5432
//
// The same in C, without this loop and without Go, is in c/relay.c. `make bench-floor` measures both beside PgDrover.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// full is how much may wait to be written to one side before the other is not read any more, in bytes.
const full = 256 << 10

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: floor LISTEN SERVER")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// serve relays until the listener fails.
func serve(listen, server string) error {
	loops, err := task.NewLoops(1, task.Watch{})
	if err != nil {
		return err
	}
	defer loops.Close()
	group := task.Group{Loops: loops}
	defer group.Wait()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		group.Go(func(t *task.Task) {
			if err := relay(t, loops, nc, server); err != nil {
				fmt.Fprintln(os.Stderr, "floor:", err)
			}
		})
	}
}

// relay connects a client with the server until one of them ends.
func relay(t *task.Task, loops *task.Loops, nc net.Conn, server string) error {
	client, err := loops.Adopt(nc)
	if err != nil {
		return err
	}
	defer client.Close()
	var there *task.Conn
	t.Await(func() {
		var nc net.Conn
		if nc, err = net.Dial("tcp", server); err == nil {
			there, err = loops.Adopt(nc)
		}
	})
	if err != nil {
		return err
	}
	defer there.Close()
	for move(client, there) && move(there, client) {
		t.Wait(time.Time{},
			task.Interest{Conn: client, Read: there.Pending() < full, Write: client.Pending() > 0},
			task.Interest{Conn: there, Read: client.Pending() < full, Write: there.Pending() > 0})
	}
	return errors.Join(client.WriteErr(), there.WriteErr())
}

// move passes on what has arrived. It reports whether both sides go on.
func move(from, to *task.Conn) bool {
	if b := from.Buffered(); len(b) > 0 {
		to.QueueOrWrite(b)
		from.Discard(len(b))
	}
	return from.ReadErr() == nil && to.WriteErr() == nil
}
