package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Config says what to start. The zero Config is one shard without replicas.
type Config struct {
	Shards   int // 1 when 0
	Replicas int // of each shard

	// Dir is where the cluster makes a directory of its own, which Stop
	// removes. Empty: the system's directory for temporary files.
	Dir string

	Database string // "app" when empty
	User     string // owner of Database, no superuser; "app" when empty
	Password string // of User; random when empty

	Settings map[string]string // server settings of every node, on top of the package's own
	TLS      bool              // nodes take TLS connections too, with the certificate in Cluster.CAFile
	Log      io.Writer         // gets a line for each step; nil for none

	template *template // what shards are copied from; nil: the cluster makes one of its own
}

// Shard is a primary and its replicas.
type Shard struct {
	Name     string // s1, s2, …
	Primary  *Node
	Replicas []*Node
}

// Cluster is a set of running shards. Whoever started it stops it.
type Cluster struct {
	Shards   []Shard
	Dir      string // the cluster's own directory; its owner may put files into it, not into nodes/ or log/
	Database string
	User     string
	Password string
	Version  string // of PostgreSQL
	CAFile   string // certificate of the nodes' authority; empty without Config.TLS

	bin     Binaries
	account account
	keeper  *keeper
	release func() // of a compose cluster
	stop    sync.Once
	stopErr error
}

// Start starts the shards and their replicas and returns when every node
// accepts connections and every replica streams. It leaves nothing behind when
// it fails or ctx is done before. The error is a *NotInstalledError when this
// machine has no PostgreSQL that would do.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	config = config.withDefaults()
	if Composed() {
		return startCompose(ctx, config)
	}
	c, err := newCluster(ctx, config.Dir)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx, config); err != nil {
		stopping, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancel()
		return nil, errors.Join(err, c.Stop(stopping))
	}
	return c, nil
}

// newCluster is a cluster that has a directory in parent, its keeper, and no shards.
func newCluster(ctx context.Context, parent string) (*Cluster, error) {
	bin, err := FindBinaries(ctx)
	if err != nil {
		return nil, err
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Version: bin.Version, bin: bin, account: who}
	if err := c.makeDir(parent); err != nil {
		return nil, err
	}
	if c.keeper, err = startKeeper(c.Dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Dir))
	}
	return c, nil
}

func (config Config) withDefaults() Config {
	config.Shards = max(config.Shards, 1)
	config.Replicas = max(config.Replicas, 0)
	if config.Database == "" {
		config.Database = "app"
	}
	if config.User == "" {
		config.User = "app"
	}
	if config.Password == "" {
		config.Password = randomPassword()
	}
	if config.Log == nil {
		config.Log = io.Discard
	}
	return config
}

// makeDir makes the cluster's directory in a place that the servers' account
// can reach.
func (c *Cluster) makeDir(parent string) error {
	places := []string{parent}
	if parent == "" {
		places = []string{os.TempDir(), "/tmp", "/var/tmp"}
	}
	for _, place := range places {
		if !c.account.reaches(place) {
			continue
		}
		dir, err := os.MkdirTemp(place, "pgdrover-")
		if err != nil {
			return fmt.Errorf("make the cluster's directory: %w", err)
		}
		c.Dir = dir
		nodes := filepath.Join(dir, "nodes")
		err = errors.Join(os.Chmod(dir, 0o711), os.Mkdir(nodes, 0o700), c.account.own(nodes), os.Mkdir(filepath.Join(dir, "log"), 0o700))
		if err != nil {
			return errors.Join(fmt.Errorf("make the cluster's directory: %w", err), os.RemoveAll(dir))
		}
		return nil
	}
	return fmt.Errorf("user %s, who runs PostgreSQL for root, cannot reach %v: name a directory that everyone may enter", c.account.name, places)
}

