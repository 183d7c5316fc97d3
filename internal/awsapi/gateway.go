package awsapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Config is what a Gateway needs. Authenticator and Authorizer are required.
type Config struct {
	Account       string // 12 digits
	Region        string // of calls that have none: in-process ones; "" is us-east-1
	Authenticator Authenticator
	Authorizer    Authorizer
	Log           *slog.Logger     // nil: none
	Now           func() time.Time // nil: time.Now
	MaxBody       int64            // bytes of a body that is held in memory; 0: 26 MiB

	// Observe is called once per HTTP request, after the answer was written;
	// code is empty on success. It must not block.
	Observe func(r *Request, status int, code string, d time.Duration)
}

// Gateway serves several AWS services on one port.
type Gateway struct {
	cfg      Config
	services []*Service
	faces    []*face
	keys     keyCache
}

// NewGateway returns a gateway for the services given. Their order matters
// only where an unsigned request could belong to several.
func NewGateway(cfg Config, services ...*Service) *Gateway {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 26 << 20
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	g := &Gateway{cfg: cfg, services: services}
	for _, s := range services {
		for _, m := range s.faces {
			m.compiled()
			g.faces = append(g.faces, &face{s, m})
		}
	}
	return g
}

// chain is what happens to a request, in order. The request has its id
// already; whatever a step returns is rendered as an error, once, and then
// the access log and the metrics hear of it.
var chain = []struct {
	name string
	step func(*Gateway, *call) error
}{
	{"route", (*Gateway).route},
	{"authenticate", (*Gateway).authenticate},
	{"decode", (*Gateway).decode},
	{"authorise", (*Gateway).authorise},
	{"handle", (*Gateway).handle},
	{"encode", (*Gateway).encode},
}

// call is one HTTP request on its way through the chain.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	req   *Request
	model *ServiceModel // of the target, or one that answers in its place
	query []param
	sig   *signature
	target
	handler *handler

	body    []byte // of operations that do not stream
	signed  []byte // the same as it was sent, maybe compressed
	hasBody bool
	form    []param
	stream  io.Reader

	in, out any
	answer  *message

	status int // once written
	sent   int64
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{w: w, r: r, req: &Request{
		ID: newRequestID(), Account: g.cfg.Account, HTTP: r, Time: g.cfg.Now(), Region: g.cfg.Region,
	}}
	c.ctx = WithRequest(r.Context(), c.req)
	code := ""
	if err := g.run(c); err != nil {
		code = g.fail(c, err)
	} else if err := c.write(c.answer); err != nil {
		code = g.broken(c, err)
	}
	g.record(c, code, time.Since(start))
	if code == "ClientDisconnected" || code == "BrokenAnswer" {
		// The status line is out: breaking the connection is the only way
		// left to tell the client that the body is not whole.
		panic(http.ErrAbortHandler)
	}
}

// run takes the call through the chain. A panic is an error of ours.
func (g *Gateway) run(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // a panic is compared, nothing wraps it
				panic(p)
			}
			g.cfg.Log.Error("panic in a handler", "request_id", c.req.ID, "operation", c.req.Operation,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = Errorf("InternalFailure", "The request processing has failed because of an unknown error (request %s)", c.req.ID)
		}
	}()
	for _, link := range chain {
		if err := link.step(g, c); err != nil {
			return err
		}
	}
	return nil
}

// route finds service and operation. That there is no such operation is told
// only to those who can sign: the refusal waits for authenticate.
func (g *Gateway) route(c *call) error {
	c.query = parseQuery(c.r.URL.RawQuery)
	sig, sigErr := parseSignature(c.r, c.query)
	f := g.chooseFace(c.r, c.query, sig)
	if f == nil {
		name := "this service"
		if sig != nil {
			name = clip(sig.service)
		}
		c.model = stranger(c.r, name)
		return Errorf("InvalidAction", "Musher does not serve %s", name)
	}
	c.model, c.sig = f.model, sig
	c.req.Service = f.model.Name
	if f.model.isS3() {
		c.req.ID = s3RequestID(c.req.ID)
	}
	if sigErr != nil {
		return sigErr
	}
	if sig != nil && sig.region != "" {
		c.req.Region = sig.region
	}
	if f.model.Protocol == ProtocolQuery {
		if err := g.readForm(c); err != nil {
			return err
		}
	}
	c.target = route(f, c.r, c.query, c.form)
	if c.op != nil {
		c.req.Operation = c.op.Name
		c.handler = f.service.handlers[c.op.Name]
		if c.handler == nil {
			c.refusal = unsupported(c.model, c.op.Name)
		}
	}
	return nil
}

