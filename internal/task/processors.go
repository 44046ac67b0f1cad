package task

import (
	"runtime"
	"sync"
)

// processors are what Go has to run goroutines on. An event loop keeps one while it naps (see poller.wait), so loops come on top of those
// that the program was started with: others find as many as before. The number is the whole process's, and so is this.
var processors struct {
	sync.Mutex
	loops int
}

// Processors is how many threads may run goroutines at a time, not counting those of event loops.
func Processors() int {
	processors.Lock()
	defer processors.Unlock()
	return runtime.GOMAXPROCS(0) - processors.loops
}

// addProcessors gives loops n processors of their own, or takes them back. With loops Go no longer follows a change of the
// process's share of the machine.
func addProcessors(n int) {
	processors.Lock()
	defer processors.Unlock()
	processors.loops += n
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}
