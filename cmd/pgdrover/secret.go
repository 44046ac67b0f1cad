package main

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is never printed: every way of formatting it gives ***, or nothing when it is empty.
type Secret string

// Reveal gives the text itself, for whoever must send it.
func (s Secret) Reveal() string { return string(s) }

// String gives ***.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// Format gives *** for every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText gives ***, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives ***, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
