package audio

import (
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"

	"tutti/codec/pcm"
)

// seat is a participant as a mixer has one: a leveller and the ramp that
// follows it.
type seat struct {
	leveller Leveller
	out      Meter
	last     float32
	steps    [2]float64 // the largest of the gain, down and up, in dB
}

// hear levels a block, in place, and measures it.
func (s *seat) hear(b *pcm.Block) {
	if s.last == 0 {
		s.last = 1
	}
	s.leveller.Observe(b)
	g := s.leveller.Gain()
	Ramp(b, s.last, g)
	step := 20 * math.Log10(float64(g/s.last))
	s.steps[0], s.steps[1] = min(s.steps[0], step), max(s.steps[1], step)
	s.last = g
	s.out.Add(b)
}

func (s *seat) gainDB() float64 { return 20 * math.Log10(float64(s.leveller.Gain())) }

// source answers a block at a time.
type source func(n int) *pcm.Block

func (s *seat) listen(from, to int, src source) {
	for n := from; n < to; n++ {
		s.hear(src(n))
	}
}

// speaking repeats a voice, by so many dB louder.
func speaking(voice []pcm.Block, db float64) source {
	var b pcm.Block
	return func(n int) *pcm.Block {
		b.Copy(&voice[n%len(voice)])
		Ramp(&b, pcm.Gain(db), pcm.Gain(db))
		return &b
	}
}

func playing(s signal) source {
	var b pcm.Block
	return func(n int) *pcm.Block {
		fill(&b, n, s)
		return &b
	}
}

// both sums two sources.
func both(a, b source) source {
	return func(n int) *pcm.Block {
		sum := a(n)
		Add(sum.Data(), b(n).Data())
		return sum
	}
}

// room is the noise of a room, rather low than high, at so many dBFS.
func room(dbfs float64) source {
	random := rand.New(rand.NewPCG(5, 6))
	var low float64
	noise := make([]pcm.Block, 200)
	for n := range noise {
		fill(&noise[n], n, func(int, int) float64 {
			low += 0.3 * (random.NormFloat64() - low)
			return math.Pow(10, dbfs/20) * low / 0.42
		})
	}
	return speaking(noise, 0)
}

// typing is somebody at a keyboard: clicks of some 20 ms, as fast as one types.
func typing(peak float64) source {
	random := rand.New(rand.NewPCG(7, 8))
	next, level := 0, 0.0
	return playing(func(f, _ int) float64 {
		if f >= next {
			next = f + pcm.Rate*(80+random.IntN(140))/1000
			level = peak * (0.3 + 0.7*random.Float64())
		}
		level *= 0.9975 // 8 ms
		return level * random.NormFloat64() / 2
	})
}

// Voices of eight people, each as it is, louder and 12 and 24 dB quieter, are
// within 1.5 LU around one loudness after 5 s, and around the target from then
// on.
func TestLevellerBringsVoicesTogether(t *testing.T) {
	for _, file := range voiceFiles(t) {
		voice := decoded(t, file)
		var shorts []float64
		for _, db := range []float64{6, 0, -12, -24} {
			var s seat
			s.listen(0, 250, speaking(voice, db))
			shorts = append(shorts, s.out.ShortTerm())
			s.out = Meter{}
			s.listen(250, 1000, speaking(voice, db))
			within(t, file+", from 5 to 20 s", s.out.Integrated(), TargetLUFS, 1.5)
		}
		for _, short := range shorts {
			within(t, file+", at 5 s", short, shorts[1], 1.5)
			within(t, file+", at 5 s", short, TargetLUFS-1.5, 1.5) // a sentence and its pauses are quieter than its words
		}
		t.Logf("%s: %.1f LUFS at 5 s", file, shorts)
	}
}

// Somebody who speaks on as before is not heard to come and go.
func TestLevellerDoesNotPump(t *testing.T) {
	for _, file := range voiceFiles(t) {
		voice := decoded(t, file)
		for _, db := range []float64{0, -20} {
			var s seat
			s.listen(0, 500, speaking(voice, db))
			least, most, moved := s.gainDB(), s.gainDB(), 0
			for n := 500; n < 3000; n++ {
				before := s.last
				s.hear(speaking(voice, db)(n))
				least, most = min(least, s.gainDB()), max(most, s.gainDB())
				if s.last != before {
					moved++
				}
			}
			if moved > 2500/50 {
				t.Errorf("%s at %g dB: the gain moves in %d of 2500 blocks", file, db, moved)
			}
			if most-least >= 1 {
				t.Errorf("%s at %g dB: the gain goes from %.2f to %.2f dB after 10 s", file, db, least, most)
			}
		}
	}
}

