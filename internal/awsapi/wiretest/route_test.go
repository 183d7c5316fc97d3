package wiretest

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/s3"
)

// A service without handlers names the operation that it lacks: so the test
// sees where each request of S3 leads.
func TestRoutesOfS3(t *testing.T) {
	g := awsapi.NewGateway(awsapi.Config{Authenticator: keys{}, Authorizer: rules{}}, awsapi.NewService(s3.Model))
	for request, want := range map[string]string{
		"GET /":                            "ListBuckets",
		"PUT /b":                           "CreateBucket",
		"PUT /b/":                          "CreateBucket",
		"HEAD /b":                          "",
		"DELETE /b":                        "DeleteBucket",
		"GET /b":                           "ListObjects",
		"GET /b?prefix=a&delimiter=%2F":    "ListObjects",
		"GET /b/?list-type=2":              "ListObjectsV2",
		"GET /b?list-type=1":               "InvalidArgument",
		"GET /b?location":                  "GetBucketLocation",
		"GET /b?location=":                 "GetBucketLocation",
		"GET /b?versioning":                "GetBucketVersioning",
		"PUT /b?versioning":                "PutBucketVersioning",
		"GET /b?versions":                  "ListObjectVersions",
		"GET /b?uploads":                   "ListMultipartUploads",
		"GET /b?acl":                       "GetBucketAcl",
		"GET /b?policy":                    "GetBucketPolicy",
		"GET /b?lifecycle":                 "GetBucketLifecycle",
		"GET /b?tagging":                   "GetBucketTagging",
		"POST /b?delete":                   "DeleteObjects",
		"PUT /b/k":                         "PutObject",
		"PUT /b/k/":                        "PutObject",
		"PUT /b//":                         "PutObject",
		"PUT /b/k?x-id=PutObject":          "PutObject",
		"PUT /b/k X-Amz-Copy-Source":       "CopyObject",
		"PUT /b/k?partNumber=1&uploadId=u": "UploadPart",
		"PUT /b/k?uploadId=u":              "InvalidArgument",
		"PUT /b/k?partNumber=1":            "InvalidArgument",
		"PUT /b/k?partNumber=1&uploadId=u X-Amz-Copy-Source": "UploadPartCopy",
		"PUT /b/k?tagging":   "PutObjectTagging",
		"PUT /b/k?acl":       "PutObjectAcl",
		"PUT /b/k?retention": "PutObjectRetention",
		"GET /b/k":           "GetObject",
		"GET /b/k?versionId=v&response-content-type=x": "GetObject",
		"GET /b/k?partNumber=1":                        "GetObject",
		"GET /b/k?uploadId=u":                          "ListParts",
		"GET /b/k?tagging":                             "GetObjectTagging",
		"GET /b/k?attributes X-Amz-Object-Attributes":  "GetObjectAttributes",
		"POST /b/k?uploads":                            "CreateMultipartUpload",
		"POST /b/k?uploadId=u":                         "CompleteMultipartUpload",
		"POST /b/k?select&select-type=2":               "SelectObjectContent",
		"DELETE /b/k":                                  "DeleteObject",
		"DELETE /b/k?uploadId=u":                       "AbortMultipartUpload",
		"DELETE /b/k?tagging":                          "DeleteObjectTagging",
		"POST /b":                                      "MethodNotAllowed",
		"OPTIONS /b":                                   "MethodNotAllowed",
	} {
		method, target, _ := strings.Cut(request, " ")
		target, header, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, target, nil)
		if header != "" {
			r.Header.Set(header, "x/y")
		}
		awsapi.SignV4(r, awsapi.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}, "r", s3.Model, "UNSIGNED-PAYLOAD", time.Now())
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		said := "Musher does not support s3:" + want + " yet"
		if want == "InvalidArgument" || want == "MethodNotAllowed" {
			said = "<Code>" + want + "</Code>"
		}
		if want == "" {
			said = ""
		}
		if !strings.Contains(w.Body.String(), said) || w.Code < 400 {
			t.Errorf("%s: want %s, got %d %s", request, want, w.Code, w.Body)
		}
	}
}
