package hpo

import "fmt"

// gridSearch tries every combination once, the last parameter changing
// fastest. What the history already holds is skipped, whatever its order.
type gridSearch struct{ axes []axis }

func newGrid(axes []axis) (gridSearch, error) {
	for _, a := range axes {
		if a.Kind != Categorical {
			return gridSearch{}, fmt.Errorf("hpo: hyperparameter %q is %s: the Grid strategy takes categorical ones only", a.Name, a.Kind)
		}
	}
	return gridSearch{axes: axes}, nil
}

func (g gridSearch) Suggest(history []Trial, n int) ([]map[string]string, error) {
	seen := make(map[string]bool, len(history))
	for i, t := range history {
		point, err := parse(g.axes, t.Values)
		if err != nil {
			return nil, fmt.Errorf("hpo: trial %d: %w", i, err)
		}
		seen[key(g.axes, point)] = true
	}
	var out []map[string]string
	point := make([]float64, len(g.axes))
	for more := true; more && len(out) < n; more = g.advance(point) {
		if !seen[key(g.axes, point)] {
			out = append(out, format(g.axes, point))
		}
	}
	if len(out) == 0 && n > 0 {
		return nil, ErrExhausted
	}
	return out, nil
}

// advance counts up by one combination; false when it wraps round to the first.
func (g gridSearch) advance(point []float64) bool {
	for i := len(point) - 1; i >= 0; i-- {
		if point[i]++; int(point[i]) < len(g.axes[i].Values) {
			return true
		}
		point[i] = 0
	}
	return false
}
