package proxy

import "encoding/binary"

// copyLines maps the numbers of the lines that one shard is given of a COPY to those of the client's data. It keeps as many of the last
// rows as a server can be behind: a byte or two for each, up to lineBlocks times lineBlockSize bytes.
type copyLines struct {
	blocks      [lineBlocks]lineBlock // a ring
	newest      int
	own, client int64 // the last line that has ended, by the shard's count and by the client's
}

const (
	lineBlocks    = 16
	lineBlockSize = 16 << 10
)

// lineBlock has, for each row, how many lines of the client's lie between it and the one before, and how many it has itself.
type lineBlock struct {
	own, client int64 // before its first row
	steps       []byte
}

// add notes a row of own lines that ends with the client's line.
func (c *copyLines) add(own, client int64) {
	b := &c.blocks[c.newest]
	if len(b.steps)+2*binary.MaxVarintLen64 > lineBlockSize {
		c.newest = (c.newest + 1) % lineBlocks
		b = &c.blocks[c.newest]
		*b = lineBlock{own: c.own, client: c.client, steps: b.steps[:0]}
	}
	skipped := uint64(client-c.client-own) << 1
	if own == 1 {
		b.steps = binary.AppendUvarint(b.steps, skipped)
	} else {
		b.steps = binary.AppendVarint(binary.AppendUvarint(b.steps, skipped|1), own)
	}
	c.own, c.client = c.own+own, client
}

// find returns the client's number of a line of the shard's that has ended; false if that is not kept any more.
func (c *copyLines) find(line int64) (int64, bool) {
	for n := range lineBlocks {
		b := &c.blocks[(c.newest+lineBlocks-n)%lineBlocks]
		if len(b.steps) == 0 {
			break
		}
		if line > b.own {
			return b.find(line)
		}
	}
	return 0, false
}

func (b *lineBlock) find(line int64) (int64, bool) {
	own, client := b.own, b.client
	for steps := b.steps; len(steps) > 0; {
		skipped, n := binary.Uvarint(steps)
		steps = steps[n:]
		lines := int64(1)
		if skipped&1 != 0 {
			lines, n = binary.Varint(steps)
			steps = steps[n:]
		}
		own, client = own+lines, client+lines+int64(skipped>>1)
		if own >= line {
			return client - (own - line), true
		}
	}
	return 0, false
}
