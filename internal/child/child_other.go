//go:build !linux

package child

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// setDeathSignal has no equal here.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// Children are the processes that pid started and that run now.
func Children(pid int) []int {
	list, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}
