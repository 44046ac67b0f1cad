package cache

import (
	"bytes"
	"testing"
)

func TestKeysOfDifferentPartsDiffer(t *testing.T) {
	build := map[string]func(*Key){
		"nothing":    func(*Key) {},
		"empty":      func(k *Key) { k.String("") },
		"null":       func(k *Key) { k.Null() },
		"two empty":  func(k *Key) { k.String(""); k.String("") },
		"ab+c":       func(k *Key) { k.String("ab"); k.String("c") },
		"a+bc":       func(k *Key) { k.String("a"); k.String("bc") },
		"abc":        func(k *Key) { k.String("abc") },
		"abc+null":   func(k *Key) { k.String("abc"); k.Null() },
		"abc+empty":  func(k *Key) { k.String("abc"); k.String("") },
		"one":        func(k *Key) { k.Uint(1) },
		"one text":   func(k *Key) { k.String("\x01") },
		"one+zero":   func(k *Key) { k.Uint(1); k.Uint(0) },
		"256":        func(k *Key) { k.Uint(256) },
		"tagged":     func(k *Key) { k.String("\x01\x01a") },
		"long":       func(k *Key) { k.Bytes(bytes.Repeat([]byte("x"), 300)) },
		"long+short": func(k *Key) { k.Bytes(bytes.Repeat([]byte("x"), 299)); k.String("x") },
	}
	seen := make(map[string]string)
	for name, f := range build {
		var k Key
		f(&k)
		if other, dup := seen[string(k.buf)]; dup {
			t.Errorf("%q and %q give the same key", name, other)
		}
		seen[string(k.buf)] = name
	}
}

func TestKeyReset(t *testing.T) {
	var k Key
	k.String("first")
	first := k.sum()
	k.Uint(7)
	if k.sum() == first {
		t.Error("adding a part did not change the hash")
	}
	k.Reset()
	k.Bytes([]byte("first"))
	if k.sum() != first {
		t.Error("String and Bytes of one content differ, or Reset left something")
	}
	k.Bytes(make([]byte, 4*keepKeyBytes))
	k.Reset()
	if cap(k.buf) > keepKeyBytes || k.Len() != 0 {
		t.Errorf("after Reset: %d bytes in use, %d kept", k.Len(), cap(k.buf))
	}
}

// FuzzKey splits the input at two places in two ways and checks that different
// parts never give one key.
func FuzzKey(f *testing.F) {
	f.Add([]byte("abc"), uint8(1), uint8(2))
	f.Add([]byte("\x01\x01\x01\x01"), uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, i, j uint8) {
		split := func(at uint8) *Key {
			n := min(int(at), len(b))
			k := new(Key)
			k.Bytes(b[:n])
			k.Bytes(b[n:])
			return k
		}
		x, y := split(i), split(j)
		same := min(int(i), len(b)) == min(int(j), len(b))
		if bytes.Equal(x.buf, y.buf) != same {
			t.Fatalf("split at %d and %d of %q: same key %v", i, j, b, !same)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(encode("n1 n2 ", []byte("key"), []byte("body")))
	f.Add([]byte("pgd1"))
	f.Add([]byte("pgd1\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01........"))
	f.Fuzz(func(t *testing.T, value []byte) {
		key, body, ok := decode(value, "n1 n2 ")
		if !ok {
			return
		}
		if !bytes.Equal(encode("n1 n2 ", key, body), value) {
			t.Fatalf("%q decoded to key %q body %q", value, key, body)
		}
	})
}

func TestDecodeRefusesWhatWasChanged(t *testing.T) {
	value := encode("n1 n2 ", []byte("key"), []byte("body"))
	if key, body, ok := decode(value, "n1 n2 "); !ok || string(key) != "key" || string(body) != "body" {
		t.Fatalf("got %q %q %v", key, body, ok)
	}
	if _, _, ok := decode(value, "n1 n3 "); ok {
		t.Error("served under other tokens")
	}
	for i := range value {
		changed := bytes.Clone(value)
		changed[i] ^= 0x20
		if _, _, ok := decode(changed, "n1 n2 "); ok {
			t.Errorf("byte %d changed, still decoded", i)
		}
		if _, _, ok := decode(value[:i], "n1 n2 "); ok {
			t.Errorf("cut at %d, still decoded", i)
		}
	}
}
