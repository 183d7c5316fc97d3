package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is the folder of one piece of work.
type Folder string

// Path is where the record or file name lies.
func (f Folder) Path(name string) string { return filepath.Join(string(f), name) }

// Read decodes the record name into v and tells whether it exists.
func (f Folder) Read(name string, v any) (bool, error) {
	b, err := os.ReadFile(f.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("record %s: %w", f.Path(name), err)
	}
	return true, nil
}

// Has tells whether the record exists.
func (f Folder) Has(name string) bool {
	_, err := os.Lstat(f.Path(name))
	return err == nil
}

// Write puts v in place as the record name. Other processes see it whole or
// not at all; it survives a crash of the machine only if durable.
func (f Folder) Write(name string, v any, durable bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := f.Path(name + ".new")
	if err := writeFile(temp, b, durable); err != nil {
		return err
	}
	if err := os.Rename(temp, f.Path(name)); err != nil {
		return err
	}
	if durable {
		return SyncFolder(string(f))
	}
	return nil
}

func writeFile(path string, b []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFolder makes what was renamed in the folder survive a crash of the machine.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
