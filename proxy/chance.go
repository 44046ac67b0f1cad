package proxy

import (
	"crypto/rand"
	"sync"
)

// chance gives out random bytes that nobody can foretell. It has them of the system by the block, which costs as much as a few of them do. The
// zero value is ready, and anyone may use it at any time.
type chance struct {
	mu    sync.Mutex // guards what follows
	block [512]byte  // whose first bytes nobody has had
	left  int        // how many those are
}

// read fills p, which is shorter than a block. No byte is given out twice, and none is kept that was.
func (c *chance) read(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < len(p) {
		_, _ = rand.Read(c.block[:]) // never fails (crypto/rand)
		c.left = len(c.block)
	}
	own := c.block[c.left-len(p) : c.left]
	copy(p, own)
	clear(own)
	c.left -= len(p)
}
