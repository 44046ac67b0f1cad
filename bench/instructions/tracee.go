//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// deepest is how many frames of a stack are looked at.
const deepest = 64

// errForbidden says that the system does not let this process trace another.
var errForbidden = errors.New("ptrace is forbidden here")

// errGone says that a thread has ended.
var errGone = errors.New("the thread has ended")

// tracee is a process whose threads this one stops and steps through. All of it happens in the thread of this process that started it, which
// the caller has locked (runtime.LockOSThread) until end: ptrace(2) takes orders from no other.
//
// The process is a child that package os/exec does not wait for: a wait there would take a stop for the end.
type tracee struct {
	cmd     *exec.Cmd
	threads map[int]bool // those that this process traces; true: it stands still
}

// startTracee starts a process, which runs freely until freeze. Whoever starts it ends it. It dies with the calling thread.
func startTracee(cmd *exec.Cmd) (*tracee, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &tracee{cmd: cmd, threads: map[int]bool{}}, nil
}

func (t *tracee) pid() int { return t.cmd.Process.Pid }

// kill has the process end, which ends a wait for one of its threads. Anyone may call it.
func (t *tracee) kill() { _ = t.cmd.Process.Kill() }

// end ends the process and waits until it is gone, all its threads. Nothing may be called after that.
func (t *tracee) end() {
	t.kill()
	for {
		_, err := unix.Wait4(-t.pid(), nil, unix.WALL, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			break // nobody is left in its group
		}
	}
	_ = t.cmd.Process.Release()
}

// freeze stops every thread. It fails with errForbidden where the system does not let it.
func (t *tracee) freeze() error {
	for {
		fresh, err := t.seize()
		if err != nil {
			return err
		}
		for thread, stopped := range t.threads {
			if stopped {
				continue
			}
			if err := t.stop(thread); err != nil {
				return err
			}
		}
		if fresh == 0 {
			return nil
		}
	}
}

// seize makes the threads tracees that are none yet, and says how many there were.
func (t *tracee) seize() (fresh int, err error) {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", t.pid()))
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		thread, err := strconv.Atoi(filepath.Base(name))
		if _, known := t.threads[thread]; known || err != nil {
			continue
		}
		err = unix.PtraceSeize(thread)
		if errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return 0, seizeError(err)
		}
		t.threads[thread] = false
		fresh++
	}
	return fresh, nil
}

// seizeError says of PTRACE_SEIZE's failure what to do about it.
func seizeError(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("trace the program: %w", err)
	}
	advice := "in a container, start that with --cap-add=SYS_PTRACE and a seccomp profile that lets ptrace through"
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil {
		if value := strings.TrimSpace(string(scope)); value == "2" || value == "3" {
			advice = fmt.Sprintf("kernel.yama.ptrace_scope is %s: it takes 1 or 0 (sysctl), or for 2 the capability CAP_SYS_PTRACE", value)
		}
	}
	return fmt.Errorf("%w (%w): %s", errForbidden, err, advice)
}

// stop stops a thread that runs.
func (t *tracee) stop(thread int) error {
	err := unix.PtraceInterrupt(thread)
	if err == nil {
		_, err = t.waitStop(thread)
	}
	if thread != t.pid() && (errors.Is(err, errGone) || errors.Is(err, unix.ESRCH)) {
		delete(t.threads, thread)
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop thread %d of the program: %w", thread, err)
	}
	t.threads[thread] = true
	return nil
}

// thaw lets every thread run again.
func (t *tracee) thaw() error {
	for thread := range t.threads {
		if err := unix.PtraceCont(thread, 0); err != nil {
			return fmt.Errorf("let thread %d of the program run: %w", thread, err)
		}
		t.threads[thread] = false
	}
	return nil
}

// threadIn finds the stopped thread whose stack has one of the functions.
func (t *tracee) threadIn(s *symbols, functions ...string) (thread int, ok bool, err error) {
	for thread := range t.threads {
		ok, err := onStack(thread, s, functions)
		if ok || err != nil {
			return thread, ok, err
		}
	}
	return 0, false, nil
}

