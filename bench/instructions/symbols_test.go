//go:build linux && (amd64 || arm64)

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramsThatCannotBeRead get an error that says how to build them.
func TestProgramsThatCannotBeRead(t *testing.T) {
	program := buildStepped(t)
	stripped := filepath.Join(filepath.Dir(program), "stripped")
	cmd := exec.Command("go", "build", "-buildmode=exe", "-ldflags=-s", "-o", stripped, program+".go")
	cmd.Dir = filepath.Dir(program)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for path, want := range map[string]string{
		stripped:        "build it without -ldflags -s",
		program + ".go": "read the program: ",
		program + "?":   "no such file",
	} {
		if _, err := readSymbols(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", filepath.Base(path), err, want)
		}
	}
}
