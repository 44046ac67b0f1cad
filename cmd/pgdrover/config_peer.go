package main

import (
	"net"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
	"github.com/pgdrover/pgdrover/proxy"
)

// Peer is a proxy of a fleet. The list may hold the proxy itself, so that all of them can have the same.
type Peer struct {
	// ID is its number, which is part of the process ids that its clients are given: the peer_id of its own configuration. Key:
	// peers[].id. Required.
	ID int `yaml:"id"`
	// Address is where it listens for clients, HOST:PORT. Key: peers[].address. Required.
	Address string `yaml:"address"`

	at yamlfile.Position
}

// UnmarshalNode reads a peer, and remembers where it is.
func (p *Peer) UnmarshalNode(n yamlfile.Node) error {
	type plain Peer
	p.at = n.Position()
	return n.Decode((*plain)(p))
}

// validatePeers reports what is wrong with the fleet.
func (l *loader) validatePeers(c *Config) {
	if c.PeerID < 0 || c.PeerID > proxy.MaxPeer {
		l.fault(key{"peer_id"}, "must be between 1 and %d, or 0 for a proxy that is alone", proxy.MaxPeer)
	}
	if len(c.Peers) > 0 && c.PeerID == 0 {
		l.fault(key{"peer_id"}, "missing: say which number this proxy has among the peers")
	}
	known := map[int]bool{}
	for _, p := range c.Peers {
		if p.ID < 1 || p.ID > proxy.MaxPeer {
			l.errs.Add(p.at, "peers: id: must be between 1 and %d", proxy.MaxPeer)
		} else if known[p.ID] {
			l.errs.Add(p.at, "peers: id: %d is given twice", p.ID)
		}
		known[p.ID] = true
		if err := checkAddress(p.Address); err != nil {
			l.errs.Add(p.at, "peers: address: %v", err)
		} else if host, port, _ := net.SplitHostPort(p.Address); host == "" || port == "0" {
			l.errs.Add(p.at, "peers: address: %q does not say where the other proxies reach it: write HOST:PORT, as 10.0.0.1:6432", p.Address)
		}
	}
}

// peers are the addresses of the fleet by number.
func (c *Config) peers() map[int]string {
	all := make(map[int]string, len(c.Peers))
	for _, p := range c.Peers {
		all[p.ID] = p.Address
	}
	return all
}
