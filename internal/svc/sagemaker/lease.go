package sagemaker

// Lease asks for instances of a model that serve one job, as an endpoint's
// instances serve clients.
type Lease struct {
	Job          string // its name
	Model        string
	ModelARN     string // for errors
	InstanceType string
	Instances    int
	Region       string
	Environment  map[string]string // beside the model's own, and before it
}

// Leased is what a job is promised.
type Leased struct {
	Address string // by which the router knows the instances
	Role    string // the model's execution role
}

// LeaseState is where the instances of a lease stand.
type LeaseState struct {
	Up      bool   // they have all answered; one that ends is replaced
	Gone    bool   // there is no such lease, or none any more
	Failure string // why they did not come up; empty if they did, or may yet
}
