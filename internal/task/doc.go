// Package task is the seam between sessions and the machine they run on.
//
// A session is straight-line code that runs as a Task. It parks in one place only, Task.Wait, until one of its connections
// made progress, somebody woke it, or a deadline passed; work that has to block (a TLS handshake, Redis, DNS, a file) runs in
// Task.Await. Nothing else in a session blocks, so the same session code runs as a goroutine over Go's own poller, or as a
// coroutine on an event loop (Loops): this package alone knows which.
//
// A Conn is a buffered, non-blocking stream. Its buffers are borrowed, and given back by a task that parks for it while nothing is in them, so
// that an idle connection holds none. A Conn belongs to one task at a time and is not safe for concurrent use; Task.Wake is.
package task
