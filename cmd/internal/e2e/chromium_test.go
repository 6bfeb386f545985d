package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser process of all tests on this machine.
var chromium chromiumProcess

// chromiumProcess is a browser without a window, started when it is first
// needed.
type chromiumProcess struct {
	once   sync.Once
	ctx    context.Context
	cancel func()
	err    error
}

func (b *chromiumProcess) start(path string, modify ...chromedp.ExecAllocatorOption) {
	dir, err := os.MkdirTemp("", "tutti-chromium-")
	if err != nil {
		b.err = err
		return
	}
	voice := filepath.Join(dir, "voice.wav")
	if b.err = os.WriteFile(voice, wav(pageUI.tone), 0o600); b.err != nil {
		return
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-ui-for-media-stream", true), chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-audio-capture", voice),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), append(flags, modify...)...)
	ctx, cancel := chromedp.NewContext(allocator)
	b.ctx, b.cancel = ctx, func() {
		cancel()
		cancelAllocator()
		_ = os.RemoveAll(dir) // a folder in /tmp is no reason to fail
	}
	b.err = chromedp.Do(ctx)
}

func (b *chromiumProcess) close() {
	if b.cancel != nil {
		b.cancel()
	}
}

// wav answers two seconds of a tone, which joins to itself without a click.
func wav(hz float64) []byte {
	const rate, seconds = 48000, 2
	b := []byte("RIFF")
	le := binary.LittleEndian
	b = le.AppendUint32(b, 36+rate*seconds*2)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1) // PCM
	b = le.AppendUint16(b, 1) // channel
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, rate*2)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = le.AppendUint32(b, rate*seconds*2)
	for i := range rate * seconds {
		b = le.AppendUint16(b, uint16(int16(3000*math.Sin(2*math.Pi*hz*float64(i)/rate))))
	}
	return b
}

// tab is a page of Chromium in a window and with a storage of its own.
type tab struct {
	ctx   context.Context
	close context.CancelFunc

	mu         sync.Mutex
	exceptions []string
}

// openChromium opens an address in Chromium. The page is closed when the test
// ends; an exception that nobody caught in it fails the test.
func openChromium(t *testing.T, url string) *tab {
	t.Helper()
	return chromium.open(t, url)
}

// open opens an address in the browser, which is started for it with such
// options unless it runs.
func (b *chromiumProcess) open(t *testing.T, url string, modify ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium")
	}
	b.once.Do(func() { b.start(path, modify...) })
	if b.err != nil {
		t.Fatalf("start chromium: %v", b.err)
	}
	p := new(tab)
	p.ctx, p.close = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(func() {
		p.close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.exceptions {
			t.Errorf("nobody caught in %s: %s", url, e)
		}
	})
	// The page lives as long as the context of its first command: not one with a deadline.
	if err := chromedp.Do(p.ctx); err != nil {
		t.Fatalf("open a page in chromium: %v", err)
	}
	p.do(t, chromedp.Navigate(url))
	return p
}

func (p *tab) hear(event any) {
	if e, ok := event.(*runtime.EventExceptionThrown); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.exceptions = append(p.exceptions, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	}
}

// do runs actions in the page.
func (p *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func (p *tab) eval(expression string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	return text, nil
}
