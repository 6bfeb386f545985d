package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Errors of Certify.
var (
	// ErrNotProven: what the evidence says could not be shown now.
	ErrNotProven = errors.New("the death is not proven")
	// ErrNoMember: the name is none of a member.
	ErrNoMember = errors.New("there is no such member")
)

// Certify writes that the incarnation of a member that is there now, or was last,
// is dead: by Refused, Granted or Stated. ErrNotProven is answered where it may
// live, ErrConflict where something has changed meanwhile.
func (a *Agent) Certify(ctx context.Context, node string, e Evidence) error {
	if err := a.certify(ctx, node, e); err != nil {
		return fmt.Errorf("certify the death of %s: %w", node, err)
	}
	return nil
}

func (a *Agent) certify(ctx context.Context, node string, e Evidence) error {
	member, live, err := a.entriesOf(ctx, node)
	switch {
	case err != nil:
		return err
	case member == nil:
		return ErrNoMember
	case live != nil && live.Incarnation != member.Incarnation:
		return ErrConflict // between the two reads
	}
	conditions := []Condition{{MemberKey(node), member.modified}, {LiveKey(node), 0}}
	death := Death{Node: node, Incarnation: member.Incarnation, Evidence: e, By: a.cfg.Name, At: a.machine.Wall()}
	writes := []Write{{Key: MemberKey(node)}, {DeathKey(node, member.Incarnation), encode(death), 0}}
	if live != nil {
		conditions[1].Modified = live.modified
		writes = append(writes, Write{Key: LiveKey(node)})
	}
	switch e {
	case Stated:
	case Refused:
		if !a.peers.Refuses(ctx, member.Address) {
			return fmt.Errorf("%w: something listens at %s, or nothing is known", ErrNotProven, member.Address)
		}
	case Granted:
		if live != nil {
			return fmt.Errorf("%w: its lease has not ended", ErrNotProven)
		}
		grants, err := a.gather(ctx, member)
		if err != nil {
			return err
		}
		conditions = append(conditions, grants...)
	default:
		return fmt.Errorf("%w: %q is no evidence that another member can give", ErrNotProven, e)
	}
	_, err = a.commit(ctx, conditions, writes)
	return err
}

// gather asks a member's quorum set for grants, and answers the conditions under
// which they hold: that no grantor has registered anew since.
func (a *Agent) gather(ctx context.Context, m *memberEntry) ([]Condition, error) {
	q := Question{Node: m.Name, Incarnation: m.Incarnation}
	var (
		mu     sync.Mutex
		grants []Condition
		asks   []func()
	)
	for _, name := range m.Quorum {
		if name == m.Name {
			continue
		}
		asks = append(asks, func() {
			answer := a.word(ctx, name, askGrant, q)
			if answer.Yes {
				mu.Lock()
				grants = append(grants, Condition{LiveKey(name), answer.Live})
				mu.Unlock()
			}
		})
	}
	a.machine.All(asks...)
	if 2*len(grants) <= len(m.Quorum) {
		return nil, fmt.Errorf("%w: %d of %d members grant it", ErrNotProven, len(grants), len(m.Quorum))
	}
	return grants, nil
}

// word asks any member, this one included.
func (a *Agent) word(ctx context.Context, name string, kind ask, q Question) Answer {
	if name == a.cfg.Name {
		return a.answer(kind, q)
	}
	return a.askOne(ctx, name, kind, q)
}
