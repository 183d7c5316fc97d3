// Package serve is the data plane: it takes a request to one of an endpoint's
// instances and brings the answer back.
//
// It knows no service and no database. The control plane publishes the
// instances that are healthy; a request reads the table that is there when it
// arrives, without a lock, so serving goes on while the control plane stalls.
//
//	request ─► variant, by weight or by name ─► instance with the fewest
//	requests in flight ─► POST /invocations on its socket ─► answer
//
// The instances' own side is in modelserver; fetch guards what they download.
package serve
