package admin

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// orders are the statements that do something.
func orders() []statement {
	return []statement{
		{"PAUSE", "[DATABASE]", "have new transactions wait, and return when the open ones have ended", nil, "", (*Console).pause},
		{"RESUME", "[DATABASE]", "end what PAUSE or KILL began", nil, "", (*Console).resume},
		{"KILL CLIENT", "ID", "cancel what a client runs, and disconnect it", nil, "", (*Console).killClient},
		{"KILL_CLIENT", "ID", "the same", nil, "", (*Console).killClient},
		{"KILL", "[DATABASE]", "disconnect all clients and backends at once, and pause", nil, "", (*Console).kill},
		{"DISABLE", "DATABASE", "refuse new clients", nil, "", (*Console).disable},
		{"ENABLE", "DATABASE", "let them in again", nil, "", (*Console).enable},
		{"RECONNECT", "[DATABASE]", "replace backends, each when it is released", nil, "", (*Console).reconnect},
		{"WAIT_CLOSE", "[DATABASE]", "return when that is done", nil, "", (*Console).waitClose},
		{"DRAIN NODE", "HOST:PORT", "send a replica no more reads, and return when it runs none", nil, "", (*Console).drain},
		{"UNDRAIN NODE", "HOST:PORT", "send it reads again", nil, "", (*Console).undrain},
		{"SHUTDOWN WAIT_FOR_SERVERS", "", "stop when open transactions have ended, as SIGTERM does", nil, "", (*Console).shutdown},
		{"SHUTDOWN", "", "stop at once", nil, "", (*Console).shutdownNow},
		{"RELOAD", "", "read the configuration and the shard maps again", nil, "", (*Console).reload},
	}
}

// done is the answer to an order, which is logged.
func (c *Console) done(user string, tag string, about ...any) (proxy.Table, error) {
	c.opt.Log.Info("order on the console", append([]any{"user", user, "order", tag}, about...)...)
	return proxy.Table{Tag: tag}, nil
}

// chosen are the databases that an order is about: the one that is named, or all of them.
func (c *Console) chosen(args []token, word string) ([]*proxy.Database, *proxy.Server, error) {
	srv := c.opt.Server()
	if srv == nil {
		return nil, nil, noDatabase()
	}
	all := srv.Databases()
	var names []string
	var list []*proxy.Database
	for name, d := range all {
		names, list = append(names, name), append(list, d)
	}
	slices.Sort(names)
	slices.SortFunc(list, func(a, b *proxy.Database) int { return strings.Compare(a.Name(), b.Name()) })
	switch {
	case len(args) == 0:
		return list, srv, nil
	case len(args) > 1:
		return nil, nil, &pgwire.Error{Code: "42601", Message: word + " takes one database", Hint: "there is " + strings.Join(names, ", ")}
	case all[args[0].text] == nil:
		return nil, nil, &pgwire.Error{Code: "3D000", Message: "database \"" + args[0].text + "\" does not exist",
			Hint: "there is " + strings.Join(names, ", ")}
	}
	return []*proxy.Database{all[args[0].text]}, srv, nil
}

// named is the one database that an order has to name.
func (c *Console) named(args []token, word string) (*proxy.Database, error) {
	list, _, err := c.chosen(args, word)
	switch {
	case err != nil:
		return nil, err
	case len(args) == 0:
		return nil, &pgwire.Error{Code: "42601", Message: word + " needs a database", Hint: "write " + word + " and its name; SHOW DATABASES lists them"}
	}
	return list[0], nil
}