// readForm reads the parameters of the query protocol: a form in the body, or
// the query string itself.
func (g *Gateway) readForm(c *call) error {
	if err := g.readBody(c, c.r.Body); err != nil {
		return err
	}
	c.form = append(parseQuery(string(c.body)), c.query...)
	return nil
}

// readBody holds a whole body in memory, up to the limit.
func (g *Gateway) readBody(c *call, from io.Reader) error {
	if c.r.ContentLength > g.cfg.MaxBody {
		return g.tooLarge()
	}
	b, err := io.ReadAll(io.LimitReader(from, g.cfg.MaxBody+1))
	if err != nil {
		return readError(err)
	}
	if int64(len(b)) > g.cfg.MaxBody {
		return g.tooLarge()
	}
	c.body, c.signed, c.hasBody = b, b, true
	if c.model.isREST() { // there, the encoding is the content's own
		return nil
	}
	c.body, err = g.decompress(c.r.Header.Get("Content-Encoding"), b)
	if err != nil {
		return inputError(c.model, err)
	}
	return nil
}

// decompress undoes the compression that clients apply to large requests.
func (g *Gateway) decompress(encoding string, b []byte) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return b, nil
	case "gzip":
	default:
		return nil, &syntaxError{"the body's encoding is " + clip(encoding) + ": send it as gzip, or as it is"}
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, &syntaxError{"the body is not gzip: " + err.Error()}
	}
	plain, err := io.ReadAll(io.LimitReader(z, g.cfg.MaxBody+1))
	if err != nil {
		return nil, &syntaxError{"the body is not gzip: " + err.Error()}
	}
	if int64(len(plain)) > g.cfg.MaxBody {
		return nil, g.tooLarge()
	}
	return plain, nil
}

func (g *Gateway) tooLarge() *Error {
	return Errorf("RequestEntityTooLarge", "The request is larger than the %d bytes that are allowed", g.cfg.MaxBody)
}

// authenticate finds out who calls, and prepares the body: checked against its
// declared digests, read into memory unless the operation streams.
func (g *Gateway) authenticate(c *call) error {
	if c.sig == nil {
		return missingToken(c.model)
	}
	now := g.cfg.Now()
	if err := c.sig.inTime(c.model, now); err != nil {
		return err
	}
	secret, caller, err := g.cfg.Authenticator.Credentials(c.ctx, c.sig.accessKeyID, c.sig.token)
	if err != nil {
		return g.unknownKey(c, err)
	}
	if c.sig.version == 2 {
		if err := c.sig.verifyV2(c.model, c.r, c.query, c.bucket, secret); err != nil {
			return err
		}
		c.req.Caller = caller
		return g.openBody(c, "", nil)
	}
	payload, perr := g.signedPayload(c)
	if perr != nil {
		return perr
	}
	key := g.keys.get(keyID{secret, c.sig.day, c.sig.region, c.sig.service})
	if err := c.sig.verifyV4(c.model, c.r, c.query, payload, key); err != nil {
		return err
	}
	c.req.Caller = caller
	return g.openBody(c, payload, key)
}

func missingToken(m *ServiceModel) *Error {
	if m.isS3() {
		return Errorf("AccessDenied", "Access Denied")
	}
	return Errorf("MissingAuthenticationToken", "Request is missing Authentication Token")
}

// unknownKey passes on an authenticator's error, in S3's words for S3.
func (g *Gateway) unknownKey(c *call, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Errorf("look up access key: %w", err)
	}
	if c.model.isS3() && commonCode[e.Code] == "InvalidClientTokenId" {
		return Errorf("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.").
			With("AWSAccessKeyId", clip(c.sig.accessKeyID))
	}
	return e
}

// signedPayload is the last line of the canonical request. S3's clients send
// it; others' is the hash of the body.
func (g *Gateway) signedPayload(c *call) (string, error) {
	if !c.model.isS3() {
		if !c.hasBody {
			if err := g.readBody(c, c.r.Body); err != nil {
				return "", err
			}
		}
		sum := sha256.Sum256(c.signed)
		return hex.EncodeToString(sum[:]), nil
	}
	payload := c.r.Header.Get("X-Amz-Content-Sha256")
	if c.sig.presigned && payload == "" {
		if payload, _ = lookup(c.query, "X-Amz-Content-Sha256"); payload == "" {
			payload = unsignedPayload
		}
	}
	switch {
	case payload == "":
		return "", Errorf("InvalidRequest", "Missing required header for this request: x-amz-content-sha256").WithStatus(http.StatusBadRequest)
	case payload == unsignedPayload, payload == streamingSigned, payload == streamingSignedTrailer,
		payload == streamingUnsignedTrailer, len(payload) == len(emptyHash):
		return payload, nil
	}
	return "", badPayloadHash()
}

