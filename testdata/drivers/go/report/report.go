// Package report runs a program's checks and reports them, for the programs of Go's drivers.
package report

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// each is how long one check may take.
const each = 20 * time.Second

// Types are the columns of driver_types that hold values.
const Types = "i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts"

// Same counts whether rows $2 and $3 of driver_types of tenant $1 are the same, as the server sees them: json has no equality.
const Same = `select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id
	where a.tenant_id = $1 and b.tenant_id = a.tenant_id and a.id = $2 and b.id = $3
	and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
	is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)`

// Text is the text of driver_types.
const Text = "h\u00e9llo \u2192 \u4e16\u754c \U0001f418 \"q\" 's' \\ %s $1 ?"

// A and B are tenants of two shards.
var A, B = tenants()

// Nodes are the URLs of the nodes behind the target, Moves whether statements of one connection run on several backends.
var (
	Nodes = strings.Fields(os.Getenv("DRIVERS_NODES"))
	Moves = os.Getenv("DRIVERS_MOVES") == "1"
)

func tenants() (int64, int64) {
	var two [2]int64
	for i, field := range strings.Fields(os.Getenv("DRIVERS_TENANTS")) {
		two[i], _ = strconv.ParseInt(field, 10, 64)
	}
	return two[0], two[1]
}

// Check is one running check. Its methods that fail or skip end the goroutine that it runs in.
type Check struct {
	why     string
	skipped bool
	failed  bool
}

// Fatalf fails the check and ends it.
func (c *Check) Fatalf(format string, args ...any) {
	_, file, line, _ := runtime.Caller(1)
	for skip := 2; strings.HasSuffix(file, "/report.go"); skip++ {
		_, file, line, _ = runtime.Caller(skip)
	}
	c.failed, c.why = true, fmt.Sprintf(format, args...)+fmt.Sprintf(" (line %d)", line)
	runtime.Goexit()
}

// Skip ends the check as one that the driver cannot do.
func (c *Check) Skip(why string) {
	c.skipped, c.why = true, why
	runtime.Goexit()
}

// Must fails on an error.
func (c *Check) Must(err error) {
	if err != nil {
		c.Fatalf("%v", err)
	}
}

// Expect fails unless got is want.
func (c *Check) Expect(got, want any) {
	if !reflect.DeepEqual(got, want) {
		c.Fatalf("got %#v, want %#v", got, want)
	}
}

// Run runs the checks in the order of the list in the file of that name, prints a line for each and exits.
func Run(list string, checks map[string]func(*Check)) {
	names := strings.Fields(os.Getenv("DRIVERS_CHECKS"))
	if len(names) == 0 {
		names = read(list)
	}
	status := 0
	for _, name := range names {
		c := &Check{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			check, ok := checks[name]
			if !ok {
				c.Skip("the driver has no such thing")
			}
			check(c)
		}()
		select {
		case <-done:
		case <-time.After(each):
			c = &Check{failed: true, why: "it did not end within " + each.String()}
		}
		switch why := strings.ReplaceAll(c.why, "\n", " | "); {
		case c.skipped:
			fmt.Printf("skip %s: %s\n", name, why)
		case c.failed:
			fmt.Printf("FAIL %s: %s\n", name, why)
			status = 1
		default:
			fmt.Printf("ok %s\n", name)
		}
	}
	os.Exit(status)
}

func read(list string) []string {
	file, err := os.Open(list)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer file.Close()
	var names []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 0 && fields[0] != "#" {
			names = append(names, fields[0])
		}
	}
	return names
}
