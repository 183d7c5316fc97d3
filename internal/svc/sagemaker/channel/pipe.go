package channel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Feed serves a channel in Pipe mode: below dir it makes the named pipes
// NAME_0, NAME_1 … one an epoch, and writes the instance's share of the channel
// into each, object after object, for as long as somebody reads. NAME_1 is
// there when NAME_0 is opened, and NAME_0 goes when it was read. A reader that
// closes a pipe early is done with that epoch.
//
// It returns when ctx ends, or when something cannot be read: the reader has
// then seen the end of a file which was not the end of the data, and the job
// must not count as done.
func (s *Stage) Feed(ctx context.Context, as *awsapi.Caller, r Request, dir, name string) error {
	p, err := s.Pipe(ctx, as, r, dir, name)
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// Pipe is a channel in Pipe mode whose first pipe is there.
type Pipe struct {
	objects interface {
		Get(ctx context.Context, as *awsapi.Caller, bucket, key string) (io.ReadCloser, int64, error)
	}
	as      *awsapi.Caller
	request Request
	records []record
	fifos   *fifos
	name    string
}

// Pipe does what of Feed should be done before the job starts: it finds the
// objects, fails where that fails, and makes the first pipe. Run does the rest.
func (s *Stage) Pipe(ctx context.Context, as *awsapi.Caller, r Request, dir, name string) (*Pipe, error) {
	records, err := s.records(ctx, as, r)
	if err != nil {
		return nil, err
	}
	at, err := openFifos(dir)
	if err != nil {
		return nil, err
	}
	p := &Pipe{objects: s.objects, as: as, request: r, records: records, fifos: at, name: name}
	if err := at.make(p.nth(0)); err != nil {
		at.close()
		return nil, err
	}
	return p, nil
}

func (p *Pipe) nth(epoch int) string { return fmt.Sprintf("%s_%d", p.name, epoch) }

// Run feeds epoch after epoch. It is called once.
func (p *Pipe) Run(ctx context.Context) error {
	defer p.fifos.close()
	for epoch := 0; ; epoch++ {
		if err := p.epoch(ctx, epoch); err != nil {
			p.fifos.remove(p.nth(epoch))
			p.fifos.remove(p.nth(epoch + 1))
			return err
		}
	}
}

// epoch waits for a reader and gives it everything once.
func (p *Pipe) epoch(ctx context.Context, epoch int) error {
	out, err := p.open(ctx, p.nth(epoch))
	if err != nil {
		return err
	}
	// Closing ends a write that waits for a reader which is busy elsewhere.
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	defer out.Close()
	if err := p.fifos.make(p.nth(epoch + 1)); err != nil {
		return err
	}
	err = p.write(ctx, out, epoch)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	p.fifos.remove(p.nth(epoch))
	return nil
}

// How often it is tried whether a reader has come.
const (
	firstTry = 2 * time.Millisecond
	lastTry  = 100 * time.Millisecond
)

// open waits until somebody reads the pipe. The system has no way to wait for
// that which could be given up, so it is tried again and again.
func (p *Pipe) open(ctx context.Context, name string) (*os.File, error) {
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		out, err := p.fifos.open(name)
		if err == nil || !errors.Is(err, syscall.ENXIO) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// write writes the instance's share, in the order of the epoch.
func (p *Pipe) write(ctx context.Context, out io.Writer, epoch int) error {
	for _, rec := range share(p.request, shuffled(p.request, p.records, epoch)) {
		for _, piece := range rec {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := p.writePiece(ctx, out, piece); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pipe) writePiece(ctx context.Context, out io.Writer, piece piece) error {
	if p.request.RecordIO {
		rec := &recordWriter{}
		if err := p.content(ctx, rec, piece); err != nil {
			return err
		}
		_, err := out.Write(rec.bytes())
		return err
	}
	return p.content(ctx, out, piece)
}

// content writes a text, or what an object holds.
func (p *Pipe) content(ctx context.Context, out io.Writer, piece piece) error {
	if piece.text != nil {
		_, err := out.Write(piece.text)
		return err
	}
	body, size, err := p.objects.Get(ctx, p.as, piece.bucket, piece.Key)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := pour(out, body, size, p.request.Gunzip); err != nil {
		return fmt.Errorf("object %q: %w", piece.Key, err)
	}
	return nil
}

// A RecordIO record is a magic number, a word of flag and length, and the
// data, filled up to words. The magic number must not occur in the data where
// a word begins: there the record is cut, and the number left out.
const (
	recordMagic = 0xced7230a
	maxRecord   = 128 << 20 // bytes; it is held in memory, as its length comes first
)

// The flags of a record's parts.
const (
	wholeRecord = iota
	firstPart
	middlePart
	lastPart
)

// recordWriter makes what is written to it into one record.
type recordWriter struct{ data []byte }

func (w *recordWriter) Write(p []byte) (int, error) {
	if len(w.data)+len(p) > maxRecord {
		return 0, bad("a RecordIO record may have %d MB", maxRecord>>20)
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *recordWriter) bytes() []byte {
	var out []byte
	flag, from := wholeRecord, 0
	for i := 0; i+4 <= len(w.data); i += 4 {
		if binary.LittleEndian.Uint32(w.data[i:]) == recordMagic {
			flag = min(flag+1, middlePart)
			out = appendPart(out, flag, w.data[from:i])
			from = i + 4
		}
	}
	if flag != wholeRecord {
		flag = lastPart
	}
	return appendPart(out, flag, w.data[from:])
}

func appendPart(out []byte, flag int, data []byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, recordMagic)
	out = binary.LittleEndian.AppendUint32(out, uint32(flag)<<29|uint32(len(data)))
	out = append(out, data...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}
