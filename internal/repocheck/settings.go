package repocheck

import (
	"go/ast"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// referenceDocument describes every setting.
const referenceDocument = "docs/configuration.md"

var (
	settingRow = regexp.MustCompile("^\\|\\s*`([A-Za-z0-9_.\\[\\]]+)`")
	settingDoc = regexp.MustCompile(`\bKey:\s+([A-Za-z0-9_.\[\]]+[A-Za-z0-9_\]])`)
	word       = regexp.MustCompile(`[A-Za-z0-9_]+`)
)

// Settings checks that each key of the configuration files is described in the reference, in backticks, and that the reference's
// tables describe no other. Keys are what the struct tags say; where a field's comment gives the whole path ("Key: limits.drain", with
// DB for databases.NAME), the reference has to have that path.
func Settings(t *Tree) []Finding {
	described, texts := describedSettings(t)
	known := map[string]bool{}
	var found []Finding
	for _, file := range t.Go {
		if file.Test || !under(file.Path, "cmd/pgdrover") && !under(file.Path, "shardmap") {
			continue
		}
		for _, s := range settingsOf(file) {
			known[s.key] = true
			switch {
			case s.path != "" && !describesPath(texts, s.path):
				found = append(found, s.at.Saying("the setting %s is not described in %s", s.path, referenceDocument))
			case !described[s.key]:
				found = append(found, s.at.Saying("the setting %q is not described in %s", s.key, referenceDocument))
			}
		}
	}
	for at, line := range t.Lines(referenceDocument) {
		match := settingRow.FindStringSubmatch(line)
		if match != nil && !filePath.MatchString(match[1]) && !known[lastStep(match[1])] {
			found = append(found, at.Saying("describes %s, which no configuration file has", match[1]))
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return found
}

// describesPath reports whether a text is the path, or lies below it: a block is described by what it holds. Under the headings of
// databases.NAME and users the path is written from there.
func describesPath(texts map[string]bool, setting string) bool {
	short := strings.TrimPrefix(strings.TrimPrefix(setting, "databases.NAME."), "users[].")
	for text := range texts {
		for _, name := range []string{setting, short} {
			if text == name || strings.HasPrefix(text, name+".") || strings.HasPrefix(text, name+"[]") {
				return true
			}
		}
	}
	return false
}

// lastStep is the key at the end of a path. NAME stands for a name of the operator's choice, whose own key is the one before.
func lastStep(setting string) string {
	steps := strings.Split(strings.TrimSuffix(setting, "[]"), ".")
	last := steps[len(steps)-1]
	if len(steps) > 1 && strings.ToUpper(last) == last {
		last = steps[len(steps)-2]
	}
	return last
}

// fenced finds the examples in YAML.
var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// describedSettings lists the words that the reference (or README) has in backticks or in an example, and the whole texts in backticks.
func describedSettings(t *Tree) (words, texts map[string]bool) {
	words, texts = map[string]bool{}, map[string]bool{}
	for _, doc := range []string{referenceDocument, "README.md"} {
		for _, match := range fenced.FindAllStringSubmatch(t.Text[doc], -1) {
			for _, name := range word.FindAllString(match[1], -1) {
				words[name] = true
			}
		}
		for _, match := range backticked.FindAllStringSubmatch(t.Text[doc], -1) {
			texts[match[1]] = true
			for _, name := range word.FindAllString(match[1], -1) {
				words[name] = true
			}
		}
	}
	return words, texts
}

// setting is one key of a configuration file.
type setting struct {
	key  string
	path string // the whole path, where the field's comment gives it
	at   Finding
}

// settingsOf finds the keys that the struct tags of a file give.
func settingsOf(file *GoFile) []setting {
	var list []setting
	ast.Inspect(file.AST, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok || field.Tag == nil {
			return true
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			return true
		}
		key, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
		if key == "" || key == "-" {
			return true
		}
		s := setting{key: key, at: file.At(field.Pos(), "")}
		if match := settingDoc.FindStringSubmatch(field.Doc.Text()); match != nil {
			s.path = strings.Replace(match[1], "DB.", "databases.NAME.", 1)
		}
		list = append(list, s)
		return true
	})
	return list
}
