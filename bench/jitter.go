package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tutti/assets/speech"
	"tutti/bench/load"
	"tutti/transport/transporttest/badlink"
)

// The times of a run with jitter.
const (
	jitterP95    = 100              // ms
	jitterPacket = 20               // ms: by so much delay comes and goes
	jitterBack   = 10 * time.Second // in which it shall be gone
	jitterCalm   = 5 * time.Second
	jitterLearn  = 5 * time.Second // the buffer may take to know the link
	jitterAfter  = 15 * time.Second
	jitterStay   = 2 * time.Second
	jitterPoll   = 250 * time.Millisecond
)

// jitters are the kinds of jitter, of no size yet.
var jitters = []struct {
	name       string
	conditions badlink.Conditions
}{
	{"each packet by itself, evenly, out of order", badlink.Conditions{Scatter: true}},
	{"wandering, in order", badlink.Conditions{}},
}

// transits answers how long each packet of a voice takes through a link under
// these conditions, in ms.
func transits(c badlink.Conditions) (s series) {
	start := time.Unix(0, 0)
	p := badlink.New(start, badlink.Config[time.Time]{Seed: 1, Conditions: c})
	pop := func(until time.Time) {
		for at, ok := p.Next(); ok && at.Before(until); at, ok = p.Next() {
			if sent, _, ok := p.Pop(at); ok {
				s = append(s, ms(at.Sub(sent)))
			}
		}
	}
	for n := range 30000 { // ten minutes
		now := start.Add(time.Duration(n) * load.Interval)
		pop(now)
		p.Push(now, 200, now)
	}
	pop(start.Add(time.Hour))
	return s
}

// sized gives conditions the jitter that 95 % of the packets do not exceed.
func sized(c badlink.Conditions, p95 float64) badlink.Conditions {
	c.Jitter = time.Duration(p95 * float64(time.Millisecond))
	for range 3 { // hardly more than linear
		c.Jitter = time.Duration(float64(c.Jitter) * p95 / transits(c).percentile(95))
	}
	return c
}

