package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

const devHelp = `Dev starts real PostgreSQL shards, each a primary with streaming replicas, from the
programs on this machine; a Redis (redis-server when installed, else one inside this
program); and the proxy in front of them. Everything lives in a temporary directory.
Ctrl-C ends it all and removes the directory.

With a COMMAND, dev runs it with the environment below, then stops everything and exits
with its status. It then listens on a free port unless --listen says otherwise.

  PGHOST PGPORT PGUSER PGPASSWORD       the proxy
  PGDATABASE DATABASE_URL
  PGDROVER_ADMIN_URL PGDROVER_HTTP      the console's DSN; the HTTP base URL
  PGDROVER_SHARD_1_URL                  straight to the nodes, as superuser
  PGDROVER_SHARD_1_REPLICA_1_URL …
  PGDROVER_CONFIG PGDROVER_SHARDMAP     the files in use
  PGDROVER_DIR                          the cluster's directory
  REDIS_URL                             the Redis in use

Dev makes a demo schema (tenants, users, items, orders, order_lines, countries, …) and,
without a COMMAND, loads a few hundred tenants, all through the proxy. With --init it runs
your file instead; --demo asks for the demo's schema and rows in any case. With --map there
is none: FILE says what tells tenants apart, such as tenant: {schema: "t_{tenant}", type: bigint}.`

const devExample = `  pgdrover dev
  pgdrover dev --shards 3 --replicas 2 --listen 127.0.0.1:7000
  pgdrover dev --init schema.sql -- go test ./...
  pgdrover dev -- psql -c 'select 1'`

const (
	devListen = "127.0.0.1:6432" // where dev listens without a COMMAND
	anyPort   = "127.0.0.1:0"
)

// devOptions are the flags and arguments of dev.
type devOptions struct {
	shards, replicas int
	listen           string
	init             []string
	config           []string
	shardMap         string // what the shard map says besides the shards; empty: the demo's
	demo             bool
	command          []string
}

func newDevCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:     "dev [flags] [-- COMMAND …]",
		Short:   "Run a whole cluster on this machine, to try things on or for one command",
		Long:    devHelp,
		Example: devExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return usageErrorf("unexpected argument %q: write -- before the command to run", args[0])
			}
			if o.shards < 1 || o.replicas < 0 {
				return usageErrorf("--shards must be at least 1 and --replicas at least 0")
			}
			o.command = args
			return runDev(cmd.Context(), o, stdio{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
		},
	}
	cmd.Flags().IntVar(&o.shards, "shards", 2, "how many shards")
	cmd.Flags().IntVar(&o.replicas, "replicas", 1, "how many replicas each shard has")
	cmd.Flags().StringVar(&o.listen, "listen", "", "`ADDRESS` of the proxy; its HTTP side gets the next port (default "+devListen+", free ports with a COMMAND)")
	cmd.Flags().StringArrayVar(&o.init, "init", nil, "run the statements of `FILE` through the proxy; may be repeated")
	cmd.Flags().StringVar(&o.shardMap, "map", "", "take the shard map from `FILE`, which says all but database and shards: tenant, tables, pins")
	cmd.Flags().StringArrayVar(&o.config, "config", nil, "merge the settings of `FILE` into the configuration; may be repeated")
	cmd.Flags().BoolVar(&o.demo, "demo", false, "make the demo schema and load its rows, whatever the other flags")
	return cmd
}

// proxyAddrs are where a proxy listens.
type proxyAddrs struct {
	SQL  string // host:port
	HTTP string // host:port
}

// dev is one run of the command dev.
type dev struct {
	options devOptions
	streams stdio
	status  *progress
	signals *devSignals

	cluster *pgcluster.Cluster
	redis   *pgcluster.Redis
	files   devFiles
	addrs   proxyAddrs
	proxy   *devProxy
}

// runDev starts everything, does what was asked for, and stops everything, whatever happened in between.
func runDev(ctx context.Context, o devOptions, streams stdio) error {
	d := &dev{options: o, streams: streams, status: newProgress(streams.err, len(o.command) > 0)}
	signals, ctx, hurry := watchSignals(ctx, streams.in)
	defer signals.close()
	d.signals = signals
	err := d.start(ctx)
	if err == nil {
		err = d.serve(ctx)
	}
	if caught := signals.caught(); errors.Is(err, context.Canceled) && caught != 0 {
		err = exitStatus(128 + caught)
	}
	d.status.step("stopping")
	if stopped := d.stop(hurry); stopped != nil {
		err = errors.Join(err, stopped)
	}
	d.status.clear()
	return err
}

// serve hands the running cluster to the COMMAND, or to the user until a signal comes.
func (d *dev) serve(ctx context.Context) error {
	if len(d.options.command) > 0 {
		d.status.clear()
		return d.runCommand(ctx)
	}
	if err := d.greet(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-d.proxy.done:
		return fmt.Errorf("the proxy ended: %w", d.proxy.failure())
	}
}

// start brings up nodes, Redis and proxy, and makes the schema.
func (d *dev) start(ctx context.Context) error {
	if err := d.startServers(ctx); err != nil {
		return err
	}
	files, err := d.writeFiles()
	if err != nil {
		return err
	}
	d.files = files
	d.status.step("starting the proxy")
	d.proxy = startDevProxy(ctx, files.configs)
	d.addrs, err = d.proxy.await(ctx)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: end what listens there, or choose another address with --listen", err)
	}
	if err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	return d.populate(ctx)
}

func (d *dev) startServers(ctx context.Context) error {
	o := d.options
	d.status.step(fmt.Sprintf("starting %s with %s each", plural(o.shards, "shard"), plural(o.replicas, "replica")))
	var err error
	d.cluster, err = pgcluster.Start(ctx, pgcluster.Config{
		Shards: o.shards, Replicas: o.replicas, Password: devPassword, Log: d.status,
	})
	if err != nil {
		return err
	}
	d.redis, err = pgcluster.StartRedis(ctx, d.cluster.Dir)
	return err
}

// populate makes the demo's schema and rows, then runs the files of --init.
func (d *dev) populate(ctx context.Context) error {
	o := d.options
	if o.demo || len(o.init) == 0 && o.shardMap == "" {
		d.status.step("creating the demo schema")
		if err := execAll(ctx, d.files.appURL(d.addrs), statements(demoSchema)); err != nil {
			return fmt.Errorf("create the demo schema: %w", err)
		}
	}
	if o.demo || len(o.init) == 0 && len(o.command) == 0 {
		err := loadDemo(ctx, d.files.appURL(d.addrs), func(tenants int) {
			d.status.count("loading tenants through the proxy", tenants, demoTenants)
		})
		if err != nil {
			return fmt.Errorf("load the demo: %w", err)
		}
	}
	for _, path := range o.init {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("--init: %w", err)
		}
		d.status.step("running " + path)
		if err := execAll(ctx, d.files.appURL(d.addrs), statements(text)); err != nil {
			return fmt.Errorf("--init %s: %w", path, err)
		}
	}
	return d.cluster.WaitReplicas(ctx)
}

// stop ends what start has started, in the opposite order. It hurries when ctx is done.
func (d *dev) stop(ctx context.Context) error {
	var errs []error
	if d.proxy != nil {
		errs = append(errs, d.proxy.stop(ctx))
	}
	if d.redis != nil {
		errs = append(errs, d.redis.Stop())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop(ctx))
	}
	return errors.Join(errs...)
}
