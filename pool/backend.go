package pool

import (
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// backendState is who has a backend.
type backendState uint8

const (
	held      backendState = iota // by a request
	idle                          // the pool
	returning                     // the pool, but a cancel is under way: nobody may have it yet
	dead                          // nobody
	apart                         // whoever opened it; it is none of the pool's
)

// Why the pool itself destroys backends. Holders add reasons of their own.
const (
	reasonDied     = "died"     // the server closed it, or sent what it should not
	reasonIdle     = "idle"     // unused for too long
	reasonLifetime = "lifetime" // old enough
	reasonShrunk   = "shrunk"   // the pool has become smaller
	reasonRemoved  = "removed"  // the node left the shard map
	reasonShutdown = "shutdown" // the cluster closes
	reasonCancel   = "cancel"   // a cancel may still be under way
	reasonUntidy   = "untidy"   // released with unread or unsent bytes
	reasonRefused  = "refused"  // a node has refused another login of the user
	reasonRoom     = "room"     // another user had none, and the node no room for one
	reasonRenewed  = "renewed"  // Reconnect asked for new ones
	reasonDrained  = "drained"  // nothing is to be sent to its node
)

// maxAside is the largest message that an idle backend may send without being taken for broken, in bytes.
const maxAside = 64 << 10

// Param is a parameter that a server has reported.
type Param struct{ Name, Value string }

// Backend is one connection to a node. Whoever acquired it holds it, and has its exported fields to itself, until it calls
// exactly one of Release and Destroy, exactly once.
type Backend struct {
	Conn *task.Conn
	// Proxy is the holder's notes on this backend, which the next holder finds; nil at first.
	Proxy any
	// Affinity is what the holder says it left the backend with, for Request.Affinity; 0 for nothing in particular. Likeness is the
	// same for Request.Likeness.
	Affinity, Likeness uint64

	node *Node

	// These are guarded by node.mu.
	holder    *Request
	state     backendState
	cancels   int // cancel requests under way
	idleSince task.Moment
	expires   task.Moment // 0: never; not changed after it was dialled
	spoilt    string      // why it must not be used again

	PID    uint32
	Secret []byte // for cancel requests
	// Params are the values that the server has reported. The holder writes down what is reported while it holds; the pool
	// does while it is idle.
	Params []Param

	serial  uint64
	born    time.Time
	wire    *task.Wire // below Conn; for severing only
	cipher  string     // of TLS; empty in plaintext
	session serverSession
}

// Node is the node it is connected to.
func (b *Backend) Node() *Node { return b.node }

// Role is the role of its node.
func (b *Backend) Role() Role { return b.node.Role() }

// Shard is the name of its node's shard.
func (b *Backend) Shard() string { return b.node.Shard() }

// Serial tells it from all other backends of the cluster, past and present.
func (b *Backend) Serial() uint64 { return b.serial }

// Age is the time since it was dialled.
func (b *Backend) Age() time.Duration { return time.Since(b.born) }

// Release gives back a backend that is clean, outside a transaction, and has answered all it was sent. It goes to the oldest
// request that waits for the node, else to the idle ones. Any of them is in another goroutine: the caller must not touch it.
func (b *Backend) Release() {
	n := b.node
	tidy := b.Conn.Settled() || b.tidy()
	n.mu.Lock()
	b.mustBeHeld("Release")
	now := b.holder.now()
	if !tidy {
		b.spoilt = reasonUntidy
	}
	if b.cancels > 0 {
		b.state, b.holder = returning, nil
		n.mu.Unlock()
		return
	}
	wake, closing := n.give(b, now)
	n.mu.Unlock()
	if wake != nil || closing {
		b.given(wake, closing)
	}
}

// Destroy closes a backend that nobody can use any more. The reason is one of few words: each is a counter.
func (b *Backend) Destroy(reason string) {
	failed := b.Conn.ReadErr() != nil || b.Conn.WriteErr() != nil
	b.end(reason)
	if failed {
		ring(b.node.server().check)
	}
}

// drop destroys a backend that was found dead before its holder got to see it.
func (b *Backend) drop(reason string) {
	b.end(reason)
	ring(b.node.server().check)
}

func (b *Backend) end(reason string) {
	n := b.node
	n.mu.Lock()
	b.mustBeHeld("Destroy")
	n.forget(b, reason)
	n.published()
	n.mu.Unlock()
	b.Conn.Close()
}

// mustBeHeld panics, with n.mu released, unless somebody holds b.
func (b *Backend) mustBeHeld(verb string) {
	if b.state != held {
		b.nobodyHolds(verb)
	}
}

func (b *Backend) nobodyHolds(verb string) {
	b.node.mu.Unlock()
	panic("pool: " + verb + " of a backend that nobody holds") // a programmer's mistake
}

// given does what give has decided, with no lock held.
func (b *Backend) given(wake Waker, closing bool) {
	if closing {
		b.terminate()
	}
	if wake != nil {
		wake.Wake()
	}
}

// terminate says goodbye and closes. The caller has b to itself.
func (b *Backend) terminate() {
	if b.Conn.Pending() == 0 && b.Conn.ReadErr() == nil {
		b.Conn.Queue(pgwire.AppendTerminate(nil))
	}
	b.Conn.Close()
}

// sever ends both directions of the socket, so that the holder sees its end. Anyone may call it.
func (b *Backend) sever() {
	b.wire.Sever()
}

// quiet reports whether the server keeps silent, as it does towards a backend that waits for a query. What it may say
// meanwhile, a changed parameter or a notice, is taken note of. The caller has b to itself.
func (b *Backend) quiet() bool {
	for !b.Conn.Quiet() {
		if b.Conn.ReadErr() != nil || !b.swallow() {
			return false
		}
	}
	return true
}

// tidy reports whether nothing is unread or unsent that means something.
func (b *Backend) tidy() bool {
	return b.Conn.Pending() == 0 && b.Conn.ReadErr() == nil && b.Conn.WriteErr() == nil && (len(b.Conn.Buffered()) == 0 || b.swallow())
}

// swallow consumes the buffered messages; it is false when one is incomplete or means something.
func (b *Backend) swallow() bool {
	for {
		buffered := b.Conn.Buffered()
		if len(buffered) == 0 {
			return true
		}
		typ, size, err := pgwire.Peek(buffered, maxAside)
		if err != nil || size == 0 || size > len(buffered) {
			return false
		}
		switch typ {
		case pgwire.MsgNoticeResponse:
		case pgwire.MsgParameterStatus:
			name, value, err := pgwire.ParameterStatus(buffered[:size])
			if err != nil {
				return false
			}
			b.report(string(name), string(value))
		default:
			return false
		}
		b.Conn.Discard(size)
	}
}

func (b *Backend) report(name, value string) {
	for i := range b.Params {
		if b.Params[i].Name == name {
			b.Params[i].Value = value
			return
		}
	}
	b.Params = append(b.Params, Param{name, value})
}
