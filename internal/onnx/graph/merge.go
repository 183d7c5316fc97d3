package graph

import (
	"errors"
	"fmt"
	"slices"
)

// Check says whether the graph is well formed: every name made once, every
// input made before it is used, every constant of the promised size, every
// output made. What the operators themselves ask for is left to the runtime.
func (g *Graph) Check() error {
	if g.b.err != nil {
		return g.b.err
	}
	if err := g.check(map[Value]bool{}); err != nil {
		return fmt.Errorf("graph %q: %w", g.Name, err)
	}
	return nil
}

// check adds to seen, the names that exist so far; subgraphs see those of the graphs around them.
func (g *Graph) check(seen map[Value]bool) error {
	var mine []Value
	defer func() {
		for _, v := range mine {
			delete(seen, v)
		}
	}()
	define := func(v Value) error {
		if v == "" {
			return errors.New("a value without a name")
		}
		if seen[v] {
			return fmt.Errorf("the name %q is used twice", v)
		}
		seen[v] = true
		mine = append(mine, v)
		return nil
	}
	for _, in := range g.Inputs {
		if err := define(in.Name); err != nil {
			return err
		}
	}
	for _, c := range g.Consts {
		if err := errors.Join(c.check(), define(c.Name)); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		if err := n.check(seen, define); err != nil {
			return fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
		}
	}
	for _, o := range g.Outputs {
		if !seen[o.Name] {
			return fmt.Errorf("nothing makes the output %q", o.Name)
		}
	}
	return nil
}