// onEach does something with several databases at once and joins the errors.
func onEach(list []*proxy.Database, do func(*proxy.Database) error) error {
	errs := make([]error, len(list))
	var group sync.WaitGroup
	for i, d := range list {
		group.Go(func() { errs[i] = do(d) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// pause waits for the transactions of all databases that are paused. If one cannot be, those that were not paused before go on.
func (c *Console) pause(ctx context.Context, user string, args []token) (proxy.Table, error) {
	list, srv, err := c.chosen(args, "PAUSE")
	if err != nil {
		return proxy.Table{}, err
	}
	fresh := slices.DeleteFunc(slices.Clone(list), (*proxy.Database).Paused)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = onEach(list, func(d *proxy.Database) error {
		err := d.Pause(ctx, srv)
		if err != nil {
			stop()
		}
		return err
	})
	if err != nil {
		for _, d := range fresh {
			_ = d.Resume() // those that were quiet already
		}
		return proxy.Table{}, err
	}
	return c.done(user, "PAUSE", "databases", names(list))
}

func (c *Console) resume(ctx context.Context, user string, args []token) (proxy.Table, error) {
	list, _, err := c.chosen(args, "RESUME")
	if err != nil {
		return proxy.Table{}, err
	}
	var resumed []*proxy.Database
	for _, d := range list {
		if err = d.Resume(); err == nil {
			resumed = append(resumed, d)
		}
	}
	switch {
	case len(resumed) > 0:
		return c.done(user, "RESUME", "databases", names(resumed))
	case len(args) > 0:
		return proxy.Table{}, err
	}
	return proxy.Table{}, &pgwire.Error{Code: "55000", Message: "no database is paused", Hint: "SHOW DATABASES says which are"}
}

func (c *Console) kill(ctx context.Context, user string, args []token) (proxy.Table, error) {
	list, srv, err := c.chosen(args, "KILL")
	if err == nil {
		c.opt.Log.Warn("all clients are disconnected by an order on the console", "user", user, "databases", names(list))
		err = onEach(list, func(d *proxy.Database) error { return d.Kill(ctx, srv) })
	}
	if err != nil {
		return proxy.Table{}, err
	}
	return proxy.Table{Tag: "KILL"}, nil
}

func (c *Console) killClient(ctx context.Context, user string, args []token) (proxy.Table, error) {
	if len(args) != 1 {
		return proxy.Table{}, &pgwire.Error{Code: "42601", Message: "KILL CLIENT takes one id", Hint: "SHOW CLIENTS lists them"}
	}
	id, err := strconv.ParseUint(args[0].text, 10, 32)
	if err != nil {
		return proxy.Table{}, &pgwire.Error{Code: "22P02", Message: "\"" + args[0].text + "\" is not the id of a client", Hint: "SHOW CLIENTS lists them"}
	}
	srv := c.opt.Server()
	if srv == nil {
		return proxy.Table{}, noDatabase()
	}
	if err := srv.KillClient(ctx, uint32(id)); err != nil {
		return proxy.Table{}, err
	}
	return c.done(user, "KILL_CLIENT", "id", id)
}

func (c *Console) disable(ctx context.Context, user string, args []token) (proxy.Table, error) {
	d, err := c.named(args, "DISABLE")
	if err != nil {
		return proxy.Table{}, err
	}
	d.Disable(true)
	return c.done(user, "DISABLE", "database", d.Name())
}

func (c *Console) enable(ctx context.Context, user string, args []token) (proxy.Table, error) {
	d, err := c.named(args, "ENABLE")
	if err != nil {
		return proxy.Table{}, err
	}
	d.Disable(false)
	return c.done(user, "ENABLE", "database", d.Name())
}

func (c *Console) reconnect(ctx context.Context, user string, args []token) (proxy.Table, error) {
	list, _, err := c.chosen(args, "RECONNECT")
	if err != nil {
		return proxy.Table{}, err
	}
	for _, d := range list {
		d.Cluster().Reconnect()
	}
	return c.done(user, "RECONNECT", "databases", names(list))
}

func (c *Console) waitClose(ctx context.Context, user string, args []token) (proxy.Table, error) {
	list, _, err := c.chosen(args, "WAIT_CLOSE")
	if err != nil {
		return proxy.Table{}, err
	}
	err = until(ctx, func() bool {
		return !slices.ContainsFunc(list, func(d *proxy.Database) bool {
			return slices.ContainsFunc(d.Cluster().Backends(), func(b pool.BackendStats) bool { return b.Closing })
		})
	})
	if err != nil {
		return proxy.Table{}, err
	}
	return proxy.Table{Tag: "WAIT_CLOSE"}, nil
}

// until waits for a condition that others bring about.
func until(ctx context.Context, condition func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func names(list []*proxy.Database) string {
	var all []string
	for _, d := range list {
		all = append(all, d.Name())
	}
	return strings.Join(all, ", ")
}

func noDatabase() *pgwire.Error {
	return &pgwire.Error{Code: "3D000", Message: "no database is open yet", Hint: "try again when the proxy has started"}
}

func (c *Console) shutdown(ctx context.Context, user string, _ []token) (proxy.Table, error) {
	return c.stop(user, false)
}

func (c *Console) shutdownNow(ctx context.Context, user string, _ []token) (proxy.Table, error) {
	return c.stop(user, true)
}

func (c *Console) stop(user string, now bool) (proxy.Table, error) {
	if c.opt.Shutdown == nil {
		return proxy.Table{}, &pgwire.Error{Code: "0A000", Message: "this PgDrover cannot be stopped from the console", Hint: "stop its process"}
	}
	c.opt.Log.Warn("shutdown asked for on the console", "user", user, "now", now)
	c.opt.Shutdown(now)
	return proxy.Table{Tag: "SHUTDOWN"}, nil
}
