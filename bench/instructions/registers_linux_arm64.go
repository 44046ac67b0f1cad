package main

import (
	"debug/elf"

	"golang.org/x/sys/unix"
)

// kernelCall is the instruction of a system call, SVC #0.
const kernelCall = "\x01\x00\x00\xd4"

// readRegisters reads the registers of a stopped thread.
func readRegisters(thread int) (registers, error) {
	var r unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(thread, int(elf.NT_PRSTATUS), &r); err != nil {
		return registers{}, err
	}
	return registers{at: r.Pc, frame: r.Regs[29], call: r.Regs[8], result: r.Regs[0], arguments: [3]uint64(r.Regs[:3])}, nil
}
