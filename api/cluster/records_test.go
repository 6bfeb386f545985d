package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"tutti/mixer"
)

// kinds are the records of the store, each with the key it lies under.
func kinds() map[string]struct {
	key    string
	record any
} {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	full := room("x", "a", 6)
	full.Previous = &Owner{Node: "b", Incarnation: "i0", Epoch: 4}
	full.Settings, full.CreatedAt, full.Seq = mixer.DefaultSettings(), at, 77
	full.Participants = map[string]Attributes{"p": {Name: "Ana", GainDB: -6, Bearer: "00ff"}}
	full.Recordings = []Recording{{ID: "r", Format: "webm", StartedAt: at, NextFile: 3, DurationS: 1.5}}
	full.Forwarders = []Forwarder{{ID: "f", Host: "h.example.org", Address: "192.0.2.7", VideoPort: 5006, Rendition: "hd", Profile: "p", Key: "k", StartedAt: at}}
	return map[string]struct {
		key    string
		record any
	}{
		"live":   {LiveKey("a"), live("a", NodeRole)},
		"load":   {LoadKey("a"), Load{Name: "a", At: at, CPU: 300, Rooms: 2, Costs: map[string]float64{"x": 120}}},
		"member": {MemberKey("a"), member("a", RouterRole)},
		"order":  {OrderKey("a"), Order{Node: "a", State: Draining, DeadlineS: 60}},
		"death":  {DeathKey("a", "i1"), Death{Node: "a", Incarnation: "i1", Evidence: Stated, By: "r", At: at}},
		"room":   {RoomKey("x"), full},
	}
}

// decoded answers any entry's record.
func decoded(e Entry) (record any, err error) {
	switch kind(e.Key) {
	case liveAt:
		return decodeLive(e)
	case loadsAt:
		return decodeLoad(e)
	case membersAt:
		return decodeMember(e)
	case orderedAt:
		return decodeOrder(e)
	case deathsAt:
		return decodeDeath(e)
	case roomsAt:
		return decodeRoom(e)
	}
	return nil, ErrForeign
}

func TestRecordsReturn(t *testing.T) {
	for name, c := range kinds() {
		value := encode(c.record)
		record, err := decoded(Entry{Key: c.key, Value: value})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := encode(record); !bytes.Equal(again, value) {
			t.Errorf("%s: is\n%s, was\n%s", name, again, value)
		}
		if _, err := decoded(Entry{Key: c.key + "x", Value: value}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s under another key: %v", name, err)
		}
	}
}

// FuzzView feeds a view with foreign entries: what it takes must be whole and
// read the same again, and what it does not take must be counted.
func FuzzView(f *testing.F) {
	for _, c := range kinds() {
		f.Add(c.key, encode(c.record))
	}
	f.Add(RoomKey("x"), []byte(`{"id":"x","node":"a","incarnation":"i","epoch":-1}`))
	f.Add(DeathKey("a/b", "c"), []byte(`{"node":"a/b","incarnation":"c"}`))
	f.Add(Prefix, []byte(`null`))
	f.Add("/elsewhere", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if value == nil {
			value = []byte{}
		}
		v := NewView(nil, slog.New(slog.DiscardHandler))
		e := Entry{Key: key, Value: value, Modified: 7}
		v.update(Update{[]Change{{e}}, 7})
		record, err := decoded(e)
		if (err == nil) != (v.Foreign() == 0) {
			t.Fatalf("%q: %v, but %d foreign", key, err, v.Foreign())
		}
		if err != nil {
			if !errors.Is(err, ErrForeign) || len(v.Rooms())+len(v.Members()) != 0 {
				t.Fatalf("%q: %v, but taken", key, err)
			}
			return
		}
		if again, err := decoded(Entry{Key: key, Value: encode(record)}); err != nil || !bytes.Equal(encode(again), encode(record)) {
			t.Fatalf("%q: %v the second time", key, err)
		}
		v.update(Update{[]Change{{Entry{Key: key, Modified: 8}}}, 8})
		if len(v.Rooms())+len(v.Members())+len(v.parts)+len(v.deaths)+len(v.known) != 0 {
			t.Fatalf("%q: not all is gone", key)
		}
	})
}
