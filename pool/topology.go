package pool

import "math/rand/v2"

// Topology is the nodes of one shard map, by the map's shard indexes. It does not change and is safe for concurrent use; it
// goes on serving after a later map has taken its place, for as long as its nodes are in use.
type Topology struct {
	shards []shardPlaces
}

type shardPlaces struct {
	name     string
	primary  place
	replicas []place
}

// Acquire asks for a backend of a shard without ever blocking. It returns a backend if one is idle. It returns nil and nil
// if none is: r waits then, and its Notify is called when Take has the outcome. An error is an *Error.
//
// Role Primary is the primary. Role Replica is the least loaded replica that is able to serve, and the primary if there is none.
func (t *Topology) Acquire(r *Request, shard int, role Role) (*Backend, error) {
	if r.node != nil {
		panic("pool: Acquire with a request that waits already") // a programmer's mistake
	}
	r.topology, r.shard, r.role = t, shard, role
	r.since = 0
	return t.acquire(r)
}

// acquire serves r, which may have waited elsewhere before.
func (t *Topology) acquire(r *Request) (*Backend, error) {
	s := &t.shards[r.shard]
	for {
		n := s.pick(r.role, r.Exclude)
		b, err := n.takeOrQueue(r, n != s.primary.node)
		if err != errElsewhere {
			return b, err
		}
	}
}

func (s *shardPlaces) pick(role Role, exclude *Node) *Node {
	if role == Replica && len(s.replicas) > 0 {
		return s.choose(exclude)
	}
	return s.primary.node
}

// choose is pick for a read where there are replicas.
func (s *shardPlaces) choose(exclude *Node) *Node {
	if n := choose(s.replicas, exclude, rand.Uint32()); n != nil {
		return n
	}
	return s.primary.node
}

// Len is the number of shards.
func (t *Topology) Len() int { return len(t.shards) }

// Shard is the name of a shard.
func (t *Topology) Shard(shard int) string { return t.shards[shard].name }

// Primary is the node of a shard that takes writes.
func (t *Topology) Primary(shard int) *Node { return t.shards[shard].primary.node }

// Replicas are the replicas of a shard, backups included, in the map's order.
func (t *Topology) Replicas(shard int) []*Node {
	nodes := make([]*Node, len(t.shards[shard].replicas))
	for i, p := range t.shards[shard].replicas {
		nodes[i] = p.node
	}
	return nodes
}

// HasReplicas reports whether a shard has any.
func (t *Topology) HasReplicas(shard int) bool { return len(t.shards[shard].replicas) > 0 }
