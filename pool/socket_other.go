//go:build !linux

package pool

import (
	"context"
	"syscall"
)

// socketOptions sets what net.Dialer has no field for: there is nothing here.
func socketOptions(context.Context, string, string, syscall.RawConn) error { return nil }
