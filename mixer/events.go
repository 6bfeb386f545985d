package mixer

import (
	"time"

	"tutti/mixer/layout"
)

// EventType names what happened in a room, in the words of the API.
type EventType string

// The events that a room tells by itself, and those of its recordings.
const (
	RoomStarted          EventType = "room_started"
	RoomFinished         EventType = "room_finished"
	ParticipantJoined    EventType = "participant_joined"
	ParticipantLeft      EventType = "participant_left"
	ParticipantUpdated   EventType = "participant_updated"
	TrackPublished       EventType = "track_published"
	TrackUnpublished     EventType = "track_unpublished"
	ActiveSpeakerChanged EventType = "active_speaker_changed"
	LayoutChanged        EventType = "layout_changed"
	RecordingStarted     EventType = "recording_started"
	RecordingUpdated     EventType = "recording_updated"
	RecordingEnded       EventType = "recording_ended"
	NodeDraining         EventType = "node_draining"
	RoomMoved            EventType = "room_moved"
	AnnouncementStarted  EventType = "announcement_started"
	AnnouncementEnded    EventType = "announcement_ended"
)

// Event is one thing that happened in a room. Fields that do not belong to its
// type are empty.
type Event struct {
	Type         EventType        `json:"type"`
	Room         string           `json:"room"`
	Tenant       string           `json:"tenant,omitempty"` // whose room it is
	Time         time.Time        `json:"time"`
	Participant  *ParticipantRef  `json:"participant,omitempty"`
	Track        string           `json:"track,omitempty"` // audio, video
	Layout       *layout.Layout   `json:"layout,omitempty"`
	Recording    *RecordingRef    `json:"recording,omitempty"`
	Announcement *AnnouncementRef `json:"announcement,omitempty"`
	Move         *Move            `json:"move,omitempty"`
	Reason       string           `json:"reason,omitempty"`
}

// ParticipantRef names a participant within an event.
type ParticipantRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// Move tells the clients of a room that goes on elsewhere what to do: they open
// a session there, and leave this one when all have.
type Move struct {
	JoinWithinMS int `json:"join_within_ms"` // a client joins at a random time within this
	LeaveAfterMS int `json:"leave_after_ms"` // and leaves here not before, both from the event on
}

// RecordingRef names a recording within an event.
type RecordingRef struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// AnnouncementRef names an announcement within an event.
type AnnouncementRef struct {
	ID   string `json:"id"`
	File string `json:"file"`
}
