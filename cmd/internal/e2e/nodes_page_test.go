package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// shownNode is what the operator's page shows of a node.
type shownNode struct {
	State, Key, Doing string
	Rooms             []string // that are listed
}

// shown reads the cards of the page, by the node's name.
const shown = `Object.fromEntries([...document.querySelectorAll('#nodes > .node')].map((card) => {
	const text = (selector) => card.querySelector(selector)?.textContent ?? '';
	const details = card.querySelector('.node-rooms');
	return [text('h2'), {
		state: text('.node-state'), key: text('button'), doing: text('.node-doing'),
		rooms: details.hidden || !details.open ? [] : [...details.querySelectorAll('li a')].map((a) => a.textContent),
	}];
}))`

// showsNode waits until the page shows a node as it should be.
func (p *tab) showsNode(t *testing.T, name string, want shownNode) {
	t.Helper()
	until(t, patience, func() string {
		got, ok := eval[map[string]shownNode](t, p, shown)[name]
		return wrongIf(!ok || fmt.Sprint(got) != fmt.Sprint(want), "%s is shown as %+v, not %+v", name, got, want)
	})
}

// press clicks the button of a node's card.
func (p *tab) press(t *testing.T, name string) {
	t.Helper()
	p.click(t, fmt.Sprintf("#nodes > .node:nth-child(%s) button", name[len("node-"):])) // in the order of their names
}

// TestNodesPage drains a node of a cluster by the operator's page.
func TestNodesPage(t *testing.T) {
	f := launch(t, 1, 2)
	router := f.routers[0]
	if _, err := router.call(http.MethodPut, "/v1/rooms/ward", smallRoom); err != nil {
		t.Fatal(err)
	}
	from, to := f.owner(t, "ward").Node, "node-1"
	if from == to {
		to = "node-2"
	}
	p := openChromium(t, router.url("/nodes.html"))
	p.showsNode(t, from, shownNode{"Takes rooms", "Drain", "", []string{"ward"}})
	p.showsNode(t, to, shownNode{"Takes rooms", "Drain", "", nil})
	p.shoot(t, "nodes", 1280, 800, false)

	t.Run("who says no changes nothing", func(t *testing.T) {
		p.press(t, from)
		p.shoot(t, "nodes-question", 1280, 800, false)
		p.click(t, "#ask-no")
		until(t, patience, func() string { return p.is(t, "!document.querySelector('#ask').open") })
		if got := f.state(t, router, from); got != (nodeState{from, "active", 1}) {
			t.Errorf("the node is %+v", got)
		}
	})
	t.Run("drain", func(t *testing.T) {
		p.press(t, from)
		p.click(t, "#ask-yes")
		f.becomes(t, router, nodeState{from, "draining", 0})
		p.showsNode(t, from, shownNode{"Draining", "Take back", "Empty: it can be stopped.", nil})
		p.showsNode(t, to, shownNode{"Takes rooms", "Drain", "", []string{"ward"}})
		p.shoot(t, "nodes-drained", 1280, 800, false)
	})
	t.Run("take back", func(t *testing.T) {
		p.press(t, from)
		p.click(t, "#ask-yes")
		f.becomes(t, router, nodeState{from, "active", 0})
		p.showsNode(t, from, shownNode{"Takes rooms", "Drain", "", nil})
	})
	t.Run("a node that is certified dead is gone", func(t *testing.T) {
		f.nodes[to].kill()
		until(t, patience, func() string {
			cards := eval[map[string]shownNode](t, p, shown)
			_, there := cards[to]
			return wrongIf(there || len(cards) != 1, "shown are %+v", cards)
		})
	})
}
