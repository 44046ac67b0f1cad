package cache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// entryMagic begins every value; it changes when the layout does, so that proxies
// of two versions never misread each other.
const entryMagic = "pgd1"

// encode lays out an entry for Redis: magic, the notes it was read under, the key,
// the body, and a checksum of all that. Notes and key carry their length.
func encode(notes string, key, body []byte) []byte {
	out := make([]byte, 0, len(entryMagic)+2*binary.MaxVarintLen64+len(notes)+len(key)+len(body)+8)
	out = append(out, entryMagic...)
	out = binary.AppendUvarint(out, uint64(len(notes)))
	out = append(out, notes...)
	out = binary.AppendUvarint(out, uint64(len(key)))
	out = append(out, key...)
	out = append(out, body...)
	return binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out))
}

// decode returns the key and body of an entry that was stored under notes. They
// are parts of value. ok is false for anything else, whatever bytes it is given.
func decode(value []byte, notes string) (key, body []byte, ok bool) {
	if len(value) < len(entryMagic)+8 || string(value[:len(entryMagic)]) != entryMagic {
		return nil, nil, false
	}
	rest := value[:len(value)-8]
	if binary.LittleEndian.Uint64(value[len(rest):]) != xxhash.Sum64(rest) {
		return nil, nil, false
	}
	noted, rest, ok := part(rest[len(entryMagic):])
	if !ok || string(noted) != notes {
		return nil, nil, false
	}
	key, body, ok = part(rest)
	if !ok {
		return nil, nil, false
	}
	return key, body[:len(body):len(body)], true
}

// part splits off one length-prefixed part.
func part(b []byte) (first, rest []byte, ok bool) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return nil, nil, false
	}
	end := width + int(n)
	return b[width:end:end], b[end:], true
}