// A tone stays one through a codec, whose blocks are not quite even.
func TestLevellerTakesTonesThroughOpus(t *testing.T) {
	file := t.TempDir() + "/tone.ogg"
	for _, volume := range []string{"0.4", "0.02"} {
		out, err := exec.Command("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=440:sample_rate=48000:duration=6",
			"-af", "volume=8,volume="+volume, "-c:a", "libopus", "-b:a", "32k", file).CombinedOutput()
		if err != nil {
			t.Fatalf("ffmpeg: %v\n%s", err, out)
		}
		delete(voices, file)
		var s seat
		s.listen(0, 250, speaking(decoded(t, file), 0))
		within(t, "a tone after 5 s", s.out.Momentary(), TargetLUFS, 0.5)
	}
}

func TestLevellerTakesTones(t *testing.T) {
	for _, c := range []struct{ hz, dbfs float64 }{{440, -10}, {440, -34}, {1000, -44}, {200, -26}, {3000, -4}} {
		var s seat
		s.listen(0, 250, playing(tone(c.hz, math.Pow(10, c.dbfs/20))))
		within(t, "a tone after 5 s", s.out.Momentary(), TargetLUFS, 0.5)
	}
}

// Nothing but speech raises the gain: neither before anybody spoke, nor after.
func TestLevellerHearsNoVoiceInNoise(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[0])
	for name, src := range map[string]source{
		"silence":           playing(func(int, int) float64 { return 0 }),
		"a quiet room":      room(-65),
		"a fan":             room(-45),
		"a loud fan":        room(-36),
		"typing":            both(typing(0.1), room(-65)),
		"hard typing":       both(typing(0.4), room(-55)),
		"typing in silence": typing(0.2),
	} {
		var s seat
		s.listen(0, 3000, src)
		within(t, name+" alone, gain in dB", s.gainDB(), 0, 0.01)
		for _, db := range []float64{0, -20} {
			var s seat
			s.listen(0, 500, speaking(voice, db))
			before := s.gainDB()
			s.listen(0, 3000, src)
			if after := s.gainDB(); after > before+0.1 {
				t.Errorf("%s after a voice of %g dB: the gain rises from %.2f to %.2f dB", name, db, before, after)
			}
		}
	}
}

// A pause of a minute changes nothing, so that the next word is as loud.
func TestLevellerRestsInPauses(t *testing.T) {
	for _, file := range voiceFiles(t) {
		voice := decoded(t, file)
		var s seat
		s.listen(0, 500, both(speaking(voice, -15), room(-80)))
		before := s.gainDB()
		s.listen(0, 3000, room(-80))
		within(t, file+": gain after a pause", s.gainDB(), before, 0.3)
	}
}

// Nor does the gain go on to rise where somebody fell silent amid the rise.
func TestLevellerDoesNotRiseInPauses(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[1])
	var s seat
	s.listen(0, 65, speaking(voice, -24))
	s.listen(0, hangover, room(-80))
	before := s.gainDB()
	s.listen(0, 500, room(-80))
	if after := s.gainDB(); before < 2 || before > 20 || after > before {
		t.Errorf("the gain goes from %.2f to %.2f dB", before, after)
	}
}

// A quiet voice in a noisy room is lifted only as far as the room stays below
// -50 dBFS, and a room that is louder than this is not lifted at all.
func TestLevellerDoesNotLiftTheBackground(t *testing.T) {
	for _, file := range voiceFiles(t) {
		voice := decoded(t, file)
		for _, noise := range []float64{-62, -56, -45} {
			var s seat
			s.listen(0, 500, room(noise))
			s.listen(500, 1500, both(speaking(voice, -20), room(noise)))
			s.listen(1500, 1700, room(noise))
			if lifted := noise + s.gainDB(); lifted > max(noise, loudestNoise)+2 {
				t.Errorf("%s: noise of %g dBFS is lifted to %.1f", file, noise, lifted)
			}
			if noise > -50 {
				continue
			}
			if s.gainDB() < loudestNoise-noise-3 {
				t.Errorf("%s: in noise of %g dBFS the gain is %.1f dB only", file, noise, s.gainDB())
			}
		}
	}
}