// openBody sets up c.stream, or c.body. Only S3's bodies declare digests.
func (g *Gateway) openBody(c *call, payload string, key []byte) error {
	if c.refusal != nil {
		return c.refusal
	}
	if c.hasBody {
		return nil
	}
	chunks, cerr := newChunkReader(c.r, payload, c.sig, key)
	if cerr != nil {
		return cerr
	}
	if chunks != nil {
		unchunkHeaders(c.r)
	}
	body, berr := newBodyCheck(c.r, c.op, payload, chunks)
	if berr != nil {
		return berr
	}
	c.req.body = body
	if c.op.streams() {
		if body.want < 0 {
			return Errorf("MissingContentLength", "You must provide the Content-Length HTTP header.").WithStatus(http.StatusLengthRequired)
		}
		c.stream = body
		return nil
	}
	return g.readBody(c, body)
}

// unchunkHeaders makes the headers speak of the body as the handler reads it.
func unchunkHeaders(r *http.Request) {
	r.Header.Set("Content-Length", r.Header.Get("X-Amz-Decoded-Content-Length"))
	var rest []string
	for _, v := range strings.Split(r.Header.Get("Content-Encoding"), ",") {
		if v = strings.TrimSpace(v); v != "" && v != "aws-chunked" {
			rest = append(rest, v)
		}
	}
	r.Header.Del("Content-Encoding")
	if len(rest) > 0 {
		r.Header.Set("Content-Encoding", strings.Join(rest, ","))
	}
}

// decode makes the operation's input and checks it against the model.
func (g *Gateway) decode(c *call) error {
	if c.op.ChecksumRequired && c.req.body != nil && !c.req.body.digested {
		return Errorf("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*").WithStatus(http.StatusBadRequest)
	}
	in := reflect.New(c.op.Input)
	f := &faults{}
	err := c.model.codec().decodeInput(&incoming{
		header: c.r.Header, vars: c.vars, query: c.query, form: c.form, body: c.body, stream: c.stream,
		hoisted: c.sig.presigned,
	}, c.op, in.Elem(), f)
	if err != nil {
		return inputError(c.model, err)
	}
	f.path, f.top = nil, nil
	f.validate(c.op.in, in.Elem(), true)
	if len(f.list) > 0 {
		return c.model.codec().fault(c.model, f)
	}
	c.in = in.Interface()
	return nil
}

func (g *Gateway) authorise(c *call) error {
	return g.cfg.Authorizer.Authorize(c.ctx, c.req.Caller, c.handler.access(c.req, c.in))
}

func (g *Gateway) handle(c *call) (err error) {
	c.out, err = c.handler.call(c.ctx, c.in)
	return err
}

func (g *Gateway) encode(c *call) (err error) {
	c.answer, err = c.model.codec().encodeOutput(c.op, reflect.ValueOf(c.out).Elem(), c.req.ID)
	if err == nil && c.model.isS3() && c.answer.header.Get("Content-Range") != "" {
		c.answer.status = http.StatusPartialContent
	}
	return err
}

// fail renders an error, once, and returns its code.
func (g *Gateway) fail(c *call, err error) string {
	var e *Error
	if !errors.As(err, &e) {
		if c.ctx.Err() != nil {
			c.status = 499 // nobody is there to read it; nginx's number for that
			return "ClientDisconnected"
		}
		g.cfg.Log.Error("internal failure", "request_id", c.req.ID, "service", c.req.Service, "operation", c.req.Operation, "error", err)
		e = Errorf("InternalFailure", "The request processing has failed because of an unknown error (request %s)", c.req.ID)
	} else if e.cause != nil && resolve(c.model, e).Status >= 500 {
		g.cfg.Log.Error("internal failure", "request_id", c.req.ID, "service", c.req.Service, "operation", c.req.Operation, "error", err)
	}
	e = resolve(c.model, e)
	if c.model.isS3() && e.Field("Resource") == nil {
		e.Fields = append(e.Fields[:len(e.Fields):len(e.Fields)], ErrorField{"Resource", c.r.URL.Path})
	}
	a := c.model.codec().encodeError(c.model, e, c.req.ID)
	if c.model.speaksQuery() && c.r.Header.Get("X-Amzn-Query-Mode") == "true" {
		a.header.Set("X-Amzn-Query-Error", queryError(c.model, e))
	}
	for name, values := range e.Header {
		a.header[name] = values
	}
	if err := c.write(a); err != nil {
		return g.broken(c, err)
	}
	return e.Code
}

