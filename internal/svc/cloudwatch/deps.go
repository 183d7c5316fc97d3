package cloudwatch

import (
	"log/slog"
	"time"

	"github.com/musher/musher/internal/state"
)

// Deps is what the service needs from outside.
type Deps struct {
	DB      *state.DB
	Account string // 12 digits
	Log     *slog.Logger
}

// Datum is one measurement of work in this process.
type Datum struct {
	Name       string
	Dimensions map[string]string
	Value      float64
	Count      float64   // how often it was measured; 0: once
	Time       time.Time // zero: now
	Unit       string    // as CloudWatch names them; empty: None
	HighRes    bool      // kept by the second, not by the minute
}
