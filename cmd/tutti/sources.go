package main

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// prefix is how the environment variables of the program begin.
const prefix = "TUTTI_"

// load answers the configuration of a file, if path is not empty, under the
// environment's variables, under the command line's flags (by key). What
// nobody sets has its default. Any error names the key.
func load(path string, environ []string, flags map[string]any) (Config, error) {
	c := defaults()
	known := leaves(&c)
	env, envPath, err := fromEnvironment(environ, known)
	if err != nil {
		return c, err
	}
	if path == "" {
		path = envPath
	}
	merged := map[string]any{}
	if path != "" {
		if err := merge(merged, known, path, file.Provider(path), yaml.Parser()); err != nil {
			return c, err
		}
	}
	if err := merge(merged, known, "environment", confmap.Provider(env, "."), nil); err != nil {
		return c, err
	}
	if err := merge(merged, known, "command line", confmap.Provider(flags, "."), nil); err != nil {
		return c, err
	}
	c.complete(func(key string) bool { _, set := merged[key]; return set })
	return c, c.validate()
}

// leaves answers the settable values of a configuration by key.
func leaves(c *Config) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	collect(found, "", reflect.ValueOf(c).Elem())
	return found
}

func collect(found map[string]reflect.Value, path string, v reflect.Value) {
	for f, field := range v.Fields() {
		key := path + f.Tag.Get("yaml")
		if field.Kind() == reflect.Struct {
			collect(found, key+".", field)
			continue
		}
		found[key] = field
	}
}

// fromEnvironment answers the values of TUTTI_ variables by key, and the
// configuration file that TUTTI_CONFIG names.
func fromEnvironment(environ []string, known map[string]reflect.Value) (values map[string]any, path string, err error) {
	keys := map[string]string{}
	for key := range known {
		keys[prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
	}
	values = map[string]any{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch key, ok := keys[name]; {
		case ok:
			values[key] = value
		case name == prefix+"CONFIG":
			path = value
		case strings.HasPrefix(name, prefix):
			return nil, "", &KeyError{Key: name, Source: "environment", Reason: "is no known variable"}
		}
	}
	return values, path, nil
}

// merge reads one source, sets what it has in the configuration and notes it
// in merged.
func merge(merged map[string]any, known map[string]reflect.Value, source string, p koanf.Provider, parser koanf.Parser) error {
	k := koanf.New(".")
	if err := k.Load(p, parser); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &KeyError{Key: "config", Reason: "names a file that does not exist: " + source}
		}
		return &KeyError{Key: "config", Reason: fmt.Sprintf("cannot be read: %s: %s", source, oneLine(err))}
	}
	all := k.All()
	for _, key := range k.Keys() {
		field, ok := known[key]
		if !ok && isEmpty(all[key]) && isSection(known, key) {
			continue // its keys are all commented out
		}
		if !ok {
			return &KeyError{Key: key, Source: source, Reason: "is no known key"}
		}
		if reason := assign(field, all[key]); reason != "" {
			return &KeyError{Key: key, Source: source, Reason: reason}
		}
		merged[key] = all[key]
	}
	return nil
}

func isEmpty(value any) bool {
	m, ok := value.(map[string]any)
	return value == nil || ok && len(m) == 0
}

func isSection(known map[string]reflect.Value, key string) bool {
	for k := range known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// assign sets a field to a value of a file (typed) or of the environment or
// command line (text). It answers why it cannot, or nothing.
func assign(field reflect.Value, value any) (reason string) {
	switch field.Kind() {
	case reflect.String:
		s, ok := value.(string)
		if !ok { // a number would come out otherwise than it was written
			return "must be text: put it in quotes"
		}
		field.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(fmt.Sprint(value))
		if err != nil {
			return "must be true or false"
		}
		field.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil {
			return "must be a whole number"
		}
		field.SetInt(int64(n))
	case reflect.Float64:
		f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil {
			return "must be a number"
		}
		field.SetFloat(f)
	case reflect.Slice:
		list, ok := asList(value)
		if !ok {
			return "must be a list of texts"
		}
		field.Set(reflect.ValueOf(list))
	}
	return ""
}

// asList answers a list of texts from one, or from text parted by commas.
func asList(value any) ([]string, bool) {
	switch v := value.(type) {
	case string:
		return slices.DeleteFunc(strings.Split(v, ","), func(s string) bool { return s == "" }), true
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
		return list, true
	}
	return nil, false
}
