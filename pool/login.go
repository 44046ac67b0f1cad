package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// maxLogins bounds the logins of a cluster that have sessions or backends.
const maxLogins = 1000

// forgiveAfter is Cluster.forgive.
const forgiveAfter = 10 * time.Second

// Login is a user of the clients' own, as which PgDrover logs in to the nodes with the keys of the user's last SCRAM exchange. All sessions
// of the user share it, and its backends are for nobody else: on each node it has a pool of its own, made when it is first asked for.
type Login struct {
	cluster *Cluster
	user    string
	keys    atomic.Pointer[Keys] // of the last SCRAM exchange

	// The rest is guarded by cluster.mu.
	sessions int
	left     time.Time // when the last session left
	of, view *Topology // the last that was asked for, and its view
}

// Login is the login of a user for one more session, which has to Leave in the end. From now on backends are logged in with these keys.
// An error is an *Error: there are too many users.
func (c *Cluster) Login(user string, keys Keys) (*Login, error) {
	c.mu.Lock()
	l := c.logins[user]
	var closing []*Node
	if l == nil {
		var room bool
		if closing, room = c.roomForLogin(); !room {
			c.mu.Unlock()
			return nil, &Error{Code: CodeTooMany, Message: fmt.Sprintf("%d users have sessions or backends of their own already", maxLogins),
				Hint: "Try again when some have left."}
		}
		l = &Login{cluster: c, user: user}
		c.logins[user] = l
	}
	l.sessions++
	pools := l.renew(keys)
	c.mu.Unlock()
	for _, n := range pools {
		n.retry()
	}
	for _, n := range closing {
		n.close()
	}
	return l, nil
}

// renew takes over keys and returns the pools that have been refused, which may try again: the node may have changed its mind, too. With
// cluster.mu held.
func (l *Login) renew(keys Keys) []*Node {
	refused := l.pools()
	refused = slices.DeleteFunc(refused, func(n *Node) bool { return !n.refused() })
	if old := l.keys.Load(); old == nil || *old != keys || len(refused) > 0 {
		l.keys.Store(&keys)
	}
	return refused
}

// retry has a pool forget that its user was refused.
func (n *Node) retry() {
	n.refusal.Store(nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.trouble != nil && !n.trouble.down {
		n.mended()
	}
}

// Leave ends what Login began.
func (l *Login) Leave() {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	l.sessions--
	l.left = time.Now()
}

// Topology is the view of a topology whose pools are the login's.
func (l *Login) Topology(t *Topology) *Topology {
	c := l.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.of == t {
		return l.view
	}
	view := &Topology{shards: make([]shardPlaces, len(t.shards))}
	for i := range t.shards {
		from, to := &t.shards[i], &view.shards[i]
		to.name = from.name
		to.primary = l.place(from.primary)
		for _, p := range from.replicas {
			to.replicas = append(to.replicas, l.place(p))
		}
	}
	l.of, l.view = t, view
	return view
}

// place puts the login's pool of a node where that stands. With cluster.mu held.
func (l *Login) place(p place) place {
	n := p.node
	own := n.users[l]
	if own == nil {
		own = l.cluster.newNode(n.id, n.addr)
		own.of, own.owner, own.inFlight, own.strict = n, l, n.inFlight, true
		own.closed = l.cluster.closed
		n.mu.Lock()
		own.up.Store(n.up.Load())
		if n.trouble != nil && n.trouble.down {
			shared := *n.trouble
			own.trouble = &shared
		}
		own.retired, own.drained = n.retired, n.drained
		n.mu.Unlock()
		own.able.Store(own.up.Load() && !own.drained && own.trouble == nil)
		if n.users == nil {
			n.users = map[*Login]*Node{}
		}
		n.users[l] = own
	}
	p.node = own
	own.place.Store(&p)
	return p
}

// pools are the login's pools so far. With cluster.mu held.
func (l *Login) pools() []*Node {
	var list []*Node
	for _, n := range l.cluster.nodes {
		if own := n.users[l]; own != nil {
			list = append(list, own)
		}
	}
	return list
}

// connect logs in to the node of a pool of the login's. Keys that the node has refused are not tried again.
func (l *Login) connect(ctx context.Context, n *Node, params map[string]string) (*greeting, error) {
	keys := l.keys.Load()
	if r := n.refusal.Load(); r != nil && r.keys == keys {
		return nil, r.answer
	}
	g, err := logIn(ctx, n, l.user, keys, params)
	if errors.Is(err, errOtherVerifier) {
		err = &pgwire.Error{Code: "28P01", Message: err.Error()}
	}
	var answer *pgwire.Error
	if errors.As(err, &answer) && strings.HasPrefix(answer.Code, "28") {
		n.refusal.Store(&refusal{keys, answer})
		n.sweep(time.Now())
	}
	return g, err
}

// refusal is a node's answer to keys that it does not accept.
type refusal struct {
	keys   *Keys
	answer *pgwire.Error
}

// refused reports whether n is the pool of a login whose keys the node has refused: it gives nobody a backend, and closes those it has
// as they become free, until the user has logged in with others.
func (n *Node) refused() bool {
	if n.owner == nil {
		return false
	}
	r := n.refusal.Load()
	return r != nil && r.keys == n.owner.keys.Load()
}

// roomForLogin reports whether there is room for another login, once the one that has been without sessions for longest is gone, and which
// pools are to be closed for that. With c.mu held.
func (c *Cluster) roomForLogin() (closing []*Node, room bool) {
	if len(c.logins) < maxLogins {
		return nil, true
	}
	var oldest *Login
	for _, l := range c.logins {
		if l.sessions == 0 && (oldest == nil || l.left.Before(oldest.left)) {
			oldest = l
		}
	}
	if oldest == nil {
		return nil, false
	}
	return c.forgetLogin(oldest), true
}

// forgetLogin takes a login without sessions out of the cluster, and returns its pools, which the caller closes. With c.mu held.
func (c *Cluster) forgetLogin(l *Login) []*Node {
	delete(c.logins, l.user)
	pools := l.pools()
	for _, own := range pools {
		delete(own.of.users, l)
		own.of.inherit(own)
	}
	return pools
}

// inherit has a node keep count of what a pool of a user's has done that is about to go.
func (n *Node) inherit(own *Node) {
	own.mu.Lock()
	past := own.counts
	own.counts = counts{}
	own.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts.Add(&past.Counts)
}

// dismissLogins forgets the logins that have neither sessions nor backends.
func (c *Cluster) dismissLogins() {
	c.mu.Lock()
	var closing []*Node
	for _, l := range c.logins {
		if l.sessions == 0 && !l.inUse() {
			closing = append(closing, c.forgetLogin(l)...)
		}
	}
	c.mu.Unlock()
	for _, n := range closing {
		n.close()
	}
}

// inUse reports whether a pool of the login has backends, or is about to. With cluster.mu held.
func (l *Login) inUse() bool {
	for _, n := range l.pools() {
		n.mu.Lock()
		busy := len(n.all)+n.dialing+n.queue.len > 0
		n.mu.Unlock()
		if busy {
			return true
		}
	}
	return false
}
