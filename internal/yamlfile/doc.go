// Package yamlfile reads the files an operator edits: one YAML document into Go
// structs, strictly, so that every mistake is reported as
//
//	file:line:column: what is wrong and what to do
//
// and all mistakes of a file are reported together.
//
//	doc, err := yamlfile.Parse("pgdrover.yaml", text)    // syntax, duplicate keys
//	doc = yamlfile.Merge(doc, over)                      // optional: later documents win
//	err = doc.Decode(&config, yamlfile.Options{Lookup: os.LookupEnv})
//
// # Fields
//
// A field is read when it has a tag: `yaml:"name"`, with the options required
// (the key must be there and not null), secret (no error shows the value) and
// inline (the fields of a struct belong to the one around it). A key with no
// field is an error that suggests the nearest name. A key that is absent or
// null leaves the field as it was, so defaults are set before decoding; where
// the decoder makes a struct itself (list elements, map values, pointers), it
// calls SetDefaults on it first, if there is one.
//
// # Types
//
// string, the integers, floats, bool (true/false, yes/no, on/off),
// time.Duration ("10s"), [ByteSize] ("256MB"), slices, maps with string keys,
// structs, pointers to these, anything with UnmarshalText, and anything with
// [Unmarshaler]. [Value] and [Map] wrap a type and keep positions, so that
// checks made later can still name line and column; [Map] keeps the order too.
//
// # Variables
//
// ${NAME} and ${NAME:-default} in values (not in keys) are replaced from
// Options.Lookup; the default stands in for a variable that is unset or empty.
// $${ stands for a plain ${. What is put in is never read as YAML.
//
// This package is the only importer of the YAML library.
package yamlfile
