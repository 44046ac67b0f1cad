// Package child starts processes that end with this program.
package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a child. Its owner ends it, or waits until it has ended. Its methods may be called from any goroutine.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the process has been waited for
	err  error         // what Wait said; valid once done is closed
}

// Start starts cmd in a process group of its own, so that a terminal's
// Ctrl-C is ours to handle. orphan is the signal it gets should this program
// die first, where the kernel can do that.
func Start(cmd *exec.Cmd, orphan syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid
	setDeathSignal(cmd.SysProcAttr, orphan)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The death signal comes when the thread that started the child ends,
		// not the program: this thread does nothing else until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the process's number, and its group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Killed says of a process that has ended whether a signal did it.
func (p *Process) Killed() bool { return p.cmd.ProcessState != nil && !p.cmd.ProcessState.Exited() }

// Signal is a no-op on a process that has ended.
func (p *Process) Signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// End sends the signals in turn, each step allowed its time, and returns when
// the process is gone. The last signal should be SIGKILL.
func (p *Process) End(steps ...Step) {
	for _, step := range steps {
		if err := p.Signal(step.Signal); err != nil {
			continue
		}
		// A stopped process acts on no signal but SIGKILL.
		_ = p.Signal(syscall.SIGCONT)
		timer := time.NewTimer(step.Within)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	<-p.done
}

// Step is a signal, and the time that the process has to end after it.
type Step struct {
	Signal syscall.Signal
	Within time.Duration
}

// Wait returns when the process has ended; it ends it when ctx is done first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.End(Step{Signal: syscall.SIGTERM, Within: 5 * time.Second}, Step{Signal: syscall.SIGKILL, Within: time.Second})
		return ctx.Err()
	}
}
