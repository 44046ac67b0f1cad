//go:build linux && (amd64 || arm64)

// Package main counts the instructions that PgDrover executes for a transaction, outside the kernel, by package and by function, and the
// lines of the processor's cache that they are in. It starts PostgreSQL, PgDrover and pgbench on loopback, and steps through the thread of
// PgDrover's event loop one instruction at a time (ptrace(2)), so that what comes out does not depend on what else the machine does.
//
//	go run ./bench/instructions                        pgbench -S in the three protocols, and with a connection each time
//	go run ./bench/instructions -top 10 extended
//	go run ./bench/instructions -json new.json -pgdrover /tmp/pgdrover
//
// An instruction counts with the function that it is in when the program runs: what the compiler has inlined counts with whoever inlines it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := count(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errForbidden):
		fmt.Fprintln(os.Stderr, "instructions: skipped:", err)
		os.Exit(1)
	case err != nil && !errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

// connect is the simple protocol with a connection for each transaction (pgbench -C), from when it is accepted until it is closed. The client logs in by
// trust, and asks for no encryption.
const connect = "connect"

// protocols are pgbench's, by the names it has for them, and connect.
func protocols() []string { return []string{"simple", "extended", "prepared", connect} }

// options are what the command line says.
type options struct {
	clients      int
	transactions int
	top          int    // functions to print
	json         string // file for all that was counted; empty: none
	pgdrover     string // program; empty: the one of this folder's sources
	protocols    []string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("instructions", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "usage: instructions [flags] [%s]...\n", strings.Join(protocols(), "|"))
		flags.PrintDefaults()
	}
	flags.IntVar(&o.clients, "clients", 8, "clients of pgbench")
	flags.IntVar(&o.transactions, "transactions", 60, "how many transactions to step through, at least")
	flags.IntVar(&o.top, "top", 40, "how many functions to print")
	flags.StringVar(&o.json, "json", "", "a `file` for all that was counted")
	flags.StringVar(&o.pgdrover, "pgdrover", "", "the `program` to step through, built without -ldflags -s; without this it is built from the sources")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.clients < 1 || o.transactions < 1 || o.top < 0 {
		return o, errors.New("-clients and -transactions take numbers above 0, -top none below")
	}
	o.protocols = flags.Args()
	for _, name := range o.protocols {
		if !slices.Contains(protocols(), name) {
			return o, fmt.Errorf("there is no protocol %q, but %s", name, strings.Join(protocols(), ", "))
		}
	}
	if len(o.protocols) == 0 {
		o.protocols = protocols()
	}
	return o, nil
}

// count carries out one command line.
func count(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	s, err := startStage(ctx, o, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var counted []profile
	for _, protocol := range o.protocols {
		fmt.Fprintf(progress, "stepping through the %s protocol\n", protocol)
		p, err := s.measure(ctx, protocol)
		if err != nil {
			return fmt.Errorf("protocol %s: %w", protocol, err)
		}
		counted = append(counted, p)
	}
	if o.json != "" {
		if err := writeJSON(o.json, counted); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, printed(counted, o.top))
	return err
}

// writeJSON writes profiles into a file, as an array.
func writeJSON(path string, counted []profile) error {
	text, err := json.MarshalIndent(counted, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write what was counted: %w", err)
	}
	return nil
}