// broken tells a client that left from an answer that we could not finish.
func (g *Gateway) broken(c *call, err error) string {
	var network *net.OpError
	if errors.As(err, &network) || c.ctx.Err() != nil {
		return "ClientDisconnected"
	}
	g.cfg.Log.Error("answer broke off", "request_id", c.req.ID, "service", c.req.Service, "operation", c.req.Operation, "error", err)
	return "BrokenAnswer"
}

// write sends an answer.
func (c *call) write(a *message) error {
	h := c.w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	if c.model.isS3() {
		h.Set("X-Amz-Request-Id", c.req.ID)
		h.Set("X-Amz-Id-2", hostID(c.req.ID))
	} else {
		h.Set("X-Amzn-Requestid", c.req.ID)
	}
	c.status = a.status
	bare := c.r.Method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if a.stream != nil {
		defer a.stream.Close()
	} else if !bare {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if bare && len(a.body) > 0 {
		h.Del("Content-Type")
	}
	c.w.WriteHeader(a.status)
	if bare {
		return nil
	}
	if a.stream == nil {
		n, err := c.w.Write(a.body)
		c.sent = int64(n)
		return err
	}
	n, err := io.Copy(c.w, a.stream)
	c.sent = n
	return err
}

// record is the access log, and the hook for metrics.
func (g *Gateway) record(c *call, code string, d time.Duration) {
	caller := ""
	if c.req.Caller != nil {
		caller = c.req.Caller.ARN
	}
	g.cfg.Log.LogAttrs(c.ctx, slog.LevelInfo, "request",
		slog.String("request_id", c.req.ID), slog.String("service", c.req.Service),
		slog.String("operation", c.req.Operation), slog.String("caller", caller),
		slog.String("remote", c.r.RemoteAddr), slog.Int("status", c.status), slog.String("code", code),
		slog.Int64("received", max(c.r.ContentLength, 0)), slog.Int64("sent", c.sent),
		slog.Duration("took", d))
	if g.cfg.Observe != nil {
		g.cfg.Observe(c.req, c.status, code, d)
	}
}

// Invoke calls an operation in this process, on behalf of a caller: the input
// is validated and the call authorised just as over the wire. Service is the
// model's name. The error is an *Error if the operation made one.
func Invoke[Out any](ctx context.Context, g *Gateway, caller *Caller, service, operation string, in any) (*Out, error) {
	out, err := g.invoke(ctx, caller, service, operation, in)
	if err != nil {
		return nil, err
	}
	typed, ok := out.(*Out)
	if !ok {
		return nil, fmt.Errorf("awsapi: %s:%s returns %T", service, operation, out)
	}
	return typed, nil
}

func (g *Gateway) invoke(ctx context.Context, caller *Caller, service, operation string, in any) (any, error) {
	var svc *Service
	for _, s := range g.services {
		if s.model.Name == service {
			svc = s
		}
	}
	if svc == nil || svc.handlers[operation] == nil {
		return nil, fmt.Errorf("awsapi: nothing handles %s:%s", service, operation)
	}
	h := svc.handlers[operation]
	v := reflect.ValueOf(in)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem() != h.op.Input {
		return nil, fmt.Errorf("awsapi: %s:%s takes *%v, not %T", service, operation, h.op.Input, in)
	}
	region := RequestFrom(ctx).Region
	if region == "" {
		region = g.cfg.Region
	}
	r := &Request{
		ID: newRequestID(), Service: service, Operation: operation, Region: region,
		Account: g.cfg.Account, Caller: caller, Time: g.cfg.Now(),
	}
	ctx = WithRequest(ctx, r)
	out, err := g.invokeHandler(ctx, h, r, v)
	var e *Error
	if errors.As(err, &e) {
		return nil, resolve(svc.model, e)
	}
	return out, err
}

func (g *Gateway) invokeHandler(ctx context.Context, h *handler, r *Request, in reflect.Value) (any, error) {
	f := &faults{}
	f.validate(h.op.in, in.Elem(), false)
	if len(f.list) > 0 {
		return nil, h.op.model.codec().fault(h.op.model, f)
	}
	if err := g.cfg.Authorizer.Authorize(ctx, r.Caller, h.access(r, in.Interface())); err != nil {
		return nil, err
	}
	return h.call(ctx, in.Interface())
}

// newRequestID returns a random UUID, the form of most services' ids.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// s3RequestID is S3's shorter form of the same id.
func s3RequestID(uuid string) string {
	x := strings.ToUpper(strings.ReplaceAll(uuid, "-", ""))
	return x[:8] + x[24:]
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
