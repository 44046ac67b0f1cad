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

// identity is what makes two nodes of different maps the same pool of the cluster's own login.
type identity struct {
	host     string
	port     int
	database string
}

// Node is one PostgreSQL server and the pool of its backends. It stays the same from map to map while its identity does. The pool of a
// Login is a Node too, beside that of the same server: it is not probed, and shares what that knows of the server.
type Node struct {
	cluster  *Cluster
	id       identity
	addr     string
	login    *pgconn.Config          // not changed after creation
	loginErr error                   // why there is no login
	of       *Node                   // of a login's pool: the node itself; else nil
	owner    *Login                  // whose pool it is; nil: the cluster's own
	refusal  atomic.Pointer[refusal] // of that login; nil: none
	kick     chan struct{}           // to the keeper: look whether to dial
	check    chan struct{}           // to the prober: do not wait for the next turn
	stop     context.CancelFunc

	place atomic.Pointer[place] // in the latest map that had it
	up    atomic.Bool           // a probe or a dial succeeded last
	able  atomic.Bool           // reads may be sent here: it is up, and has backends or can make some

	// inFlight are the requests in flight on the server, which its pools share: backends in use and requests that wait.
	inFlight *atomic.Int64

	users map[*Login]*Node // the pools of logins; guarded by cluster.mu

	mu       sync.Mutex // guards what follows, of which each use of a backend needs what comes first
	load     int64      // what this pool has added to inFlight
	idle     []*Backend // a stack: the last was used last
	strict   bool       // there may be a reason of the node's not to keep a backend: unfit knows
	queue    queue      // empty while a backend is idle
	counts   counts
	kept     bool // of a login's pool: its keeper runs
	all      map[*Backend]struct{}
	apart    map[*Backend]struct{} // backends that are none of the pool's
	dialing  int
	failures int       // dials that failed in a row
	retryAt  time.Time // no dial before
	trouble  *trouble  // nil while dials and probes succeed
	since    time.Time // since when it is up, or down
	health   health    // of the last good probe
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

// Same reports whether two pools are of the same node.
func (n *Node) Same(o *Node) bool { return n.server() == o.server() }

// server is the node itself of a login's pool.
func (n *Node) server() *Node {
	if n.of != nil {
		return n.of
	}
	return n
}

// user is who its backends are logged in as.
func (n *Node) user() string {
	if n.owner != nil {
		return n.owner.user
	}
	return n.cluster.cfg.User
}

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
