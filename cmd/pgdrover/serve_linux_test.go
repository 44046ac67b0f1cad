package main

import (
	"net"
	"syscall"
	"testing"
)

// TestListenPlain has the socket that clients come to be one of TCP alone.
func TestListenPlain(t *testing.T) {
	ln, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	protocol, failure := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		protocol, failure = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
	})
	if err != nil || failure != nil || protocol != syscall.IPPROTO_TCP {
		t.Errorf("protocol %d (%v, %v)", protocol, err, failure)
	}
}
