package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// commandGrace is how long a COMMAND may take to end after SIGTERM.
const commandGrace = 10 * time.Second

// runCommand runs the COMMAND and returns its exit status as an error, nil for 0.
func (d *dev) runCommand(ctx context.Context) error {
	environment, err := d.environment()
	if err != nil {
		return err
	}
	cmd := exec.Command(d.options.command[0], d.options.command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = d.streams.in, d.streams.out, d.streams.err, environment
	// Streams that are no files are copied; whoever inherited them from the COMMAND does not keep us.
	cmd.WaitDelay = time.Second
	d.signals.expectCommand()
	defer d.signals.forward(nil)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(d.streams.err, "pgdrover: %v\n", err)
		return exitStatus(unstartable(err))
	}
	d.signals.forward(cmd.Process)

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-d.proxy.done:
		_ = cmd.Process.Signal(syscall.SIGTERM)
		grace := time.AfterFunc(commandGrace, func() { _ = cmd.Process.Kill() })
		<-ended
		grace.Stop()
		return fmt.Errorf("the proxy ended: %w", d.proxy.failure())
	}
	if status := statusOf(cmd.ProcessState); status != 0 {
		return exitStatus(status)
	}
	return nil
}

// unstartable is the exit status of a shell for a command that it cannot start.
func unstartable(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// statusOf is an exit status as a shell would give it: 128 and the signal's number for a process that a signal ended.
func statusOf(state *os.ProcessState) int {
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return 128 + int(wait.Signal())
	}
	return state.ExitCode()
}

// devSignals are the signals that dev gets, and what becomes of them: a running COMMAND has them; without one the first
// ends dev and the second makes it hurry.
type devSignals struct {
	notified chan os.Signal
	over     chan struct{} // closed when the watching goroutine has ended
	terminal bool          // the COMMAND hears Ctrl-C from the terminal itself

	mu       sync.Mutex // guards what follows
	command  *os.Process
	expected bool             // the COMMAND may run already, and command is not known yet
	early    []syscall.Signal // came meanwhile
	killer   *time.Timer
	first    syscall.Signal
}

// watchSignals takes over the signals that end a program, until close. The first context it returns is done after the
// first signal, or with parent, as long as no COMMAND runs; the second is done after the second signal. in is what the
// COMMAND will read.
func watchSignals(parent context.Context, in io.Reader) (s *devSignals, first, second context.Context) {
	first, cancel := context.WithCancel(context.WithoutCancel(parent))
	second, hurry := context.WithCancel(context.WithoutCancel(parent))
	file, ok := in.(*os.File)
	s = &devSignals{
		notified: make(chan os.Signal, 8), over: make(chan struct{}),
		terminal: ok && term.IsTerminal(int(file.Fd())),
	}
	signal.Notify(s.notified, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	unwatch := context.AfterFunc(parent, func() {
		if !s.commandRuns() {
			cancel()
		}
	})
	go func() {
		defer close(s.over)
		defer unwatch()
		defer hurry()
		defer cancel()
		ends := 0
		for received := range s.notified {
			if s.pass(received.(syscall.Signal)) {
				continue
			}
			switch ends++; ends {
			case 1:
				cancel()
			case 2:
				hurry()
				// A third one ends the program as it would any other.
				signal.Stop(s.notified)
			}
		}
	}()
	return s, first, second
}

// pass gives a signal to the COMMAND, if one runs or is about to.
func (s *devSignals) pass(sig syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 {
		s.first = sig
	}
	switch {
	case s.command != nil && s.terminal && sig == syscall.SIGINT:
	case s.command != nil:
		s.give(sig)
	case s.expected:
		s.early = append(s.early, sig)
	default:
		return false
	}
	return true
}

// give sends a signal to the COMMAND, with mu held.
func (s *devSignals) give(sig syscall.Signal) {
	_ = s.command.Signal(sig)
	if sig == syscall.SIGTERM && s.killer == nil {
		command := s.command
		s.killer = time.AfterFunc(commandGrace, func() { _ = command.Kill() })
	}
}

func (s *devSignals) commandRuns() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.command != nil || s.expected
}

// expectCommand keeps signals for the COMMAND, which is about to start, until forward.
func (s *devSignals) expectCommand() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected = true
}

// forward names the process that gets the signals from now on, and those that were kept; nil for none.
func (s *devSignals) forward(p *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	early := s.early
	s.command, s.expected, s.early = p, false, nil
	if p == nil {
		if s.killer != nil {
			s.killer.Stop()
		}
		return
	}
	for _, sig := range early {
		s.give(sig)
	}
}

// caught is the first signal that came, 0 if none did.
func (s *devSignals) caught() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.first)
}

// close gives the signals back.
func (s *devSignals) close() {
	signal.Stop(s.notified)
	close(s.notified)
	<-s.over
}
