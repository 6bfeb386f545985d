package webm_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tutti/transport/webm"
	"tutti/transport/webm/webmtest"
)

// interrupted answers the bytes of a file whose writer died.
func interrupted(t testing.TB, f webmtest.Film) []byte {
	t.Helper()
	file := create(t)
	cfg := video
	cfg.Width, cfg.Height = f.Width, f.Height
	w, err := webm.NewFile(file, cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, f.Make(t), f.Width > 0)
	data, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// repair repairs a file of those bytes and answers it.
func repair(t *testing.T, data []byte) (string, webm.Repaired, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "r.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	r, err := webm.Repair(f, int64(len(data)))
	return f.Name(), r, err
}

func TestInterruptedFilePlaysAndIsRepaired(t *testing.T) {
	data := interrupted(t, film)
	name := filepath.Join(t.TempDir(), "i.webm")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	fixed, r, err := repair(t, data)
	if err != nil {
		t.Fatal(err)
	}
	webmtest.Check(t, name, 320, 180, r.Duration) // as it was left
	webmtest.Check(t, fixed, 320, 180, r.Duration)
	if r.Duration < film.Length-2*time.Second || r.Cut != 0 {
		t.Errorf("repaired to %+v", r)
	}
	repaired, err := os.ReadFile(fixed)
	if err != nil {
		t.Fatal(err)
	}
	again, r2, err := repair(t, repaired)
	if err != nil || r2 != r {
		t.Errorf("repaired again: %+v, %v", r2, err)
	}
	if b, _ := os.ReadFile(again); !bytes.Equal(b, repaired) {
		t.Error("a complete file has been changed")
	}
}

func TestTornTailIsCutOff(t *testing.T) {
	data := interrupted(t, film)
	last := bytes.LastIndex(data, []byte{0x1F, 0x43, 0xB6, 0x75})
	for _, keep := range []int{last + 2, last + 5, last + 40, len(data) - 1} {
		name, r, err := repair(t, data[:keep])
		if err != nil {
			t.Fatal(err)
		}
		if r.Cut != int64(keep-last) {
			t.Errorf("kept %d, last cluster at %d: %+v", keep, last, r)
		}
		webmtest.Check(t, name, 320, 180, r.Duration)
	}
}

func TestClusterThatLiesIsCutOff(t *testing.T) {
	data := interrupted(t, film)
	last := bytes.LastIndex(data, []byte{0x1F, 0x43, 0xB6, 0x75})
	silence := bytes.LastIndex(data, []byte{0xA3, 0x87, 0x82}) // a block of 7 bytes in track 2
	data[silence+1] = 0xFE                                     // is now longer than its cluster
	name, r, err := repair(t, data)
	if err != nil || r.Cut != int64(len(data)-last) {
		t.Fatalf("last cluster at %d of %d: %+v, %v", last, len(data), r, err)
	}
	webmtest.Check(t, name, 320, 180, r.Duration)
}

func TestSoundIsRepaired(t *testing.T) {
	name, r, err := repair(t, interrupted(t, webmtest.Film{Length: 3 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	webmtest.Check(t, name, 0, 0, r.Duration)
}

func TestWhatCannotBeRepaired(t *testing.T) {
	data := interrupted(t, film)
	first := bytes.Index(data, []byte{0x1F, 0x43, 0xB6, 0x75})
	if _, _, err := repair(t, data[:first+10]); !errors.Is(err, webm.ErrEmpty) {
		t.Errorf("without a cluster: %v", err)
	}
	for _, n := range []int{0, 1, 30, first / 2} {
		if _, _, err := repair(t, data[:n]); !errors.Is(err, webm.ErrForeign) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// memory is a file in memory that does not grow beyond bounds.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, at)
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if n := at + int64(len(p)); n > int64(len(m.b)) {
		m.b = append(m.b, make([]byte, n-int64(len(m.b)))...)
	}
	return copy(m.b[at:], p), nil
}

func (m *memory) Truncate(n int64) error {
	m.b = m.b[:n]
	return nil
}

func FuzzRepair(f *testing.F) {
	data := interrupted(f, webmtest.Film{
		Width: 32, Height: 32, FPS: 5, Length: 1500 * time.Millisecond, KeyEvery: 600 * time.Millisecond,
	})
	f.Add(data)
	f.Add(data[:len(data)-7])
	f.Add(data[:300])
	for at := 0; at < len(data); at += 1 + at/16 { // sizes and times that lie
		bad := bytes.Clone(data)
		bad[at] ^= 0x55
		f.Add(bad)
	}
	bad := bytes.Clone(data)
	bad[bytes.LastIndex(bad, []byte{0xA3, 0x87, 0x82})+1] = 0xFE // a block longer than its cluster
	f.Add(bad)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &memory{bytes.Clone(data)}
		r, err := webm.Repair(m, int64(len(data)))
		if err != nil {
			if !bytes.Equal(m.b, data) {
				t.Fatal("changed what it could not repair")
			}
			return
		}
		if r.Bytes != int64(len(m.b)) {
			t.Fatalf("says %d bytes of %d", r.Bytes, len(m.b))
		}
		once := bytes.Clone(m.b)
		again, err := webm.Repair(m, int64(len(m.b)))
		if err != nil || again.Duration != r.Duration || !bytes.Equal(once, m.b) {
			t.Fatalf("repaired again: %+v after %+v, %v", again, r, err)
		}
	})
}
