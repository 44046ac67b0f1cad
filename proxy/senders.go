package proxy

import (
	"sync"

	"github.com/pgdrover/pgdrover/pool"
)

// senders knows by which process ids clients know each other where one has a backend to itself: in session mode on one shard. What the
// backend notifies is that client's, and others are told so. A notification that is heard after its sender has left, because the
// listener was in a transaction meanwhile, may be taken for one of the next client to have that backend; nobody takes it for one of
// its own.
type senders struct {
	mu   sync.Mutex // guards what follows
	told map[serverProcess]uint32
}

// serverProcess is a process of a PostgreSQL server.
type serverProcess struct {
	node string // its address
	pid  uint32
}

func processOf(b *pool.Backend) serverProcess { return serverProcess{b.Node().Addr(), b.PID} }

// add notes that what a process notifies is of the session that is known by a process id.
func (n *senders) add(p serverProcess, told uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told == nil {
		n.told = map[serverProcess]uint32{}
	}
	n.told[p] = told
}

// remove ends add.
func (n *senders) remove(p serverProcess) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.told, p)
}

// known is what clients call the sender of what a process has notified: the process itself, if it is nobody's.
func (n *senders) known(p serverProcess) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if told, ok := n.told[p]; ok {
		return told
	}
	return p.pid
}
