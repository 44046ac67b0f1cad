package pgcluster

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

func TestRedisRuns(t *testing.T) {
	r := TestRedis(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	set := func() {
		t.Helper()
		if reply, err := redisCommand(ctx, r.Addr, "SET", "k", "v"); err != nil || reply != "+OK" {
			t.Fatalf("SET: %q, %v", reply, err)
		}
	}
	set()
	if r.Embedded {
		if err := r.Pause(); !errors.Is(err, ErrEmbedded) {
			t.Errorf("pause of an embedded Redis: got %v, want ErrEmbedded", err)
		}
	} else {
		checkPause(t, r)
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if reply, err := redisCommand(ctx, r.Addr, "PING"); err == nil {
		t.Errorf("a killed Redis answers %q", reply)
	}
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if reply, err := redisCommand(ctx, r.Addr, "EXISTS", "k"); err != nil || reply != ":0" {
		t.Errorf("EXISTS after the restart: %q, %v", reply, err)
	}
	set()
	for range 2 {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(r.dir); r.dir != "" && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", r.dir, err)
	}
}

// checkPause pauses the process and wakes it: the same command, asked while it
// sleeps, is answered once it is awake.
func checkPause(t *testing.T, r *Redis) {
	t.Helper()
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if reply, err := redisCommand(ctx, r.Addr, "PING"); err == nil {
		t.Errorf("a paused Redis answers %q", reply)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if reply, err := redisCommand(t.Context(), r.Addr, "PING"); err != nil || reply != "+PONG" {
		t.Errorf("after Resume: %q, %v", reply, err)
	}
}
