package mixer

import "fmt"

// Error is a refusal with a stable code, which the API carries as is.
type Error struct {
	code, text string
}

func (e *Error) Error() string { return "mixer: " + e.text }

// Code answers the stable word, such as room_not_found.
func (e *Error) Code() string { return e.code }

// What a room refuses.
var (
	ErrRoomNotFound         = &Error{"room_not_found", "no such room"}
	ErrRoomExists           = &Error{"room_exists", "the room exists already"}
	ErrRoomClosed           = &Error{"room_closed", "the room has been closed"}
	ErrRoomFull             = &Error{"room_full", "the room has all the participants it may have"}
	ErrParticipantNotFound  = &Error{"participant_not_found", "no such participant"}
	ErrParticipantExists    = &Error{"participant_exists", "the participant is in the room already"}
	ErrAnnouncementNotFound = &Error{"announcement_not_found", "no such announcement"}
	ErrAnnouncementExists   = &Error{"announcement_exists", "the room has an announcement of that name"}
	ErrTooManyAnnouncements = &Error{"too_many_announcements", "the room plays all the announcements that it may"}
	ErrDraining             = &Error{"draining", "the node takes no new rooms"}
	ErrTooManyRooms         = &Error{"too_many_rooms", "the node has all the rooms it may have"}
	ErrVersion              = &Error{"precondition_failed", "the room has been changed meanwhile"}
)

// FieldError names the setting that cannot be.
type FieldError struct {
	Field  string // as in the API, such as canvas.width
	Reason string // "must be 1 to 60"
}

func (e *FieldError) Error() string { return fmt.Sprintf("mixer: %s %s", e.Field, e.Reason) }

// Code answers invalid_field.
func (e *FieldError) Code() string { return "invalid_field" }
