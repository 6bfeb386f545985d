package api

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"tutti/api/auth"
	"tutti/codec"
	"tutti/mixer"
)

// participantResource is a participant as the API shows it. What it has no
// track for is null.
type participantResource struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Role      mixer.Role       `json:"role"`
	State     mixer.State      `json:"state"`
	JoinedAt  time.Time        `json:"joined_at"`
	Audio     *audioResource   `json:"audio"`
	Video     *videoResource   `json:"video"`
	Receiving *receiveResource `json:"receiving"`
	Stats     statsResource    `json:"stats"`
}

type audioResource struct {
	Muted     bool    `json:"muted"`
	Deafened  bool    `json:"deafened"`
	GainDB    float64 `json:"gain_db"`
	LevelDBOV float64 `json:"level_dbov"`
	Speaking  bool    `json:"speaking"`
}

type videoResource struct {
	Muted  bool       `json:"muted"`
	Codec  codec.Name `json:"codec"`
	Width  int        `json:"width"`
	Height int        `json:"height"`
	FPS    float64    `json:"fps"`
}

type receiveResource struct {
	Rendition   string     `json:"rendition"`
	Codec       codec.Name `json:"codec"`
	BitrateBPS  int        `json:"bitrate_bps"`
	EstimateBPS int        `json:"estimate_bps"`
	// SentLossPercent is what the client says it lost of the sound that it was sent,
	// and Repair how it is helped: none, fec or red.
	SentLossPercent float64 `json:"sent_loss_percent"`
	Repair          string  `json:"repair"`
}

type statsResource struct {
	ReceivedBPS      int               `json:"received_bps"`
	RTTMS            float64           `json:"rtt_ms"`
	JitterMS         float64           `json:"jitter_ms"`
	BufferedMS       float64           `json:"buffered_ms"`
	TargetMS         float64           `json:"target_ms"` // what the jitter buffer aims to hold
	DriftPPM         float64           `json:"drift_ppm"` // by how much the sender's clock is fast
	PacketsReceived  uint64            `json:"packets_received"`
	PacketsLost      uint64            `json:"packets_lost"`
	PacketsLate      uint64            `json:"packets_late"`
	LossPercent      float64           `json:"loss_percent"` // lost, of those that were sent
	FramesRefused    uint64            `json:"frames_refused"`
	KeyFrameRequests uint64            `json:"key_frame_requests"`
	AudioBlocks      byOrigin[uint64]  `json:"audio_blocks"`
	AudioPercent     byOrigin[float64] `json:"audio_percent"` // the same, of all blocks
}

// byOrigin tells of 20 ms blocks by where they came from.
type byOrigin[T uint64 | float64] struct {
	Silence   T `json:"silence"`
	Voice     T `json:"voice"`
	Recovered T `json:"recovered"`
	Concealed T `json:"concealed"`
	Stretched T `json:"stretched"`
}

func wordsOf[T uint64 | float64](b [mixer.Origins]T) byOrigin[T] {
	return byOrigin[T]{b[mixer.Silence], b[mixer.Voice], b[mixer.Recovered], b[mixer.Concealed], b[mixer.Stretched]}
}

// shares answers what part of all each origin has, in percent; of nothing none.
func shares(blocks [mixer.Origins]uint64) (percent [mixer.Origins]float64) {
	var all uint64
	for _, n := range blocks {
		all += n
	}
	for i, n := range blocks {
		percent[i] = percentOf(n, all)
	}
	return percent
}

func percentOf(n, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return 100 * float64(n) / float64(all)
}

// describe answers the resource of a participant.
func describe(i mixer.ParticipantInfo) participantResource {
	l, a, b := i.Link, i.Audio, i.Audio.Blocks
	p := participantResource{
		ID: i.ID, Name: i.Name, Role: i.Role, State: i.State, JoinedAt: i.JoinedAt.UTC(),
		Stats: statsResource{
			ReceivedBPS: l.ReceivedBPS, RTTMS: float64(l.RTT) / float64(time.Millisecond),
			JitterMS: finite(l.JitterMS), BufferedMS: finite(l.BufferedMS), TargetMS: finite(l.TargetMS), DriftPPM: finite(l.DriftPPM),
			PacketsReceived: l.PacketsReceived, PacketsLost: l.PacketsLost, PacketsLate: l.PacketsLate,
			LossPercent:   percentOf(l.PacketsLost, l.PacketsReceived+l.PacketsLost),
			FramesRefused: l.FramesRefused, KeyFrameRequests: l.KeyFrameRequests,
			AudioBlocks: wordsOf(b), AudioPercent: wordsOf(shares(b)),
		},
	}
	if i.HasAudio {
		p.Audio = &audioResource{a.Muted, a.Deafened, a.GainDB, level(a.LevelDBOV), a.Speaking}
	}
	if i.HasVideo {
		v := i.Video
		p.Video = &videoResource{i.VideoMuted, v.Codec, v.Width, v.Height, finite(v.FPS)}
	}
	if i.Role != mixer.Publisher {
		p.Receiving = &receiveResource{l.Rendition, l.Codec, l.SentBPS, l.EstimateBPS, finite(l.SentLossPercent), repair(l.Repair)}
	}
	return p
}

