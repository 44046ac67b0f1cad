package pgcluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that ends with this program. Its owner waits on done.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the process has been waited for
	err  error         // what Wait said; valid once done is closed
}

// startProcess starts cmd in a process group of its own, so that a terminal's
// Ctrl-C is ours to handle. orphan is the signal it gets should this program
// die first, where the kernel can do that.
func startProcess(cmd *exec.Cmd, orphan syscall.Signal) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid
	setDeathSignal(cmd.SysProcAttr, orphan)
	p := &process{cmd: cmd, done: make(chan struct{})}
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

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal is a no-op on a process that has ended.
func (p *process) signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// end sends the signals in turn, each step allowed its time, and returns when
// the process is gone. The last signal should be SIGKILL.
func (p *process) end(steps ...endStep) {
	for _, step := range steps {
		if err := p.signal(step.signal); err != nil {
			continue
		}
		// A stopped process acts on no signal but SIGKILL.
		_ = p.signal(syscall.SIGCONT)
		timer := time.NewTimer(step.within)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	<-p.done
}

type endStep struct {
	signal syscall.Signal
	within time.Duration
}

// wait returns when the process has ended; it ends it when ctx is done first.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.end(endStep{syscall.SIGTERM, 5 * time.Second}, endStep{syscall.SIGKILL, time.Second})
		return ctx.Err()
	}
}
