package awsapi

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// The same refusal has another name in every protocol. Code of this package,
// and authenticators and authorizers, use the query protocol's names; resolve
// translates them for the service that answers.

// dialects maps a query protocol code to those of other protocols.
var dialects = map[string]struct{ json, s3 string }{
	"AccessDenied":               {"AccessDeniedException", "AccessDenied"},
	"ExpiredToken":               {"ExpiredTokenException", "ExpiredToken"},
	"IncompleteSignature":        {"IncompleteSignatureException", "AuthorizationHeaderMalformed"},
	"InternalFailure":            {"InternalFailure", "InternalError"},
	"InvalidAction":              {"UnknownOperationException", "NotImplemented"},
	"InvalidClientTokenId":       {"UnrecognizedClientException", "InvalidAccessKeyId"},
	"MissingAuthenticationToken": {"MissingAuthenticationTokenException", "AccessDenied"},
	"SignatureDoesNotMatch":      {"InvalidSignatureException", "SignatureDoesNotMatch"},
	"Throttling":                 {"ThrottlingException", "SlowDown"},
	"ServiceUnavailable":         {"ServiceUnavailable", "ServiceUnavailable"},
	"RequestEntityTooLarge":      {"RequestEntityTooLargeException", "MaxMessageLengthExceeded"},
}

// commonCode finds the query protocol's name for a code of any protocol.
var commonCode = func() map[string]string {
	all := map[string]string{}
	for common, d := range dialects {
		all[d.json], all[common] = common, common
	}
	all["InvalidAccessKeyId"], all["InternalError"] = "InvalidClientTokenId", "InternalFailure"
	return all
}()

// statuses are those of codes that are in no model; all others are 400.
var statuses = map[string]int{
	"AccessDenied":               403,
	"ExpiredToken":               403,
	"InternalFailure":            500,
	"InvalidClientTokenId":       403,
	"MissingAuthenticationToken": 403,
	"SignatureDoesNotMatch":      403,
	"ServiceUnavailable":         503,
	"RequestEntityTooLarge":      413,
}

// s3Statuses are S3's: its model has next to none of its codes.
var s3Statuses = map[string]int{
	"AccessDenied":               403,
	"BucketAlreadyExists":        409,
	"BucketAlreadyOwnedByYou":    409,
	"BucketNotEmpty":             409,
	"ConditionalRequestConflict": 409,
	"InternalError":              500,
	"InvalidAccessKeyId":         403,
	"InvalidBucketState":         409,
	"InvalidObjectState":         403,
	"InvalidRange":               416,
	"MethodNotAllowed":           405,
	"MissingContentLength":       411,
	"NoSuchBucket":               404,
	"NoSuchBucketPolicy":         404,
	"NoSuchKey":                  404,
	"NoSuchUpload":               404,
	"NoSuchVersion":              404,
	"NotFound":                   404,
	"NotImplemented":             501,
	"NotModified":                304,
	"OperationAborted":           409,
	"PreconditionFailed":         412,
	"RequestTimeTooSkewed":       403,
	"ServiceUnavailable":         503,
	"SignatureDoesNotMatch":      403,
	"SlowDown":                   503,
}

func (m *ServiceModel) isS3() bool { return m.SigningName == "s3" }

// resolve returns e as the service m would send it: with the code of its
// protocol, or of its model, and with a status.
func resolve(m *ServiceModel, e *Error) *Error {
	out := *e
	if modelled := m.compiled().errors[e.Code]; modelled != nil {
		out.Code = modelled.Shape
		if m.Protocol == ProtocolQuery {
			out.Code = modelled.Code
		}
		if out.Status == 0 && !(m.isS3() && s3Statuses[out.Code] != 0) {
			out.Status = modelled.Status
		}
	} else if common, ok := commonCode[e.Code]; ok {
		out.Code = m.dialect(common)
		if out.Status == 0 && !m.isS3() {
			out.Status = m.commonStatus(common)
		}
	}
	if out.Status == 0 && m.isS3() {
		out.Status = s3Statuses[out.Code]
	}
	if out.Status == 0 {
		out.Status = http.StatusBadRequest
	}
	return &out
}

func (m *ServiceModel) dialect(common string) string {
	switch d := dialects[common]; {
	case m.isS3():
		return d.s3
	case m.Protocol == ProtocolQuery:
		return common
	default:
		return d.json
	}
}

// commonStatus: services that speak json or CBOR answer 400 to whatever the caller did
// wrong, the others tell apart.
func (m *ServiceModel) commonStatus(common string) int {
	status := statuses[common]
	if !m.isREST() && m.Protocol != ProtocolQuery && status == 403 {
		return http.StatusBadRequest
	}
	if common == "InvalidAction" && m.Protocol == ProtocolRESTJSON {
		return http.StatusNotFound
	}
	return status
}

// validationError is what all services but S3 answer to wrong members. Some
// have the error in their model, under one of two names.
func validationError(m *ServiceModel, f *faults) *Error {
	code := "ValidationException"
	switch {
	case m.speaksQuery() || m.compiled().errors["ValidationError"] != nil:
		code = "ValidationError"
	case m.SigningName == "logs": // though its model has the usual error too
		code = "InvalidParameterException"
	}
	return Errorf(code, "%s", f.message()).WithStatus(http.StatusBadRequest)
}

// queryError names an error as the query protocol does, for clients that have
// left that protocol and still show its codes: "CODE;Sender".
func queryError(m *ServiceModel, e *Error) string {
	code := e.Code
	if modelled := m.compiled().errors[code]; modelled != nil {
		code = modelled.Code
	} else if common, ok := commonCode[code]; ok {
		code = common
	}
	return code + ";" + side(e.Status)
}

// side says whose fault a status tells of, in the query protocol's words.
func side(status int) string {
	if status >= 500 {
		return "Receiver"
	}
	return "Sender"
}

// unsupported says honestly that an operation is missing here.
func unsupported(m *ServiceModel, op string) *Error {
	return Errorf("InvalidAction", "Musher does not support %s yet", m.Action(op))
}

// unknown is for operations that the real service does not have either.
func unknown(m *ServiceModel, op string) *Error {
	return Errorf("InvalidAction", "Could not find operation %s for version %s", op, m.APIVersion)
}

// hostID fills S3's second identifier, which only its own support can read.
func hostID(requestID string) string {
	sum := sha256.Sum256([]byte(requestID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// stranger is the model that answers requests for services that are not here,
// in the protocol that the request seems to be in.
func stranger(r *http.Request, service string) *ServiceModel {
	m := &ServiceModel{Name: service, SigningName: service, Protocol: ProtocolRESTJSON}
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		m.Protocol = ProtocolJSON
	case r.Header.Get("Smithy-Protocol") != "":
		m.Protocol = ProtocolCBOR
	case isForm(r) || strings.Contains(r.URL.RawQuery, "Action="):
		m.Protocol = ProtocolQuery
	}
	return m
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/x-www-form-urlencoded")
}
