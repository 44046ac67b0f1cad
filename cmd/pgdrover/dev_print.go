package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/pgdrover/pgdrover/shardmap"
)

// progress shows what dev is doing: on a terminal as one line that changes, else as a line for each step. With quiet it
// shows nothing but on a terminal. It may be used from any goroutine.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	quiet    bool
}

func newProgress(out io.Writer, quiet bool) *progress {
	return &progress{out: out, terminal: isTerminal(out), quiet: quiet}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
}

// step shows what happens now.
func (p *progress) step(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r\x1b[K\x1b[2m%s …\x1b[0m", text)
	case !p.quiet:
		fmt.Fprintf(p.out, "%s …\n", text)
	}
}

// count shows how much of a step is done, on a terminal as it grows.
func (p *progress) count(text string, done, of int) {
	if p.terminal || done == of {
		p.step(fmt.Sprintf("%s: %d of %d", text, done, of))
	}
}

// Write shows lines that others wrote, each as a step.
func (p *progress) Write(lines []byte) (int, error) {
	for line := range strings.Lines(string(lines)) {
		p.step(strings.TrimSpace(line))
	}
	return len(lines), nil
}

// clear takes the changing line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// sampleTenants are shown with the shard that each lives on.
var sampleTenants = []int64{1, 2, 3, 7, 42, 99, 123, 256, 300}

// greet says what runs, what to try and how to end it.
func (d *dev) greet() error {
	homes, err := d.homes()
	if err != nil {
		return err
	}
	d.status.clear()
	bold, plain := "", ""
	if isTerminal(d.streams.out) {
		bold, plain = "\x1b[1m", "\x1b[0m"
	}
	o := d.options
	app := d.files.appURL(d.addrs)
	redis := "Redis"
	if d.redis.Embedded {
		redis = "an embedded Redis"
	}
	_, err = fmt.Fprintf(d.streams.out, `
PgDrover runs: %s, each a primary with %s (PostgreSQL %s), and %s.

  %s%s%s

Try, in another terminal:

  psql %s -c "select * from orders where tenant_id = 42"
  %s route --config %s "select * from orders where tenant_id = 42"
  psql %s -c "show pools"

Where tenants live:

%s
Its files are in %s: edit shardmap.yaml there and the proxy follows.
Metrics: http://%s/metrics. Ctrl-C stops everything and removes all of it.
`, plural(o.shards, "shard"), plural(o.replicas, "replica"), d.cluster.Version, redis,
		bold, app, plain, app, program(), d.files.configs[0], d.files.adminURL(d.addrs), homes, d.files.dir, reachable(d.addrs.HTTP))
	return err
}

// program is how the user called us.
func program() string {
	if len(os.Args) > 0 && os.Args[0] != "" {
		return os.Args[0]
	}
	return "pgdrover"
}

// homes is a line for each shard with the sample tenants that live there, read from the files in use.
func (d *dev) homes() (string, error) {
	text, err := os.ReadFile(d.files.shardmap)
	if err != nil {
		return "", err
	}
	file, err := shardmap.Parse(d.files.shardmap, text)
	if err != nil {
		return "", err
	}
	lock, err := shardmap.ReadLock(d.files.lock)
	if err != nil {
		return "", err
	}
	placement, err := shardmap.New(file, lock)
	if err != nil {
		return "", err
	}
	tenants := make([][]string, placement.ShardCount())
	for _, tenant := range sampleTenants {
		i := placement.Locate(shardmap.BigintKey(tenant))
		tenants[i] = append(tenants[i], fmt.Sprint(tenant))
	}
	var lines strings.Builder
	for i, shard := range placement.Shards() {
		fmt.Fprintf(&lines, "  %s (%s): %s\n", shard.Name, shard.Primary.Addr(), strings.Join(tenants[i], ", "))
	}
	return lines.String(), nil
}
