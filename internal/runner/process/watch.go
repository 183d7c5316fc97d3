//go:build linux

package process

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher tells when records appear in the folders of work (inotify).
type watcher struct {
	events *os.File
	conn   syscall.RawConn // of events: its Fd method would make it block

	mu    sync.Mutex
	items map[int32]*item // by watch descriptor
	ids   map[*item]int32
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch folders: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	conn, err := events.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &watcher{events: events, conn: conn, items: map[int32]*item{}, ids: map[*item]int32{}}, nil
}

// add watches the item's folder. What is in it already is not told.
func (w *watcher) add(it *item) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var wd int
	var failed error
	err := w.conn.Control(func(fd uintptr) {
		wd, failed = unix.InotifyAddWatch(int(fd), string(it.folder), unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	})
	if err := cmp.Or(err, failed); err != nil {
		return fmt.Errorf("watch %s: %w", it.folder, err)
	}
	w.items[int32(wd)], w.ids[it] = it, int32(wd)
	return nil
}

func (w *watcher) drop(it *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, watched := w.ids[it]
	if !watched {
		return
	}
	delete(w.items, wd)
	delete(w.ids, it)
	// The kernel drops the watch itself when the folder is removed.
	_ = w.conn.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
}

// run calls changed for each item with a new record, until close.
func (w *watcher) run(changed func(*item)) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.events.Read(buffer)
		if err != nil {
			return
		}
		for _, it := range w.touched(buffer[:n]) {
			changed(it)
		}
	}
}

// touched gives the items that events are about; all, if the kernel lost some.
func (w *watcher) touched(events []byte) []*item {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*item
	for len(events) >= unix.SizeofInotifyEvent {
		var e unix.InotifyEvent
		// The buffer is long enough, so this can't fail.
		_ = binary.Read(bytes.NewReader(events), binary.NativeEndian, &e)
		events = events[unix.SizeofInotifyEvent+e.Len:]
		if e.Mask&unix.IN_Q_OVERFLOW != 0 {
			for _, it := range w.items {
				found = append(found, it)
			}
		}
		if it := w.items[e.Wd]; it != nil {
			found = append(found, it)
		}
	}
	return found
}

func (w *watcher) close() error { return w.events.Close() }
