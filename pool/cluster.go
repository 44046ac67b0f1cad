package pool

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Cluster is the backends of one database: a pool for each node of the shard map. It owns its goroutines; Close waits for
// them.
type Cluster struct {
	cfg     Config
	limits  atomic.Pointer[limits]
	current atomic.Pointer[Topology]
	forgive time.Duration // after which the pool of a login that was refused tries again
	serial  atomic.Uint64 // of the last backend
	live    atomic.Int64  // backends
	empty   chan struct{} // rung when live becomes 0
	group   sync.WaitGroup
	stop    context.CancelFunc // of the janitor
	spares  spares             // of control queries

	mu     sync.Mutex // guards what follows; taken before a node's
	nodes  map[identity]*Node
	logins map[string]*Login // by user
	closed bool
}

// New returns a cluster without nodes: Apply gives it some.
func New(cfg Config) *Cluster {
	cfg = cfg.withDefaults()
	c := &Cluster{cfg: cfg, forgive: forgiveAfter, nodes: map[identity]*Node{}, logins: map[string]*Login{}, empty: make(chan struct{}, 1)}
	c.limits.Store(cfg.limits())
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.group.Go(func() { c.clean(ctx) })
	return c
}

// Config is what New was given, with its defaults.
func (c *Cluster) Config() Config { return c.cfg }

// Adjust takes over the limits of cfg: Size, MaxWaiting, Wait, Idle and Lifetime. Everything else stays what New was given.
func (c *Cluster) Adjust(cfg Config) {
	c.limits.Store(cfg.withDefaults().limits())
	for _, n := range c.Nodes() {
		n.mu.Lock()
		n.judged()
		n.mu.Unlock()
		ring(n.kick)
	}
}

// Apply makes m the map in force and returns the view of it. Pools whose node address and database are in the map keep their
// backends, statistics and waiters. Nodes that are not in it are drained: their idle backends are closed now, the others when
// they are released; they go on serving older topologies until nobody has used them for a minute.
func (c *Cluster) Apply(m *shardmap.Map) *Topology {
	t, leaving := c.apply(m)
	for _, n := range leaving {
		n.sweep(time.Now())
	}
	return t
}

// apply does the work of Apply but for closing what is idle on the nodes that leave.
func (c *Cluster) apply(m *shardmap.Map) (t *Topology, leaving []*Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = &Topology{shards: make([]shardPlaces, m.ShardCount())}
	wanted := map[*Node]bool{}
	for i := range t.shards {
		s := m.Shard(i)
		at := &t.shards[i]
		at.name = s.Name
		at.primary = c.place(s.Name, Primary, s.Primary, wanted)
		for _, replica := range s.Replicas {
			at.replicas = append(at.replicas, c.place(s.Name, Replica, replica, wanted))
		}
	}
	for _, n := range c.nodes {
		if wanted[n] {
			continue
		}
		leaving = append(leaving, n)
		for _, own := range n.users {
			leaving = append(leaving, own)
		}
	}
	for _, n := range leaving {
		n.retire(time.Now())
	}
	c.current.Store(t)
	return t, leaving
}

// place finds or makes a node and puts it where a map says. With c.mu held.
func (c *Cluster) place(shard string, role Role, at shardmap.Node, wanted map[*Node]bool) place {
	id := c.identityOf(at)
	n := c.nodes[id]
	fresh := n == nil
	if fresh {
		n = c.newNode(id, at.Addr())
		n.login, n.loginErr = c.cfg.loginTo(id)
		c.nodes[id] = n
	}
	p := place{node: n, shard: shard, role: role, weight: max(at.Weight, 1), backup: at.Backup}
	n.place.Store(&p)
	n.stay()
	for _, own := range n.users {
		own.stay()
	}
	wanted[n] = true
	if fresh {
		c.start(n)
	}
	return p
}

func (c *Cluster) identityOf(at shardmap.Node) identity {
	id := identity{at.Host, at.Port, at.DBName}
	if id.database == "" {
		id.database = c.cfg.Database
	}
	return id
}

func (c *Cluster) newNode(id identity, addr string) *Node {
	n := &Node{
		cluster: c, id: id, addr: addr, all: map[*Backend]struct{}{}, apart: map[*Backend]struct{}{}, since: time.Now(),
		kick: make(chan struct{}, 1), check: make(chan struct{}, 1), stop: func() {}, inFlight: &atomic.Int64{},
	}
	n.up.Store(true)
	n.able.Store(true)
	return n
}

// start runs a node's goroutines, unless the cluster is closed. With c.mu held.
func (c *Cluster) start(n *Node) {
	if c.closed {
		n.closed, n.strict = true, true
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	c.group.Go(func() { n.keep(ctx) })
	c.group.Go(func() { n.watch(ctx) })
}

// stay takes note that a node is in the map in force.
func (n *Node) stay() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.retired = noTime
	n.judged()
}

// retire takes note that a node has left the map in force.
func (n *Node) retire(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.retired.IsZero() {
		n.retired = now
	}
	n.judged()
}

// Nodes are all nodes and pools of logins, those that are being drained included, by shard, role and address; the node itself comes
// before the pools of logins on it, which are in the order of their users.
func (c *Cluster) Nodes() []*Node {
	c.mu.Lock()
	nodes := make([]*Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
		for _, own := range n.users {
			nodes = append(nodes, own)
		}
	}
	c.mu.Unlock()
	slices.SortFunc(nodes, func(a, b *Node) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), strings.Compare(a.ownerName(), b.ownerName()))
	})
	return nodes
}

// ownerName is the user of a login's pool, empty for a node itself.
func (n *Node) ownerName() string {
	if n.owner == nil {
		return ""
	}
	return n.owner.user
}

// lost takes note of the end of a backend.
func (c *Cluster) lost() {
	if c.live.Add(-1) == 0 {
		ring(c.empty)
	}
}

// Close ends the cluster: nobody gets a backend any more, and whoever waits gets an error. It waits for backends that are held
// until ctx ends, then cuts their connections and says so; destroying them is still the holders' task. It returns when all
// goroutines have ended.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	nodes := c.Nodes()
	for _, n := range nodes {
		n.close()
	}
	err := c.awaitEmpty(ctx)
	if err != nil {
		for _, n := range nodes {
			n.severAll()
		}
	}
	c.group.Wait()
	return err
}

func (c *Cluster) awaitEmpty(ctx context.Context) error {
	for c.live.Load() > 0 {
		select {
		case <-c.empty:
		case <-ctx.Done():
			return fmt.Errorf("%d backends were still held, and have been cut off: %w", c.live.Load(), ctx.Err())
		}
	}
	return nil
}

// close ends everything of a node that nobody holds.
func (n *Node) close() {
	n.mu.Lock()
	n.closed = true
	n.judged()
	wake := n.failAll(n.gone())
	n.mu.Unlock()
	n.sweep(time.Now())
	n.stop()
	wakeAll(wake)
}

func (n *Node) severAll() {
	n.mu.Lock()
	rest := slices.AppendSeq(slices.Collect(maps.Keys(n.all)), maps.Keys(n.apart))
	n.mu.Unlock()
	for _, b := range rest {
		b.sever()
	}
}
