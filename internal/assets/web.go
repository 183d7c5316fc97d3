package assets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	tries    = 4   // repetitions in a row without a new byte
	maxTries = 100 // repetitions in all: a server that hangs up after every byte ends some day
)

// newHTTPClient limits what a dead address costs. The whole download has no
// limit: it may be a gigabyte over a thin line. A silent connection is noticed
// by the reader.
func newHTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: t, CheckRedirect: noDowngrade}
}

// noDowngrade follows redirects, but not from https to http.
func noDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirected from https to %s", req.URL.Scheme)
	}
	return nil
}

// fromWeb downloads the item from its public addresses.
func (r *Resolver) fromWeb(ctx context.Context, it Item, s *slot) (string, error) {
	if len(it.URLs) == 0 {
		return "", notOffered("it has none")
	}
	var errs []error
	for _, address := range it.URLs {
		u, err := url.Parse(address)
		if err != nil {
			return "", err
		}
		d := &download{r: r, item: it, url: address, host: u.Host, part: s.part()}
		if err := d.run(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		return s.part(), nil
	}
	return "", errors.Join(errs...)
}

// download is one file from one address. What has arrived stays in part, and
// part's companion .etag tells which version of the file it belongs to, so a
// later try, also by a later process, asks only for the rest.
type download struct {
	r    *Resolver
	item Item
	url  string
	host string
	part string

	got     int64 // bytes in part
	resumed bool  // part holds bytes of an earlier try
}

// origin is what a part must share with the file it is continued from.
type origin struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // a strong ETag or a Last-Modified date
}

// errFinal marks answers that asking again would not change.
var errFinal = errors.New("final")

// run brings the whole file and checks it. A wrong file that was put together
// from several answers is fetched once more in one piece, if the server lets it.
func (d *download) run(ctx context.Context) error {
	err := d.attempt(ctx)
	if errors.Is(err, ErrChecksum) && d.resumed {
		err = d.attempt(ctx)
	}
	return err
}

func (d *download) attempt(ctx context.Context) error {
	if err := d.complete(ctx); err != nil {
		return err
	}
	_, err := d.item.check(d.part)
	if err != nil {
		d.discard()
	}
	return err
}

// complete asks again after interruptions, as long as new bytes keep coming.
func (d *download) complete(ctx context.Context) error {
	d.resumed = false
	pause := d.r.opts.backoff
	for try, fruitless := 1, 0; ; try++ {
		before := d.open()
		err := d.get(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errFinal), isUnknownHost(err):
			return err
		}
		fruitless++
		if d.got > before {
			fruitless, pause = 0, d.r.opts.backoff
		}
		if fruitless >= tries || try >= maxTries {
			return fmt.Errorf("%w (given up after %d tries, %d bytes kept)", err, try, d.got)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// open finds out how much of the file is there already.
func (d *download) open() int64 {
	d.got = 0
	if info, err := os.Stat(d.part); err == nil && d.origin().URL == d.url {
		d.got = info.Size()
	}
	d.resumed = d.resumed || d.got > 0
	return d.got
}

// get asks for the missing bytes once.
func (d *download) get(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	req.Header.Set("Accept-Encoding", "identity") // byte offsets must be the file's own
	if d.got > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.got))
		req.Header.Set("If-Range", d.origin().Validator)
	}
	resp, err := d.r.opts.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	total, err := d.accept(resp)
	if err != nil {
		return err
	}
	if total > d.item.maxBytes() {
		return fmt.Errorf("%s: %w: %d bytes are more than the %d allowed", d.host, errFinal, total, d.item.maxBytes())
	}
	watchdog := time.AfterFunc(d.r.opts.stall, func() {
		cancel(fmt.Errorf("%s sent nothing for %s", d.host, d.r.opts.stall))
	})
	defer watchdog.Stop()
	err = d.save(resp.Body, total, func() { watchdog.Reset(d.r.opts.stall) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// accept judges an answer, prepares the part for its body, and returns the size
// of the whole file (0: unknown).
func (d *download) accept(resp *http.Response) (total int64, err error) {
	switch {
	case resp.StatusCode == http.StatusPartialContent && d.got > 0:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != d.got {
			d.discard()
			return 0, fmt.Errorf("%s: asked for bytes from %d, got %q", d.host, d.got, resp.Header.Get("Content-Range"))
		}
		return total, nil
	case resp.StatusCode == http.StatusOK:
		d.discard()
		return max(resp.ContentLength, 0), d.begin(resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.got > 0:
		d.discard()
		return 0, fmt.Errorf("%s: the kept part does not fit the file any more", d.host)
	case resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return 0, fmt.Errorf("%s: %s", d.host, resp.Status)
	default:
		return 0, fmt.Errorf("%s: %w: %s", d.host, errFinal, resp.Status)
	}
}

// begin notes which version of the file a new part belongs to. Without a
// validator nothing is noted, and an interrupted download starts over.
func (d *download) begin(resp *http.Response) error {
	v := resp.Header.Get("ETag")
	if v == "" || strings.HasPrefix(v, "W/") {
		v = resp.Header.Get("Last-Modified")
	}
	if v == "" {
		return nil
	}
	b, err := json.Marshal(origin{URL: d.url, Validator: v})
	if err != nil {
		return err
	}
	return os.WriteFile(d.originFile(), b, 0o644)
}

// save appends a body to the part.
func (d *download) save(body io.Reader, total int64, alive func()) error {
	f, err := os.OpenFile(d.part, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	lastReport := time.Time{}
	for {
		n, readErr := body.Read(buf)
		if d.got+int64(n) > d.item.maxBytes() {
			return fmt.Errorf("%s: %w: sends more than the %d bytes allowed", d.host, errFinal, d.item.maxBytes())
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return fmt.Errorf("%w: %w", errFinal, err)
		}
		d.got += int64(n)
		alive()
		if now := time.Now(); readErr != nil || now.Sub(lastReport) > 100*time.Millisecond {
			lastReport = now
			d.r.report(d.item, d.host, Downloading, d.got, total)
		}
		switch {
		case readErr == io.EOF && total > 0 && d.got != total:
			return fmt.Errorf("%s: ended after %d of %d bytes", d.host, d.got, total)
		case readErr == io.EOF:
			return f.Close()
		case readErr != nil:
			return fmt.Errorf("%s: %w", d.host, readErr)
		}
	}
}

func (d *download) discard() {
	_ = os.Remove(d.part) // absent is fine; anything else shows when the part is opened
	_ = os.Remove(d.originFile())
	d.got = 0
}

func (d *download) originFile() string { return filepath.Join(filepath.Dir(d.part), ".etag") }

func (d *download) origin() (o origin) {
	b, err := os.ReadFile(d.originFile())
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return origin{}
	}
	return o
}

// contentRange reads "bytes 100-199/200"; a total of "*" gives 0.
func contentRange(h string) (from, total int64, ok bool) {
	rest, ok := strings.CutPrefix(h, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, size, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, false
	}
	first, _, ok := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !ok || err != nil {
		return 0, 0, false
	}
	if size == "*" {
		return from, 0, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return from, total, err == nil
}

// isUnknownHost tells a machine without a way out from a hiccup.
func isUnknownHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
