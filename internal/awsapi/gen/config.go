package main

import (
	"fmt"
	"strconv"
	"strings"
)

// serviceConfig is one service of services.txt.
type serviceConfig struct {
	pkg, model string
	ops        []string
	roots      map[string]string
	unwrapped  map[string]bool
	open       map[string]bool
	max        map[string]float64
	actions    string
}

func parseServices(text string) ([]*serviceConfig, error) {
	var all []*serviceConfig
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "service" && len(words) == 3 {
			all = append(all, newServiceConfig(words[1], words[2]))
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("services.txt:%d: a service must come first", i+1)
		}
		if err := all[len(all)-1].set(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("services.txt:%d: %w", i+1, err)
		}
	}
	return all, nil
}

func newServiceConfig(pkg, model string) *serviceConfig {
	return &serviceConfig{
		pkg: pkg, model: model,
		roots: map[string]string{}, unwrapped: map[string]bool{},
		open: map[string]bool{}, max: map[string]float64{},
	}
}

func (c *serviceConfig) set(verb string, args []string) error {
	switch {
	case verb == "op":
		c.ops = append(c.ops, args...)
	case verb == "root" && len(args) == 2:
		c.roots[args[0]] = args[1]
	case verb == "unwrapped" && len(args) == 1:
		c.unwrapped[args[0]] = true
	case verb == "actions" && len(args) == 1:
		c.actions = args[0]
	case verb == "open" && len(args) == 1:
		c.open[args[0]] = true
	case verb == "max" && len(args) == 2:
		n, err := strconv.ParseFloat(args[1], 64)
		if err != nil {
			return err
		}
		c.max[args[0]] = n
	default:
		return fmt.Errorf("unknown line %q", verb)
	}
	return nil
}
