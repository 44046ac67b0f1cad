package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// noTime is the zero time: it has not happened.
var noTime time.Time

// identity is what makes two nodes of different maps the same pool. The login is the cluster's.
type identity struct {
	host     string
	port     int
	database string
}

// Node is one PostgreSQL server and the pool of its backends. It stays the same from map to map while its identity does.
type Node struct {
	cluster  *Cluster
	id       identity
	addr     string
	login    *pgconn.Config // not changed after creation
	loginErr error          // why there is no login
	kick     chan struct{}  // to the keeper: look whether to dial
	check    chan struct{}  // to the prober: do not wait for the next turn
	stop     context.CancelFunc

	place atomic.Pointer[place] // in the latest map that had it
	up    atomic.Bool           // a probe or a dial succeeded last
	able  atomic.Bool           // reads may be sent here: it is up, and has backends or can make some
	load  atomic.Int64          // requests in flight: backends in use and requests that wait

	mu       sync.Mutex // guards what follows
	all      map[*Backend]struct{}
	apart    map[*Backend]struct{} // backends that are none of the pool's
	idle     []*Backend            // a stack: the last was used last
	queue    queue                 // empty while a backend is idle
	dialing  int
	failures int       // dials that failed in a row
	retryAt  time.Time // no dial before
	trouble  *trouble  // nil while dials and probes succeed
	since    time.Time // since when it is up, or down
	health   health    // of the last good probe
	counts   counts
	closed   bool      // no more backends
	renewed  time.Time // backends that are older are not kept
	drained  bool      // no reads are sent here
	retired  time.Time // when it left the map in force, or was last in use after that; zero while it is in the map
}

// Addr is the node's address.
func (n *Node) Addr() string { return n.addr }

// Shard is the name of the node's shard.
func (n *Node) Shard() string { return n.place.Load().shard }

// Role is the node's role in the shard map, whatever the server itself says.
func (n *Node) Role() Role { return n.place.Load().role }

// Up reports whether the node is believed to serve.
func (n *Node) Up() bool { return n.up.Load() }

// String is shard, role and address, for messages.
func (n *Node) String() string {
	p := n.place.Load()
	return p.shard + " " + p.role.String() + " " + n.addr
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
