package badlink

import (
	"fmt"
	"strings"
	"time"
)

// Trace is how both directions of a link change over time.
type Trace struct {
	// Up is from the client to the server, Down back; each in the order of time.
	Up, Down []Step
	// Repeat is when the trace begins anew, after all steps and at 1 ms or later;
	// 0: never.
	Repeat time.Duration
}

// Step is from when on which conditions are in force.
type Step struct {
	At         time.Duration // since the trace began
	Conditions Conditions
}

// SyntaxError is what is wrong with a trace.
type SyntaxError struct {
	Line   int // from 1
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("badlink: line %d: %s", e.Line, e.Reason) }

// What a trace may have: a step so late, so many lines, and rounds that are not
// shorter.
const (
	maxAt     = 366 * 24 * time.Hour
	maxLines  = 1 << 20
	minRepeat = time.Millisecond
)

// Parse reads a trace in the format of the package comment. Its error is a
// *SyntaxError.
func Parse(text string) (Trace, error) {
	p := parser{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := p.line(words); err != nil {
			return Trace{}, &SyntaxError{Line: n, Reason: err.Error()}
		}
		if n == maxLines {
			return Trace{}, &SyntaxError{Line: n, Reason: "the trace is too long"}
		}
	}
	return p.trace, nil
}

type parser struct {
	trace Trace
	at    time.Duration // of the line before
}

func (p *parser) line(words []string) error {
	if words[0] != "at" || len(words) < 3 {
		return fmt.Errorf("a step is at TIME [up|down] NAME=VALUE..., not %q", strings.Join(words, " "))
	}
	at, err := time.ParseDuration(words[1])
	switch {
	case err != nil:
		return fmt.Errorf("%q is no time", words[1])
	case at < p.at:
		return fmt.Errorf("%v is before %v", at, p.at)
	case at > maxAt:
		return fmt.Errorf("%v is later than %v", at, maxAt)
	case p.trace.Repeat > 0:
		return fmt.Errorf("nothing comes after repeat")
	}
	if words[2] == "repeat" {
		return p.repeat(at, words[3:])
	}
	p.at = at
	switch words[2] {
	case "up":
		return add(&p.trace.Up, at, words[3:])
	case "down":
		return add(&p.trace.Down, at, words[3:])
	}
	if err := add(&p.trace.Up, at, words[2:]); err != nil {
		return err
	}
	return add(&p.trace.Down, at, words[2:])
}

func (p *parser) repeat(at time.Duration, more []string) error {
	if len(more) > 0 {
		return fmt.Errorf("%q after repeat", more[0])
	}
	if at <= p.at || len(p.trace.Up)+len(p.trace.Down) == 0 {
		return fmt.Errorf("repeat comes after the last step")
	}
	if at < minRepeat {
		return fmt.Errorf("%v is too short to repeat", at)
	}
	p.trace.Repeat = at
	return nil
}

// add puts a step behind the others; one at the same time as the last takes its
// place.
func add(steps *[]Step, at time.Duration, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("a step without conditions")
	}
	s := Step{At: at}
	n := len(*steps)
	if n > 0 {
		s.Conditions = (*steps)[n-1].Conditions
	}
	if words[0] == "clear" {
		s.Conditions, words = Conditions{}, words[1:]
	}
	for _, w := range words {
		if err := set(&s.Conditions, w); err != nil {
			return err
		}
	}
	if err := s.Conditions.Check(); err != nil {
		return err
	}
	if n > 0 && (*steps)[n-1].At == at {
		(*steps)[n-1] = s
	} else {
		*steps = append(*steps, s)
	}
	return nil
}

func set(c *Conditions, word string) error {
	name, value, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("%q is not NAME=VALUE", word)
	}
	for _, k := range keys {
		if k.name == name {
			if err := k.parse(c, value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no condition %q", name)
}

// String writes the trace so that Parse answers the same again.
func (t Trace) String() string {
	var b strings.Builder
	up, down := t.Up, t.Down
	for len(up)+len(down) > 0 {
		if len(down) == 0 || len(up) > 0 && up[0].At <= down[0].At {
			fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("at %v up clear %v", up[0].At, up[0].Conditions)))
			up = up[1:]
		} else {
			fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("at %v down clear %v", down[0].At, down[0].Conditions)))
			down = down[1:]
		}
	}
	if t.Repeat > 0 {
		fmt.Fprintf(&b, "at %v repeat\n", t.Repeat)
	}
	return b.String()
}

// Check answers what is wrong with a trace that was not read by Parse, wrapping
// ErrConditions.
func (t Trace) Check() error {
	for _, steps := range [][]Step{t.Up, t.Down} {
		last := time.Duration(0)
		for _, s := range steps {
			if s.At < last || t.Repeat != 0 && s.At >= t.Repeat {
				return fmt.Errorf("%w: the step at %v is not in its place", ErrConditions, s.At)
			}
			if err := s.Conditions.Check(); err != nil {
				return fmt.Errorf("at %v: %w", s.At, err)
			}
			last = s.At
		}
	}
	if t.Repeat != 0 && t.Repeat < minRepeat {
		return fmt.Errorf("%w: repeat at %v", ErrConditions, t.Repeat)
	}
	return nil
}