// onStack walks a thread's stack by its frame pointers, which Go keeps: each points to the one before, and above it is where the function
// returns to (https://go.dev/s/regabi, "Stack layout"). In a thread that is elsewhere, as in C, the walk ends soon.
func onStack(thread int, s *symbols, functions []string) (bool, error) {
	r, err := readRegisters(thread)
	if err != nil {
		return false, fmt.Errorf("read the registers of thread %d: %w", thread, err)
	}
	at, frame := r.at, r.frame
	for range deepest {
		name := s.at(at).name
		for _, wanted := range functions {
			if name == wanted {
				return true, nil
			}
		}
		var words [16]byte
		if !memoryOf(thread).read(frame, words[:]) {
			return false, nil // that was no frame
		}
		frame, at = binary.LittleEndian.Uint64(words[:]), binary.LittleEndian.Uint64(words[8:])
	}
	return false, nil
}

// memory is that of a stopped thread. Both functions report whether there is any at an address.
type memory struct {
	read  func(address uint64, into []byte) bool
	write func(address uint64, from []byte) bool
}

// memoryOf is the memory of a stopped thread.
func memoryOf(thread int) memory {
	return memory{
		read: func(address uint64, into []byte) bool {
			n, err := unix.PtracePeekData(thread, uintptr(address), into)
			return err == nil && n == len(into)
		},
		write: func(address uint64, from []byte) bool {
			n, err := unix.PtracePokeData(thread, uintptr(address), from)
			return err == nil && n == len(from)
		},
	}
}

// step has a stopped thread execute one instruction after the other, while the others stand still, and calls seen before each, until that has had enough.
func (t *tracee) step(thread int, seen func(registers) (more bool)) error {
	apart, err := together(thread)
	if err != nil {
		return err
	}
	defer apart()
	for {
		err := unix.PtraceSingleStep(thread)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it was killed: the wait says so
			return fmt.Errorf("step thread %d: %w", thread, err)
		}
		status, err := t.waitStop(thread)
		if err != nil {
			return fmt.Errorf("step thread %d: %w", thread, err)
		}
		switch {
		case status.StopSignal() == unix.SIGURG, uint32(status)>>16 != 0:
			continue // Go's scheduler wants the thread's attention, which it does not get; or the stop is the end of freeze
		case status.StopSignal() != unix.SIGTRAP:
			return fmt.Errorf("the program got signal %s while it was stepped through", unix.SignalName(status.StopSignal()))
		}
		r, err := readRegisters(thread)
		if err != nil {
			return fmt.Errorf("read the registers of thread %d: %w", thread, err)
		}
		if !seen(r) {
			return nil
		}
	}
}

// together has a thread and the caller's run on one processor: they take turns, and waking one that sleeps on another processor costs most of
// the time of a step. apart lets the caller's run anywhere again.
func together(thread int) (apart func(), err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	for n := 0; one.Count() == 0; n++ {
		if all.IsSet(n) {
			one.Set(n)
		}
	}
	if err := errors.Join(unix.SchedSetaffinity(thread, &one), unix.SchedSetaffinity(0, &one)); err != nil {
		return nil, os.NewSyscallError("sched_setaffinity", err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, nil
}

// waitStop waits until a thread has stopped. It fails with errGone if it ends instead, or the whole process. Other threads are waited for besides: what
// happens to them is noted, and a process's first thread does not end before they have been seen to.
func (t *tracee) waitStop(thread int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-t.pid(), &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return status, os.NewSyscallError("wait4", err)
		case status.Stopped() && got == thread:
			return status, nil
		case status.Stopped():
			t.threads[got] = true
			continue
		}
		delete(t.threads, got)
		if got == thread || got == t.pid() {
			return status, errGone
		}
	}
}
