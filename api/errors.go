package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/mixer"
)

// Problem is an error as a client gets it (RFC 9457). Code is the stable word
// that programs go by; Field names the one field that is to blame, if one is.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	// RetryAfter is what the header of that name says, in seconds; 0 for 5 with
	// every 503, and no header else.
	RetryAfter int `json:"-"`
	// Owner is the node that the header Tutti-Owner names, or empty.
	Owner string `json:"-"`
}

func (p *Problem) Error() string { return "api: " + p.Code + ": " + p.Detail }

// problemType is the media type of a Problem.
const problemType = "application/problem+json"

// kind is what all problems of one code share.
type kind struct {
	status int
	title  string
}

// problems is the one table of codes: what the API itself refuses, and the
// codes of what the rooms, the gateway and the recorder refuse.
var problems = map[string]kind{
	"invalid_json":       {400, "The body is no JSON object"},
	"unknown_field":      {400, "There is no such field"},
	"invalid_field":      {400, "A field has a value that cannot be"},
	"invalid_id":         {400, "An identifier is malformed"},
	"unknown_rendition":  {400, "The room has no such rendition"},
	"invalid_query":      {400, "A query parameter is unknown or malformed"},
	"missing_body":       {400, "The request takes a body"},
	"invalid_sdp":        {400, "The offer is no SDP that can be answered"},
	"invalid_fragment":   {400, "The body is no SDP fragment"},
	"token_required":     {401, "A bearer token is required"},
	"invalid_token":      {401, "The bearer token is not accepted"},
	"forbidden":          {403, "The token does not allow this"},
	"not_found":          {404, "There is nothing here"},
	"room_not_found":     {404, "There is no such room"},
	"method_not_allowed": {405, "The method is not allowed here"},

	"participant_not_found":  {404, "There is no such participant"},
	"recording_not_found":    {404, "There is no such recording"},
	"file_not_found":         {404, "There is no such file"},
	"announcement_not_found": {404, "There is no such announcement"},
	"forwarder_not_found":    {404, "There is no such forwarder"},
	"node_not_found":         {404, "There is no such node"},

	"room_exists":        {409, "The room exists already"},
	"room_full":          {409, "The room is full"},
	"participant_exists": {409, "The participant is in the room already"},
	"recording_running":  {409, "The recording is still running"},
	"invalid_state":      {409, "The recording cannot go into that state"},

	"too_many_recordings":    {409, "All the recordings run that may"},
	"announcement_exists":    {409, "The announcement plays already"},
	"too_many_announcements": {409, "The room plays all the announcements that it may"},
	"too_many_forwarders":    {409, "All the forwarders run that may"},
	"stale_epoch":            {409, "The room has changed its node meanwhile"},

	"room_closed":            {410, "The room has been closed"},
	"session_ended":          {410, "The session has ended"},
	"precondition_failed":    {412, "The resource is not in the state that the request expects"},
	"body_too_large":         {413, "The body is too large"},
	"sdp_too_large":          {413, "The offer is too large"},
	"audio_too_large":        {413, "The sound is too large"},
	"unsupported_media_type": {415, "The body's media type is not taken here"},
	"misdirected":            {421, "The room is on another node"},

	"no_media":              {422, "The offer has neither sound nor picture"},
	"too_many_tracks":       {422, "The offer has more than one sound or picture"},
	"unsupported_media":     {422, "The offer has media that are not taken"},
	"unsupported_codec":     {422, "The offer lacks a codec that can be answered"},
	"wrong_direction":       {422, "The offer's direction does not fit the role"},
	"session_failed":        {422, "The offer could not be answered"},
	"restart_failed":        {422, "The ICE session was not restarted"},
	"invalid_audio":         {422, "The sound is no Ogg Opus or WAV file"},
	"unsupported_audio":     {422, "The sound is of a kind that is not taken"},
	"audio_too_long":        {422, "The sound is too long"},
	"precondition_required": {428, "The request must carry If-Match"},

	"internal":              {500, "The server failed"},
	"recording_failed":      {500, "The recording failed"},
	"not_implemented":       {501, "This is not there yet"},
	"unsupported_format":    {501, "The recording format is not there yet"},
	"no_signing_key":        {501, "The node has no key to sign tokens with"},
	"node_unreachable":      {502, "The room's node does not answer"},
	"room_away":             {503, "The room is being brought back on another node"},
	"no_node":               {503, "No node takes the room"},
	"store_away":            {503, "The cluster's store is out of reach"},
	"fenced":                {503, "The node has lost its place in the cluster"},
	"draining":              {503, "The node takes nothing new"},
	"too_many_rooms":        {503, "The node has all the rooms it may have"},
	"overloaded":            {503, "The node did not get to it in time"},
	"client_closed_request": {499, "The client went away"},
}

// retryAfter is what Retry-After says, in seconds, with every 503.
const retryAfter = "5"

// refuse answers a problem of a code in the table.
func refuse(code, format string, args ...any) *Problem {
	k, ok := problems[code]
	if !ok {
		code, k = "internal", problems["internal"]
	}
	return &Problem{
		Type: "urn:tutti:problem:" + code, Title: k.title, Status: k.status,
		Detail: fmt.Sprintf(format, args...), Code: code,
	}
}

// blame answers a problem that one field is the cause of.
func blame(code, field, format string, args ...any) *Problem {
	p := refuse(code, format, args...)
	p.Field = field
	return p
}

// problemOf turns any error into what the client gets. What the table does not
// know is a failure of the server, whose text is for the log alone.
func problemOf(err error) *Problem {
	var (
		p     *Problem
		http_ *echo.HTTPError
		field *mixer.FieldError
		large *http.MaxBytesError
		coded interface{ Code() string }
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return refuse("body_too_large", "at most %d bytes are taken", large.Limit)
	case errors.As(err, &field):
		return blame("invalid_field", field.Field, "%s %s", field.Field, field.Reason)
	case errors.As(err, &http_):
		return ofRouter(http_)
	case errors.As(err, &coded) && problems[coded.Code()].status != 0:
		return refuse(coded.Code(), "%s", err.Error())
	case errors.Is(err, context.Canceled):
		return refuse("client_closed_request", "the request was given up")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse("overloaded", "try again")
	}
	return refuse("internal", "see the server's log")
}

// ofRouter names what echo's router refuses.
func ofRouter(err *echo.HTTPError) *Problem {
	switch err.Code {
	case http.StatusNotFound:
		return refuse("not_found", "no such path")
	case http.StatusMethodNotAllowed:
		return refuse("method_not_allowed", "see the Allow header")
	}
	return refuse("internal", "see the server's log")
}

// unauthorized answers why a token is not accepted.
func unauthorized(err error) *Problem {
	switch {
	case errors.Is(err, auth.ErrExpired):
		return refuse("invalid_token", "the token has expired or is not valid yet")
	case errors.Is(err, auth.ErrSignature):
		return refuse("invalid_token", "the token is not signed by a known key")
	case errors.Is(err, auth.ErrClaims):
		return refuse("invalid_token", "the token lacks what it must say: room, role and exp")
	}
	return refuse("invalid_token", "the token is malformed")
}
