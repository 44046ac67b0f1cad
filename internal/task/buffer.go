package task

import "sync"

// BufferSize is the size of the buffers that connections borrow, in bytes.
const BufferSize = 16 << 10

// keepLimit is the largest buffer that goes back to the store; larger ones, grown for one large message, are dropped.
const keepLimit = 64 << 10

type buffer struct{ b []byte }

// buffers lends buffers to all connections of the process. It holds no state but spare memory.
var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, BufferSize)} }}

func borrow() *buffer { return buffers.Get().(*buffer) }

func giveBack(b *buffer) {
	if cap(b.b) > keepLimit || cap(b.b) < BufferSize {
		return
	}
	b.b = b.b[:cap(b.b)]
	buffers.Put(b)
}
