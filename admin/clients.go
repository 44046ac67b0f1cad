package admin

import (
	"net"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// clients answers SHOW CLIENTS. Columns up to id are PgBouncer's and mean what they mean there.
func clients(v *view) proxy.Table {
	return tabulate([]column[proxy.Client]{
		word("type", func(proxy.Client) string { return "C" }),
		word("user", func(c proxy.Client) string { return c.User }),
		word("database", func(c proxy.Client) string { return c.Database }),
		word("replication", func(c proxy.Client) string { return replication(&c) }),
		word("state", clientState),
		word("addr", func(c proxy.Client) string { return hostOf(c.Address) }),
		word("port", func(c proxy.Client) string { return portOf(c.Address) }),
		word("local_addr", func(c proxy.Client) string { return hostOf(c.Local) }),
		word("local_port", func(c proxy.Client) string { return portOf(c.Local) }),
		word("connect_time", func(c proxy.Client) string { return moment(c.Began) }),
		word("request_time", func(c proxy.Client) string { return moment(c.Asked) }),
		num("wait", func(c proxy.Client) int64 { return int64(c.Wait / time.Second) }),
		num("wait_us", func(c proxy.Client) int64 { return micros(c.Wait % time.Second) }),
		zero[proxy.Client]("close_needed"),
		word("ptr", func(c proxy.Client) string { return clientName(c.PID) }),
		word("link", func(c proxy.Client) string {
			if len(c.Serials) == 0 {
				return ""
			}
			return backendName(c.Database, c.Serials[0])
		}),
		zero[proxy.Client]("remote_pid"),
		word("tls", func(c proxy.Client) string { return c.Cipher }),
		word("application_name", func(c proxy.Client) string { return c.Application }),
		num("prepared_statements", func(c proxy.Client) int { return c.Statements }),
		num("id", func(c proxy.Client) uint32 { return c.PID }),
		word("transaction", func(c proxy.Client) string { return yes(c.State == proxy.ClientTransaction) }),
		word("age_s", func(c proxy.Client) string { return seconds(v.at.Sub(c.Began)) }),
		word("hold", func(c proxy.Client) string { return strings.Join(c.Hold, ", ") }),
		num("channels", func(c proxy.Client) int { return c.Channels }),
		word("pool_mode", func(c proxy.Client) string { return c.Mode.String() }),
		word("backends", func(c proxy.Client) string { return strings.Join(c.Backends, ", ") }),
	}, v.clients)
}

// clientState is PgBouncer's word: active is who has a backend.
func clientState(c proxy.Client) string {
	if c.State == proxy.ClientTransaction {
		return proxy.ClientActive.String()
	}
	return c.State.String()
}

// replication is PgBouncer's word for what a connection is for; nil is a backend without a client.
func replication(c *proxy.Client) string {
	if c != nil && c.Replicates {
		return "logical"
	}
	return "none"
}

// clientName and backendName tell connections apart in the columns ptr and link.
func clientName(pid uint32) string { return "client " + number(pid) }

func backendName(database string, serial uint64) string {
	return database + " backend " + number(serial)
}

func hostOf(addr string) string { host, _ := splitAddr(addr); return host }

func portOf(addr string) string { _, port := splitAddr(addr); return port }

// splitAddr parts host and port; an address without a port is all host.
func splitAddr(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, ""
	}
	return host, port
}

// backend is one row of SHOW SERVERS.
type backend struct {
	pool.BackendStats
	database string
	client   *proxy.Client // that has it; nil: none
}

// state is PgBouncer's word.
func (b backend) state() string {
	switch b.State {
	case "held":
		return "active"
	case "cancelling":
		return "being_canceled"
	}
	return b.State
}

// of shows something of the client that has the backend.
func (b backend) of(text func(*proxy.Client) string) string {
	if b.client == nil {
		return ""
	}
	return text(b.client)
}

// backends lists all backends of a view.
func (v *view) backends() []backend {
	type key struct {
		database string
		serial   uint64
	}
	holders := map[key]*proxy.Client{}
	for i := range v.clients {
		for _, serial := range v.clients[i].Serials {
			holders[key{v.clients[i].Database, serial}] = &v.clients[i]
		}
	}
	var list []backend
	for _, d := range v.databases {
		for _, b := range d.backends {
			list = append(list, backend{b, d.name, holders[key{d.name, b.Serial}]})
		}
	}
	return list
}

// servers answers SHOW SERVERS. Columns up to id are PgBouncer's and mean what they mean there.
func servers(v *view) proxy.Table {
	return tabulate([]column[backend]{
		word("type", func(backend) string { return "S" }),
		word("user", func(b backend) string { return b.User }),
		word("database", func(b backend) string { return b.database }),
		word("replication", func(b backend) string { return replication(b.client) }),
		word("state", backend.state),
		word("addr", func(b backend) string { return hostOf(b.Addr) }),
		word("port", func(b backend) string { return portOf(b.Addr) }),
		word("local_addr", func(b backend) string { return hostOf(b.Local) }),
		word("local_port", func(b backend) string { return portOf(b.Local) }),
		word("connect_time", func(b backend) string { return moment(v.at.Add(-b.Age)) }),
		word("request_time", func(b backend) string { return b.of(func(c *proxy.Client) string { return moment(c.Asked) }) }),
		zero[backend]("wait"),
		zero[backend]("wait_us"),
		flag("close_needed", func(b backend) bool { return b.Closing }),
		word("ptr", func(b backend) string { return backendName(b.database, b.Serial) }),
		word("link", func(b backend) string { return b.of(func(c *proxy.Client) string { return clientName(c.PID) }) }),
		num("remote_pid", func(b backend) uint32 { return b.PID }),
		word("tls", func(b backend) string { return b.Cipher }),
		word("application_name", func(b backend) string { return b.of(func(c *proxy.Client) string { return c.Application }) }),
		none[backend]("prepared_statements"),
		num("id", func(b backend) uint64 { return b.Serial }),
		word("shard", func(b backend) string { return b.Shard }),
		word("role", func(b backend) string { return b.Role.String() }),
		word("node", func(b backend) string { return b.Addr }),
		word("age_s", func(b backend) string { return seconds(b.Age) }),
		word("idle_s", func(b backend) string { return seconds(b.Idle) }),
	}, v.backends())
}
