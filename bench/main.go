// Package main measures PgDrover side by side with PostgreSQL alone and with other proxies, in one run on one machine, and writes
// a page with tables and plots. It starts everything itself: PostgreSQL with a table of tenants, and each target before it.
//
//	go run ./bench                      all loads, to docs/benchmarks.md
//	go run ./bench -quick -out bin/bench
//	go run ./bench -list                names of loads and targets
//	go run ./bench -targets direct,pgdrover,pgbouncer select connect
//
// A load is in loads.go, a target in a file of its own; run.go has the order in which they meet. Nothing here is a test: what a run
// says depends on what else the machine does, which is why targets take turns and ratios count for more than figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	quick    bool
	list     bool
	seconds  int    // of each measurement
	rounds   int    // measurements of each target, in turn
	tenants  int    // a thousand rows each
	out      string // folder of the page
	pgdrover string // program
	targets  string // names, with commas; empty: all
	loads    []string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.BoolVar(&o.quick, "quick", false, "a few loads for a short time: about five minutes")
	flags.BoolVar(&o.list, "list", false, "list loads and targets")
	flags.IntVar(&o.seconds, "seconds", 0, "how long each measurement lasts (5; quick 1)")
	flags.IntVar(&o.rounds, "rounds", 0, "how often the targets take turns (3; quick 2)")
	flags.IntVar(&o.tenants, "tenants", 0, "tenants, of a thousand rows each (1000; quick 200)")
	flags.StringVar(&o.out, "out", "docs", "the `folder` of the page and its plots")
	flags.StringVar(&o.pgdrover, "pgdrover", "bin/pgdrover", "the `program` to measure")
	flags.StringVar(&o.targets, "targets", "", "measure these only, by `names` with commas between them")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.loads = flags.Args()
	full, quick := [3]int{5, 3, 1000}, [3]int{1, 2, 200}
	if o.quick {
		full = quick
	}
	for i, value := range []*int{&o.seconds, &o.rounds, &o.tenants} {
		if *value == 0 {
			*value = full[i]
		}
		if *value < 1 {
			return o, errors.New("-seconds, -rounds and -tenants take numbers above 0")
		}
	}
	return o, nil
}

// bench carries out one command line.
func bench(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	if o.list {
		return list(out)
	}
	chosen, err := chooseLoads(o)
	if err != nil {
		return err
	}
	found, missing, err := chooseTargets(ctx, o)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	began := time.Now()
	r := &run{options: o, loads: chosen, targets: found, missing: missing, progress: progress}
	if err := r.measure(ctx); err != nil {
		return err
	}
	page, err := r.write()
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "%s is written, after %s\n", page, time.Since(began).Round(time.Second))
	return nil
}

// list prints what there is to choose from.
func list(out io.Writer) error {
	var text strings.Builder
	for _, l := range loads() {
		fmt.Fprintf(&text, "load    %-10s %s\n", l.name, l.title)
	}
	for _, t := range targets() {
		fmt.Fprintf(&text, "target  %-16s %s\n", t.name, t.title)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// raiseFileLimit lets this program and the targets it starts have as many connections as the machine allows.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask for the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
