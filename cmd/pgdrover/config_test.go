package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/casefile"
)

// configFolder makes a folder with what the cases of testdata/config speak of, and goes there.
func configFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"app.pw": "of-the-file\n", "empty.pw": "\n", "two.pw": "one\ntwo\n", "text.pem": "no certificate\n",
	} {
		writeFile(t, name, text)
	}
	writeKeys(t)
	t.Setenv("APP_PASSWORD", "hunter2")
	t.Setenv("EMPTY", "")
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeConfigs writes the files of a case: pgdrover.yaml, and more after lines "== NAME".
func writeConfigs(t *testing.T, input string) []string {
	t.Helper()
	var names []string
	for part := range strings.SplitSeq("pgdrover.yaml\n"+input, "== ") {
		name, text, _ := strings.Cut(part, "\n")
		writeFile(t, name, text+"\n")
		names = append(names, name)
	}
	return names
}

const leastConfig = `databases: {app: {shardmap: shardmap.yaml, backend: {user: app}}}
users: [{name: app, password: x}]`

// TestConfigCases loads each configuration of testdata/config and compares the errors, or the settings that are not
// those of the least configuration. No case may show a secret.
func TestConfigCases(t *testing.T) {
	for _, file := range []string{"errors.txt", "settings.txt"} {
		casefile.Run(t, "../../testdata/config/"+file, func(t *testing.T, c *casefile.Case) string {
			configFolder(t)
			usual := map[Setting]bool{}
			least, err := Load(writeConfigs(t, leastConfig)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, setting := range least.Settings() {
				usual[setting] = true
			}
			config, err := Load(writeConfigs(t, c.Input)...)
			if err != nil {
				noSecret(t, err.Error())
				return err.Error()
			}
			noSecret(t, fmt.Sprintf("%v %+v %#v", config.Databases["app"], config.Users, config))
			var lines []string
			for _, setting := range config.Settings() {
				if !usual[setting] {
					lines = append(lines, setting.Key+": "+setting.Value)
				}
			}
			noSecret(t, strings.Join(lines, "\n"))
			return strings.Join(append(lines, "ok"), "\n")
		})
	}
}

func noSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"hunter2", "of-the-file"} {
		if strings.Contains(text, secret) {
			t.Errorf("shows a secret:\n%s", text)
		}
	}
}

// TestPasswordSources checks what the settings do not show: the passwords themselves.
func TestPasswordSources(t *testing.T) {
	for _, test := range []struct{ name, backend, later, want string }{
		{"text", "password: open sesame", "", "open sesame"},
		{"variable", `password: "${APP_PASSWORD}"`, "", "hunter2"},
		{"escaped", `password: "$${APP_PASSWORD}"`, "", "${APP_PASSWORD}"},
		{"number", "password: 0123", "", "0123"},
		{"file", "password_file: app.pw", "", "of-the-file"},
		{"none", "tls: prefer", "", ""},
		{"later file over text", "password: x", "password_file: app.pw", "of-the-file"},
		{"later text over file", "password_file: app.pw", "password: x", "x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			configFolder(t)
			const form = "databases: {app: {shardmap: shardmap.yaml, backend: {user: app, %s}}}\nusers: [{name: app, password: x}]"
			text := fmt.Sprintf(form, test.backend)
			if test.later != "" {
				text += fmt.Sprintf("\n== later.yaml\ndatabases: {app: {backend: {%s}}}", test.later)
			}
			config, err := Load(writeConfigs(t, text)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Databases["app"].Backend.Password.Reveal(); got != test.want {
				t.Errorf("password %q, want %q", got, test.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load("nowhere.yaml")
	if err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if _, err := Load(); err == nil {
		t.Error("no file at all is no error")
	}
}

// TestSecret tries every way of printing a secret.
func TestSecret(t *testing.T) {
	secret := Secret("hunter2")
	holder := struct{ S Secret }{secret}
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s"} {
		texts = append(texts, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, []Secret{secret}))
	}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("login", "password", secret, "holder", holder)
	for _, text := range append(texts, string(encoded), log.String(), secret.String()) {
		if strings.Contains(text, "hunter2") || strings.Contains(strings.ToLower(text), "68756e74") {
			t.Errorf("%s shows the secret", text)
		}
	}
	if secret.Reveal() != "hunter2" || Secret("").String() != "" {
		t.Error("Reveal must give the text, and an empty secret prints nothing")
	}
}

// TestLogger checks that level and format have an effect.
func TestLogger(t *testing.T) {
	var out strings.Builder
	Log{Level: LogWarn, Format: LogJSON}.Logger(&out).Info("quiet")
	Log{Level: LogWarn, Format: LogJSON}.Logger(&out).Warn("loud", "wait", time.Second)
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line["msg"] != "loud" {
		t.Errorf("got %q (%v), want one line of JSON", out.String(), err)
	}
	out.Reset()
	Log{Level: LogDebug, Format: LogText}.Logger(&out).Debug("fine")
	if !strings.Contains(out.String(), "level=DEBUG msg=fine") {
		t.Errorf("got %q, want a line of text", out.String())
	}
}

// TestDocumentation compares docs/configuration.md with the code: each key is there, with its default.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	least := Default()
	database := &Database{}
	database.SetDefaults()
	database.Cache.Tables = map[string]CachedTable{"NAME": {}}
	settings := settingsOf("", reflect.ValueOf(*database))
	for _, setting := range least.Settings() {
		settings = append(settings, setting)
	}
	for i := range reflect.TypeFor[userEntry]().NumField() {
		field := reflect.TypeFor[userEntry]().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		block := reflect.Zero(field.Type)
		if block.Kind() == reflect.Struct && block.FieldByName("V").IsValid() {
			block = block.FieldByName("V")
		}
		if block.Kind() != reflect.Struct {
			settings = append(settings, Setting{Key: name})
			continue
		}
		for _, setting := range settingsOf(name, block) {
			settings = append(settings, Setting{Key: setting.Key})
		}
	}
	for _, setting := range settings {
		line := documented(string(text), setting.Key)
		value := strings.NewReplacer("10m0s", "10m", "5m0s", "5m", "1m0s", "1m", "1h0m0s", "1h").Replace(setting.Value)
		switch {
		case line == "":
			t.Errorf("docs/configuration.md has no row for %s", setting.Key)
		case value != "" && value != "0s" && !strings.Contains(line, "`"+value+"`"):
			t.Errorf("docs/configuration.md does not have the default %s of %s:\n%s", value, setting.Key, line)
		}
	}
}

// documented gives the row of a table whose first column names the key.
func documented(text, key string) string {
	for line := range strings.Lines(text) {
		columns := strings.Split(line, "|")
		if len(columns) > 3 && strings.Contains(columns[1], "`"+key+"`") {
			return line
		}
	}
	return ""
}
