package task

import "sync"

// BufferSize is the size of the buffers that connections borrow, in bytes.
const BufferSize = 16 << 10

// keepLimit is the largest buffer that goes back to the store; larger ones, grown for one large message, are dropped.
const keepLimit = 64 << 10

// spareBuffers is how many buffers a loop keeps for the tasks that it runs, while it is busy.
const spareBuffers = 64

type buffer struct{ b []byte } // no room beyond its length

// buffers lends buffers to all connections of the process. It holds no state but spare memory.
var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, BufferSize)} }}

// borrow lends a buffer to a task that l runs; nil is for whoever else, or who does not know.
func (l *loop) borrow() *buffer {
	if l == nil || len(l.buffers) == 0 {
		return buffers.Get().(*buffer)
	}
	last := len(l.buffers) - 1
	b := l.buffers[last]
	l.buffers = l.buffers[:last]
	return b
}

// giveBack takes a buffer from a task that l runs; nil is for whoever else.
func (l *loop) giveBack(b *buffer) {
	switch size := len(b.b); {
	case size > keepLimit || size < BufferSize:
	case l == nil || len(l.buffers) == spareBuffers:
		buffers.Put(b)
	default:
		l.buffers = append(l.buffers, b)
	}
}

// giveBackAll leaves the loop's spare buffers to others, and lets go of tasks that have nothing to do with it any more.
func (l *loop) giveBackAll() {
	for _, b := range l.buffers {
		buffers.Put(b)
	}
	clear(l.buffers[:cap(l.buffers)])
	l.buffers = l.buffers[:0]
	l.forgetTasks()
}
