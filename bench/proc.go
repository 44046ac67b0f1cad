package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that programs see.
const clockTick = 10 * time.Millisecond

// process is what /proc/PID/stat says of one.
type process struct {
	pid, parent int
	threads     int
	own         time.Duration
	children    time.Duration // of those which have ended and been waited for
}

// parseStat reads one /proc/PID/stat (proc(5)). The name of the program, in parentheses, may hold anything.
func parseStat(text string) (process, error) {
	before, after, ok := cutLast(text, ") ")
	fields := strings.Fields(after)
	pid, _, _ := strings.Cut(before, " ")
	if !ok || len(fields) < 18 {
		return process{}, fmt.Errorf("a line of /proc/PID/stat reads %q", text)
	}
	numbers := make([]int, 7)
	for i, field := range []string{pid, fields[1], fields[11], fields[12], fields[13], fields[14], fields[17]} {
		number, err := strconv.Atoi(field)
		if err != nil {
			return process{}, fmt.Errorf("a line of /proc/PID/stat reads %q", text)
		}
		numbers[i] = number
	}
	return process{
		pid: numbers[0], parent: numbers[1], threads: numbers[6],
		own:      time.Duration(numbers[2]+numbers[3]) * clockTick, // utime, stime
		children: time.Duration(numbers[4]+numbers[5]) * clockTick, // cutime, cstime
	}, nil
}

// sharpen replaces what a process has used by the nanoseconds of /proc/PID/schedstat, which are those of its first thread. The ticks of a thousand
// server processes that have used a few milliseconds each are all 0.
func (p *process) sharpen(schedstat string) {
	used, _, _ := strings.Cut(schedstat, " ")
	if n, err := strconv.ParseInt(used, 10, 64); err == nil && n > 0 && p.threads == 1 {
		p.own = time.Duration(n)
	}
}

func cutLast(text, sep string) (before, after string, found bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(sep):], true
}

// census is the processes that run at a moment, by parent.
type census map[int][]process

// takeCensus reads all of /proc once.
func takeCensus() (census, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(names) == 0 {
		return nil, errors.New("CPU times are read from /proc, which this system does not have")
	}
	c := census{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		p, err := parseStat(string(text))
		if err != nil {
			return nil, err
		}
		if text, err := os.ReadFile(filepath.Join(filepath.Dir(name), "schedstat")); err == nil {
			p.sharpen(string(text))
		}
		c[p.parent] = append(c[p.parent], p)
	}
	return c, nil
}

// family is the processes of the roots and all below them. A root that is 0 has none.
func (c census) family(roots ...int) []process {
	var members []process
	for _, siblings := range c {
		for _, p := range siblings {
			if p.pid != 0 && slices.Contains(roots, p.pid) {
				members = append(members, p)
			}
		}
	}
	for i := 0; i < len(members); i++ {
		members = append(members, c[members[i].pid]...)
	}
	return members
}

// cpu is the CPU time that the families of the roots have used since they began, that of members which have ended included.
func (c census) cpu(roots ...int) time.Duration {
	var sum time.Duration
	for _, p := range c.family(roots...) {
		sum += p.own + p.children
	}
	return sum
}

// residentOf is the memory of a family in bytes, each shared page counted in parts (Pss).
func residentOf(root int) (int64, error) {
	c, err := takeCensus()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range c.family(root) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if err != nil {
			return 0, fmt.Errorf("ask for the memory of process %d: %w", p.pid, err)
		}
		kilobytes, err := pss(string(text))
		if err != nil {
			return 0, err
		}
		sum += kilobytes << 10
	}
	return sum, nil
}

// pss finds the line "Pss: N kB" of an smaps_rollup.
func pss(text string) (int64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Pss:" {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("smaps_rollup has no line Pss")
}
