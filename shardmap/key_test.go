package shardmap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestParseText(t *testing.T) {
	const nilUUID = "00000000-0000-0000-0000-000000000000"
	const someUUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	for _, tc := range []struct {
		typ  Type
		text string
		want string // what PostgreSQL prints, or the SQLSTATE
	}{
		{Bigint, "42", "42"}, {Bigint, "-42", "-42"}, {Bigint, "+42", "42"}, {Bigint, "-0", "0"},
		{Bigint, " \t\n\v\f\r42 \t\n", "42"}, {Bigint, "007", "7"}, {Bigint, "00000000000000000000000000000001", "1"},
		{Bigint, "9223372036854775807", "9223372036854775807"}, {Bigint, "-9223372036854775808", "-9223372036854775808"},
		{Bigint, "9223372036854775808", "22003"}, {Bigint, "-9223372036854775809", "22003"}, {Bigint, "99999999999999999999999999", "22003"},
		{Bigint, "", "22P02"}, {Bigint, " ", "22P02"}, {Bigint, "-", "22P02"}, {Bigint, "- 1", "22P02"}, {Bigint, "--1", "22P02"},
		{Bigint, "4 2", "22P02"}, {Bigint, "42.0", "22P02"}, {Bigint, "4e1", "22P02"}, {Bigint, "42\x00", "22P02"}, {Bigint, "٤", "22P02"},
		{Bigint, "99999999999999999999x", "22P02"},
		{Bigint, "0x2A", "42"}, {Bigint, "-0X2a", "-42"}, {Bigint, "0o52", "42"}, {Bigint, "0b101010", "42"}, {Bigint, "1_000", "1000"},
		{Bigint, "0x_2A", "42"}, {Bigint, "0x8000000000000000", "22003"}, {Bigint, "-0x8000000000000000", "-9223372036854775808"},
		{Bigint, "_1", "22P02"}, {Bigint, "1_", "22P02"}, {Bigint, "1__0", "22P02"}, {Bigint, "0x", "22P02"}, {Bigint, "0b2", "22P02"}, {Bigint, "0o8", "22P02"},
		{Text, "", ""}, {Text, " a ", " a "}, {Text, "Zoë 日本", "Zoë 日本"}, {Text, "a\x00b", "22P02"}, {Text, "\xff", "22P02"},
		{UUID, someUUID, someUUID}, {UUID, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", someUUID},
		{UUID, "{" + someUUID + "}", someUUID}, {UUID, strings.ReplaceAll(someUUID, "-", ""), someUUID},
		{UUID, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", someUUID}, {UUID, "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", someUUID},
		{UUID, strings.Repeat("0", 32), nilUUID},
		{UUID, "", "22P02"}, {UUID, " " + someUUID, "22P02"}, {UUID, someUUID + " ", "22P02"}, {UUID, "{" + someUUID, "22P02"}, {UUID, someUUID + "}", "22P02"},
		{UUID, someUUID + "-", "22P02"}, {UUID, "a0-eebc999c0b4ef8bb6d6bb9bd380a11", "22P02"}, {UUID, "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11", "22P02"},
		{UUID, "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "22P02"}, {UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "22P02"}, {UUID, someUUID + "1", "22P02"},
		{UUID, "-" + someUUID, "22P02"}, {UUID, "{" + someUUID + "}}", "22P02"},
	} {
		got := outcome(tc.typ.ParseText([]byte(tc.text)))
		if got != tc.want {
			t.Errorf("%s %q = %q, want %q", tc.typ, tc.text, got, tc.want)
		}
	}
}

// outcome is a key as PostgreSQL prints it, or the SQLSTATE.
func outcome(k Key, err error) string {
	var bad *KeyError
	switch {
	case errors.As(err, &bad):
		return bad.SQLState()
	case err != nil:
		return err.Error()
	}
	return k.String()
}

func TestParseBinary(t *testing.T) {
	for _, tc := range []struct {
		typ  Type
		oid  uint32
		hex  string
		want string
	}{
		{Bigint, 0, "000000000000002a", "42"}, {Bigint, 20, "ffffffffffffffd6", "-42"}, {Bigint, 23, "ffffffd6", "-42"},
		{Bigint, 21, "ffd6", "-42"}, {Bigint, 705, "8000000000000000", "-9223372036854775808"},
		{Bigint, 20, "0000002a", "22P02"}, {Bigint, 23, "000000000000002a", "22P02"}, {Bigint, 0, "", "22P02"}, {Bigint, 21, "2a", "22P02"},
		{Bigint, 1700, "0001000000000000002a", "42"}, {Bigint, 1700, "0000000000000000", "0"}, {Bigint, 1700, "0001000140000000002a", "-420000"},
		{Bigint, 1700, "0001000000000002002a", "42"}, {Bigint, 1700, "0002000000000001002a1388", "22P02"}, {Bigint, 1700, "0001ffff000000011388", "22P02"},
		{Bigint, 1700, "00000000c0000000", "22003"}, {Bigint, 1700, "00000000d0000000", "22003"}, {Bigint, 1700, "0001000500000000002a", "22003"},
		{Bigint, 1700, "0005000440000000039a0d2c0170156516b0", "-9223372036854775808"}, {Bigint, 1700, "0005000440000000039a0d2c0170156516b1", "22003"},
		{Bigint, 1700, "0005000400000000039a0d2c0170156516af", "9223372036854775807"}, {Bigint, 1700, "0005000400000000039a0d2c0170156516b0", "22003"},
		{Bigint, 1700, "00010000000000002710", "22P02"},
		{Bigint, 1700, "0002000000000000002a", "22P02"}, {Bigint, 1700, "00", "22P02"}, {Bigint, 1700, "00017fff000000000001", "22003"},
		{Bigint, 25, "3432", "42883"}, {Bigint, 701, "4045000000000000", "42883"}, {Bigint, 2950, "", "42883"},
		{Text, 0, "3432", "42"}, {Text, 25, "", ""}, {Text, 1043, "c3a9", "é"}, {Text, 25, "ff", "22P02"}, {Text, 25, "00", "22P02"},
		{Text, 20, "000000000000002a", "42883"}, {Text, 1042, "61", "42883"},
		{UUID, 0, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {UUID, 2950, "a0", "22P02"}, {UUID, 25, "61", "42883"},
	} {
		raw, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(tc.typ.ParseBinary(tc.oid, raw)); got != tc.want {
			t.Errorf("%s oid %d %s = %q, want %q", tc.typ, tc.oid, tc.hex, got, tc.want)
		}
	}
}

func TestKeyErrors(t *testing.T) {
	_, syntax := Bigint.ParseText([]byte("abc"))
	_, outOfRange := Bigint.ParseText([]byte("9223372036854775808"))
	_, other := Bigint.ParseBinary(25, nil)
	_, long := UUID.ParseText(bytes.Repeat([]byte("x"), 1000))
	for _, tc := range []struct {
		err, is error
		text    string
	}{
		{syntax, ErrKeySyntax, `invalid input syntax for type bigint: "abc"`},
		{outOfRange, ErrKeyRange, `value "9223372036854775808" is out of range for type bigint`},
		{other, ErrKeyType, `a parameter of the type with oid 25 cannot be a tenant key of type bigint: cast it`},
		{long, ErrKeySyntax, `invalid input syntax for type uuid: "` + strings.Repeat("x", 64) + `…"`},
	} {
		if !errors.Is(tc.err, tc.is) || tc.err.Error() != tc.text {
			t.Errorf("got %v, want %s", tc.err, tc.text)
		}
	}
	if _, err := Type(0).ParseText(nil); !errors.Is(err, ErrKeyType) {
		t.Errorf("the zero Type parsed a text: %v", err)
	}
	if _, err := Type(0).ParseBinary(0, nil); !errors.Is(err, ErrKeyType) {
		t.Errorf("the zero Type parsed bytes: %v", err)
	}
}

func TestKeyBasics(t *testing.T) {
	var zero Key
	if !zero.IsZero() || zero.String() != "" || zero.Hash() != 0 || zero.Type() != 0 || len(zero.Append(nil)) != 0 {
		t.Errorf("the zero Key is %+v", zero)
	}
	for _, k := range []Key{BigintKey(0), TextKey(""), UUIDKey([16]byte{})} {
		if k.IsZero() || !k.Equal(k.Clone()) || k.Equal(zero) {
			t.Errorf("%s %q is taken for no tenant", k.Type(), k)
		}
		if got := string(k.Append([]byte("x"))); got != "x"+k.String() {
			t.Errorf("Append made %q", got)
		}
		if typ, ok := ParseType(k.Type().String()); !ok || typ != k.Type() {
			t.Errorf("ParseType(%s) = %v, %v", k.Type(), typ, ok)
		}
	}
	shared := []byte("tenant")
	k, err := Text.ParseText(shared)
	if err != nil {
		t.Fatal(err)
	}
	clone := k.Clone()
	shared[0] = 'T'
	if k.String() != "Tenant" || clone.String() != "tenant" {
		t.Errorf("shared %q, clone %q", k, clone)
	}
	if _, ok := ParseType("int"); ok {
		t.Error("int is taken for a type")
	}
}

// TestNothingAllocates holds for what runs once a statement.
func TestNothingAllocates(t *testing.T) {
	m := mapOf(t, "database: app\ntenant: {column: t, type: text}\nshards: [{name: s1, primary: {host: a}}, {name: s2, primary: {host: b}}]\npins: {x: s2}\n")
	text, number, id := []byte("tenant-with-a-longer-name"), []byte(" -123456 "), []byte("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}")
	numeric, _ := hex.DecodeString("0001000000000000002a")
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		a, _ := Text.ParseText(text)
		b, _ := Bigint.ParseText(number)
		c, _ := UUID.ParseText(id)
		d, _ := Bigint.ParseBinary(1700, numeric)
		e, _ := Text.ParseBinary(25, text)
		sum += m.Locate(a) + m.Locate(b) + m.Locate(c) + m.Locate(d) + m.Locate(e)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParseKey checks that the text a key prints is read as the same key, and
// that equal keys hash alike.
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "0", "-1", " 42 ", "0x2A", "1_0", "9223372036854775807", "é\x00", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for typ := Bigint; typ <= UUID; typ++ {
			k, err := typ.ParseText(b)
			if err != nil {
				continue
			}
			again, err := typ.ParseText([]byte(k.String()))
			if err != nil || !k.Equal(again) || k.Hash() != again.Hash() {
				t.Errorf("%s %q: key %q, read again %q, %v", typ, b, k, again, err)
			}
			if typ == Text && k.String() != string(b) {
				t.Errorf("text %q became %q", b, k)
			}
		}
		if k, err := Bigint.ParseText(b); err == nil {
			number, err := strconv.ParseInt(strings.Trim(string(b), " \t\n\v\f\r"), 10, 64)
			if err == nil && !k.Equal(BigintKey(number)) {
				t.Errorf("%q became %s", b, k)
			}
		}
		for _, oid := range []uint32{0, 20, 21, 23, 25, 1043, 1700, 2950} {
			for typ := Bigint; typ <= UUID; typ++ {
				if k, err := typ.ParseBinary(oid, b); err == nil && k.Type() != typ {
					t.Errorf("%s oid %d gave a %s", typ, oid, k.Type())
				}
			}
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for name, k := range map[string]Key{
		"bigint": BigintKey(math.MaxInt64), "text16": TextKey("tenant-000000042"), "text100": TextKey(strings.Repeat("x", 100)), "uuid": UUIDKey([16]byte{1, 2, 3}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.Hash()
			}
		})
	}
}

func BenchmarkParseText(b *testing.B) {
	for typ, text := range map[Type]string{Bigint: "123456789", Text: "tenant-000000042", UUID: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"} {
		raw := []byte(text)
		b.Run(typ.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := typ.ParseText(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
