package task

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopsSupported says whether loops can be had on this system.
const loopsSupported = true

// A loop that had events sleeps for nap milliseconds before Go's scheduler is told, or naps times if it is woken for nothing: Go interrupts every
// 10 to 20 ms whom it takes for running.
const (
	nap  = 100
	naps = 5
)

// poller is what a loop sleeps in: an epoll instance, with an eventfd in it that ends the sleep.
type poller struct {
	epoll, bell int
	naps        int // how many it takes yet, since there were events of late
	events      [128]unix.EpollEvent
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &poller{epoll: epoll, bell: bell}
	if err := p.control(bell, unix.EPOLLIN, bellSerial); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	_ = unix.Close(p.epoll)
	_ = unix.Close(p.bell)
}

// ring ends the sleep. Anyone may call it.
func (p *poller) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(p.bell, one[:])
}

// wait returns how many events there are, waiting for the first for so many milliseconds at most, or less; -1: for ever.
//
// A system call that may block is one that Go's scheduler is told of: its monitor thread then looks every few microseconds whether another thread
// should have the processor, for 10 ms, and again when the call returns. That can cost ten times what a loop does that is seldom busy. So a loop that
// had events of late sleeps without a word, and is taken for running (see processors). Only one that sleeps for longer tells.
func (p *poller) wait(timeout int) int {
	if timeout != 0 && p.naps == 0 {
		return p.waitLong(timeout)
	}
	if timeout < 0 || timeout > nap {
		timeout = nap
	}
	n, e := p.look(timeout)
	switch {
	case n > 0 || timeout < nap:
		p.naps = naps
	case e != 0:
		p.naps--
	default:
		p.naps = 0
	}
	return n
}

// waitLong is wait for who tells Go's scheduler.
func (p *poller) waitLong(timeout int) int {
	n, err := unix.EpollWait(p.epoll, p.events[:], timeout)
	if err == nil && n > 0 {
		p.naps = naps
	}
	return max(n, 0)
}

// look is wait without telling Go's scheduler. A goroutine that Go wants to stop is sent a signal, which ends it, with EINTR.
func (p *poller) look(timeout int) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(timeout), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// event is what the last wait found at a place: a descriptor, the serial number that add was told, or bellSerial, and what the descriptor is ready for.
func (p *poller) event(i int) (fd int, serial, ready uint32) {
	ev := &p.events[i]
	if ev.Events == unix.EPOLLIN|unix.EPOLLOUT { // what it nearly always is
		return int(ev.Fd), uint32(ev.Pad), canRead | canWrite
	}
	return int(ev.Fd), uint32(ev.Pad), readiness(ev.Events)
}

// silence stops the bell, which an event has told of.
func (p *poller) silence() {
	var count [8]byte
	_, _ = unix.Read(p.bell, count[:])
}

//go:noinline // rare things are kept away from usual ones, for the sake of the processor's caches
func readiness(events uint32) (ready uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLPRI) != 0 {
		ready |= canRead
	}
	if events&unix.EPOLLOUT != 0 {
		ready |= canWrite
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		ready |= canRead | ended
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		ready |= canWrite
	}
	return ready
}

// add has waits tell when a descriptor becomes ready, and once at the beginning if it is. The serial number tells this use of the descriptor
// from others. Of one that listens each wait tells that somebody is there.
func (p *poller) add(fd int, serial uint32, listens bool) error {
	if listens {
		return p.control(fd, unix.EPOLLIN, serial)
	}
	return p.control(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET, serial)
}

func (p *poller) control(fd int, events, serial uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(serial)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &ev))
}

// remove undoes add.
func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) }

// rawClose is close(2), without Go's scheduler being told: no socket lingers here.
func rawClose(fd int) unix.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return e
}

// rawRead and rawWrite are recv(2) and send(2) for sockets that never block: Go's scheduler need not be told. They are cheaper than read(2) and
// write(2), which go through what files have besides.
func rawRead(fd int, p []byte) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func rawWrite(fd int, p []byte) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// threadTime is the thread that the caller is in, and the processor time that it has used.
func threadTime() (thread int, used time.Duration) {
	var at unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at) != nil {
		return 0, 0
	}
	return unix.Gettid(), time.Duration(at.Nano())
}
