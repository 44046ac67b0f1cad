package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine describes what a run ran on.
func machine() string {
	processor, memory := field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal")
	if processor == "" {
		processor = runtime.GOARCH
	}
	system := field("/etc/os-release", "PRETTY_NAME")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores, %s; %s of memory; %s, kernel %s",
		runtime.NumCPU(), processor, memory, strings.Trim(system, `"`), strings.TrimSpace(string(kernel)))
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
