package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine describes what a run ran on.
func machine() string {
	processor := field("/proc/cpuinfo", "model name")
	if processor == "" {
		processor = runtime.GOARCH
	}
	system := field("/etc/os-release", "PRETTY_NAME")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kilobytes, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	return fmt.Sprintf("%d cores, %s; %d GB of memory; %s, kernel %s",
		runtime.NumCPU(), processor, (kilobytes+1<<19)>>20, strings.Trim(system, `"`), strings.TrimSpace(string(kernel)))
}

// field is the value of a name in a file of lines "name: value" or "name=value"; "" when there is none.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		at := strings.IndexAny(line, ":=")
		if at > 0 && strings.TrimSpace(line[:at]) == name {
			return strings.TrimSpace(line[at+1:])
		}
	}
	return ""
}
