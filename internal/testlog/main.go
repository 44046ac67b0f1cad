// Package main runs `go test` for `make test`: it prints what `go test` would, keeps account of skipped tests, and fails
// on a skip that skips.txt does not expect, so that a test cannot vanish unseen.
//
//	go run ./internal/testlog -race ./...
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

//go:embed skips.txt
var skipsText string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		stop()
		os.Exit(1)
	}
}

// run runs go test with args and accounts for it on out. The error says why the run is no success.
func run(ctx context.Context, args []string, out io.Writer) error {
	expected, err := parseSkips(skipsText)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	// A cancelled run lets tests stop the servers they started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	account := newAccount(out)
	readErr := account.read(events)
	waitErr := cmd.Wait()
	account.close(expected)
	return errors.Join(readErr, ctx.Err(), account.verdict(expected, waitErr))
}
