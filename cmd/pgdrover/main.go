// Command pgdrover is the PgDrover proxy and the tools around it: it serves clients, checks the files an operator
// edits, explains routes, shows placement, and starts whole clusters for development.
//
// This package reads files and flags and wires the other packages together; nobody imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit statuses of every command. A command that runs another program hands on that program's instead.
const (
	exitOK    = 0
	exitError = 1 // what was asked for failed
	exitUsage = 2 // what was asked for made no sense: unknown command or flag, wrong arguments
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// stdio are the streams of one run.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run is the program without its process: it runs the command that args name until it ends or ctx does, and returns the
// exit status. SIGINT and SIGTERM end ctx; a second one ends the process at once.
func run(ctx context.Context, args []string, streams stdio) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(streams.in)
	root.SetOut(streams.out)
	root.SetErr(streams.err)
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }

	command, err := root.ExecuteContextC(ctx)
	var status exitStatus
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case !started || errors.As(err, &usage):
		fmt.Fprintf(streams.err, "pgdrover: %v\nRun '%s --help' for help.\n", err, command.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(streams.err, "pgdrover: %v\n", err)
	return exitError
}

// usageError is a mistake in the command line that only the command itself could find.
type usageError struct{ text string }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

func (e usageError) Error() string { return e.text }

// exitStatus ends the program with a status of its own and prints nothing: the command has said what there was to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
