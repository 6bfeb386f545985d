package main

import (
	"testing"

	"tutti/assets/speech"
	"tutti/codec/opus"
	"tutti/codec/pcm"
	"tutti/mixer"
)

// TestRepairIsInThePackets encodes speech as a room has it done for those who
// lose packets: nearly all that is spoken is there twice, at every rate that a
// room may have, and nothing is where nobody loses any.
func TestRepairIsInThePackets(t *testing.T) {
	voice, err := speech.Load(speech.Names()[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, channels := range []int{1, 2} {
		for _, rate := range []int{12_000, 20_000, 32_000, 128_000} {
			for _, loss := range []int{0, 1, 10, 30} {
				c := mixer.AudioEncoderConfig{Channels: channels, BitrateBPS: rate, LossPercent: loss}
				share, bps := encodeSpeech(t, c, voice)
				if loss == 0 && share > 0 || loss > 0 && share < 0.8 {
					t.Errorf("%+v: %.0f %% of the packets carry the one before", c, 100*share)
				}
				if most := max(rate, leastFECBitrate); bps > 1.1*float64(most) {
					t.Errorf("%+v: %.0f bit/s", c, bps)
				}
			}
		}
	}
}

// encodeSpeech answers which share of a spoken sentence's packets carries the one
// before, and their rate.
func encodeSpeech(t *testing.T, c mixer.AudioEncoderConfig, voice *speech.Voice) (share, bps float64) {
	t.Helper()
	enc, err := codecs{}.NewAudioEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	dec, err := opus.NewDecoder(c.Channels)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var b pcm.Block
	b.SetChannels(c.Channels)
	sentence := voice.Packets[voice.Sentences[0].From:voice.Sentences[0].To]
	var repaired, bytes int
	for _, p := range sentence {
		if _, err := dec.Decode(p.Opus, b.Data()); err != nil {
			t.Fatal(err)
		}
		packet, err := enc.Encode(make([]byte, 0, opus.MaxPacketBytes), &b, false)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(packet)
		if opus.HasFEC(packet) {
			repaired++
		}
	}
	n := float64(len(sentence))
	return float64(repaired) / n, float64(bytes) * 8 * 50 / n
}
