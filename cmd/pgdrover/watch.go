package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long the files have to be left alone before they are read: editors write in several steps.
const settleTime = 200 * time.Millisecond

// watch reloads on SIGHUP and when a file that is in use changes, until ctx ends.
func (s *service) watch(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var changes <-chan fsnotify.Event
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("files are not watched; SIGHUP and RELOAD still read them", "error", err)
	} else {
		defer watcher.Close()
		changes = watcher.Events
		s.watchFiles(watcher)
	}
	settled := time.NewTimer(0)
	<-settled.C
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = s.reload(ctx) // it is logged
		case e := <-changes:
			if s.concerns(e.Name) && !e.Has(fsnotify.Chmod) {
				settled.Reset(settleTime)
			}
		case <-settled.C:
			_ = s.reload(ctx)
		}
		if watcher != nil {
			s.watchFiles(watcher)
		}
	}
}

// files are the files in use.
func (s *service) files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := append(s.config.watched(), s.paths...)
	for _, db := range s.config.Databases {
		files = append(files, db.ShardMap, db.Lock)
		if db.DryRun != "" {
			files = append(files, db.DryRun)
		}
	}
	return files
}

// watchFiles watches the folders of the files in use: editors and deployments replace files, which ends the watch of a file.
func (s *service) watchFiles(w *fsnotify.Watcher) {
	for _, f := range s.files() {
		_ = w.Add(filepath.Dir(f)) // a folder that is gone is not watched until it is there again; adding twice is adding once
	}
}

// concerns reports whether a path is one of the files in use, or the link that a deployment swaps under them.
func (s *service) concerns(path string) bool {
	for _, f := range s.files() {
		if filepath.Clean(f) == filepath.Clean(path) || filepath.Base(path) == "..data" {
			return true
		}
	}
	return false
}
