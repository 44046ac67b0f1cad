package cache

import "context"

// A Mark is one transaction's (or one statement's) writes, from before the first
// is sent until the outcome is announced. The zero Mark is empty and ready; after
// the end it is empty again. It belongs to one session.
//
// The order of calls is:
//
//	if c.Dirty(&m, &deps) { await(c.Publish(ctx, &m)) }  // before each write is sent
//	… the write, more writes, COMMIT …
//	if c.Commit(&m) { await(c.Publish(ctx, &m)) }        // before the client hears
//
// with Abort in place of Commit when the writes are known not to have happened.
// A session that ends with a mark that is not empty must Commit it: the outcome is
// unknown, and until then the tables it names are not cached for that tenant.
type Mark struct {
	scopes []touched
	step   step
}

// step is what Publish has to tell Redis.
type step uint8

const (
	stepMark step = iota // dirty marks not there yet
	stepBump             // the writes may have happened
	stepDrop             // the writes did not happen
)

// Empty says whether m holds no writes.
func (m *Mark) Empty() bool { return len(m.scopes) == 0 }

// Dirty announces, in this process and at once, that what d names is about to be
// written: until the mark's end its results are neither served nor stored. True
// means that Redis has to be told: call Publish before sending the write.
func (c *Cache) Dirty(m *Mark, d *Deps) (publish bool) {
	listed := c.tables.Load()
	if m.Empty() {
		m.step = stepMark
	}
	d.writeScopes(func(t touched) {
		for i := range m.scopes {
			if m.scopes[i].name == t.name {
				return
			}
		}
		if m.Empty() {
			c.counts.openMark.Add(1)
		}
		m.scopes = append(m.scopes, t)
		c.gens.mark(t.hash)
		publish = publish || listed.lists(t.table)
	})
	return publish && c.remote != nil
}

// Commit says that the mark's writes happened, or that nobody knows. Results read
// before are dead here at once. True means that Redis has to be told: call Publish
// before the client hears of the outcome. Until then the tables stay dirty, so that
// nobody here takes from Redis what it does not yet know to be old.
func (c *Cache) Commit(m *Mark) (publish bool) {
	if m.Empty() {
		return false
	}
	m.step = stepBump
	for _, t := range m.scopes {
		c.gens.bump(t.hash)
	}
	c.counts.invalidations.Add(uint64(len(m.scopes)))
	if c.remote != nil && c.concerns(m) {
		return true
	}
	c.end(m)
	return false
}

// Abort says that the mark's writes are known not to have happened: what was
// stored before is served again. True means the same as from Commit.
func (c *Cache) Abort(m *Mark) (publish bool) {
	if m.Empty() {
		return false
	}
	m.step = stepDrop
	if c.remote != nil && m.told() {
		return true
	}
	c.end(m)
	return false
}

// Publish tells Redis what the mark has not told it yet. It blocks for
// Config.WriteTimeout at most, so a session runs it in await; the end of ctx does
// not cut it short, since a write that is not announced costs every proxy its L2.
// When Redis does not answer, L2 is off here from this moment until Redis is back
// under a new incarnation. After Commit or Abort the mark is empty.
func (c *Cache) Publish(ctx context.Context, m *Mark) {
	if m.Empty() {
		return
	}
	if c.remote != nil {
		c.remote.announce(context.WithoutCancel(ctx), m)
	}
	if m.step != stepMark {
		c.end(m)
	}
}

// Invalidate makes everything that depends on d stale, here and in Redis, without a
// write: the tenant moved, the table was changed behind the proxy's back. It blocks
// as Publish does.
func (c *Cache) Invalidate(ctx context.Context, d *Deps) {
	var m Mark
	c.Dirty(&m, d)
	if c.Commit(&m) {
		c.Publish(ctx, &m)
	}
}

// end clears the mark's dirty counts and empties it.
func (c *Cache) end(m *Mark) {
	for _, t := range m.scopes {
		c.gens.unmark(t.hash)
	}
	clear(m.scopes)
	m.scopes = m.scopes[:0]
	m.step = stepMark
	c.counts.openMark.Add(-1)
}

// concerns says whether any scope of m matters to other proxies.
func (c *Cache) concerns(m *Mark) bool {
	listed := c.tables.Load()
	for _, t := range m.scopes {
		if t.inc != "" || listed.lists(t.table) {
			return true
		}
	}
	return false
}

// told says whether Redis holds a dirty mark of m.
func (m *Mark) told() bool {
	for _, t := range m.scopes {
		if t.inc != "" {
			return true
		}
	}
	return false
}
