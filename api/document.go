package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// document is a JSON object as it came; numbers are json.Number.
type document = map[string]any

// parseDocument reads one JSON object and nothing after it. Names that come
// twice are refused by their type of value alone: the last one counts.
func parseDocument(body []byte) (document, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse("missing_body", "a JSON object is expected")
	}
	if !utf8.Valid(body) {
		return nil, refuse("invalid_json", "the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, refuse("invalid_json", "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, refuse("invalid_json", "something follows the JSON object")
	}
	doc, ok := v.(document)
	if !ok {
		return nil, refuse("invalid_json", "a JSON object is expected")
	}
	return doc, nil
}

// toDocument answers a value as a document of its own.
func toDocument(v any) document {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: %T is no JSON: %v", v, err)) // a type of ours, not input
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var doc document
	if err := dec.Decode(&doc); err != nil {
		panic(fmt.Sprintf("api: %T is no JSON object: %v", v, err))
	}
	return doc
}

// mergePatch applies a merge patch to target (RFC 7396, section 2): null
// removes, objects are merged, everything else replaces. target is changed.
func mergePatch(target, patch document) document {
	if target == nil {
		target = document{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case document:
			sub, _ := target[name].(document)
			target[name] = mergePatch(sub, value)
		default:
			target[name] = value
		}
	}
	return target
}

// fill puts in what doc lacks from defaults, at every depth.
func fill(doc, defaults document) {
	for name, value := range defaults {
		have, ok := doc[name]
		if !ok {
			doc[name] = value
			continue
		}
		if sub, ok := value.(document); ok {
			if have, ok := have.(document); ok {
				fill(have, sub)
			}
		}
	}
}

// decodeInto puts a document into the struct that into points to. A field that
// the struct lacks, or that has another type, is a Problem that names it by its
// path, such as renditions[0].width. Names are told apart by case.
func decodeInto(doc document, into any) error {
	if err := conform(doc, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return refuse("invalid_json", "%s", err.Error())
	}
	if err := json.Unmarshal(b, into); err != nil { // such as a number that does not fit
		if t, ok := err.(*json.UnmarshalTypeError); ok {
			return blame("invalid_field", t.Field, "%s must not be %s", t.Field, t.Value)
		}
		return refuse("invalid_json", "%s", err.Error())
	}
	return nil
}

// conform answers a Problem for the first thing in v, by path, that t does not
// have or has otherwise. Null fits everything: it leaves the zero value.
func conform(v any, t reflect.Type, path string) error {
	if v == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return conform(v, t.Elem(), path)
	case reflect.Struct:
		return conformStruct(v, t, path)
	case reflect.Map:
		return conformMap(v, t, path)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return wrongType(path, "a list")
		}
		for i, item := range list {
			if item == nil {
				return wrongType(fmt.Sprintf("%s[%d]", path, i), "other than null")
			}
			if err := conform(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	return conformScalar(v, t.Kind(), path)
}

func conformStruct(v any, t reflect.Type, path string) error {
	doc, ok := v.(document)
	if !ok {
		return wrongType(path, "an object")
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		at := join(path, name)
		f, ok := fields[name]
		if !ok {
			return blame("unknown_field", at, "there is no field %q", at)
		}
		if err := conform(doc[name], f, at); err != nil {
			return err
		}
	}
	return nil
}

func conformMap(v any, t reflect.Type, path string) error {
	doc, ok := v.(document)
	if !ok {
		return wrongType(path, "an object")
	}
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		if err := conform(doc[name], t.Elem(), join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func conformScalar(v any, k reflect.Kind, path string) error {
	switch v := v.(type) {
	case string:
		if k != reflect.String {
			return wrongType(path, nounOf(k))
		}
	case bool:
		if k != reflect.Bool {
			return wrongType(path, nounOf(k))
		}
	case json.Number:
		_, err := v.Int64()
		if k != reflect.Float64 && (k != reflect.Int || err != nil) {
			return wrongType(path, nounOf(k))
		}
	default:
		return wrongType(path, nounOf(k))
	}
	return nil
}

func nounOf(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	}
	return "an integer"
}

func wrongType(path, noun string) error {
	return blame("invalid_field", path, "%s must be %s", path, noun)
}

// join adds a name to the path of a field.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
