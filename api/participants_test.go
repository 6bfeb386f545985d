package api

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tutti/mixer"
)

// TestWhatIsShownOfALink holds that each figure of a participant's link is shown
// under its name, and none that JSON has no word for.
func TestWhatIsShownOfALink(t *testing.T) {
	i := mixer.ParticipantInfo{ID: "p", Role: mixer.Both, HasAudio: true, Link: mixer.LinkStats{
		Rendition: "hd", Codec: "vp8", SentBPS: 1, ReceivedBPS: 2, EstimateBPS: 3, RTT: 1500 * time.Microsecond,
		SentLossPercent: 4.5, Repair: "red", JitterMS: 5, BufferedMS: 6, TargetMS: 7, DriftPPM: -8,
		PacketsLost: 25, PacketsLate: 10, PacketsReceived: 75, FramesRefused: 11, KeyFrameRequests: 12,
	}}
	i.Audio = mixer.AudioInfo{LevelDBOV: -20, Speaking: true, GainDB: 3, Blocks: [mixer.Origins]uint64{
		mixer.Silence: 100, mixer.Voice: 60, mixer.Recovered: 20, mixer.Concealed: 15, mixer.Stretched: 5,
	}}
	got := describe(i)
	if diff := cmp.Diff(statsResource{
		ReceivedBPS: 2, RTTMS: 1.5, JitterMS: 5, BufferedMS: 6, TargetMS: 7, DriftPPM: -8,
		PacketsReceived: 75, PacketsLost: 25, PacketsLate: 10, LossPercent: 25, FramesRefused: 11, KeyFrameRequests: 12,
		AudioBlocks:  byOrigin[uint64]{100, 60, 20, 15, 5},
		AudioPercent: byOrigin[float64]{50, 30, 10, 7.5, 2.5},
	}, got.Stats); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&receiveResource{"hd", "vp8", 1, 3, 4.5, "red"}, got.Receiving); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&audioResource{GainDB: 3, LevelDBOV: -20, Speaking: true}, got.Audio); diff != "" {
		t.Error(diff)
	}
	i.Link = mixer.LinkStats{JitterMS: math.NaN(), TargetMS: math.Inf(1), DriftPPM: math.Inf(-1), SentLossPercent: math.NaN()}
	i.Audio.Blocks = [mixer.Origins]uint64{}
	got = describe(i)
	if diff := cmp.Diff(statsResource{}, got.Stats); diff != "" {
		t.Error(diff)
	}
	if got.Receiving.SentLossPercent != 0 || got.Receiving.Repair != "none" {
		t.Errorf("%+v", got.Receiving)
	}
}

func TestAudioSettings(t *testing.T) {
	h := newHarness(t, nil)
	h.json("PUT", "/v1/rooms/r1", h.admin(), "{}").is(201)
	defaults := mixer.AudioSettings{MaxTalkers: 8, BitrateBPS: 32000, Levelling: true, MaxPlayoutDelayMS: 400, SpeakerTriggerMS: 200, SpeakerHoldMS: 1000}
	want := defaults
	check := func(method, body string) {
		t.Helper()
		h.json(method, "/v1/rooms/r1", h.admin(), body).is(200)
		if diff := cmp.Diff(want, h.settingsOf("r1").Audio); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	check("PATCH", `{}`)
	want = mixer.AudioSettings{MaxTalkers: 0, Stereo: true, BitrateBPS: 128000, MinPlayoutDelayMS: 500, MaxPlayoutDelayMS: 1000, SpeakerTriggerMS: 40}
	check("PATCH", `{"audio":{"max_talkers":0,"stereo":true,"bitrate_bps":128000,"levelling":false,"min_playout_delay_ms":500,
		"max_playout_delay_ms":1000,"speaker_trigger_ms":40,"speaker_hold_ms":0}}`)
	want.Levelling, want.SpeakerHoldMS = true, 1000
	check("PATCH", `{"audio":{"levelling":null,"speaker_hold_ms":null}}`)
	want.MinPlayoutDelayMS, want.MaxPlayoutDelayMS = 140, 240
	check("PATCH", `{"audio":{"min_playout_delay_ms":140,"max_playout_delay_ms":240}}`)
	want = defaults
	want.SpeakerTriggerMS = 5000
	check("PUT", `{"audio":{"speaker_trigger_ms":5000}}`)
	want = defaults
	check("PATCH", `{"audio":null}`)
}
