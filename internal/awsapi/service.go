package awsapi

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// Protocols that a ServiceModel may name; botocore's spelling.
const (
	ProtocolJSON     = "json"
	ProtocolRESTJSON = "rest-json"
	ProtocolRESTXML  = "rest-xml"
	ProtocolQuery    = "query"
	ProtocolCBOR     = "smithy-rpc-v2-cbor"
)

// ServiceModel is what the generator knows of one AWS service: its
// operations, errors and enumerations. It is a constant in all but name;
// only the cache of compiled type plans inside it changes, and that is a pure
// function of the types, so several gateways may share a model.
type ServiceModel struct {
	Name         string // what Invoke and the routing call it: "sagemaker-runtime"
	Endpoint     string // first label of the service's own host name: "runtime.sagemaker"
	SigningName  string // service part of a SigV4 credential scope
	ActionPrefix string // of IAM actions, where it is not SigningName
	Protocol     string // one of the Protocol constants
	// Also are further protocols that the service is spoken to in; each request
	// decides. They are tried in this order, so query, which takes any, is last.
	Also         []string
	JSONVersion  string // "1.0" or "1.1", protocol json only
	TargetPrefix string // of X-Amz-Target, or the service in CBOR's paths
	APIVersion   string // "2010-05-08"
	XMLNamespace string // of XML answers

	Operations  []OperationModel // supported ones, by name
	Unsupported []OperationName  // ones that the real service has and Musher has not, by name
	Errors      []ErrorModel     // by shape name
	Enums       map[string][]string

	once  sync.Once
	index *modelIndex
}

// faces are the model as the clients of each of its protocols see it: itself,
// and copies that differ in their protocol.
func (m *ServiceModel) faces() []*ServiceModel {
	all := []*ServiceModel{m}
	for _, protocol := range m.Also {
		all = append(all, &ServiceModel{
			Name: m.Name, Endpoint: m.Endpoint, SigningName: m.SigningName, ActionPrefix: m.ActionPrefix,
			Protocol: protocol, Also: m.Also, JSONVersion: m.JSONVersion, TargetPrefix: m.TargetPrefix,
			APIVersion: m.APIVersion, XMLNamespace: m.XMLNamespace,
			Operations: m.Operations, Unsupported: m.Unsupported, Errors: m.Errors, Enums: m.Enums,
		})
	}
	return all
}

// speaksQuery tells whether clients of the query protocol know the service:
// its errors keep the names that they had there.
func (m *ServiceModel) speaksQuery() bool {
	return m.Protocol == ProtocolQuery || slices.Contains(m.Also, ProtocolQuery)
}

// isREST tells whether operations have methods and paths of their own.
func (m *ServiceModel) isREST() bool {
	return m.Protocol == ProtocolRESTJSON || m.Protocol == ProtocolRESTXML
}

// Action is the IAM action of an operation.
func (m *ServiceModel) Action(operation string) string {
	return firstOf(m.ActionPrefix, m.SigningName) + ":" + operation
}

// OperationModel describes one supported operation.
type OperationModel struct {
	Name   string
	Method string // "POST"
	URI    string // "/{Bucket}/{Key+}?uploads"
	Status int    // of a successful answer

	Input, Output reflect.Type // structs, never pointers

	Errors           []string // shape names of the modelled errors
	ResultRoot       string   // root element of an XML answer, where it is not the default
	Unwrapped        bool     // the XML answer is the text of its only member (GetBucketLocation)
	Checksummed      bool     // x-amz-checksum headers speak of the request's body
	ChecksumRequired bool     // the request must carry Content-MD5 or an x-amz-checksum header
}

// OperationName is an operation that is known but not supported. Method and
// URI are set for REST services, so that such a request is recognised.
type OperationName struct{ Name, Method, URI string }

// ErrorModel is a modelled error: the shape's name, the code on the wire and
// the HTTP status.
type ErrorModel struct {
	Shape  string
	Code   string // as on the wire; differs from Shape in the query protocol
	Status int
}

// Permission is one thing a call must be allowed to do.
type Permission struct {
	Action   string // "s3:GetObject"
	Resource string // an ARN, or "*"
	Context  map[string][]string
}

// Service binds handlers to a model.
type Service struct {
	model    *ServiceModel
	faces    []*ServiceModel // one for each of its protocols, model first
	handlers map[string]*handler
}

// handler is one bound operation. Its functions take pointers to the model's
// input type as `any`; Handle checked the types once.
type handler struct {
	op     *operation
	call   func(ctx context.Context, in any) (any, error)
	access func(r *Request, in any) []Permission
}

// NewService returns a service without handlers. Operations that never get a
// handler answer that they are not supported.
func NewService(m *ServiceModel) *Service {
	return &Service{model: m, faces: m.faces(), handlers: map[string]*handler{}}
}

// Model is the model that the service was made from.
func (s *Service) Model() *ServiceModel { return s.model }

// An Option changes how an operation is served.
type Option func(*handler)

// Handle binds an operation to its function. The types In and Out must be the
// generated ones of that operation: anything else is a programming error, and
// panics.
func Handle[In, Out any](s *Service, op string, h func(ctx context.Context, in *In) (*Out, error), opts ...Option) {
	o := s.model.operation(op)
	if o == nil {
		panic(fmt.Sprintf("awsapi: %s has no operation %q", s.model.Name, op))
	}
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	if in != o.Input || out != o.Output {
		panic(fmt.Sprintf("awsapi: %s takes %v and returns %v, not %v and %v", op, o.Input, o.Output, in, out))
	}
	if s.handlers[op] != nil {
		panic(fmt.Sprintf("awsapi: %s is handled twice", op))
	}
	b := &handler{
		op: o,
		call: func(ctx context.Context, in any) (any, error) {
			out, err := h(ctx, in.(*In))
			if err != nil {
				return nil, err
			}
			if out == nil {
				out = new(Out)
			}
			return out, nil
		},
		access: func(*Request, any) []Permission {
			return []Permission{{Action: s.model.Action(op), Resource: "*"}}
		},
	}
	for _, opt := range opts {
		opt(b)
	}
	s.handlers[op] = b
}

// Access says which permissions a call needs, all of them. Without it a call
// needs the operation's own action on "*".
func Access[In any](f func(r *Request, in *In) []Permission) Option {
	return func(h *handler) {
		if in := reflect.TypeFor[In](); in != h.op.Input {
			panic(fmt.Sprintf("awsapi: the access rule of %s takes %v, not %v", h.op.Name, h.op.Input, in))
		}
		h.access = func(r *Request, in any) []Permission { return f(r, in.(*In)) }
	}
}
