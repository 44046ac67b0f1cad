package task

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bequeath sets what the sockets inherit that a listening one accepts (tcp(7)): what is written goes out at once, and a peer that has gone without
// a word is noticed after some minutes, as Go's own listeners have it. The listening one tells of a peer when that has sent something, or has been
// silent for a second: clients speak first, and one turn then does for both.
func bequeath(fd int) error {
	for _, option := range [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// accept is accept4(2), which never blocks here. peer is the zero AddrPort for other sockets than TCP's.
func (a *Listener) accept() (fd int, peer netip.AddrPort, e unix.Errno) {
	size := uint32(unsafe.Sizeof(a.peer))
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(a.socket.wire.fd), uintptr(unsafe.Pointer(&a.peer)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, peer, e
	}
	at := unsafe.Pointer(&a.peer)
	switch a.peer.Addr.Family {
	case unix.AF_INET:
		v := (*unix.RawSockaddrInet4)(at)
		peer = netip.AddrPortFrom(netip.AddrFrom4(v.Addr), hostOrder(v.Port))
	case unix.AF_INET6:
		v := (*unix.RawSockaddrInet6)(at)
		peer = netip.AddrPortFrom(netip.AddrFrom16(v.Addr), hostOrder(v.Port))
	}
	return int(n), peer, 0
}

// hostOrder is a port as the processor has numbers, of one as the network has them.
func hostOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
