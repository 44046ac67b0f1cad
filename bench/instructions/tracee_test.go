//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// stepped is a program with a loop whose turns are all alike, in a goroutine, and another that runs as well.
const stepped = `package main

type loop struct{ turns, sum int }

//go:noinline
func (l *loop) run() {
	for {
		l.turn()
	}
}

//go:noinline
func (l *loop) turn() {
	l.turns++
	l.work(10)
	l.work(20)
	l.work(30)
}

//go:noinline
func (l *loop) work(times int) {
	for n := range times {
		l.sum += n
	}
}

//go:noinline
func idle() {
	for n := 0; ; n++ {
	}
}

func main() {
	go idle()
	go new(loop).run()
	select {}
}
`

// buildStepped builds the program above.
func buildStepped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "stepped.go"), filepath.Join(dir, "stepped")
	if err := os.WriteFile(source, []byte(stepped), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-buildmode=exe", "-o", program, source)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// freeze starts a program and stops it in its loop. The test ends it by calling end, in the same goroutine, which the program's thread is bound to until
// then. When ctx is over, the program is killed.
func freeze(ctx context.Context, t *testing.T, program string, s *symbols) (child *tracee, thread int, end func()) {
	t.Helper()
	runtime.LockOSThread()
	child, err := startTracee(exec.Command(program))
	if err != nil {
		runtime.UnlockOSThread()
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, child.kill)
	end = func() {
		stop()
		child.end()
		runtime.UnlockOSThread()
	}
	if thread, err = freezeLoop(ctx, child, s, "main.(*loop).run"); err != nil {
		end()
	}
	if errors.Is(err, errForbidden) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return child, thread, end
}

// stepTurns steps through so many turns of the program's loop, and returns the addresses of the instructions executed.
func stepTurns(ctx context.Context, t *testing.T, program string, s *symbols, turns int) []uint64 {
	t.Helper()
	child, thread, end := freeze(ctx, t, program, s)
	defer end()
	var trace []uint64
	begun := 0
	err := child.step(thread, func(r registers) (more bool) {
		if f := s.at(r.at); f.name == "main.(*loop).turn" && f.start == r.at {
			begun++
		}
		if begun > turns {
			return false
		}
		if begun > 0 {
			trace = append(trace, r.at)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func TestSteps(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := buildStepped(t)
	s, err := readSymbols(program)
	if err != nil {
		t.Fatal(err)
	}
	const turns = 20
	p := newProfile(stepTurns(ctx, t, program, s, turns), turns, s)
	again := newProfile(stepTurns(ctx, t, program, s, turns), turns, s)
	if p.Instructions != again.Instructions {
		t.Errorf("a turn has %v instructions once and %v the next time", p.Instructions, again.Instructions)
	}
	calls, instructions := map[string]float64{}, map[string]float64{}
	for _, f := range p.Functions {
		calls[f.Name], instructions[f.Name] = f.Calls, f.Instructions
	}
	if calls["main.(*loop).turn"] != 1 || calls["main.(*loop).work"] != 3 || calls["main.(*loop).run"] != 0 {
		t.Errorf("calls %v, want 1 of turn, 3 of work and none of run", calls)
	}
	// Sixty times a loop of some instructions; how many is the compiler's business.
	if work := instructions["main.(*loop).work"]; work < 60*2 || work > 60*10 {
		t.Errorf("work has %v instructions a turn, want 120 to 600", work)
	}
	if other := instructions["main.idle"]; other != 0 {
		t.Errorf("another thread's function has %v instructions, want none", other)
	}
	if p.Packages["main"] != p.Instructions {
		t.Errorf("packages %v: the loop does nothing but its turns", p.Packages)
	}
}

// TestStepEndsWithItsProcess kills a program that is stepped through.
func TestStepEndsWithItsProcess(t *testing.T) {
	program := buildStepped(t)
	s, err := readSymbols(program)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	child, thread, end := freeze(ctx, t, program, s)
	defer end()
	steps := 0
	err = child.step(thread, func(registers) (more bool) {
		if steps++; steps == 100 {
			child.kill()
		}
		return true
	})
	if !errors.Is(err, errGone) {
		t.Errorf("step ended with %v, want that the thread has ended", err)
	}
}
