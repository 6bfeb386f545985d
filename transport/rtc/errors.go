package rtc

import "fmt"

// Error is a refusal with a stable code, which the API carries as is. Two
// errors of one code are the same for errors.Is.
type Error struct {
	code, text string
	cause      error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("rtc: %s: %v", e.text, e.cause)
	}
	return "rtc: " + e.text
}

// Code answers the stable word, such as invalid_sdp.
func (e *Error) Code() string { return e.code }

// Unwrap answers what caused the refusal, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.code == e.code
}

// because answers e with the particular reason in its text.
func (e *Error) because(format string, args ...any) *Error {
	return &Error{code: e.code, text: e.text, cause: fmt.Errorf(format, args...)}
}

// What the gateway refuses.
var (
	ErrInvalidSDP       = &Error{code: "invalid_sdp", text: "the offer is no SDP that can be answered"}
	ErrSDPTooLarge      = &Error{code: "sdp_too_large", text: "the offer is too large"}
	ErrNoMedia          = &Error{code: "no_media", text: "the offer has neither sound nor picture"}
	ErrTooManyTracks    = &Error{code: "too_many_tracks", text: "the offer has more than one sound or picture"}
	ErrUnsupportedMedia = &Error{code: "unsupported_media", text: "the offer has media other than sound and picture"}
	ErrUnsupportedCodec = &Error{code: "unsupported_codec", text: "the offer lacks Opus for sound or VP8 for the picture"}
	ErrWrongDirection   = &Error{code: "wrong_direction", text: "the offer's direction does not fit the role"}
	ErrInvalidFragment  = &Error{code: "invalid_fragment", text: "the body is no SDP fragment that can be taken"}
	ErrRestartFailed    = &Error{code: "restart_failed", text: "the ICE session was not restarted"}
	ErrSessionFailed    = &Error{code: "session_failed", text: "the session could not be set up"}
	ErrSessionEnded     = &Error{code: "session_ended", text: "the session has ended"}
	ErrClosed           = &Error{code: "draining", text: "the gateway takes no new sessions"}
)
