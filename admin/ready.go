package admin

import (
	"time"

	"github.com/pgdrover/pgdrover/pool"
)

// readiness says whether clients should be sent here, and what keeps them from it. It is the body of /readyz.
type readiness struct {
	Ready    bool      `json:"ready"`
	Draining bool      `json:"draining,omitempty"`
	Problems []problem `json:"problems,omitempty"`
}

// problem is one reason for not being ready.
type problem struct {
	Database string     `json:"database,omitempty"`
	Shard    string     `json:"shard,omitempty"`
	Node     string     `json:"node,omitempty"`
	Why      string     `json:"why"`
	Since    *time.Time `json:"since,omitempty"`
}

// readiness is ready when the primary of every shard serves.
func (v *view) readiness(draining bool) readiness {
	r := readiness{Draining: draining}
	if len(v.databases) == 0 {
		r.Problems = append(r.Problems, problem{Why: "the proxy is starting: no database is open yet"})
	}
	for i := range v.databases {
		d := &v.databases[i]
		for _, s := range d.shards.Shards() {
			if p, bad := problemOf(d.primary(s.Name)); bad {
				p.Database, p.Shard = d.name, s.Name
				r.Problems = append(r.Problems, p)
			}
		}
	}
	r.Ready = !draining && len(r.Problems) == 0
	return r
}

// problemOf says what keeps a primary from serving.
func problemOf(n *pool.NodeStats) (p problem, bad bool) {
	if n == nil {
		return problem{Why: "the shard has no primary in force yet"}, true
	}
	p = problem{Node: n.Addr, Why: trouble(n)}
	switch {
	case !n.Up:
		p.Since = &n.Since
		if p.Why == "" {
			p.Why = "the node is down"
		}
		return p, true
	case n.Mismatch():
		return p, true
	case n.Probed.IsZero() && n.Idle+n.Busy == 0: // a server that is full is not probed, but may serve over backends it has
		if p.Why == "" {
			p.Why = "the node has not answered yet"
		}
		return p, true
	}
	return problem{}, false
}
