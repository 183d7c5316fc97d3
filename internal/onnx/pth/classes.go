package pth

import (
	"fmt"
	"strings"
)

// global pushes the class or function that a pickle names. Naming one does
// nothing; the few that mean something are in construct.
func (m *machine) global(op byte) error {
	if op == 'c' { // GLOBAL: two lines
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		return pushed(m, class(module+"."+name), err)
	}
	vs, err := m.popN(2) // STACK_GLOBAL
	if err != nil {
		return err
	}
	module, ok := vs[0].(string)
	name, ok2 := vs[1].(string)
	if !ok || !ok2 {
		return fmt.Errorf("%w: a class is named by a %T and a %T", ErrFormat, vs[0], vs[1])
	}
	m.push(class(module + "." + name))
	return nil
}

// call carries out the instructions by which pickle makes objects.
func (m *machine) call(op byte) error {
	switch op {
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		v, err := m.persistent(id)
		return pushed(m, v, err)
	case 'b': // BUILD: state of an object that means nothing here, or OrderedDict's _metadata
		_, err := m.pop()
		return err
	case 0x92: // NEWOBJ_EX: class, arguments, named arguments
		if _, err := m.pop(); err != nil {
			return err
		}
	}
	vs, err := m.popN(2) // REDUCE, NEWOBJ: class, arguments
	if err != nil {
		return err
	}
	args, ok := vs[1].(tuple)
	if !ok {
		return fmt.Errorf("%w: arguments are a %T", ErrFormat, vs[1])
	}
	c, ok := vs[0].(class)
	if !ok {
		m.push(&object{"unknown"})
		return nil
	}
	v, err := m.construct(c, args)
	return pushed(m, v, err)
}

// construct gives the classes and functions of a state dict their meaning. All
// others make inert objects.
func (m *machine) construct(c class, args tuple) (any, error) {
	switch c {
	case "collections.OrderedDict":
		return orderedDict(args)
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return rebuildTensor(args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(args) == 0 {
			return nil, fmt.Errorf("%w: %s without arguments", ErrFormat, c)
		}
		return args[0], nil
	case "torch.Size":
		if len(args) == 1 {
			return args[0], nil
		}
	}
	return &object{c}, nil
}

// orderedDict makes an empty dictionary, or one from a list of pairs as Python 2
// wrote it.
func orderedDict(args tuple) (*dict, error) {
	d := new(dict)
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := args[0].(*list)
	if !ok {
		return nil, fmt.Errorf("%w: OrderedDict of a %T", ErrFormat, args[0])
	}
	for _, p := range pairs.items {
		switch pair := p.(type) {
		case *list:
			if len(pair.items) == 2 {
				d.entries = append(d.entries, entry{pair.items[0], pair.items[1]})
				continue
			}
		case tuple:
			if len(pair) == 2 {
				d.entries = append(d.entries, entry{pair[0], pair[1]})
				continue
			}
		}
		return nil, fmt.Errorf("%w: OrderedDict of items that are no pairs", ErrFormat)
	}
	return d, nil
}

// rebuildTensor reads (storage, offset, size, stride, …).
func rebuildTensor(args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%w: a tensor of %d parts", ErrFormat, len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("%w: a tensor in a %T", ErrFormat, args[0])
	}
	offset, ok := args[1].(int64)
	shape, ok2 := integers(args[2])
	strides, ok3 := integers(args[3])
	if !ok || !ok2 || !ok3 {
		return nil, fmt.Errorf("%w: a tensor with offset %s, size %s and stride %s", ErrFormat, describe(args[1]), describe(args[2]), describe(args[3]))
	}
	return newTensorRef(s, offset, shape, strides)
}

func integers(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxDims {
		return nil, false
	}
	out := make([]int64, len(t))
	for i, e := range t {
		if out[i], ok = e.(int64); !ok {
			return nil, false
		}
	}
	return out, true
}

// persistent resolves what PyTorch keeps outside the pickle:
// ("storage", type, key, location, elements[, view]).
func (m *machine) persistent(id any) (any, error) {
	t, ok := id.(tuple)
	if !ok || len(t) == 0 {
		return nil, fmt.Errorf("%w: persistent id is a %T", ErrFormat, id)
	}
	if t[0] == "module" { // a whole module with its source text
		return &object{"module"}, nil
	}
	if t[0] != "storage" || len(t) < 5 {
		return nil, fmt.Errorf("%w: persistent id %s", ErrFormat, describe(t[0]))
	}
	c, ok := t[1].(class)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok || !ok2 || !ok3 || numel < 0 {
		return nil, fmt.Errorf("%w: storage of type %s with key %s and %s elements", ErrFormat, describe(t[1]), describe(t[2]), describe(t[4]))
	}
	s, err := m.storage(c, key, numel)
	if err != nil || len(t) < 6 || t[5] == nil {
		return s, err
	}
	return viewOf(s, t[5])
}

// storage registers a storage, which all mentions must describe alike.
func (m *machine) storage(c class, key string, numel int64) (*storage, error) {
	name := dtype(c[strings.LastIndexByte(string(c), '.')+1:])
	if name.size() == 0 {
		return nil, fmt.Errorf("%w: numbers of type %s", ErrUnsupported, c)
	}
	s := m.storages[key]
	if s == nil {
		s = &storage{key: key, dtype: name, numel: numel, size: numel}
		m.storages[key] = s
	}
	if s.dtype != name || s.numel != numel {
		return nil, fmt.Errorf("%w: storage %q is described in two ways", ErrFormat, key)
	}
	return s, nil
}

// viewOf is the part of a storage that (key, offset, elements) describes.
func viewOf(s *storage, view any) (*storage, error) {
	v, ok := view.(tuple)
	if !ok || len(v) != 3 {
		return nil, fmt.Errorf("%w: view is a %T", ErrFormat, view)
	}
	from, ok := v[1].(int64)
	size, ok2 := v[2].(int64)
	if !ok || !ok2 || from < 0 || size < 0 || from > s.numel || size > s.numel-from {
		return nil, fmt.Errorf("%w: view of %s elements from %s in a storage of %d", ErrFormat, describe(v[2]), describe(v[1]), s.numel)
	}
	part := *s
	part.from, part.size = from, size
	return &part, nil
}

// describe names a value in an error. It looks at the outside only: a tuple of
// tuples that are all one and the same would take for ever to print.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%.40q", v)
	case int64, bool, float64, class:
		return fmt.Sprint(v)
	default:
		return fmt.Sprintf("a %T", v)
	}
}
