package pool

// place is a node in a topology: where it stands and how much of the reads it gets.
type place struct {
	node   *Node
	shard  string
	role   Role
	weight int
	backup bool
}

// choose picks the replica for a read: of those that are able to serve and not excluded, the one with the fewest requests in flight
// for its weight; a backup only when there is no other. It is nil when there is none at all. Among equals, turn, any number,
// decides by weight.
func choose(replicas []place, exclude *Node, turn uint32) *Node {
	if n := leastLoaded(replicas, exclude, false, turn); n != nil {
		return n
	}
	return leastLoaded(replicas, exclude, true, turn)
}

func leastLoaded(replicas []place, exclude *Node, backup bool, turn uint32) *Node {
	var best *Node
	var load, weight, tied int64 // of best; tied is the weight of all that are as good
	for i := range replicas {
		p := &replicas[i]
		if p.backup != backup || p.node == exclude || !p.node.able.Load() {
			continue
		}
		l, w := p.node.inFlight.Load(), int64(max(p.weight, 1))
		order := l*weight - load*w // the sign of l/w - load/weight
		switch {
		case best == nil || order < 0:
			best, load, weight, tied = p.node, l, w, w
			continue
		case order > 0:
			continue
		}
		tied += w
		turn = turn*1664525 + 1013904223
		if int64(turn>>8)%tied < w {
			best, load, weight = p.node, l, w
		}
	}
	return best
}
