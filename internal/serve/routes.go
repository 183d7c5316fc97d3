package serve

// Instance is one process that answers requests for a model, over HTTP on a
// Unix socket: GET /ping and POST /invocations.
type Instance struct {
	ID     string
	Socket string // path
}

// Variant is one model of an endpoint, and the share of the requests that it
// gets: its weight over the sum of all weights.
type Variant struct {
	Name      string
	Weight    float64
	Instances []Instance
}
