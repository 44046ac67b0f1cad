package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/admin"
	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/proxy"
)

const serveHelp = `Run the proxy until it is told to stop.

SIGTERM or Ctrl-C: no new client is taken, idle ones are told to go, and open transactions
may end within limits.drain; then serve exits with status 0. SIGHUP, or a change of
pgdrover.yaml, shardmap.yaml or shardmap.lock: they are read again, checked whole, and put in
force while traffic flows; if anything is wrong with them, all stays as it was.

The first start writes shardmap.lock, if no shard has rows yet.`

func newServeCommand() *cobra.Command {
	var config *configFlag
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run the proxy",
		Long:    serveHelp,
		Example: "  pgdrover serve --config /etc/pgdrover/pgdrover.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runProxy(cmd.Context(), config.files(), nil)
		},
	}
	config = addConfigFlag(cmd)
	return cmd
}

// service is one running proxy.
type service struct {
	paths   []string
	log     *slog.Logger
	server  *proxy.Server
	console *admin.Console

	draining atomic.Bool
	hasty    atomic.Bool   // open transactions are not waited for
	stopping chan struct{} // closed when the console has asked for the end
	asked    sync.Once     // closes it

	mu        sync.Mutex // one reload at a time
	config    *Config
	databases map[string]*served

	loops *task.Loops // that run the sessions; nil: they are goroutines

	directories *directories // changed by a reload only

	drift drift
}

// served is a database that is being served, and the files that it was made of.
type served struct {
	*proxy.Database
	placement *placement
}

// runProxy serves the configuration in files until ctx ends, and drains then. It tells ready where it listens, if that is not nil.
func runProxy(ctx context.Context, files []string, ready chan<- proxyAddrs) error {
	config, err := Load(files...)
	if err != nil {
		return err
	}
	s := &service{paths: files, config: config, log: config.Log.Logger(os.Stderr), databases: map[string]*served{},
		stopping: make(chan struct{})}
	defer s.close()
	if s.loops, err = config.Loops.start(s.log); err != nil {
		return err
	}
	for _, name := range config.databaseNames() {
		db, err := s.open(ctx, name, config)
		if err != nil {
			return err
		}
		s.databases[name] = db
	}
	s.directories = s.openDirectories(config)
	cfg, err := s.proxyConfig(config, s.directories)
	if err != nil {
		return err
	}
	if s.server, err = proxy.NewServer(cfg); err != nil {
		return err
	}
	return s.serve(ctx, ready)
}

// serve listens, tells where, and works until ctx ends or a listener fails.
func (s *service) serve(ctx context.Context, ready chan<- proxyAddrs) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ln, err := listen(ctx, s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	addrs := proxyAddrs{SQL: ln.Addr().String()}
	if s.config.Admin.Listen != "" {
		hl, err := net.Listen("tcp", s.config.Admin.Listen)
		if err != nil {
			_ = ln.Close()
			return fmt.Errorf("admin.listen: %w", err)
		}
		addrs.HTTP = hl.Addr().String()
		web, stopWeb := context.WithCancel(context.WithoutCancel(ctx)) // health and readiness answer until the drain is over
		defer stopWeb()
		group.Go(func() {
			if err := admin.Serve(web, hl, admin.NewHandler(s.adminOptions()), s.log); err != nil {
				cancel(err)
			}
		})
	}
	group.Go(func() { s.watch(ctx) })
	group.Go(func() { s.watchDrift(ctx) })
	group.Go(func() {
		if err := s.server.Serve(ln); !errors.Is(err, proxy.ErrServerClosed) {
			cancel(err)
		}
	})
	s.log.Info("serving", "version", buildVersion(), "listen", addrs.SQL, "admin", addrs.HTTP, "cores", task.Processors(), "loops", s.config.Loops.count())
	if ready != nil {
		ready <- addrs
	}
	select {
	case <-ctx.Done():
	case <-s.stopping:
		cancel(nil)
	}
	s.shutdown()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen listens for clients by TCP alone. Go's listeners are of Multipath TCP else, which no client of PostgreSQL asks for, and whose sockets take
// few of TCP's options before Linux 6.10.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(ctx, "tcp", address)
}

// stop has the program end, as if it was told by a signal; now says that open transactions are not waited for.
func (s *service) stop(now bool) {
	if now {
		s.hasty.Store(true)
	}
	s.asked.Do(func() { close(s.stopping) })
}

// shutdown drains the sessions within limits.drain.
func (s *service) shutdown() {
	s.mu.Lock()
	drain := s.config.Limits.Drain
	s.mu.Unlock()
	if s.hasty.Load() {
		drain = hastyDrain
	}
	s.draining.Store(true)
	s.log.Info("stopping", "drain", drain)
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Warn("clients were disconnected with transactions open", "after", drain)
	}
}

// hastyDrain is how long sessions have to say goodbye when open transactions are not waited for: the console, which asked for it, is
// one of them.
const hastyDrain = 100 * time.Millisecond

// closeTime bounds how long backends and Redis may take to say goodbye.
const closeTime = 5 * time.Second

func (s *service) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	s.directories.close(nil)
	for _, db := range s.databases {
		db.Close(ctx)
	}
	s.loops.Close()
}
