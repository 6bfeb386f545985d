package api

import (
	"reflect"

	"tutti/mixer"
)

// changeable is the part of a participant that a merge patch can change.
type changeable struct {
	Name  string `json:"name"`
	Audio struct {
		Muted    bool    `json:"muted"`
		Deafened bool    `json:"deafened"`
		GainDB   float64 `json:"gain_db"`
	} `json:"audio"`
	Video struct {
		Muted bool `json:"muted"`
	} `json:"video"`
}

// readPatch answers what a merge patch changes in a participant. Null brings
// back what a participant has when it joins.
func readPatch(i mixer.ParticipantInfo, patch document) (mixer.ParticipantPatch, error) {
	if err := conform(patch, reflect.TypeFor[changeable](), ""); err != nil {
		return mixer.ParticipantPatch{}, err
	}
	now := changeable{Name: i.Name}
	now.Audio.Muted, now.Audio.Deafened, now.Audio.GainDB = i.Audio.Muted, i.Audio.Deafened, i.Audio.GainDB
	now.Video.Muted = i.VideoMuted
	var next changeable
	if err := decodeInto(mergePatch(toDocument(now), patch), &next); err != nil {
		return mixer.ParticipantPatch{}, err
	}
	var p mixer.ParticipantPatch
	if touches(patch, "name") {
		p.Name = &next.Name
	}
	if touches(patch, "audio", "muted") {
		p.AudioMuted = &next.Audio.Muted
	}
	if touches(patch, "audio", "deafened") {
		p.Deafened = &next.Audio.Deafened
	}
	if touches(patch, "audio", "gain_db") {
		p.GainDB = &next.Audio.GainDB
	}
	if touches(patch, "video", "muted") {
		p.VideoMuted = &next.Video.Muted
	}
	return p, nil
}

// touches reports whether a merge patch names the member at the path, or
// removes what it is a part of.
func touches(patch document, path ...string) bool {
	v, has := patch[path[0]]
	if !has || len(path) == 1 || v == nil {
		return has
	}
	sub, _ := v.(document)
	return touches(sub, path[1:]...)
}