// level keeps a level within what RFC 6464 knows; silence may be minus infinity.
func level(dbov float64) float64 {
	if math.IsNaN(dbov) {
		return -127
	}
	return min(0, max(-127, dbov))
}

// repair answers the word for how a listener's sound is helped.
func repair(kind string) string {
	if kind == "" {
		return "none"
	}
	return kind
}

// finite keeps JSON from what it cannot say.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// participantTag is the ETag of what PATCH with a merge patch can change; it
// is another than that of the ICE session.
func participantTag(version uint64) string { return fmt.Sprintf(`"p%d"`, version) }

func answerParticipant(c echo.Context, p *mixer.Participant) error {
	info := p.Info()
	c.Response().Header().Set("ETag", participantTag(info.Version))
	return ok(c, describe(info))
}

// listParticipants answers GET /v1/rooms/{room}/participants, in the order in
// which they joined.
func (s *Server) listParticipants(c echo.Context) error {
	r, err := s.room(c)
	if err != nil {
		return err
	}
	p, err := readPage(c)
	if err != nil {
		return err
	}
	list := []participantResource{}
	for _, one := range r.Participants() {
		list = append(list, describe(one.Info()))
	}
	list, next := cut(p, list, joinCursor)
	return ok(c, struct {
		Participants []participantResource `json:"participants"`
		Next         string                `json:"next_page_token"`
	}{list, next})
}

// joinCursor orders participants by when they joined.
func joinCursor(p participantResource) string { return timeCursor(p.JoinedAt, p.ID) }

// participant answers the participant of the path and its room, where the
// caller may do the action there or made the session itself.
func (s *Server) participant(c echo.Context, a auth.Action) (*mixer.Room, *mixer.Participant, error) {
	r, err := s.room(c)
	if err != nil {
		return nil, nil, err
	}
	id := c.Param("participant")
	if who := caller(c); !who.grant.Allows(a, r.ID()) && !s.owners.owns(sessionKey{r.ID(), id}, who) {
		return nil, nil, refuse("forbidden", "the session is not the token's own")
	}
	p, err := r.Participant(id)
	return r, p, err
}

// getParticipant answers GET of a participant.
func (s *Server) getParticipant(c echo.Context) error {
	_, p, err := s.participant(c, auth.Watch)
	if err != nil {
		return err
	}
	return answerParticipant(c, p)
}

// patchParticipant answers PATCH of a participant: a merge patch of the
// resource, or a fragment for its ICE session.
func (s *Server) patchParticipant(c echo.Context) error {
	r, p, err := s.participant(c, auth.Moderate)
	if err != nil {
		return err
	}
	if mediaType(c) == typeFragment {
		return s.patchSession(c, r, p)
	}
	doc, err := readDocument(c, false)
	if err != nil {
		return err
	}
	info := p.Info()
	h := c.Request().Header
	if err := checkPreconditions(h.Get("If-Match"), "", participantTag(info.Version)); err != nil {
		return err
	}
	patch, err := readPatch(info, doc)
	if err != nil {
		return err
	}
	if name := caller(c).grant.Name; patch.Name != nil && name != "" && *patch.Name != name && !caller(c).grant.Allows(auth.Moderate, r.ID()) {
		return blame("forbidden", "name", "the token gives the name")
	}
	version := info.Version
	if h.Get("If-Match") == "" {
		version = 0
	}
	if err := p.Update(version, patch); err != nil {
		return err
	}
	s.save(c.Request().Context(), r.ID())
	return answerParticipant(c, p)
}

// deleteParticipant answers DELETE of a participant: to leave, or be removed.
// A session that has ended already is answered as one that ends now.
func (s *Server) deleteParticipant(c echo.Context) error {
	r, p, err := s.participant(c, auth.Moderate)
	if err != nil {
		if problemOf(err).Status == http.StatusNotFound && s.remembers(c) {
			return done(c)
		}
		return err
	}
	reason := "removed"
	key := sessionKey{r.ID(), p.ID()}
	if s.owners.owns(key, caller(c)) {
		reason = "left"
	}
	p.Leave(reason)
	s.owners.end(key)
	return done(c)
}

// remembers reports whether the caller may know that the session of the path
// was there a moment ago.
func (s *Server) remembers(c echo.Context) bool {
	key := sessionKey{c.Param("room"), c.Param("participant")}
	return s.owners.owns(key, caller(c))
}
