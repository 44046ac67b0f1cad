package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/shardmap"
)

// RefusedError says that a change of the shard map was refused because of rows: the map in force stays.
type RefusedError struct {
	Change shardmap.Change
	Reason string
}

// Error is the change, what stands against it, and what to do.
func (e *RefusedError) Error() string { return e.Change.Text + ": " + e.Reason }

// Change puts another shard map in force, or leaves everything as it was and says why. Open transactions end on the map they began
// with. When the change concerns where rows are looked for, new transactions of the tenants concerned are held until the old ones
// have ended and the shards have been looked at: a change that would part a tenant from rows it has is refused.
//
// A shard that is new gets the rows of the reference tables before: writers of those are held only while the shards are compared, and what was
// written since the rows were copied is copied too.
//
// Change may block for as long as that copy, twice Options.Drain and the look at the shards take. One change is made at a time.
func (d *Database) Change(ctx context.Context, m *shardmap.Map, srv *Server) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.place.Load()
	concerned := concerns(shardmap.Diff(old.shards, m))
	fill := newFilling(d.cluster, m, newcomers(old.shards, m), d.options().Log)
	if fill != nil {
		if err := fill.ahead(ctx, fillPatience); err != nil {
			return err
		}
		concerned.everywhere()
	}
	if concerned.closure == nil {
		d.install(m)
		return nil
	}
	for _, k := range concerned.closure.keys {
		concerned.closure.partitions[old.shards.Partition(k)] = true
	}
	d.gate.close(concerned.closure)
	defer d.gate.open()
	if err := d.drained(ctx, concerned.closure, srv); err != nil {
		return err
	}
	if d.catalog.behind() { // of tables that were made meanwhile
		if err := d.refreshCatalog(ctx); err != nil {
			return err
		}
	}
	look := survey{cluster: d.cluster, catalog: d.Router().Catalog(), before: old.shards, after: m}
	if err := look.changes(ctx, concerned.changes); err != nil {
		return err
	}
	if fill != nil {
		release, err := fill.settle(ctx, d.options().Drain)
		if err != nil {
			return err
		}
		defer release()
	}
	d.install(m)
	d.listeners.caughtUp(ctx) // before the gate opens: nothing is to be notified where nobody listens yet
	return nil
}

// install puts a map in force. The catalog stays: a change of the map does not change the shards.
func (d *Database) install(m *shardmap.Map) {
	nodes := d.cluster.Apply(m)
	d.replace(func(*placement) *placement { return &placement{shards: m, nodes: nodes} })
	d.logins.forget()
	d.listeners.follow()
}

// concern is what a change is about: whose transactions have to be held, and which rows have to be looked for.
type concern struct {
	closure *closure // nil: nobody's
	changes []shardmap.Change
}

// everywhere adds what runs on every shard, as writes of reference tables do: transactions of one tenant go on.
func (c *concern) everywhere() {
	if c.closure == nil {
		c.closure = &closure{partitions: map[int]bool{}}
	}
}

func concerns(changes []shardmap.Change) concern {
	var c concern
	held := closure{partitions: map[int]bool{}}
	for _, ch := range changes {
		switch ch.Kind {
		case shardmap.PinAdded, shardmap.PinRemoved, shardmap.PinMoved:
			if ch.From == ch.To {
				continue
			}
			held.keys = append(held.keys, ch.Key)
		case shardmap.OwnersMoved:
			for _, p := range ch.Partitions {
				held.partitions[p] = true
			}
		case shardmap.TableChanged:
			held.all = true
		default:
			continue
		}
		c.changes = append(c.changes, ch)
		c.closure = &held
	}
	return c
}

// drained waits until no transaction that c concerns is open on the map in force.
func (d *Database) drained(ctx context.Context, c *closure, srv *Server) error {
	until := time.Now().Add(d.options().Drain)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		open := 0
		srv.each(func(s *session) {
			if s.database() == d && c.concerns(s.partition.Load()) {
				open++
			}
		})
		if open == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d transactions of the tenants concerned are still open after %s: the shard map in force stays; "+
				"try again when they have ended", open, d.options().Drain)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
