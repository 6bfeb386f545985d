package guest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func read(r io.Reader) (list []string, err error) {
	err = readEvents(r, func() {}, func(id string, e Event) {
		list = append(list, fmt.Sprintf("%s %s %s %s %d/%d", id, e.Type, e.Participant.ID, e.Reason, e.Move.JoinWithinMS, e.Move.LeaveAfterMS))
	})
	return list, err
}

func TestEventsAreRead(t *testing.T) {
	text := "retry: 1000\n\n: alive\n\nid: 7\nevent: participant_left\ndata: {\"type\":\"participant_left\",\"participant\":{\"id\":\"p1\"},\"reason\":\"removed\"}\n\n" +
		"id:8\r\ndata:{\"type\":\"room_moved\",\r\ndata: \"move\":{\"join_within_ms\":500,\"leave_after_ms\":1500}}\r\n\r\n" +
		"id: 9\ndata: no JSON\n\nid: 1\x000\ndata: {\"type\":\"x\"}\n\ndata: {\"type\":\"cut off\"}\n"
	want := []string{"7 participant_left p1 removed 0/0", "8 room_moved   500/1500", "9 x   0/0"}
	got, err := read(strings.NewReader(text))
	if !slices.Equal(got, want) || !errors.Is(err, io.EOF) {
		t.Errorf("%q %v", got, err)
	}
}

func TestLinesAreBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("data: "), strings.NewReader(strings.Repeat("x", 2*maxLine)))
	if _, err := read(endless); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 7\nevent: a\ndata: {\"type\":\"a\"}\n\n")
	f.Add("data: {\"type\":\"a\",\ndata: \"move\":{\"join_within_ms\":5}}\r\n\r\n:\n\n")
	f.Add("\xef\xbb\xbfdata\n\ndata: {}\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := read(strings.NewReader(text))
		pieces, err2 := read(iotest.OneByteReader(strings.NewReader(text)))
		if !slices.Equal(whole, pieces) || errors.Is(err, io.EOF) != errors.Is(err2, io.EOF) {
			t.Errorf("%q in one piece, %q in many", whole, pieces)
		}
	})
}
