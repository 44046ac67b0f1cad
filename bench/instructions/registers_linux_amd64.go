package main

import "golang.org/x/sys/unix"

// kernelCall is the instruction of a system call, SYSCALL.
const kernelCall = "\x0f\x05"

// readRegisters reads the registers of a stopped thread.
func readRegisters(thread int) (registers, error) {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return registers{}, err
	}
	return registers{at: r.Rip, frame: r.Rbp, call: r.Rax, result: r.Rax, arguments: [3]uint64{r.Rdi, r.Rsi, r.Rdx}}, nil
}
