//go:build !linux || !(amd64 || arm64)

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "instructions: they are counted on Linux only, on amd64 and arm64: run it there, in a virtual machine for example")
	os.Exit(1)
}
