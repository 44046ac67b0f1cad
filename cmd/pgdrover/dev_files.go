package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// The logins of a dev cluster are for everyone on this machine to use, as everything in it is thrown away.
const (
	devUser      = "app"
	devPassword  = "app"
	devAdmin     = "ops"
	devAdminPass = "ops"
)

// devFiles are the files that the proxy runs with.
type devFiles struct {
	dir      string
	configs  []string // the generated one, then those of --config
	shardmap string
	lock     string
}

// writeFiles writes pgdrover.yaml and shardmap.yaml into the cluster's directory.
func (d *dev) writeFiles() (devFiles, error) {
	dir := d.cluster.Dir
	f := devFiles{
		dir: dir, configs: []string{filepath.Join(dir, defaultConfig)},
		shardmap: filepath.Join(dir, "shardmap.yaml"), lock: filepath.Join(dir, "shardmap.lock"),
	}
	for _, path := range d.options.config {
		abs, err := filepath.Abs(path)
		if err != nil {
			return f, fmt.Errorf("--config: %w", err)
		}
		f.configs = append(f.configs, abs)
	}
	rest := []byte("tenant: {column: tenant_id, type: bigint}\npartitions: 4096\n" + demoTables)
	if d.options.shardMap != "" {
		var err error
		if rest, err = os.ReadFile(d.options.shardMap); err != nil {
			return f, fmt.Errorf("--map: %w", err)
		}
	}
	err := errors.Join(
		os.WriteFile(f.configs[0], []byte(d.configText()), 0o600),
		os.WriteFile(f.shardmap, []byte(shardmapText(d.cluster, string(rest))), 0o600))
	if err != nil {
		return f, fmt.Errorf("write the configuration: %w", err)
	}
	return f, nil
}

// configText is pgdrover.yaml.
func (d *dev) configText() string {
	listen, http := d.options.addresses()
	return fmt.Sprintf(`# Written by pgdrover dev.
listen: %q
admin: {listen: %q}
databases:
  app:
    shardmap: shardmap.yaml
    backend: {user: %s, password: %s}
    cache: {redis: %q}
users:
  - {name: %s, password: %s, databases: [app]}
  - {name: %s, password: %s, admin: true}
log: {level: warn}
limits: {drain: 3s}
`, listen, http, devUser, devPassword, d.redis.URL(), devUser, devPassword, devAdmin, devAdminPass)
}

// addresses are where the proxy and its HTTP side shall listen. With a COMMAND any ports will do, since it is told;
// without one they are easy to remember: the HTTP side has the port after the proxy's.
func (o devOptions) addresses() (listen, http string) {
	listen, http = o.listen, anyPort
	switch {
	case listen == "" && len(o.command) > 0:
		listen = anyPort
	case listen == "":
		listen = devListen
	}
	_, text, err := net.SplitHostPort(listen)
	port, errPort := strconv.Atoi(text)
	if len(o.command) == 0 && err == nil && errPort == nil && port > 0 && port < 65535 {
		http = net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1))
	}
	return listen, http
}

// shardmapText is shardmap.yaml for the nodes of a cluster; rest is what it says of tenants and tables.
func shardmapText(c *pgcluster.Cluster, rest string) string {
	var text strings.Builder
	text.WriteString("# Written by pgdrover dev. Edit it while dev runs: the proxy follows.\n" +
		"database: app\nshards:\n")
	for _, shard := range c.Shards {
		fmt.Fprintf(&text, "  - name: %s\n    primary: %s\n", shard.Name, nodeText(shard.Primary))
		var replicas []string
		for _, replica := range shard.Replicas {
			replicas = append(replicas, nodeText(replica))
		}
		if len(replicas) > 0 {
			fmt.Fprintf(&text, "    replicas: [%s]\n", strings.Join(replicas, ", "))
		}
	}
	text.WriteString(rest)
	return text.String()
}

func nodeText(n *pgcluster.Node) string { return fmt.Sprintf("{host: %s, port: %d}", n.Host, n.Port) }

// appURL is the application's DSN.
func (f devFiles) appURL(addrs proxyAddrs) string { return dsn(devUser, devPassword, addrs.SQL, "app") }

// adminURL is the console's DSN.
func (f devFiles) adminURL(addrs proxyAddrs) string {
	return dsn(devAdmin, devAdminPass, addrs.SQL, consoleDatabase)
}

func dsn(user, password, addr, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: reachable(addr), Path: "/" + database}
	return u.String()
}

// reachable is an address to connect to for one that is listened on: every interface is reached through loopback.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// diverting are variables of libpq that would lead a COMMAND elsewhere than PGHOST and PGPORT say.
var diverting = []string{"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGSSLMODE", "PGOPTIONS", "PGTARGETSESSIONATTRS"}

// environment is what the COMMAND finds: ours, but for what leads to other servers, and the cluster's.
func (d *dev) environment() ([]string, error) {
	host, port, err := net.SplitHostPort(reachable(d.addrs.SQL))
	if err != nil {
		return nil, err
	}
	set := []string{
		"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + devUser, "PGPASSWORD=" + devPassword, "PGDATABASE=app",
		"DATABASE_URL=" + d.files.appURL(d.addrs),
		"PGDROVER_ADMIN_URL=" + d.files.adminURL(d.addrs),
		"PGDROVER_HTTP=http://" + reachable(d.addrs.HTTP),
		"PGDROVER_CONFIG=" + strings.Join(d.files.configs, string(filepath.ListSeparator)),
		"PGDROVER_SHARDMAP=" + d.files.shardmap,
		"PGDROVER_DIR=" + d.files.dir,
		"REDIS_URL=" + d.redis.URL(),
	}
	for _, node := range d.cluster.Nodes() {
		name := fmt.Sprintf("PGDROVER_SHARD_%d_URL", node.Shard)
		if node.Replica > 0 {
			name = fmt.Sprintf("PGDROVER_SHARD_%d_REPLICA_%d_URL", node.Shard, node.Replica)
		}
		set = append(set, name+"="+node.SuperuserURL())
	}
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !replaced(name) {
			kept = append(kept, pair)
		}
	}
	return append(kept, set...), nil
}

// replaced says whether a variable of ours must not reach the COMMAND.
func replaced(name string) bool {
	for _, other := range diverting {
		if name == other {
			return true
		}
	}
	return strings.HasPrefix(name, "PGDROVER_")
}
