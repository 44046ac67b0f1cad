//go:build linux && (amd64 || arm64)

package main

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// function is a piece of a program's code that has a name. Its addresses are from start to before end.
type function struct {
	name       string
	start, end uint64
}

// elsewhere is where an address is that is in no function of the program: the kernel's own page of code that tells the time, or a shared library.
var elsewhere = function{name: "outside the program"}

// symbols is the code of a program: its functions by address, and its text.
type symbols struct {
	functions []function
	text      []byte
	textAt    uint64 // address of text
}

// readSymbols reads a program's file. It has to be one that is loaded where it was linked for, with a symbol table.
func readSymbols(path string) (*symbols, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	defer file.Close()
	if file.Type != elf.ET_EXEC {
		return nil, fmt.Errorf("%s is position-independent: build it with -buildmode=exe", path)
	}
	list, err := file.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("%s has no symbol table: build it without -ldflags -s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the symbols of %s: %w", path, err)
	}
	section := file.Section(".text")
	if section == nil {
		return nil, fmt.Errorf("%s has no section .text: name a program for Linux", path)
	}
	s := &symbols{textAt: section.Addr}
	if s.text, err = section.Data(); err != nil {
		return nil, fmt.Errorf("read the text of %s: %w", path, err)
	}
	for _, symbol := range list {
		if elf.ST_TYPE(symbol.Info) == elf.STT_FUNC && symbol.Value != 0 {
			s.functions = append(s.functions, function{symbol.Name, symbol.Value, symbol.Value + symbol.Size})
		}
	}
	s.arrange()
	return s, nil
}

// arrange sorts the functions, and ends those that do not say how long they are (some in assembler) where the next begins.
func (s *symbols) arrange() {
	slices.SortStableFunc(s.functions, func(a, b function) int { return cmp.Compare(a.start, b.start) })
	s.functions = slices.CompactFunc(s.functions, func(a, b function) bool { return a.start == b.start })
	for i := range s.functions[:max(len(s.functions)-1, 0)] {
		if f := &s.functions[i]; f.end == f.start {
			f.end = s.functions[i+1].start
		}
	}
}

// at is the function that an address is in, or elsewhere.
func (s *symbols) at(address uint64) function {
	i := sort.Search(len(s.functions), func(i int) bool { return s.functions[i].start > address })
	if i == 0 || address >= s.functions[i-1].end {
		return elsewhere
	}
	return s.functions[i-1]
}

// holds reports whether an address is in the program's text.
func (s *symbols) holds(address uint64) bool {
	return address >= s.textAt && address-s.textAt < uint64(len(s.text))
}

// callsKernel reports whether the instruction at an address is a system call.
func (s *symbols) callsKernel(address uint64) bool {
	if !s.holds(address) {
		return false
	}
	return strings.HasPrefix(string(s.text[address-s.textAt:min(address-s.textAt+4, uint64(len(s.text)))]), kernelCall)
}
