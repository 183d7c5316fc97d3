package sdk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/sys/unix"

	internalartifact "github.com/musher/musher/internal/artifact"
)

// untar reads an artifact: text by name.
func untar(tb testing.TB, data []byte) map[string]string {
	tb.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			tb.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(text)
		}
	}
}

// artifact packs entries as they are, also those that no honest packer writes.
func artifact(tb testing.TB, entries ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, h := range entries {
		content := []byte("content of " + h.Name)
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// packed is an honest artifact.
func packed(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := internalartifact.Pack(&b, dir); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// smallDisk mounts a file system of so many bytes.
func smallDisk(tb testing.TB, size int) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		tb.Skipf("a small file system cannot be mounted here: %v", err)
	}
	tb.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) }) //nolint:errcheck // the folder is removed anyway
	return dir
}

// roleFor is a request for a role that a service may take.
func roleFor(service string) *iam.CreateRoleInput {
	return &iam.CreateRoleInput{RoleName: aws.String("for-another"), AssumeRolePolicyDocument: aws.String(fmt.Sprintf(
		`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": %q}, "Action": "sts:AssumeRole"}}`, service))}
}
