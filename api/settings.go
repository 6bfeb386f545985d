package api

import (
	"maps"
	"reflect"
	"slices"

	"tutti/mixer"
	"tutti/mixer/layout"
)

// readOnly are the fields of a room that the server sets. A client that reads a
// room, changes it and writes it back sends them along; they are passed over.
var readOnly = []string{"state", "node", "participants", "created_at"}

// patchSettings answers the settings that a merge patch makes of base; what the
// patch removes gets its default. Neither of them is changed.
func patchSettings(base mixer.Settings, patch document) (mixer.Settings, error) {
	patch = maps.Clone(patch)
	for _, name := range readOnly {
		delete(patch, name)
	}
	if l, ok := patch["layout"].(document); ok {
		if err := planned(l, "layout.name"); err != nil {
			return mixer.Settings{}, err
		}
	}
	if err := conform(patch, reflect.TypeFor[mixer.Settings](), ""); err != nil {
		return mixer.Settings{}, err
	}
	doc := mergePatch(toDocument(base), patch)
	fill(doc, toDocument(mixer.DefaultSettings()))
	if given, named := patch["renditions"]; named && given == nil {
		doc["renditions"] = []any{document{}}
	} else if !named {
		doc["renditions"] = unsized(doc["renditions"], base.Canvas)
	}
	doc["renditions"] = sized(doc["renditions"], doc["canvas"])
	var s mixer.Settings
	if err := decodeInto(doc, &s); err != nil {
		return mixer.Settings{}, err
	}
	return s, s.Validate()
}

// canvasFields are what a rendition that does not say it takes from the canvas.
var canvasFields = []string{"width", "height", "fps"}

// unsized answers the renditions without the size of those that have the
// canvas', so that they follow where it goes.
func unsized(renditions any, canvas mixer.Canvas) any {
	list, _ := renditions.([]any)
	was := toDocument(canvas)
	out := make([]any, 0, len(list))
	for _, item := range list {
		r := toDocument(item)
		if !slices.ContainsFunc(canvasFields, func(f string) bool { return r[f] != was[f] }) {
			for _, f := range canvasFields {
				delete(r, f)
			}
		}
		out = append(out, r)
	}
	return out
}

// sized answers the renditions with what they leave out put in: the canvas'
// size and rate, and the default name and bit rate. What is no list of objects
// comes back as it is, to be refused with its type.
func sized(renditions, canvas any) any {
	list, ok := renditions.([]any)
	if !ok {
		return renditions
	}
	defaults := toDocument(mixer.DefaultSettings().Renditions[0])
	if c, ok := canvas.(document); ok {
		for _, f := range canvasFields {
			defaults[f] = c[f]
		}
	}
	out := make([]any, 0, len(list))
	for _, item := range list {
		if r, ok := item.(document); ok {
			r = mergePatch(nil, r)
			fill(r, defaults)
			item = r
		}
		out = append(out, item)
	}
	return out
}

// plannedLayouts are those of the contract that this version may lack.
var plannedLayouts = []string{"single", "pip", "presentation", "custom"}

// planned answers 501 for a layout that the contract has and this version has
// not, before its fields are looked at, which this version does not know either.
func planned(doc document, field string) error {
	name, _ := doc["name"].(string)
	l := layout.Layout{Name: name}
	if slices.Contains(plannedLayouts, name) && l.Validate() != nil {
		return blame("not_implemented", field, "the layout %q is not there yet", name)
	}
	return nil
}
