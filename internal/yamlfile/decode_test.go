package yamlfile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

type server struct {
	Host string `yaml:"host,required"`
	Port int16  `yaml:"port"`
}

func (s *server) SetDefaults() { s.Port = 5432 }

type limits struct {
	Clients uint          `yaml:"clients"`
	Wait    time.Duration `yaml:"wait"`
}

type tableKind struct{ word, on string }

func (k *tableKind) UnmarshalNode(n Node) error {
	if n.Kind() == Scalar {
		text, err := n.Text()
		k.word = text
		if err == nil && text == "bad" {
			return n.Errorf("no such kind")
		}
		return err
	}
	var spec struct {
		On string `yaml:"on,required"`
	}
	err := n.Decode(&spec)
	k.on = spec.On
	return err
}

type config struct {
	Name     Value[string] `yaml:"name,required"`
	Password string        `yaml:"password,secret"`
	Hidden   struct {
		Rate float64 `yaml:"rate"`
	} `yaml:"hidden,secret"`
	On       bool                `yaml:"on"`
	Ratio    float64             `yaml:"ratio"`
	Memory   ByteSize            `yaml:"memory"`
	Words    []string            `yaml:"words"`
	Servers  []server            `yaml:"servers"`
	ByName   map[string]*server  `yaml:"by_name"`
	Tables   Map[tableKind]      `yaml:"tables"`
	Numbers  Value[[]Value[int]] `yaml:"numbers"`
	Address  netip.Addr          `yaml:"address"`
	limits   `yaml:",inline"`
	Untagged string
}

