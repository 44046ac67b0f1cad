package main

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestSignalWhileACommandStarts has a signal come when the COMMAND may run already and dev does not know its process yet: it is the
// COMMAND's, and ends nothing else.
func TestSignalWhileACommandStarts(t *testing.T) {
	signals, ctx, _ := watchSignals(context.Background(), strings.NewReader(""))
	defer signals.close()
	signals.expectCommand()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !signals.pass(syscall.SIGTERM) || ctx.Err() != nil {
		t.Error("the signal ended dev")
	}
	signals.forward(cmd.Process)
	_ = cmd.Wait()
	if got := statusOf(cmd.ProcessState); got != 128+int(syscall.SIGTERM) {
		t.Errorf("exit status %d", got)
	}
	signals.forward(nil)
	if signals.pass(syscall.SIGTERM) {
		t.Error("the COMMAND has ended, and gets a signal")
	}
}

// TestSignalBeforeACommandThatDoesNotStart is dev's.
func TestSignalBeforeACommandThatDoesNotStart(t *testing.T) {
	signals, _, _ := watchSignals(context.Background(), strings.NewReader(""))
	defer signals.close()
	signals.expectCommand()
	if !signals.pass(syscall.SIGINT) {
		t.Error("the signal ended dev before the COMMAND has had its chance")
	}
	signals.forward(nil)
	if signals.pass(syscall.SIGINT) || signals.caught() != int(syscall.SIGINT) {
		t.Errorf("caught %d", signals.caught())
	}
}
