package cache

import (
	"bytes"
	"fmt"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	minShards = 16
	maxShards = 64
	// entryOverhead is what an entry costs beside its key and body: the map
	// cell, the list node, the entry itself.
	entryOverhead = 192
)

// entry is one result in L1. It never changes once stored.
type entry struct {
	key     []byte
	body    []byte
	stamp   uint64
	expires int64 // on the cache's clock
}

func (e *entry) cost() int64 {
	return int64(len(e.key)+len(e.body)) + entryOverhead
}

// memory is L1: LRU lists behind many locks, with a budget in bytes.
type memory struct {
	shards []memoryShard
	mask   uint64
}

type memoryShard struct {
	mu     sync.Mutex
	lru    *simplelru.LRU[uint64, *entry]
	bytes  int64
	budget int64
	hits   uint64
	misses uint64
	stale  uint64 // found, but overtaken by a write
	aged   uint64 // found, but past its time
	stores uint64
	evicts uint64
	_      [40]byte
}

// newMemory divides the budget among as many locks as leave room in each for a
// few entries of the largest size, 16 at least.
func newMemory(budget int64, maxEntry int) (*memory, error) {
	n := maxShards
	for n > minShards && budget/int64(n) < 4*int64(maxEntry) {
		n /= 2
	}
	m := &memory{shards: make([]memoryShard, n), mask: uint64(n - 1)}
	for i := range m.shards {
		s := &m.shards[i]
		lru, err := simplelru.NewLRU[uint64](math.MaxInt, func(_ uint64, e *entry) { s.bytes -= e.cost() })
		if err != nil {
			return nil, fmt.Errorf("cache: L1: %w", err)
		}
		s.lru = lru
		s.budget = budget / int64(n)
	}
	return m, nil
}

// shard takes the high bits of the hash; the map inside takes the others.
func (m *memory) shard(hash uint64) *memoryShard {
	return &m.shards[(hash>>48)&m.mask]
}

// get returns the body stored under k if no write to d has been announced or
// made since it was read, and its time is not over.
func (m *memory) get(k *Key, d *Deps, g *generations, now int64) ([]byte, bool) {
	hash := k.sum()
	s := m.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.lru.Get(hash)
	if !ok || !bytes.Equal(e.key, k.buf) {
		s.misses++
		return nil, false
	}
	if now >= e.expires {
		s.lru.Remove(hash)
		s.aged++
		s.misses++
		return nil, false
	}
	stamp, clean := g.stamp(d)
	if clean && stamp == e.stamp {
		s.hits++
		return e.body, true
	}
	if clean {
		s.lru.Remove(hash)
		s.stale++
	}
	s.misses++
	return nil, false
}

// put stores e, evicting the least recently used. An entry larger than the
// shard's budget is not stored.
func (m *memory) put(hash uint64, e *entry) bool {
	s := m.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cost() > s.budget {
		return false
	}
	if old, ok := s.lru.Peek(hash); ok {
		s.bytes -= old.cost()
	}
	s.lru.Add(hash, e)
	s.bytes += e.cost()
	s.stores++
	for s.bytes > s.budget {
		s.lru.RemoveOldest()
		s.evicts++
	}
	return true
}

// addTo adds the counts of all shards to st.
func (m *memory) addTo(st *Stats) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		st.L1Hits += s.hits
		st.L1Misses += s.misses
		st.L1Stale += s.stale
		st.L1Expired += s.aged
		st.L1Stores += s.stores
		st.L1Evictions += s.evicts
		st.L1Bytes += s.bytes
		st.L1Budget += s.budget
		st.L1Entries += int64(s.lru.Len())
		s.mu.Unlock()
	}
}