func decodeText(t *testing.T, text string, into any) error {
	t.Helper()
	doc, err := Parse("f.yaml", []byte(text))
	if err != nil {
		return err
	}
	env := map[string]string{"PW": "s3cret", "PORT": "6543", "EMPTY": "", "WAIT": "7s", "YES": "on"}
	return doc.Decode(into, Options{Lookup: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
}

func TestDecodeEverything(t *testing.T) {
	c := config{Ratio: 0.5, Untagged: "kept"}
	err := decodeText(t, `
name: café ${PORT}
password: "${PW}$4096$${x}"
on: off
memory: 256MB
words: [a, 12, ""]
servers:
  - host: one
  - {host: two, port: "${PORT}"}
by_name: {x: {host: three}}
tables:
  countries: reference
  migrations: {on: s1}
numbers: [4, 5]
address: 10.0.0.1
clients: 7
wait: ${WAIT}
ratio: ~
`, &c)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	check("name", c.Name.V, "café 6543")
	check("name position", c.Name.Pos, "f.yaml:2:7")
	check("name key", c.Name.Key, "f.yaml:2:1")
	check("password", c.Password, "s3cret$4096${x}")
	check("on", c.On, false)
	check("memory", int64(c.Memory), 256<<20)
	check("words", c.Words, []string{"a", "12", ""})
	check("servers", c.Servers, []server{{"one", 5432}, {"two", 6543}})
	check("by_name", *c.ByName["x"], server{"three", 5432})
	check("tables", c.Tables[0].Name+c.Tables[0].V.word+c.Tables[1].Name+c.Tables[1].V.on, "countriesreferencemigrationss1")
	check("table key", c.Tables[1].Key, "f.yaml:13:3")
	check("table position", c.Tables[1].Pos, "f.yaml:13:15")
	check("numbers", c.Numbers.V[1].V+int(c.Numbers.V[1].Pos.Column), 5+14)
	check("address", c.Address, "10.0.0.1")
	check("clients", c.Clients, 7)
	check("wait", c.Wait, 7*time.Second)
	check("ratio, null", c.Ratio, 0.5)
	check("untagged", c.Untagged, "kept")
}

func TestMistakes(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"unknown key", "name: x\nmemry: 1", `f.yaml:2:1: unknown key "memry": did you mean "memory"?`},
		{"swapped letters", "name: x\nwiat: 1s", `f.yaml:2:1: unknown key "wiat": did you mean "wait"?`},
		{"nothing near", "name: x\nservers: [{host: a, zzz: 1}]", `f.yaml:2:21: servers[0]: unknown key "zzz": the keys here are host, port`},
		{"missing", "on: true", `f.yaml:1:1: name is missing`},
		{"missing in an empty file", "# nothing\n", `f.yaml:1:1: name is missing`},
		{"missing in a null document", "---\n", `f.yaml:2:1: name is missing`},
		{"null for required", "name:\n", `f.yaml:1:1: name is missing`},
		{"missing deep", "name: x\nby_name: {a: {port: 1}}", `f.yaml:2:14: by_name.a: host is missing`},
		{"duplicate", "name: x\nname: y", `f.yaml:2:1: key "name" was already given on line 1: keep one of them`},
		{"not a mapping", "- a", `f.yaml:1:1: expected a mapping, found a list`},
		{"list for text", "name: [a]", `f.yaml:1:7: name: expected text, found a list`},
		{"bool for text", "name: true", `f.yaml:1:7: name: expected text, found true or false: put it in quotes if it is meant`},
		{"text for list", "name: x\nwords: a", `f.yaml:2:8: words: expected a list, found "a"`},
		{"list for map", "name: x\nby_name: []", `f.yaml:2:10: by_name: expected a mapping, found a list`},
		{"list for ordered map", "name: x\ntables: 5", `f.yaml:2:9: tables: expected a mapping, found "5"`},
		{"empty element", "name: x\nwords: [a, ~]", `f.yaml:2:12: words[1]: an empty element: fill it or remove it`},
		{"text for number", "name: x\nservers: [{host: a, port: many}]", `f.yaml:2:27: servers[0].port: expected a whole number, found "many"`},
		{"fraction", "name: x\nservers: [{host: a, port: 1.5}]", `f.yaml:2:27: servers[0].port: expected a whole number, found "1.5"`},
		{"quoted number", "name: x\nservers: [{host: a, port: '5'}]", `f.yaml:2:27: servers[0].port: expected a whole number, found text: remove the quotes`},
		{"too large", "name: x\nservers: [{host: a, port: 70000}]", `f.yaml:2:27: servers[0].port: expected a smaller number, found "70000"`},
		{"negative", "name: x\nclients: -1", `f.yaml:2:10: clients: expected a whole number that is not negative, found "-1"`},
		{"bool", "name: x\non: maybe", `f.yaml:2:5: on: expected true or false, found "maybe"`},
		{"not a number", "name: x\nratio: .nan", `f.yaml:2:8: ratio: expected a number, found ".nan"`},
		{"duration", "name: x\nwait: 10", `f.yaml:2:7: wait: expected a time with its unit, such as 500ms, 10s, 5m or 1h, found "10"`},
		{"negative duration", "name: x\nwait: -1s", `f.yaml:2:7: wait: expected a time with its unit, such as 500ms, 10s, 5m or 1h, found "-1s"`},
		{"size", "name: x\nmemory: 12 parsecs", `f.yaml:2:9: memory: expected a size with its unit, such as 512kB, 64MB or 2GB, found "12 parsecs"`},
		{"text type", "name: x\naddress: nowhere", `f.yaml:2:10: address: ParseAddr("nowhere"): unable to parse IP`},
		{"hook", "name: x\ntables: {a: bad}", `f.yaml:2:13: tables.a: no such kind`},
		{"inside hook", "name: x\ntables: {a: {ono: 1}}", "f.yaml:2:13: tables.a: on is missing\nf.yaml:2:14: tables.a: unknown key \"ono\": did you mean \"on\"?"},
		{"variable", "name: a ${NOPE} b", `f.yaml:1:7: name: variable NOPE is not set: set it, or write ${NOPE:-default}`},
		{"open variable", "name: ${NOPE", `f.yaml:1:7: name: ${ without }: close it, or write $${ for a plain ${`},
		{"no variable", "name: ${1+1}", "f.yaml:1:7: name: ${…} does not hold a variable's name: write ${NAME} or ${NAME:-default}, or $${ for a plain ${"},
		{"variable in hook", "name: x\ntables: {a: '${NOPE}'}", `f.yaml:2:13: tables.a: variable NOPE is not set: set it, or write ${NOPE:-default}`},
		{"variable of a wrong type", "name: x\nservers: [{host: a, port: '${PW}'}]", `f.yaml:2:27: servers[0].port: expected a whole number, found "${PW}"`},
		{"two documents", "name: x\n---\nname: y", `f.yaml:2:1: a second document: keep one, and remove the --- line`},
		{"tab", "name: x\n\twords: [a]\n", `f.yaml:2:1: while scanning a plain scalar, from line 1: found a tab character that violates indentation`},
		{"no token", "name: x\nwords: @a\n", `f.yaml:2:8: a tab, @, ` + "`" + ` or % cannot stand here: indent with spaces, put the value in quotes`},
		{"unclosed", "name: [a\n", `f.yaml:2:1: while parsing a flow sequence, from line 1: did not find expected ',' or ']'`},
		{"tag", "name: !env X", `f.yaml:1:7: a tag (!env) has no meaning here: remove it`},
		{"merge key", "name: x\n<<: {on: true}", `f.yaml:2:1: merge keys (<<) are not supported: write the values out, or use an alias for the whole value`},
		{"null key", "name: x\n~: y", `f.yaml:2:1: an empty key: put it in quotes if it is meant`},
		{"list as key", "name: x\n? [a]\n: b", `f.yaml:2:3: a key must be a plain word`},
		{"alias to itself", "name: x\nwords: &w [*w]", `f.yaml:2:12: an alias inside the value that it stands for`},
		{"several", "nam: x\nwait: 1\nratio: a", "f.yaml:1:1: name is missing\nf.yaml:1:1: unknown key \"nam\": did you mean \"name\"?\n" +
			"f.yaml:2:7: wait: expected a time with its unit, such as 500ms, 10s, 5m or 1h, found \"1\"\nf.yaml:3:8: ratio: expected a number, found \"a\""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var c config
			err := decodeText(t, tc.text, &c)
			if err == nil {
				t.Fatalf("no error, want %s", tc.want)
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(tc.want, "\n")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", err, tc.want)
			}
			if one := (*Error)(nil); !errors.As(err, &one) || one.Position.File != "f.yaml" || one.Position.IsZero() {
				t.Errorf("no *Error with a position in %v", err)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	for _, text := range []string{
		"name: x\npassword: [hunter2]",
		"name: x\npassword: {hunter2: hunter2}",
		"name: x\npassword: 'hunter2${NOPE}'",
		"name: x\npassword: 'hunter2${hunter2'",
		"name: x\npassword: *hunter2",
		"name: x\nhidden: {rate: hunter2}",
		"name: x\nhidden: hunter2",
		"{name: x, password:hunter2}",
	} {
		var c config
		err := decodeText(t, text, &c)
		if err == nil {
			t.Errorf("no error for %q", text)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the message shows the secret: %v", text, err)
		}
	}
}

func TestTooManyAliases(t *testing.T) {
	text := "name: x\nwords: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		p := string(c - 1)
		text += fmt.Sprintf("%c: &%c [*%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s]\n", c, c, p, p, p, p, p, p, p, p)
	}
	if _, err := Parse("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "use fewer aliases") {
		t.Errorf("got %v, want an error about aliases", err)
	}
}

func TestAliasesAreCopies(t *testing.T) {
	var c config
	if err := decodeText(t, "name: x\nservers: [&s {host: a}, *s]\nby_name: {x: *s}", &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 2 || c.Servers[1] != (server{"a", 5432}) || *c.ByName["x"] != c.Servers[0] {
		t.Errorf("got %+v, %+v", c.Servers, c.ByName["x"])
	}
}
