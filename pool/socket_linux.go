package pool

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledged is how long sent bytes may stay without an acknowledgement before the connection is given up.
const unacknowledged = 30 * time.Second

// socketOptions sets what net.Dialer has no field for.
func socketOptions(_ context.Context, network, _ string, raw syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var failure error
	err := raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failure
}
