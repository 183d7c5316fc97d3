// Package hosting keeps models, endpoint configurations and endpoints, and
// runs an endpoint's instances.
//
// Operations: CreateModel, DescribeModel, ListModels, DeleteModel,
// CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs,
// DeleteEndpointConfig, CreateEndpoint, DescribeEndpoint, ListEndpoints,
// UpdateEndpoint, DeleteEndpoint.
//
// The life of an endpoint:
//
//	Creating ──► InService ◄──► Updating        UpdateEndpoint: the new instances
//	    │            │              │           are started beside the old ones,
//	    ▼            │              │           take over once all answer /ping,
//	  Failed         │              │           and the old ones drain; where they
//	    │            ▼              │           fail, the old ones stay
//	    └───────► Deleting ◄────────┘
//	                 ▼
//	              (none)
//
// An image leads to what its instances run: Musher's own model server, or the
// toolkit's server around the user's script (command.go). Before the instances
// of a deployment start, prepare brings what they need: the model's files, the
// script's, and the packages of its requirements.txt, which pip installs as work
// of its own.
//
// A row holds up to two deployments, each a full copy of what it was made
// from: configurations and models may be deleted under a running endpoint. The
// loop starts, watches and replaces instances, and publishes the healthy ones
// to the router; requests never come through here.
package hosting