// start does the work of Start in the cluster's directory; its caller stops
// the cluster when it fails.
func (c *Cluster) start(ctx context.Context, config Config) error {
	began := time.Now()
	fmt.Fprintf(config.Log, "PostgreSQL %s from %s\n", c.bin.Version, c.bin.Dir)
	template, err := config.template, error(nil)
	if template == nil {
		if template, err = c.makeTemplate(ctx, config); err != nil {
			return err
		}
		defer os.RemoveAll(template.dir)
	}
	access := template.login
	c.Database, c.User, c.Password = access.database, access.user, access.password
	if config.TLS {
		if c.CAFile, err = template.enableTLS(c.Dir); err != nil {
			return err
		}
	}
	for i := range config.Shards {
		shard := Shard{Name: "s" + strconv.Itoa(i+1), Primary: c.newNode(access, i+1, 0)}
		for j := range config.Replicas {
			shard.Replicas = append(shard.Replicas, c.newNode(access, i+1, j+1))
		}
		c.Shards = append(c.Shards, shard)
	}
	err = inParallel(ctx, len(c.Shards), func(ctx context.Context, i int) error {
		return c.Shards[i].start(ctx, template, config)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(config.Log, "%d nodes run after %s\n", len(c.Nodes()), time.Since(began).Round(10*time.Millisecond))
	return nil
}

func (c *Cluster) newNode(access login, shard, replica int) *Node {
	name := nodeName(shard, replica)
	return &Node{
		Shard: shard, Replica: replica, Host: "127.0.0.1", DataDir: filepath.Join(c.Dir, "nodes", name),
		name: name, logPath: filepath.Join(c.Dir, "log", name+".log"), bin: c.bin, account: c.account, login: access,
	}
}

func nodeName(shard, replica int) string {
	if replica == 0 {
		return fmt.Sprintf("s%d-primary", shard)
	}
	return fmt.Sprintf("s%d-replica-%d", shard, replica)
}

// start runs the primary, then all replicas at once.
func (s Shard) start(ctx context.Context, template *template, config Config) error {
	if err := template.copyTo(ctx, s.Primary.DataDir, config.Settings); err != nil {
		return err
	}
	if err := s.Primary.launch(ctx, 0); err != nil {
		return err
	}
	fmt.Fprintf(config.Log, "shard %s: primary on %s\n", s.Name, s.Primary.Addr())
	err := inParallel(ctx, len(s.Replicas), func(ctx context.Context, i int) error {
		return s.Replicas[i].clone(ctx, s.Primary)
	})
	if err != nil {
		return err
	}
	if len(s.Replicas) > 0 {
		err = s.Primary.awaitStreaming(ctx, len(s.Replicas))
	}
	for _, replica := range s.Replicas {
		fmt.Fprintf(config.Log, "shard %s: replica on %s\n", s.Name, replica.Addr())
	}
	return err
}

// Nodes are all nodes, shard by shard, each primary before its replicas.
func (c *Cluster) Nodes() []*Node {
	var nodes []*Node
	for _, shard := range c.Shards {
		nodes = append(append(nodes, shard.Primary), shard.Replicas...)
	}
	return nodes
}

// Stop ends every node and removes the cluster's directory. It always ends all
// of them; it only hurries when ctx is done. A second call waits for the first
// and returns what that returned.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stop.Do(func() { c.stopErr = c.shut(ctx) })
	return c.stopErr
}

func (c *Cluster) shut(ctx context.Context) error {
	if c.release != nil {
		c.release()
		return nil
	}
	// Replicas first: a primary would wait until they have received all.
	for _, primaries := range []bool{false, true} {
		var nodes []*Node
		for _, node := range c.Nodes() {
			if (node.Replica == 0) == primaries {
				nodes = append(nodes, node)
			}
		}
		_ = inParallel(context.WithoutCancel(ctx), len(nodes), func(_ context.Context, i int) error {
			err := nodes[i].Stop(ctx)
			nodes[i].removeSegment()
			return err
		})
	}
	err := os.RemoveAll(c.Dir)
	c.keeper.release()
	if err != nil {
		return fmt.Errorf("remove the cluster's directory: %w", err)
	}
	return nil
}

// inParallel calls f for 0 … n-1 at once and waits for all. The first failure
// cancels the others' context, and is returned.
func inParallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