// measureJitter delays what people say by jitter on the way in, and hears how
// much later it comes out, and how often something had to be made up.
func measureJitter(ctx context.Context, o options) error {
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Fprintf(o.out, "In a room of its own one person sends beeps, which tell the delay, in another one speech without pauses, whose blocks the API counts by origin;\n")
	fmt.Fprintf(o.out, "the packets of both are delayed before they are sent. %v without jitter, %v in which the buffer learns, %v that are measured, and then again none.\n", jitterCalm, jitterLearn, o.seconds)
	fmt.Fprintf(o.out, "Back at the floor: from when on buffered_ms of the API (asked for every %v), and each beep's delay, stay for %v at most a packet above the most of the time before; %.1f: not at all.\n\n", jitterPoll, jitterStay, jitterAfter.Seconds())
	fmt.Fprintln(o.out, "| jitter | p95, p97 of it, ms | delay without, median ms | delay under it, median and p95 ms | added by the server and the jitter, median ms | concealed, % | while learning too, % | recovered, stretched, % | buffered without, under it, ms | target_ms without, under it | back at the floor by buffered_ms, s | by the beeps, s | delay from 10 s after it on, median ms |")
	fmt.Fprintln(o.out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, kind := range jitters {
		c := sized(kind.conditions, jitterP95)
		var all []shaken
		for range o.runs {
			r, err := shake(ctx, o, s, c)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		showShaken(o, kind.name, transits(c), all)
	}
	return nil
}

func showShaken(o options, name string, jitter series, all []shaken) {
	var calm, rough, p95, added, concealed, concealedAll, recovered, stretched, held, heldRough, target, targetRough, again, back, backBeeps series
	for _, r := range all {
		calm, rough, p95 = append(calm, r.calm.median()), append(rough, r.rough.median()), append(p95, r.rough.percentile(95))
		added = append(added, r.rough.median()-r.calm.median())
		concealed, concealedAll = append(concealed, 100*r.settled.share(r.settled.Concealed)), append(concealedAll, 100*r.whole.share(r.whole.Concealed))
		recovered, stretched = append(recovered, 100*r.settled.share(r.settled.Recovered)), append(stretched, 100*r.settled.share(r.settled.Stretched))
		held, heldRough = append(held, r.held.median()), append(heldRough, r.heldRough.median())
		target, targetRough = append(target, r.target.median()), append(targetRough, r.targetRough.median())
		again = append(again, r.calmAgain.median())
		back, backBeeps = append(back, r.back.Seconds()), append(backBeeps, r.backBeeps.Seconds())
	}
	fmt.Fprintf(o.out, "| %s | %.0f, %.0f | %s | %s, %s | %s | %s | %s | %s, %s | %s, %s | %s, %s | %s | %s | %s |\n", name,
		jitter.percentile(95), jitter.percentile(97), calm.show(0), rough.show(0), p95.show(0), added.show(0),
		concealed.show(2), concealedAll.show(2), recovered.show(2), stretched.show(2), held.show(0), heldRough.show(0), target.show(0), targetRough.show(0), back.show(1), backBeeps.show(1), again.show(0))
}

// origins are the blocks of a voice by origin, as the API counts them.
type origins struct{ Voice, Recovered, Concealed, Stretched float64 }

func (b origins) minus(o origins) origins {
	return origins{b.Voice - o.Voice, b.Recovered - o.Recovered, b.Concealed - o.Concealed, b.Stretched - o.Stretched}
}

// share answers what part of all sound some blocks are.
func (b origins) share(some float64) float64 {
	all := b.Voice + b.Recovered + b.Concealed + b.Stretched
	if all == 0 {
		return 0
	}
	return some / all
}

// shaken is what one run has shown.
type shaken struct {
	calm, rough         series  // delays of beeps before and under jitter, ms
	held, heldRough     series  // buffered_ms
	target, targetRough series  // target_ms
	calmAgain           series  // delays of the beeps from ten seconds after the jitter on, ms
	whole, settled      origins // under jitter, all and after the buffer has learnt
	back, backBeeps     time.Duration
}

// sample is a figure at a time.
type sample struct {
	at    time.Time
	value float64
}

func values(all []sample) (s series) {
	for _, v := range all {
		s = append(s, v.value)
	}
	return s
}

// settles answers how long after a time a figure has come down to a limit, and
// stayed there for as long as stay: false where it never did.
func settles(after time.Time, all []sample, limit float64, stay time.Duration) (time.Duration, bool) {
	down := time.Time{}
	for _, v := range all {
		switch {
		case v.at.Before(after):
		case v.value > limit:
			down = time.Time{}
		case down.IsZero():
			down = v.at
		}
		if !down.IsZero() && v.at.Sub(down) >= stay {
			return down.Sub(after), true
		}
	}
	return 0, false
}

// shaker is one run: two rooms, each with one who sends and one who listens.
type shaker struct {
	s         *server
	load      *load.Load
	in, out   *beeps
	sessions  [4]string
	conceived badlink.Conditions
}

// Who is who in a shaker.
const (
	beeping = iota
	hearing
	talking
	listening
)

func shake(ctx context.Context, o options, s *server, c badlink.Conditions) (shaken, error) {
	k := &shaker{s: s, conceived: c}
	if err := k.open(ctx); err != nil {
		return shaken{}, err
	}
	defer func() { _ = k.load.Close() }()
	return k.run(ctx, o)
}

// open lets all four join.
func (k *shaker) open(ctx context.Context) error {
	packets, err := beepPackets()
	if err != nil {
		return err
	}
	voice, err := talk(0)
	if err != nil {
		return err
	}
	if k.in, err = newBeeps(); err != nil {
		return err
	}
	if k.out, err = newBeeps(); err != nil {
		return err
	}
	k.load, err = load.New(load.Config{
		Listen: true, Feedback: true,
		Voice: func(i int) []speech.Packet {
			return [...][]speech.Packet{beeping: packets, talking: voice, listening: nil}[i]
		},
		OnSaid: func(i int, at time.Time, payload []byte) {
			if i == beeping {
				k.in.hear(at, payload)
			}
		},
		OnSound: func(i int, at time.Time, payload []byte) {
			if i == hearing {
				k.out.hear(at, payload)
			}
		},
	})
	if err != nil {
		return err
	}
	err = k.load.Add(ctx, len(k.sessions), func(ctx context.Context, i int, offer string) (string, func(context.Context), error) {
		room := [...]string{beeping: "beeps", hearing: "beeps", talking: "speech", listening: "speech"}[i]
		door := [...]string{beeping: "participants", hearing: "whep", talking: "participants", listening: "whep"}[i]
		return k.s.enter(room, door, func(path string) { k.sessions[i] = path })(ctx, i, offer)
	})
	if err != nil {
		return errors.Join(err, k.load.Close())
	}
	return nil
}

func (k *shaker) run(ctx context.Context, o options) (r shaken, err error) {
	if err := sleep(ctx, time.Second); err != nil { // the first packets
		return r, err
	}
	begin := time.Now()
	calm, err := k.watch(ctx, jitterCalm)
	if err != nil {
		return r, err
	}
	worse := time.Now()
	if err := k.set(k.conceived); err != nil {
		return r, err
	}
	learning, err := k.watch(ctx, jitterLearn)
	if err != nil {
		return r, err
	}
	settled := time.Now()
	rough, err := k.watch(ctx, o.seconds)
	if err != nil {
		return r, err
	}
	better := time.Now()
	if err := k.set(badlink.Conditions{}); err != nil {
		return r, err
	}
	after, err := k.watch(ctx, jitterAfter)
	if err != nil {
		return r, err
	}
	all := echoes(k.in.times(), k.out.times())
	// A beep that is still on its way belongs to neither side.
	r.calm, r.rough = delays(all, begin, worse), delays(all, settled, better)
	r.calmAgain = delays(all, better.Add(jitterBack), time.Now())
	r.held, r.heldRough = values(calm.held), values(rough.held)
	r.target, r.targetRough = calm.target, rough.target
	r.whole, r.settled = rough.last.minus(learning.first), rough.last.minus(learning.last)
	if len(r.calm) == 0 || len(r.rough) == 0 {
		return r, errors.New("no beep came back")
	}
	r.back, r.backBeeps = k.returned(better, after.held, all, r)
	return r, nil
}

// returned answers when the delay was back, by the API and by the beeps; where
// it never was, all of the time that was looked at.
func (k *shaker) returned(better time.Time, after []sample, all []echo, r shaken) (api, beep time.Duration) {
	var late []sample
	for _, e := range all {
		late = append(late, sample{e.sent, e.after})
	}
	api, ok := settles(better, after, r.held.percentile(100)+jitterPacket, jitterStay)
	if !ok {
		api = jitterAfter
	}
	if beep, ok = settles(better, late, r.calm.percentile(100)+jitterPacket, jitterStay); !ok {
		beep = jitterAfter
	}
	return api, beep
}

// set makes the links of both who send so.
func (k *shaker) set(c badlink.Conditions) error {
	return errors.Join(k.load.Client(beeping).SetUp(c), k.load.Client(talking).SetUp(c))
}

// told is what the API has told about who talks: the blocks at the beginning and
// at the end, and what is buffered and aimed at in between.
type told struct {
	first, last origins
	held        []sample // buffered_ms
	target      series   // target_ms
}

// watch asks the API for a time.
func (k *shaker) watch(ctx context.Context, d time.Duration) (t told, err error) {
	for start := time.Now(); time.Since(start) < d; {
		stats, err := k.ask(ctx)
		if err != nil {
			return t, err
		}
		if t.held == nil {
			t.first = stats.AudioBlocks
		}
		t.last = stats.AudioBlocks
		t.held, t.target = append(t.held, sample{time.Now(), stats.BufferedMS}), append(t.target, stats.TargetMS)
		if err := sleep(ctx, min(jitterPoll, time.Until(start.Add(d)))); err != nil {
			return t, err
		}
	}
	return t, nil
}

// listened is the API's stats of a participant, as far as they are of use here.
type listened struct {
	BufferedMS  float64 `json:"buffered_ms"`
	TargetMS    float64 `json:"target_ms"`
	AudioBlocks origins `json:"audio_blocks"`
}

func (k *shaker) ask(ctx context.Context) (listened, error) {
	text, _, err := k.s.call(ctx, http.MethodGet, k.sessions[talking], "", nil)
	if err != nil {
		return listened{}, err
	}
	var answer struct{ Stats listened }
	if err := json.Unmarshal(text, &answer); err != nil {
		return listened{}, fmt.Errorf("read participant: %w", err)
	}
	return answer.Stats, nil
}
