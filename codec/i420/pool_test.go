package i420

import "testing"

// A size that nobody asks for any more must not be kept for ever, one that is
// asked for now and then must not be made again each time.
func TestPoolForgetsSizes(t *testing.T) {
	var p Pool
	p.Get(1280, 720).Release()
	used := p.Get(640, 360)
	used.Release()
	for range stale / 2 {
		p.Get(640, 360).Release()
	}
	if len(p.free) != 2 {
		t.Fatalf("%d frames are kept, want one of each size", len(p.free))
	}
	for range stale {
		if f := p.Get(640, 360); f != used {
			t.Fatal("a frame was made where one was free")
		} else {
			f.Release()
		}
	}
	if len(p.free) != 1 || p.free[0] != used {
		t.Errorf("%d frames are kept, want the one in use", len(p.free))
	}
	var held []*Frame
	for range 3 * keep {
		held = append(held, p.Get(320, 180))
	}
	for _, f := range held {
		f.Release()
	}
	if len(p.free) != keep || p.Live() != 0 {
		t.Errorf("%d frames are kept, %d are live", len(p.free), p.Live())
	}
}

func TestPoolAllocatesNothing(t *testing.T) {
	var p Pool
	p.Get(64, 64).Release()
	if n := testing.AllocsPerRun(1000, func() { p.Get(64, 64).Release() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
