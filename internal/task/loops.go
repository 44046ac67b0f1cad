package task

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Loops run tasks as coroutines on event loops. The nil *Loops is ready, too: its tasks are goroutines.
type Loops struct {
	all     []*loop
	group   sync.WaitGroup // of the loops
	watches sync.WaitGroup // of who watches over them

	mu   sync.Mutex // guards next
	next int        // the loop that is asked first, among those with as few tasks
}

// LoopsSupported reports whether this system has event loops for NewLoops: Linux does.
func LoopsSupported() bool { return loopsSupported }

// NewLoops starts n loops, which w watches, and adds n to GOMAXPROCS for them. Close ends them, and takes that back.
func NewLoops(n int, w Watch) (*Loops, error) {
	if !loopsSupported {
		return nil, fmt.Errorf("event loops are for Linux: %w", errors.ErrUnsupported)
	}
	l := &Loops{}
	for range n {
		one, err := newLoop(len(l.all), &w)
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("event loop: %w", err)
		}
		l.all = append(l.all, one)
		addProcessors(1)
		l.group.Go(one.serve)
		if one.alarm != nil {
			l.watches.Go(one.watchOver)
		}
	}
	return l, nil
}

// Close ends the loops. No task may be left: groups are waited for first.
func (l *Loops) Close() {
	if l == nil {
		return
	}
	for _, one := range l.all {
		one.stop()
	}
	l.group.Wait()
	for _, one := range l.all {
		if one.alarm != nil {
			one.alarm.set(1) // after the last time that the loop has set it
		}
	}
	l.watches.Wait()
	for _, one := range l.all {
		one.close()
	}
	addProcessors(-len(l.all))
}

// LoopLoad is what is to be known of one loop.
type LoopLoad struct {
	Tasks  int64  // that it runs now
	Stalls uint64 // how often one of them held it up for longer than Watch.Limit
}

// Load is what is to be known of each loop; nil of the nil *Loops.
func (l *Loops) Load() []LoopLoad {
	if l == nil {
		return nil
	}
	load := make([]LoopLoad, len(l.all))
	for i, one := range l.all {
		load[i] = LoopLoad{one.tasks.Load(), one.stalls.Load()}
	}
	return load
}

// Adopt makes a connected socket, a Wire, or a TLS connection over a Wire whose handshake is done, a non-blocking Conn, for
// tasks that the loops run. The Conn owns it from then on, also when Adopt fails: it is closed then.
func (l *Loops) Adopt(nc net.Conn) (*Conn, error) {
	c, err := Adopt(nc)
	if err != nil || l == nil {
		return c, err
	}
	if err := c.wire.takeOver(l); err != nil {
		_ = c.wire.Close()
		return nil, err
	}
	return c, nil
}

// Near reports whether waiting for c costs t nothing extra: they are of one loop already, or of none.
func (t *Task) Near(c *Conn) bool { return t.loop == c.wire.at }

// start runs turns of what does as a task of a group, on the loop that has the fewest, which tells of its connection from the beginning. by is the task that
// calls; nil: another goroutine does.
func (l *Loops) start(g *Group, by *Task, c *Conn, does Turner) {
	t := c.newTask()
	t.loop, t.group, t.of, t.does = l.emptiest(), g, c, does
	t.loop.tasks.Add(1)
	if c != nil {
		c.home = t.loop
		if err := c.wire.attach(t.loop); err != nil {
			c.readErr, c.writeErr = err, err
		}
	}
	if by != nil && by.loop == t.loop {
		t.loop.line(t) // before the next sleep, for which a post would not let it
		return
	}
	t.loop.post(t)
}

// emptiest is the loop with the fewest tasks, among equals each in turn.
func (l *Loops) emptiest() *loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = (l.next + 1) % len(l.all)
	best := l.all[l.next]
	for i := range l.all {
		if one := l.all[(l.next+i)%len(l.all)]; one.tasks.Load() < best.tasks.Load() {
			best = one
		}
	}
	return best
}

// orAny is a loop, or else the one with the fewest tasks.
func (l *Loops) orAny(one *loop) *loop {
	if one != nil {
		return one
	}
	return l.emptiest()
}
