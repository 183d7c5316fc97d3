package awsapi

import (
	"errors"
	"math"
	"net/http"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// cborCodec is Smithy's RPC v2 in CBOR: the path names the operation, the
// header Smithy-Protocol the protocol.
type cborCodec struct{}

const (
	cborType     = "application/cbor"
	cborProtocol = "rpc-v2-cbor" // in the header Smithy-Protocol
)

// cborPath is where a model's operations lie.
func cborPath(m *ServiceModel) string { return "/service/" + m.TargetPrefix + "/operation/" }

func (cborCodec) decodeInput(q *incoming, op *operation, in reflect.Value, f *faults) error {
	doc, err := parseCBOR(q.body)
	if err != nil {
		return err
	}
	return bindStruct(cborScalars{}, op.in.fields, in, doc, f)
}

func (cborCodec) encodeOutput(op *operation, out reflect.Value, _ string) (*message, error) {
	return cborMessage(op.Status, cborStruct(op.out.fields, out))
}

func (cborCodec) encodeError(m *ServiceModel, e *Error, _ string) *message {
	// As in JSON, models and SDKs do not agree on one spelling of the message.
	members := map[string]any{"__type": e.Code, "message": e.Message, "Message": e.Message}
	for _, x := range e.Fields {
		members[x.Name] = x.Value
	}
	a, err := cborMessage(e.Status, members)
	if err != nil { // a further member that nothing can write
		a, _ = cborMessage(e.Status, map[string]any{"__type": e.Code, "message": e.Message})
	}
	return a
}

func (cborCodec) encodeInput(op *operation, in reflect.Value) (*outgoing, error) {
	body, err := cborWriter.Marshal(cborStruct(op.in.fields, in))
	if err != nil {
		return nil, err
	}
	q := &outgoing{method: http.MethodPost, path: cborPath(op.model) + op.Name, header: http.Header{}, body: body}
	q.header.Set("Content-Type", cborType)
	q.header.Set("Accept", cborType)
	q.header.Set("Smithy-Protocol", cborProtocol)
	return q, nil
}

func (cborCodec) decodeOutput(op *operation, a *message, out reflect.Value) error {
	doc, err := parseCBOR(a.body)
	if err != nil {
		return err
	}
	return bindStruct(cborScalars{}, op.out.fields, out, doc, &faults{})
}

func (cborCodec) decodeError(_ *ServiceModel, a *message) *Error {
	members, _ := parseCBOR(a.body) //nolint:errcheck // an answer that is not CBOR still has a status
	return documentError(a, "", members)
}

func (cborCodec) fault(m *ServiceModel, f *faults) *Error { return validationError(m, f) }

func cborMessage(status int, document map[string]any) (*message, error) {
	body, err := cborWriter.Marshal(document)
	if err != nil {
		return nil, err
	}
	a := newMessage(status, cborType)
	a.header.Set("Smithy-Protocol", cborProtocol)
	a.body = body
	return a, nil
}

// What a document may cost is bounded before it is built: the reader checks
// the whole of it for form and sizes first.
const (
	maxCBORDepth = 64
	maxCBORItems = 1 << 17
)

var cborReader = must(cbor.DecOptions{
	MaxNestedLevels: maxCBORDepth, MaxArrayElements: maxCBORItems, MaxMapPairs: maxCBORItems,
	DefaultMapType: reflect.TypeFor[map[string]any](), IntDec: cbor.IntDecConvertSignedOrFail,
}.DecMode())

// Equal documents are equal bytes.
var cborWriter = must(cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode())

// must is for options that are part of the program.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// parseCBOR parses one map. An empty body is an empty map: clients send it for
// operations without input.
func parseCBOR(body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var doc any
	if err := cborReader.Unmarshal(body, &doc); err != nil {
		return nil, &syntaxError{"the body is not CBOR that can be read: " + err.Error()}
	}
	if doc == nil {
		return nil, nil
	}
	members, ok := doc.(map[string]any)
	if !ok {
		return nil, &syntaxError{"the body is not a CBOR map"}
	}
	return members, nil
}

// cborScalars is the notation of CBOR.
type cborScalars struct{}

func (cborScalars) unexpected(x any) error {
	return &syntaxError{"Unexpected " + cborSort(x) + " found in the body"}
}

// cborSort names the type of a value to a person.
func cborSort(x any) string {
	switch x.(type) {
	case map[string]any:
		return "map"
	case []any:
		return "array"
	case string:
		return "text string"
	case []byte:
		return "byte string"
	case int64:
		return "integer"
	case float64:
		return "float"
	case bool:
		return "boolean"
	case time.Time:
		return "timestamp"
	}
	return "value of another type"
}

func (cborScalars) bind(s *shape, dst reflect.Value, x any) error {
	switch s.kind {
	case kindString:
		if v, ok := x.(string); ok {
			dst.SetString(v)
			return nil
		}
	case kindBool:
		if v, ok := x.(bool); ok {
			dst.SetBool(v)
			return nil
		}
	case kindBlob:
		if v, ok := x.([]byte); ok {
			dst.SetBytes(v)
			return nil
		}
	case kindInt:
		if v, ok := cborInt(x); ok && v>>(s.bits-1) == v>>63 {
			dst.SetInt(v)
			return nil
		}
	case kindFloat:
		if v, ok := cborFloat(x); ok {
			dst.SetFloat(v)
			return nil
		}
	case kindTime:
		if v, ok := cborTime(x); ok {
			dst.Set(reflect.ValueOf(v))
			return nil
		}
	default:
		return errors.New("a stream cannot be inside CBOR")
	}
	return &syntaxError{"A " + cborSort(x) + " can not be converted to " + cborWanted[s.kind]}
}

var cborWanted = map[kind]string{
	kindString: "a String", kindBool: "a Boolean", kindBlob: "a Blob",
	kindInt: "an integer of the member's size", kindFloat: "a Float", kindTime: "a Timestamp",
}

func cborInt(x any) (int64, bool) {
	switch v := x.(type) {
	case int64:
		return v, true
	case float64: // 5.0 is an integer too
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}

func cborFloat(x any) (float64, bool) {
	switch v := x.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

// cborTime takes a tagged instant, and a bare number of seconds as well. It
// is rounded as all protocols' are: no finer than a millisecond.
func cborTime(x any) (time.Time, bool) {
	switch v := x.(type) {
	case time.Time:
		t, err := epoch(float64(v.Unix()) + float64(v.Nanosecond())/float64(time.Second))
		return t, err == nil && !v.IsZero() // which NaN has become
	case float64, int64:
		seconds, _ := cborFloat(v)
		t, err := epoch(seconds)
		return t, err == nil
	}
	return time.Time{}, false
}

// cborStruct makes a document of the fields given. Absent members are left
// out, save required collections, which clients expect to find.
func cborStruct(fields []*field, v reflect.Value) map[string]any {
	doc := make(map[string]any, len(fields))
	for _, m := range fields {
		x, ok := follow(v.Field(m.index))
		if ok || m.required && (m.kind == kindList || m.kind == kindMap) {
			doc[m.wire] = cborValue(m.shape, x)
		}
	}
	return doc
}

func cborValue(s *shape, v reflect.Value) any {
	switch s.kind {
	case kindStruct:
		return cborStruct(s.fields.fields, v)
	case kindList:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = cborItem(s.elem, v.Index(i))
		}
		return list
	case kindMap:
		entries := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			entries[it.Key().String()] = cborItem(s.elem, it.Value())
		}
		return entries
	case kindTime: // a double, with the milliseconds that all protocols have
		return cbor.Tag{Number: 1, Content: float64(v.Interface().(time.Time).UnixMilli()) / 1000}
	}
	return v.Interface()
}

func cborItem(s *shape, v reflect.Value) any {
	x, ok := follow(v)
	if !ok && s.kind == kindStruct {
		return nil
	}
	return cborValue(s, x)
}
