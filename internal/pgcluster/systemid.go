package pgcluster

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"time"
)

// newSystemID is made as PostgreSQL makes one: the time above, and bits that
// differ between two that are made at once below.
func newSystemID(now time.Time) uint64 {
	var low [4]byte
	rand.Read(low[:]) // never fails
	return uint64(now.Unix())<<32 | uint64(binary.NativeEndian.Uint32(low[:]))
}

// setSystemID writes a system identifier into a control file. The server that
// owns the file must not run, and its WAL must be reset afterwards, since each
// WAL segment names the system it belongs to.
//
// The identifier is the first field of ControlFileData and a CRC-32C of all
// that precedes it is the last (src/include/catalog/pg_control.h). Where the
// CRC stands depends on the version; the file itself tells.
func setSystemID(path string, id uint64) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	crcAt := -1
	for at := 8; at+4 <= min(len(content), 1024); at += 4 {
		if crc32.Checksum(content[:at], table) == binary.NativeEndian.Uint32(content[at:]) {
			crcAt = at
			break
		}
	}
	if crcAt < 0 {
		return fmt.Errorf("%s: found no checksum: not a control file of a PostgreSQL that is known here", path)
	}
	binary.NativeEndian.PutUint64(content, id)
	binary.NativeEndian.PutUint32(content[crcAt:], crc32.Checksum(content[:crcAt], table))
	return os.WriteFile(path, content, 0o600) // keeps owner and mode
}
