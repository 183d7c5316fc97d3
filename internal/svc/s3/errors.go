package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
)

func noSuchBucket(name string) *awsapi.Error {
	return awsapi.Errorf("NoSuchBucket", "The specified bucket does not exist").
		WithStatus(http.StatusNotFound).With("BucketName", name)
}

func noSuchKey(key string) *awsapi.Error {
	return awsapi.Errorf("NoSuchKey", "The specified key does not exist.").
		WithStatus(http.StatusNotFound).With("Key", key)
}

func noSuchUpload(id string) *awsapi.Error {
	return awsapi.Errorf("NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.").
		WithStatus(http.StatusNotFound).With("UploadId", id)
}

func accessDenied(format string, args ...any) *awsapi.Error {
	return awsapi.Errorf("AccessDenied", format, args...).WithStatus(http.StatusForbidden)
}

func badRequest(code, format string, args ...any) *awsapi.Error {
	return awsapi.Errorf(code, format, args...).WithStatus(http.StatusBadRequest)
}

func invalidRequest(format string, args ...any) *awsapi.Error {
	return badRequest("InvalidRequest", format, args...)
}

func invalidArgument(name, format string, args ...any) *awsapi.Error {
	return badRequest("InvalidArgument", format, args...).With("ArgumentName", name)
}

func preconditionFailed(condition string) *awsapi.Error {
	return awsapi.Errorf("PreconditionFailed", "At least one of the pre-conditions you specified did not hold").
		WithStatus(http.StatusPreconditionFailed).With("Condition", condition)
}

// notImplemented refuses what the real service would do and this one can't.
func notImplemented(what string) *awsapi.Error {
	return awsapi.Errorf("NotImplemented", "Musher does not support %s", what).WithStatus(http.StatusNotImplemented)
}

// bytesError gives the errors of storing bytes the form that a client expects.
// The wire layer's own findings (a wrong checksum or chunk signature) come
// through the body's reader and are passed on as they are.
func bytesError(err error) error {
	var wire *awsapi.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wire):
		return wire
	case outOfSpace(err):
		return awsapi.Errorf("InsufficientStorage", "The disk that holds this service's data is full: %w", err).
			WithStatus(http.StatusInsufficientStorage)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled), errors.Is(err, syscall.ECONNRESET):
		return badRequest("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header: %w", err)
	}
	return err
}

// outOfSpace recognises a full disk, also where the database met it.
func outOfSpace(err error) bool {
	return errors.Is(err, blob.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) ||
		strings.Contains(err.Error(), "database or disk is full")
}
