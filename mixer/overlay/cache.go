package overlay

import (
	"container/list"
	"image"
	"sync"
)

// key names what a bitmap shows.
type key struct {
	kind kind
	text string
	seed string
	size image.Point
	on   bool
}

type kind uint8

const (
	labels kind = iota
	avatars
	slates
)

// cache keeps the bitmaps that were used last, up to so many bytes.
type cache struct {
	mu    sync.Mutex
	most  int
	bytes int
	order *list.List // of *entry, the newest in front
	at    map[key]*list.Element
}

type entry struct {
	key    key
	bitmap *Bitmap
}

func newCache(most int) *cache {
	return &cache{most: most, order: list.New(), at: map[key]*list.Element{}}
}

// get answers what is kept for k, or what draw makes. Two goroutines that miss
// at once both draw, so that neither waits for the other's.
func (c *cache) get(k key, draw func() *Bitmap) *Bitmap {
	if b := c.look(k); b != nil {
		return b
	}
	b := draw()
	c.keep(k, b)
	return b
}

func (c *cache) look(k key) *Bitmap {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.at[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).bitmap
}

func (c *cache) keep(k key, b *Bitmap) {
	size := k.bytes(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[k] != nil || size > c.most {
		return
	}
	c.at[k] = c.order.PushFront(&entry{k, b})
	for c.bytes += size; c.bytes > c.most; {
		old := c.order.Remove(c.order.Back()).(*entry)
		delete(c.at, old.key)
		c.bytes -= old.key.bytes(old.bitmap)
	}
}

// bytes answers about what an entry costs, so that empty ones are bounded too.
func (k key) bytes(b *Bitmap) int { return b.bytes() + len(k.text) + len(k.seed) + 256 }
