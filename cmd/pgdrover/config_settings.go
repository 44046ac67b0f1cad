package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Setting is one key of the configuration and its value in force, as text. The value of a secret is ***.
type Setting struct{ Key, Value string }

// Settings lists every setting, defaults included, in the order of the documentation; what has a name of the operator's
// choice comes in alphabetical order.
func (c *Config) Settings() []Setting {
	list := settingsOf("", reflect.ValueOf(*c))
	for _, u := range c.Users {
		at := "users." + u.Name
		login := Setting{at + ".scram", u.Verifier.String()}
		if u.MD5 != "" {
			list = append(list, Setting{at + ".md5", u.MD5.String()})
		}
		switch {
		case u.PasswordFile != "":
			login = Setting{at + ".password_file", u.PasswordFile}
		case u.Password != "":
			login = Setting{at + ".password", u.Password.String()}
		}
		databases := strings.Join(u.Databases, ", ")
		if databases == "" {
			databases = "all"
		}
		list = append(list, login, Setting{at + ".databases", databases}, Setting{at + ".admin", fmt.Sprint(u.Admin)})
		if u.Mode != "" {
			list = append(list, Setting{at + ".pool.mode", string(u.Mode)})
		}
		if u.Limits != (UserLimits{}) {
			list = append(list, settingsOf(at+".limits", reflect.ValueOf(u.Limits))...)
		}
	}
	return list
}

// defaults are the values of the settings where the file says nothing, by key.
func (c *Config) defaults() map[string]string {
	plain := Default()
	plain.Databases = map[string]*Database{}
	for name := range c.Databases {
		plain.Databases[name] = &Database{}
		plain.Databases[name].SetDefaults()
	}
	values := map[string]string{}
	for _, s := range plain.Settings() {
		values[s.Key] = s.Value
	}
	return values
}

// changeable reports whether a reload takes a new value of a setting into force; if not, a restart does.
func changeable(setting string) bool {
	for _, key := range []string{"listen", "admin.", "loops", "log."} {
		if strings.HasPrefix(setting, key) {
			return false
		}
	}
	if !strings.HasPrefix(setting, "databases.") {
		return true
	}
	for _, key := range []string{".backend.", ".pool.connect_timeout", ".cache.redis", ".cache.memory"} {
		if strings.Contains(setting, key) {
			return false
		}
	}
	return true
}

// settingsOf lists the settings below a value, which is a struct with tags for yamlfile, a map or a single value.
func settingsOf(key string, v reflect.Value) []Setting {
	switch v.Kind() {
	case reflect.Pointer:
		return settingsOf(key, v.Elem())
	case reflect.Struct:
		return settingsOfStruct(key, v)
	case reflect.Map:
		return settingsOfMap(key, v)
	case reflect.Slice:
		return settingsOfList(key, v)
	}
	return []Setting{{key, fmt.Sprint(v.Interface())}}
}

func settingsOfStruct(key string, v reflect.Value) []Setting {
	var list []Setting
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		list = append(list, settingsOf(joinKey(key, name), v.Field(i))...)
	}
	return list
}

// settingsOfList lists blocks one by one, and single values on one line.
func settingsOfList(key string, v reflect.Value) []Setting {
	var list []Setting
	if v.Type().Elem().Kind() == reflect.Struct && v.Type() != reflect.TypeFor[Networks]() {
		for i := range v.Len() {
			list = append(list, settingsOf(fmt.Sprintf("%s[%d]", key, i), v.Index(i))...)
		}
		return list
	}
	var values []string
	for i := range v.Len() {
		values = append(values, fmt.Sprint(v.Index(i).Interface()))
	}
	return []Setting{{key, strings.Join(values, ", ")}}
}

func settingsOfMap(key string, v reflect.Value) []Setting {
	var list []Setting
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		list = append(list, settingsOf(joinKey(key, name.String()), v.MapIndex(name))...)
	}
	return list
}

func joinKey(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
