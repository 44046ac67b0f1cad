package shardmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadLock reads a lock file. Without one the error is fs.ErrNotExist: the
// cluster has no placement yet.
func ReadLock(path string) (*Lock, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the lock: %w", err)
	}
	return ParseLock(path, text)
}

// WriteLock replaces a lock file, or makes it: after a crash at any point the
// file is the old one or the new one, whole. A symbolic link stays one. Two
// writers at once must be kept apart by the caller.
func WriteLock(path string, l *Lock) error {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = path
	case err != nil:
		return fmt.Errorf("write the lock: %w", err)
	}
	if err := replaceFile(target, l.Encode()); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// replaceFile puts text in the place of a file by renaming, with the file's
// mode kept.
func replaceFile(path string, text []byte) error {
	mode := fs.FileMode(0o644)
	if old, err := os.Stat(path); err == nil {
		mode = old.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
