package pgcluster

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// segment is the System V shared memory that a server which was killed has
// left, if any: every server keeps a few bytes there for the count of the
// processes attached.
func (n *Node) segment() (id int, ok bool) {
	lines := pidFile(n.DataDir)
	if len(lines) < 7 {
		return 0, false
	}
	fields := strings.Fields(lines[6])
	if len(fields) != 2 {
		return 0, false
	}
	id, err := strconv.Atoi(fields[1])
	return id, err == nil
}

// awaitDetached returns when no process of a killed server is left, or after
// ten seconds.
func (n *Node) awaitDetached() {
	id, ok := n.segment()
	if !ok {
		return
	}
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		var desc unix.SysvShmDesc
		if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &desc); err != nil || desc.Nattch == 0 {
			return
		}
		<-tick.C
	}
}

// removeSegment frees what a killed server left behind. The server must not run.
func (n *Node) removeSegment() {
	if id, ok := n.segment(); ok {
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
}
