package yamlfile

import (
	"strings"
	"testing"
)

func parse(t *testing.T, name, text string) *Document {
	t.Helper()
	doc, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestMerge(t *testing.T) {
	under := parse(t, "a.yaml", "name: one\nwords: [a, b]\nservers: [{host: x}]\nby_name: {p: {host: h, port: 1}, q: {host: i}}\nratio: 3\n")
	over := parse(t, "b.yaml", "name: two\nwords: [c]\nby_name:\n  p: {port: 2}\n  r: {host: j}\nratio: ~\nclients: 4\n")
	merged := Merge(under, over, parse(t, "c.yaml", ""))
	c := config{Ratio: 1}
	if err := merged.Decode(&c, Options{}); err != nil {
		t.Fatal(err)
	}
	if c.Name.V != "two" || c.Name.Pos.String() != "b.yaml:1:7" {
		t.Errorf("name %q at %v", c.Name.V, c.Name.Pos)
	}
	if strings.Join(c.Words, " ") != "c" || c.Ratio != 1 || c.Clients != 4 || len(c.Servers) != 1 {
		t.Errorf("got %+v", c)
	}
	if *c.ByName["p"] != (server{"h", 2}) || *c.ByName["q"] != (server{"i", 5432}) || c.ByName["r"].Host != "j" {
		t.Errorf("by_name %+v %+v %+v", c.ByName["p"], c.ByName["q"], c.ByName["r"])
	}
	var alone config
	if err := under.Decode(&alone, Options{}); err != nil || alone.Name.V != "one" || alone.ByName["p"].Port != 1 {
		t.Errorf("the merge changed its input: %+v, %v", alone, err)
	}
}

func TestMergedMistakesNameTheirFile(t *testing.T) {
	merged := Merge(parse(t, "a.yaml", "name: x\nwait: 1\n"), parse(t, "b.yaml", "ratio: y\n"))
	var c config
	err := merged.Decode(&c, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "a.yaml:2:7: wait") || !strings.Contains(err.Error(), "\nb.yaml:1:8: ratio") {
		t.Errorf("got %v", err)
	}
}

func TestPosition(t *testing.T) {
	doc := parse(t, "a.yaml", "name: one\nservers:\n  - host: x\n    port: 5\n")
	for _, tc := range []struct{ path, value, key string }{
		{"", "a.yaml:1:1", "a.yaml:1:1"},
		{"name", "a.yaml:1:7", "a.yaml:1:1"},
		{"servers", "a.yaml:3:3", "a.yaml:2:1"},
		{"servers 0", "a.yaml:3:5", "a.yaml:3:5"},
		{"servers 0 port", "a.yaml:4:11", "a.yaml:4:5"},
	} {
		path := strings.Fields(tc.path)
		value, ok := doc.Position(path...)
		key, keyOK := doc.KeyPosition(path...)
		if !ok || !keyOK || value.String() != tc.value || key.String() != tc.key {
			t.Errorf("%q: value %v %v, key %v %v; want %s, %s", tc.path, value, ok, key, keyOK, tc.value, tc.key)
		}
	}
	for _, path := range []string{"nam", "name x", "servers 1", "servers -1", "servers host", "servers 0 hos"} {
		if at, ok := doc.Position(strings.Fields(path)...); ok {
			t.Errorf("%q: found at %v", path, at)
		}
		if at, ok := doc.KeyPosition(strings.Fields(path)...); ok {
			t.Errorf("%q: key found at %v", path, at)
		}
	}
}

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		switch name {
		case "A":
			return "1", true
		case "EMPTY":
			return "", true
		case "NEST":
			return "${A}", true
		}
		return "", false
	}
	for _, tc := range []struct{ text, want string }{
		{"", ""}, {"plain $A $ {A}", "plain $A $ {A}"}, {"${A}", "1"}, {"a${A}b${A}c", "a1b1c"},
		{"${EMPTY}", ""}, {"${EMPTY:-x}", "x"}, {"${NO:-x y}", "x y"}, {"${NO:-}", ""}, {"${A:-x}", "1"},
		{"$${A}", "${A}"}, {"${NEST}", "${A}"}, {"SCRAM-SHA-256$4096:ab$cd:ef", "SCRAM-SHA-256$4096:ab$cd:ef"},
	} {
		if got, err := expand(tc.text, lookup); err != nil || got != tc.want {
			t.Errorf("expand(%q) = %q, %v; want %q", tc.text, got, err, tc.want)
		}
	}
	for _, text := range []string{"${NO}", "${", "${A", "${}", "${-x}", "${a b}", "${A-x}"} {
		if got, err := expand(text, lookup); err == nil {
			t.Errorf("expand(%q) = %q, want an error", text, got)
		}
	}
}

func TestByteSize(t *testing.T) {
	for _, tc := range []struct {
		text string
		want ByteSize
		back string
	}{
		{"0", 0, "0B"}, {"17", 17, "17B"}, {"512kB", 512 << 10, "512kB"}, {"512 KiB", 512 << 10, "512kB"},
		{"256MB", 256 << 20, "256MB"}, {"1024mb", 1 << 30, "1GB"}, {"3TB", 3 << 40, "3TB"}, {"1b", 1, "1B"},
	} {
		got, err := ParseByteSize(tc.text)
		if err != nil || got != tc.want || got.String() != tc.back {
			t.Errorf("%q = %d (%s), %v; want %d (%s)", tc.text, got, got, err, tc.want, tc.back)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "1.5GB", "1XB", "9999999999TB", "1 2MB", "0x10"} {
		if got, err := ParseByteSize(text); err == nil {
			t.Errorf("%q = %d, want an error", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	among := []string{"host", "port", "replicas", "weight", "on"}
	for word, want := range map[string]string{
		"hots": "host", "prot": "port", "Replica": "replicas", "WEIGHT": "weight", "wieght": "weight",
		"shards": "", "": "", "xyz": "", "in": "on",
	} {
		if got := Nearest(word, among); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: x\nservers: [{host: a, port: ${P:-1}}]\ntables: {a: reference, b: {on: s}}")
	f.Add("a: &a [*a]\nb: {<<: *a, ~: 1}\n--- \n")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Parse("f.yaml", []byte(text))
		if err != nil {
			return
		}
		var c config
		_ = doc.Decode(&c, Options{})
		_ = Merge(doc, doc).Decode(&c, Options{})
	})
}
