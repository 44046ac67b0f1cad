package task

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarm is a clock that rings once, when it has not been set again for some time. To set it wakes nobody, where a timer of Go's that is put off wakes a
// thread at its old time all the same.
type alarm struct {
	fd   int
	file *os.File // the same, for Go's poller
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &alarm{fd, os.NewFile(uintptr(fd), "timerfd")}, nil
}

// close is for when nobody sets it any more, nor waits.
func (a *alarm) close() { _ = a.file.Close() }

// set has it ring in d, which is more than 0, instead of when it would have. Anyone may call it.
func (a *alarm) set(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	_, _, _ = syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(a.fd), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
}

// wait returns when it has rung.
func (a *alarm) wait() {
	var times [8]byte
	_, _ = a.file.Read(times[:])
}
