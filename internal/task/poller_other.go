//go:build !linux

package task

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// loopsSupported says whether loops can be had on this system. Where they cannot, nothing else of this file is called.
const loopsSupported = false

type poller struct{ naps int }

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) close() {}

func (*poller) ring() {}

func (*poller) wait(int) int { return 0 }

func (*poller) event(int) (fd int, serial, ready uint32) { return 0, 0, 0 }

func (*poller) silence() {}

func (*poller) add(int, uint32, bool) error { return errors.ErrUnsupported }

func (*poller) remove(int) {}

func rawRead(int, []byte) (int, unix.Errno) { return 0, unix.ENOTSUP }

func rawWrite(int, []byte) (int, unix.Errno) { return 0, unix.ENOTSUP }

func bequeath(int) error { return unix.ENOTSUP }

func rawClose(int) unix.Errno { return unix.ENOTSUP }

func (a *Listener) accept() (fd int, peer netip.AddrPort, e unix.Errno) {
	return -1, peer, unix.ENOTSUP
}

func threadTime() (thread int, used time.Duration) { return 0, 0 }

type alarm struct{}

func newAlarm() (*alarm, error) { return nil, errors.ErrUnsupported }

func (*alarm) close() {}

func (*alarm) set(time.Duration) {}

func (*alarm) wait() {}