func TestLevellerFollowsAChange(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[1])
	for _, c := range []struct {
		from, to float64
		blocks   int
	}{{0, -15, 620}, {-15, 0, 500}, {10, -10, 950}} {
		var s seat
		s.listen(0, 600, speaking(voice, c.from))
		s.listen(600, 600+c.blocks, speaking(voice, c.to))
		s.out = Meter{}
		s.listen(600+c.blocks, 1100+c.blocks, speaking(voice, c.to))
		within(t, "after a change", s.out.Integrated(), TargetLUFS, 1.5)
	}
}

func TestLevellerBounds(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[0])
	for _, c := range []struct{ db, gain float64 }{{30, -20}, {-32, 30}, {-50, 0}} {
		var s seat
		s.listen(0, 1500, speaking(voice, c.db))
		within(t, "gain at the bound", s.gainDB(), c.gain, 0.01)
	}
}

// The paces, as heard: fast while the voice is new, slow afterwards.
func TestLevellerPaces(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[2])
	var s seat
	s.listen(0, 500, speaking(voice, -24))
	if s.steps[1] > 0.601 || s.steps[0] < -0.601 || s.steps[1] < 0.3 {
		t.Errorf("steps of %.3f dB in the first seconds", s.steps)
	}
	s.steps = [2]float64{}
	s.listen(500, 1000, speaking(voice, 0))
	s.listen(1000, 3000, speaking(voice, -20))
	if s.steps[1] > 0.061 || s.steps[0] < -0.121 || s.steps[1] < 0.03 || s.steps[0] > -0.06 {
		t.Errorf("steps of %.3f dB later", s.steps)
	}
}

func TestLevellerInStereo(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[3])
	var s seat
	var wide pcm.Block
	wide.SetChannels(2)
	for n := range 1000 {
		b := speaking(voice, -12)(n)
		for i, v := range b.Data() {
			wide.Data()[2*i], wide.Data()[2*i+1] = v, v/2
		}
		if n == 250 {
			s.out = Meter{}
		}
		s.hear(&wide)
	}
	within(t, "both channels", s.out.Integrated(), TargetLUFS, 1.5)
}

func TestLevellerBearsWhatIsNoNumber(t *testing.T) {
	voice := decoded(t, voiceFiles(t)[0])
	var s Leveller
	for n := range 1000 {
		b := speaking(voice, -12)(n)
		if n%100 == 50 {
			b.Data()[n%960] = float32([]float64{math.NaN(), math.Inf(1), math.MaxFloat32}[n/100%3])
		}
		s.Observe(b)
		if g := s.Gain(); !(g >= pcm.Gain(leastGain) && g <= pcm.Gain(mostGain)) {
			t.Fatalf("gain %g at block %d", g, n)
		}
	}
	if g := s.Gain(); g < pcm.Gain(11) || g > pcm.Gain(15) {
		t.Errorf("gain %g", g)
	}
}

func TestLoudnessAllocatesNothing(t *testing.T) {
	var m Meter
	var l Leveller
	var p TruePeak
	var g float32
	var b pcm.Block
	b.SetChannels(2)
	fill(&b, 0, tone(440, 0.9))
	if n := testing.AllocsPerRun(100, func() {
		m.Add(&b)
		l.Observe(&b)
		p.Add(&b)
		g += l.Gain() + float32(m.ShortTerm()+m.Momentary()+m.Integrated()+p.DBTP())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLevellerObserve(b *testing.B) {
	for channels := 1; channels <= 2; channels++ {
		b.Run(map[int]string{1: "mono", 2: "stereo"}[channels], func(b *testing.B) {
			var l Leveller
			var block pcm.Block
			block.SetChannels(channels)
			fill(&block, 0, tone(1000, 0.5))
			for b.Loop() {
				l.Observe(&block)
			}
		})
	}
}
