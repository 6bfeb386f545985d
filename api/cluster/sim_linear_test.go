package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tutti/mixer"
)

// roomOp is what a client did with a room, by a member.
type roomOp struct {
	room, member string
	what         string // claim, release or read
}

// roomIs is whom a room belongs to; member is empty where there is none. Epoch 0
// is not known yet.
type roomIs struct {
	member string
	epoch  Epoch
}

// roomOutcome is what came of it. Where it is not known, it may happen at any
// time, or never.
type roomOutcome struct {
	known, elsewhere bool
	is               roomIs
}

// directory is what the directory of rooms must look like to its users, one room
// at a time.
var directory = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		rooms := map[string]int{}
		var parts [][]porcupine.Operation
		for _, op := range history {
			i, ok := rooms[op.Input.(roomOp).room]
			if !ok {
				i = len(parts)
				rooms[op.Input.(roomOp).room] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() []any { return []any{roomIs{}} },
	Step: func(state, input, output any) []any {
		was, op, out := state.(roomIs), input.(roomOp), output.(roomOutcome)
		switch {
		case op.what == "release" && was.member == op.member:
			return []any{roomIs{}, was}
		case op.what == "release":
			return []any{was}
		case op.what == "read" || out.elsewhere:
			return was.seen(out.is)
		case !out.known && was.member == "":
			return []any{was, roomIs{member: op.member}}
		case !out.known:
			return []any{was, roomIs{member: was.member}} // of its own it may have made another
		case was.member == "" || was.member == op.member && out.is.epoch >= was.epoch:
			return []any{out.is}
		}
		return nil
	},
	Equal: func(a, b any) bool { return a == b },
}

// seen answers what a room is when somebody has seen it.
func (was roomIs) seen(is roomIs) []any {
	if was.member != is.member || was.epoch != 0 && was.epoch != is.epoch {
		return nil
	}
	return []any{is}
}

// history lets clients use rooms through agents whose store loses answers.
func history(seed uint64) []porcupine.Operation {
	s := newSimulation(seed, io.Discard)
	s.quiet, s.lossy = true, 6
	var ops []porcupine.Operation
	var at int64
	tick := func() int64 { at++; return at }
	const never = int64(1) << 40
	for i := range 3 {
		m := &simMachine{name: fmt.Sprintf("n%d", i), role: NodeRole}
		s.machines = append(s.machines, m)
		s.boot(m)
		p := m.process
		p.start(s.now+time.Second, func() {
			for range 14 {
				s.park(s.now + s.between(0, 300*time.Millisecond))
				op := roomOp{room: fmt.Sprintf("r%d", s.rng.IntN(2)), member: m.name}
				begun := tick()
				out, ends := use(p, &op)
				if ends {
					ops = append(ops, porcupine.Operation{ClientId: i, Input: op, Call: begun, Output: out, Return: tick()})
				} else {
					ops = append(ops, porcupine.Operation{ClientId: 3 + len(ops), Input: op, Call: begun, Output: out, Return: never})
				}
				if op.what == "claim" {
					// A try before the last may arrive later still, and is removed some time.
					if ends {
						ops = append(ops, porcupine.Operation{ClientId: 3 + len(ops), Input: op, Call: begun, Output: roomOutcome{}, Return: never})
					}
					op.what = "release"
					ops = append(ops, porcupine.Operation{ClientId: 3 + len(ops), Input: op, Call: begun, Output: roomOutcome{}, Return: never})
				}
			}
		})
	}
	defer s.end()
	if err := s.until(s.now + 20*time.Second); err != nil {
		panic(err)
	}
	return ops
}

// use does something with a room, and answers what came of it and whether it is
// over.
func use(p *process, op *roomOp) (out roomOutcome, ends bool) {
	ctx := context.Background()
	switch p.sim.rng.IntN(5) {
	case 0, 1:
		op.what = "claim"
		epoch, err := p.agent.Claim(ctx, op.room, mixer.Settings{}, time.Time{})
		var elsewhere *ElsewhereError
		if errors.As(err, &elsewhere) {
			return roomOutcome{known: true, elsewhere: true, is: roomIs{elsewhere.Owner.Node, elsewhere.Owner.Epoch}}, true
		}
		return roomOutcome{known: err == nil, is: roomIs{p.machine.name, epoch}}, err == nil
	case 2:
		op.what = "release"
		p.agent.Release(op.room)
		return roomOutcome{}, false
	}
	op.what = "read"
	for {
		e, _, err := p.agent.readRoom(ctx, op.room)
		switch {
		case err != nil:
		case e == nil:
			return roomOutcome{known: true}, true
		default:
			return roomOutcome{known: true, is: roomIs{e.Node, e.Epoch}}, true
		}
	}
}

// However answers are lost, the directory looks to its users as if one did
// something after the other.
func TestDirectoryIsLinearizable(t *testing.T) {
	model := directory.ToModel()
	seeds := simEnv("TUTTI_SIM_HISTORIES", 60)
	known := uint64(0)
	for seed := range seeds {
		ops := history(seed + 1)
		switch porcupine.CheckOperationsTimeout(model, ops, time.Second) {
		case porcupine.Ok:
			known++
		case porcupine.Illegal:
			t.Errorf("seed %d: %d operations are in no order", seed+1, len(ops))
			for _, op := range ops {
				t.Logf("%d-%d %+v %+v", op.Call, op.Return, op.Input, op.Output)
			}
			return
		}
	}
	if known < seeds*9/10 { // where nearly all answers are lost, there are too many orders to try
		t.Errorf("only %d of %d histories could be judged", known, seeds)
	}
}