func (n *Node) check(seen map[Value]bool, define func(Value) error) error {
	for _, in := range n.Inputs {
		if in != "" && !seen[in] {
			return fmt.Errorf("input %q is not made before it", in)
		}
	}
	for _, a := range n.Attrs {
		if err := a.check(seen); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	for _, out := range n.Outputs {
		if out == "" { // an optional output that is left out
			continue
		}
		if err := define(out); err != nil {
			return err
		}
	}
	return nil
}

func (a Attr) check(seen map[Value]bool) error {
	switch v := a.Value.(type) {
	case *Tensor:
		return v.check()
	case []*Tensor:
		for _, t := range v {
			if err := t.check(); err != nil {
				return err
			}
		}
	case *Graph:
		return v.check(seen)
	case []*Graph:
		for _, g := range v {
			if err := g.check(seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rename gives a value another name everywhere: an input, an output, or one in between.
func (g *Graph) Rename(from, to Value) error {
	if from == to {
		return nil
	}
	if names := g.known(); !names[from] || names[to] {
		return fmt.Errorf("graph %q: rename %q to %q: the first must exist and the second must not", g.Name, from, to)
	}
	g.rename(from, to)
	return g.b.err
}

// Prune keeps only the named outputs and what they need: nodes, constants and
// inputs that no longer matter go. (ONNX Runtime would skip them too, but the
// file would still carry their weights.)
func (g *Graph) Prune(outputs ...Value) error {
	kept := make([]ValueInfo, 0, len(outputs))
	for _, name := range outputs {
		i := slices.IndexFunc(g.Outputs, func(o ValueInfo) bool { return o.Name == name })
		if i < 0 {
			return fmt.Errorf("graph %q has no output %q", g.Name, name)
		}
		kept = append(kept, g.Outputs[i])
	}
	g.Outputs = kept

	needed := map[Value]bool{}
	for _, name := range outputs {
		needed[name] = true
	}
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(v Value) bool { return needed[v] }) {
			n.uses(func(v Value) { needed[v] = true })
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool {
		return !slices.ContainsFunc(n.Outputs, func(v Value) bool { return needed[v] })
	})
	g.Consts = slices.DeleteFunc(g.Consts, func(t *Tensor) bool { return !needed[t.Name] })
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v ValueInfo) bool { return !needed[v.Name] })
	return nil
}

// uses calls f with every value that the node reads, also from within its subgraphs.
func (n *Node) uses(f func(Value)) {
	for _, in := range n.Inputs {
		f(in)
	}
	for _, sub := range n.subgraphs() {
		for _, m := range sub.Nodes {
			m.uses(f)
		}
		for _, o := range sub.Outputs {
			f(o.Name)
		}
	}
}

func (n *Node) subgraphs() []*Graph {
	var out []*Graph
	for _, a := range n.Attrs {
		switch v := a.Value.(type) {
		case *Graph:
			out = append(out, v)
		case []*Graph:
			out = append(out, v...)
		}
	}
	return out
}

// Append joins two graphs: wires maps inputs of second to values of first. The
// result has first's inputs and those of second that are not wired, and the
// outputs of second (Prune before or after drops what nobody needs). Names of
// second, of values and of nodes, that first has as well get the prefix "NAME/",
// NAME being second's; inputs and outputs of second keep theirs and so must not
// collide.
//
// Both graphs must be written for the same version of the operators. Their
// tensors are shared with the result; their nodes are copied.
func Append(first, second *Graph, wires map[string]Value) (*Graph, error) {
	fail := func(format string, args ...any) (*Graph, error) {
		return nil, fmt.Errorf("append graph %q to %q: %w", second.Name, first.Name, fmt.Errorf(format, args...))
	}
	if err := errors.Join(first.Check(), second.Check()); err != nil {
		return fail("%w", err)
	}
	out := &Graph{
		Name:      first.Name,
		IRVersion: max(first.IRVersion, second.IRVersion),
		Opsets:    map[string]int64{},
		Inputs:    slices.Clone(first.Inputs),
		Outputs:   slices.Clone(second.Outputs),
		Consts:    slices.Clone(first.Consts),
	}
	for _, opsets := range []map[string]int64{first.Opsets, second.Opsets} {
		for domain, version := range opsets {
			if have, ok := out.Opsets[domain]; ok && have != version {
				return fail("operators of domain %q are of version %d here and %d there", domain, have, version)
			}
			out.Opsets[domain] = version
		}
	}
	for _, n := range first.Nodes {
		out.Nodes = append(out.Nodes, n.clone())
	}

	taken := out.known()
	names := map[Value]Value{}
	for in, v := range wires {
		if !taken[v] {
			return fail("there is no value %q to wire %q to", v, in)
		}
		names[Value(in)] = v
	}
	tail := second.clone()
	for _, in := range tail.Inputs {
		if _, wired := names[in.Name]; wired {
			continue
		}
		if taken[in.Name] {
			return fail("both have the name %q", in.Name)
		}
		out.Inputs = append(out.Inputs, in)
	}
	if len(names)+len(out.Inputs) != len(first.Inputs)+len(second.Inputs) {
		return fail("wires %v name inputs that it does not have", wires)
	}
	for v := range tail.known() {
		if _, done := names[v]; done || v == "" || !taken[v] {
			continue
		}
		if slices.ContainsFunc(tail.Outputs, func(o ValueInfo) bool { return o.Name == v }) {
			return fail("both have the name %q", v)
		}
		names[v] = Value(second.Name+"/") + v
	}
	renameAll(tail, names)
	renameNodes(out, tail, second.Name+"/")
	out.Consts = append(out.Consts, tail.Consts...)
	out.Nodes = append(out.Nodes, tail.Nodes...)
	out.b = builder{}
	if err := out.Check(); err != nil {
		return fail("%w", err)
	}
	return out, nil
}

// renameNodes puts a prefix to the names of tail's nodes that head's have too:
// ONNX Runtime wants those to differ as well.
func renameNodes(head, tail *Graph, prefix string) {
	taken := map[string]bool{}
	for _, n := range head.Nodes {
		taken[n.Name] = true
	}
	for _, n := range tail.Nodes {
		if n.Name != "" && taken[n.Name] {
			n.Name = prefix + n.Name
		}
	}
}

// clone copies what renaming changes; tensor data is shared.
func (g *Graph) clone() *Graph {
	c := &Graph{
		Name: g.Name, IRVersion: g.IRVersion, Opsets: g.Opsets,
		Inputs: slices.Clone(g.Inputs), Outputs: slices.Clone(g.Outputs),
	}
	for _, t := range g.Consts {
		copied := *t
		c.Consts = append(c.Consts, &copied)
	}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, n.clone())
	}
	return c
}

func (n *Node) clone() *Node {
	c := *n
	c.Inputs, c.Outputs, c.Attrs = slices.Clone(n.Inputs), slices.Clone(n.Outputs), slices.Clone(n.Attrs)
	for i, a := range c.Attrs {
		switch v := a.Value.(type) {
		case *Graph:
			c.Attrs[i].Value = v.clone()
		case []*Graph:
			copies := make([]*Graph, len(v))
			for j, g := range v {
				copies[j] = g.clone()
			}
			c.Attrs[i].Value = copies
		}
	}
	return &c
}

// renameAll replaces names wherever they stand, in subgraphs too.
func renameAll(g *Graph, names map[Value]Value) {
	swap := func(v *Value) {
		if to, ok := names[*v]; ok {
			*v = to
		}
	}
	for i := range g.Inputs {
		swap(&g.Inputs[i].Name)
	}
	for i := range g.Outputs {
		swap(&g.Outputs[i].Name)
	}
	for _, t := range g.Consts {
		swap(&t.Name)
	}
	for _, n := range g.Nodes {
		for i := range n.Inputs {
			swap(&n.Inputs[i])
		}
		for i := range n.Outputs {
			swap(&n.Outputs[i])
		}
		for _, sub := range n.subgraphs() {
			renameAll(sub, names)
		}
	}
}
