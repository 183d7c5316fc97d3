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
// A row holds up to two deployments, each a full copy of what it was made
// from: configurations and models may be deleted under a running endpoint. The
// loop starts, watches and replaces instances, and publishes the healthy ones
// to the router; requests never come through here.
package hosting
