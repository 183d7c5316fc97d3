package logs

import (
	"log/slog"

	"github.com/musher/musher/internal/state"
)

// Deps is what the service needs of the rest.
type Deps struct {
	DB  *state.DB
	Log *slog.Logger
}
