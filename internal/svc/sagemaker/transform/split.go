package transform

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// splitter cuts an object into batches, each of which is a request's records.
type splitter struct {
	in    io.Reader
	lines *bufio.Scanner // nil: the object is one record
	one   bool           // record a batch
	limit int            // bytes of a batch

	held []byte // a record that the batch before had no room for
	over bool
}

func newSplitter(in io.Reader, byLine, one bool, limit int) *splitter {
	s := &splitter{in: in, one: one, limit: limit}
	if byLine {
		const ending = 3 // of a line: \r\n, and what tells the scanner that it fits
		s.lines = bufio.NewScanner(in)
		s.lines.Buffer(nil, limit+ending)
	}
	return s
}

// next gives the next batch, or io.EOF. Lines without anything are no records.
func (s *splitter) next() (records [][]byte, err error) {
	if s.lines == nil {
		return s.whole()
	}
	size := 0
	for {
		record, err := s.record()
		if errors.Is(err, io.EOF) && len(records) > 0 {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		if len(records) > 0 && (s.one || size+len(record) > s.limit) {
			s.held = record
			return records, nil
		}
		records = append(records, record)
		size += 1 + len(record)
	}
}

func (s *splitter) record() ([]byte, error) {
	if record := s.held; record != nil {
		s.held = nil
		return record, nil
	}
	for s.lines.Scan() {
		if line := s.lines.Bytes(); len(line) > s.limit {
			return nil, s.tooLarge("record")
		} else if len(line) > 0 {
			return append([]byte(nil), line...), nil
		}
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, s.tooLarge("record")
	case err != nil:
		return nil, err
	}
	return nil, io.EOF
}

func (s *splitter) whole() ([][]byte, error) {
	if s.over {
		return nil, io.EOF
	}
	s.over = true
	all, err := io.ReadAll(io.LimitReader(s.in, int64(s.limit)+1))
	if err == nil && len(all) > s.limit {
		err = s.tooLarge("object")
	}
	return [][]byte{all}, err
}

func (s *splitter) tooLarge(what string) error {
	return fmt.Errorf("the %s is larger than MaxPayloadInMB, %d MB: raise it, or split by Line", what, s.limit>>20)
}
