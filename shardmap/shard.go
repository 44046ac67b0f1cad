package shardmap

import (
	"strconv"
	"strings"
)

// DefaultPort is the port of a node that names none.
const DefaultPort = 5432

// Shard is a primary and its replicas, holding one part of the data.
type Shard struct {
	Name     string
	Weight   int // the share of partitions planned for it, against the others'
	Primary  Node
	Replicas []Node
	Owned    int // partitions owned now; 0 in a File, which does not know
}

// Node is the address of one PostgreSQL server and the database on it. Nodes
// are comparable by ==.
type Node struct {
	Host   string // a name, an IP address, or the directory of a Unix socket
	Port   int
	DBName string // the map's database unless the file says otherwise
	Weight int    // the share of reads it gets, against other replicas
	Backup bool   // reads go to it only when no other replica can serve
}

// Addr returns host:port as a dialler takes it, with an IPv6 address in
// brackets; for a socket directory, the path of the socket in it.
func (n Node) Addr() string {
	port := strconv.Itoa(n.Port)
	switch {
	case n.IsSocket():
		return n.Host + "/.s.PGSQL." + port
	case strings.Contains(n.Host, ":"):
		return "[" + n.Host + "]:" + port
	}
	return n.Host + ":" + port
}

// IsSocket reports whether the node is reached through a Unix socket.
func (n Node) IsSocket() bool { return strings.HasPrefix(n.Host, "/") }
