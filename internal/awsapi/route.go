package awsapi

import (
	"net/http"
	"net/url"
	"strings"
)

// target is where a request goes: a service in one of its protocols, an
// operation, and what the path said. refusal is set, in place of op, where
// there is no such operation.
type target struct {
	*face
	op      *operation
	vars    map[string]string
	bucket  string // of a virtual-hosted request
	refusal *Error
}

// face is a service as one of its protocols shows it.
type face struct {
	service *Service
	model   *ServiceModel
}

// chooseFace finds the service that a request is for, and the protocol that it
// is in. All services share a port, so the credential scope decides; unsigned
// requests go by what else they show, and to S3 in doubt.
func (g *Gateway) chooseFace(r *http.Request, query []param, s *signature) *face {
	choose := func(fits func(*ServiceModel) bool) *face { return pick(g.faces, r, query, fits) }
	if s != nil {
		return choose(func(m *ServiceModel) bool { return m.SigningName == s.service })
	}
	if r.Header.Get("X-Amz-Target") != "" || r.Header.Get("Smithy-Protocol") != "" {
		return choose(func(m *ServiceModel) bool {
			return (m.Protocol == ProtocolJSON || m.Protocol == ProtocolCBOR) && claims(m, r, query)
		})
	}
	host := hostName(r.Host)
	byHost := choose(func(m *ServiceModel) bool {
		return !m.isS3() && m.Endpoint != "" && strings.HasPrefix(host, m.Endpoint+".")
	})
	if byHost != nil {
		return byHost
	}
	if a, ok := lookup(query, "Action"); ok {
		if f := choose(func(m *ServiceModel) bool { return m.Protocol == ProtocolQuery && m.has(a) }); f != nil {
			return f
		}
	}
	if isForm(r) && r.Method == http.MethodPost && r.URL.Path == "/" {
		if f := choose(func(m *ServiceModel) bool { return m.Protocol == ProtocolQuery }); f != nil {
			return f
		}
	}
	rest := func(m *ServiceModel) bool { return m.Protocol == ProtocolRESTJSON && claims(m, r, query) }
	if f := choose(rest); f != nil {
		return f
	}
	return choose((*ServiceModel).isS3)
}

// has tells whether the real service has an operation.
func (m *ServiceModel) has(op string) bool {
	x := m.compiled()
	return x.ops[op] != nil || x.known[op]
}

// pick returns the first face that fits and claims the request, or else the
// first that fits: SageMaker and its runtime share a signing name.
func pick(faces []*face, r *http.Request, query []param, fits func(*ServiceModel) bool) *face {
	var first *face
	for _, f := range faces {
		if !fits(f.model) {
			continue
		}
		if claims(f.model, r, query) {
			return f
		}
		if first == nil {
			first = f
		}
	}
	return first
}

// claims tells whether the request has the form of the service's requests.
func claims(m *ServiceModel, r *http.Request, query []param) bool {
	switch {
	case m.isS3() || m.Protocol == ProtocolQuery:
		return true
	case m.Protocol == ProtocolJSON:
		return strings.HasPrefix(r.Header.Get("X-Amz-Target"), m.TargetPrefix+".")
	case m.Protocol == ProtocolCBOR:
		return r.Header.Get("Smithy-Protocol") == cborProtocol && strings.HasPrefix(r.URL.Path, cborPath(m))
	}
	t, _ := matchREST(m, r.Method, r.URL.EscapedPath(), query, r.Header)
	return t != nil
}

// route finds the operation. form holds the body's parameters where the
// service speaks the query protocol.
func route(f *face, r *http.Request, query, form []param) target {
	t := target{face: f}
	m := f.model
	switch m.Protocol {
	case ProtocolCBOR:
		t.named(clip(strings.TrimPrefix(r.URL.Path, cborPath(m))))
	case ProtocolJSON:
		name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), m.TargetPrefix+".")
		if !ok {
			name = clip(r.Header.Get("X-Amz-Target"))
		}
		t.named(name)
	case ProtocolQuery:
		name, ok := lookup(form, "Action")
		if !ok {
			t.refusal = Errorf("MissingAction", "The request must contain the parameter Action")
			break
		}
		t.named(clip(name))
	default:
		t.rest(r, query)
	}
	return t
}

func (t *target) named(name string) {
	m := t.model
	t.op = m.operation(name)
	switch {
	case t.op != nil:
	case m.compiled().known[name]:
		t.refusal = unsupported(m, name)
	default:
		t.refusal = unknown(m, name)
	}
}

func (t *target) rest(r *http.Request, query []param) {
	m := t.model
	path := r.URL.EscapedPath()
	if m.isS3() {
		if t.bucket = bucketOf(r.Host); t.bucket != "" {
			path = "/" + url.PathEscape(t.bucket) + path
		}
	}
	found, vars := matchREST(m, r.Method, path, query, r.Header)
	switch {
	case found == nil && m.isS3():
		t.refusal = Errorf("MethodNotAllowed", "The specified method is not allowed against this resource.").With("Method", r.Method)
	case found == nil:
		t.refusal = unknown(m, r.Method+" "+clip(path))
	case found.op == nil:
		t.refusal = unsupported(m, found.unsupported)
	default:
		t.op, t.vars = found.op, vars
		t.refusal = strayKey(m, found, query)
	}
	if t.refusal != nil {
		t.op = nil
	}
}

// strayKey refuses a request that has a query key which tells operations
// apart, but not in the operation that was found: "PUT /b/k?uploadId=x"
// without a part number must not overwrite the object.
func strayKey(m *ServiceModel, t *template, query []param) *Error {
	for _, p := range query {
		if m.compiled().subs[p.key] && !t.takes[p.key] {
			return Errorf("InvalidArgument", "This operation does not accept a query parameter that was sent.").
				WithStatus(http.StatusBadRequest).With("ArgumentName", p.key).With("ArgumentValue", clip(p.value))
		}
	}
	return nil
}

// matchREST finds the most particular of the templates that fit. A supported
// operation wins against an unsupported one that fits as well.
func matchREST(m *ServiceModel, method, path string, query []param, h http.Header) (*template, map[string]string) {
	var best *template
	var bestVars map[string]string
	most := -1
	for _, t := range m.compiled().templates {
		if t.method != method {
			continue
		}
		n, ok := t.conditions(query, h)
		if !ok || n < most || n == most && (best.op != nil || t.op == nil) {
			continue
		}
		vars, ok := t.matchPath(path)
		if ok {
			best, bestVars, most = t, vars, n
		}
	}
	return best, bestVars
}

func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// bucketOf returns the bucket that stands in the host name of a virtual-hosted
// S3 request: B.s3.eu-west-1.amazonaws.com, B.s3.localhost, B.localhost. It is
// what comes before the last label that begins with the service's name: a
// bucket's own name may look like that, too.
func bucketOf(host string) string {
	host = hostName(host)
	inner, cloud := strings.CutSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
	if !cloud {
		var ok bool
		if inner, ok = strings.CutSuffix(host, ".localhost"); !ok {
			return ""
		}
	}
	for i := len(inner); i > 0; {
		if i = strings.LastIndex(inner[:i], ".s3"); i < 0 {
			break
		}
		if rest := inner[i+len(".s3"):]; rest == "" || rest[0] == '.' || rest[0] == '-' {
			return inner[:i]
		}
	}
	if cloud || inner == "s3" || strings.HasPrefix(inner, "s3.") {
		return ""
	}
	return inner
}
