package admin

import (
	"context"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// drain has no reads sent to a replica, in all databases that it serves, and waits until it runs none. If nobody waits for that any
// more, it is taken back.
func (c *Console) drain(ctx context.Context, user string, args []token) (proxy.Table, error) {
	nodes, err := c.replicas(args, "DRAIN NODE")
	if err != nil {
		return proxy.Table{}, err
	}
	var fresh []*pool.Node
	for _, n := range nodes {
		if !n.Drained() {
			fresh = append(fresh, n)
			n.Drain(true)
		}
	}
	err = until(ctx, func() bool {
		busy := 0
		for _, n := range nodes {
			s := n.Stats()
			busy += s.Busy
		}
		return busy == 0
	})
	if err != nil {
		for _, n := range fresh {
			n.Drain(false)
		}
		return proxy.Table{}, err
	}
	return c.done(user, "DRAIN", "node", nodes[0].Addr())
}

func (c *Console) undrain(ctx context.Context, user string, args []token) (proxy.Table, error) {
	nodes, err := c.replicas(args, "UNDRAIN NODE")
	if err != nil {
		return proxy.Table{}, err
	}
	for _, n := range nodes {
		n.Drain(false)
	}
	return c.done(user, "UNDRAIN", "node", nodes[0].Addr())
}

// replicas are the pools of the replica at an address.
func (c *Console) replicas(args []token, words string) ([]*pool.Node, error) {
	if len(args) != 1 {
		return nil, &pgwire.Error{Code: "42601", Message: words + " takes one node", Hint: "write " + words + " HOST:PORT; SHOW NODES lists them"}
	}
	list, _, err := c.chosen(nil, words)
	if err != nil {
		return nil, err
	}
	var found []*pool.Node
	var known []string
	for _, d := range list {
		for _, n := range d.Cluster().Nodes() {
			if n.Role() == pool.Replica {
				known = append(known, n.Addr())
			}
			if n.Addr() != args[0].text {
				continue
			}
			if n.Role() == pool.Primary {
				return nil, &pgwire.Error{Code: "55000", Message: "node " + n.Addr() + " is the primary of shard " + n.Shard() + " of database " + d.Name(),
					Hint: "only a replica can be drained: writes have nowhere else to go. PAUSE has them wait."}
			}
			found = append(found, n)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(known) == 0:
		return nil, &pgwire.Error{Code: "42704", Message: "there is no node " + args[0].text, Hint: "there are no replicas"}
	}
	return nil, &pgwire.Error{Code: "42704", Message: "there is no node " + args[0].text, Hint: "the replicas are " + strings.Join(known, ", ")}
}
