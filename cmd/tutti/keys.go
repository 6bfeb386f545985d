package main

import (
	"fmt"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"tutti/api/auth"
)

// loadKeys answers what verifies tokens by the configured keys, that of
// auth.key first, or nil where none is configured.
func loadKeys(c AuthConfig) (*auth.Verifier, error) {
	var keys []auth.Key
	if c.Key != "" {
		k, err := auth.ParseKey("", c.Key)
		if err != nil {
			return nil, &KeyError{Key: "auth.key", Reason: "cannot be used: " + err.Error()}
		}
		keys = append(keys, k)
	}
	if c.KeysFile != "" {
		more, err := readKeys(c.KeysFile)
		if err != nil {
			return nil, &KeyError{Key: "auth.keys_file", Reason: "cannot be used: " + oneLine(err)}
		}
		keys = append(keys, more...)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return auth.NewVerifier(keys...)
}

// readKeys reads a file with a list named keys, each of an id and a key.
func readKeys(path string) ([]auth.Key, error) {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return nil, err
	}
	entries, ok := k.Get("keys").([]any)
	if !ok || len(entries) == 0 || len(k.Keys()) != 1 {
		return nil, fmt.Errorf("%s must have one list, keys, that is not empty", path)
	}
	keys := make([]auth.Key, 0, len(entries))
	for i, e := range entries {
		key, err := readKey(e)
		if err != nil {
			return nil, fmt.Errorf("%s: keys[%d]: %w", path, i, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readKey(entry any) (auth.Key, error) {
	m, _ := entry.(map[string]any)
	id, okID := m["id"].(string)
	text, okKey := m["key"].(string)
	if !okID || !okKey || len(m) != 2 {
		return auth.Key{}, fmt.Errorf("must have an id and a key, both text in quotes")
	}
	return auth.ParseKey(id, text)
}
