package badlink

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// key is how a trace names a condition.
type key struct {
	name   string
	parse  func(c *Conditions, value string) error
	format func(c *Conditions) string // nothing where it is the zero value
}

var keys = []key{
	length("delay", func(c *Conditions) *time.Duration { return &c.Delay }),
	length("jitter", func(c *Conditions) *time.Duration { return &c.Jitter }),
	{
		"scatter",
		func(c *Conditions, v string) error {
			c.Scatter = v == "yes"
			return must(v == "yes" || v == "no", v, "yes or no")
		},
		func(c *Conditions) string {
			if c.Scatter {
				return "yes"
			}
			return ""
		},
	},
	share("loss", func(c *Conditions) *float64 { return &c.Loss }),
	{"burst", parseBurst, formatBurst},
	share("reorder", func(c *Conditions) *float64 { return &c.Reorder }),
	length("late", func(c *Conditions) *time.Duration { return &c.ReorderDelay }),
	share("duplicate", func(c *Conditions) *float64 { return &c.Duplicate }),
	{
		"rate",
		func(c *Conditions, v string) (err error) {
			c.RateBPS, err = number(v, []unit{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}})
			return err
		},
		func(c *Conditions) string {
			return inUnits(c.RateBPS, []unit{{"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}})
		},
	},
	{"queue", parseQueue, formatQueue},
	{
		"mtu",
		func(c *Conditions, v string) (err error) {
			c.MTU, err = strconv.Atoi(v)
			return must(err == nil, v, "a number of bytes")
		},
		func(c *Conditions) string { return inUnits(int64(c.MTU), []unit{{"", 1}}) },
	},
}

func must(ok bool, value, wanted string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%q is not %s", value, wanted)
}

func length(name string, field func(*Conditions) *time.Duration) key {
	return key{
		name,
		func(c *Conditions, v string) (err error) {
			*field(c), err = time.ParseDuration(v)
			return must(err == nil, v, "a time such as 20ms")
		},
		func(c *Conditions) string {
			if d := *field(c); d != 0 {
				return d.String()
			}
			return ""
		},
	}
}

func share(name string, field func(*Conditions) *float64) key {
	return key{
		name,
		func(c *Conditions, v string) (err error) {
			*field(c), err = parseShare(v)
			return err
		},
		func(c *Conditions) string {
			if s := *field(c); s != 0 {
				return formatShare(s)
			}
			return ""
		},
	}
}

func parseShare(v string) (float64, error) {
	text, percent := strings.CutSuffix(v, "%")
	s, err := strconv.ParseFloat(text, 64)
	if percent {
		s /= 100
	}
	return s, must(err == nil && s >= 0 && s <= 1, v, "a share such as 2% or 0.02")
}

func formatShare(s float64) string { return strconv.FormatFloat(s, 'g', -1, 64) }

func parseBurst(c *Conditions, v string) error {
	values := strings.Split(v, ",")
	b := Burst{LossBad: 1}
	fields := []*float64{&b.ToBad, &b.ToGood, &b.LossBad, &b.LossGood}
	if len(values) < 2 || len(values) > len(fields) {
		return must(false, v, "two to four shares")
	}
	for i, text := range values {
		var err error
		if *fields[i], err = parseShare(text); err != nil {
			return err
		}
	}
	if b == (Burst{LossBad: 1}) { // the link is never bad
		b = Burst{}
	}
	c.Burst = b
	return nil
}

func formatBurst(c *Conditions) string {
	b := c.Burst
	if b == (Burst{}) {
		return ""
	}
	return strings.Join([]string{formatShare(b.ToBad), formatShare(b.ToGood), formatShare(b.LossBad), formatShare(b.LossGood)}, ",")
}

func parseQueue(c *Conditions, v string) error {
	c.QueueBytes, c.QueueTime = 0, 0
	for _, text := range strings.Split(v, ",") {
		if strings.HasSuffix(text, "B") {
			n, err := number(text, []unit{{"MB", 1e6}, {"kB", 1e3}, {"B", 1}})
			if err != nil {
				return err
			}
			c.QueueBytes = int(n)
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return must(false, text, "a time or a number of bytes, such as 200ms or 64kB")
		}
		c.QueueTime = d
	}
	return nil
}

func formatQueue(c *Conditions) string {
	var parts []string
	if c.QueueTime != 0 {
		parts = append(parts, c.QueueTime.String())
	}
	if c.QueueBytes != 0 {
		parts = append(parts, inUnits(int64(c.QueueBytes), []unit{{"MB", 1e6}, {"kB", 1e3}, {"B", 1}}))
	}
	return strings.Join(parts, ",")
}

// unit is what a number may be followed by, the longest name first.
type unit struct {
	name string
	size int64
}

func number(v string, units []unit) (int64, error) {
	for _, u := range units {
		if text, ok := strings.CutSuffix(v, u.name); ok {
			f, err := strconv.ParseFloat(text, 64)
			f = math.Round(f * float64(u.size))
			return int64(f), must(err == nil && f >= 0 && f <= maxRateBPS, v, "a number with a unit")
		}
	}
	return 0, must(false, v, "a number with a unit")
}

func inUnits(n int64, units []unit) string {
	for _, u := range units {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return ""
}
