// Package policy decides whether an AWS request is allowed, from policy documents alone.
//
// It hides the policy language: its JSON grammar, wildcards, ARN matching by segments, policy
// variables, condition operators, and the order in which kinds of policies are consulted. It is
// pure: no clock, no storage, no globals; everything about the request comes in with the request.
//
// A document is compiled once and is then immutable and safe for concurrent use:
//
//	doc, err := policy.Parse(text, policy.Identity)          // *policy.Error says what is wrong, and where
//	d := policy.Evaluate(policy.Policies{
//		Identity: []policy.Source{{Name: "readers", Document: doc}},
//	}, &policy.Request{
//		Principal: policy.Principal{Kind: policy.User, Account: "123456789012", ARN: userARN},
//		Action:    "s3:GetObject",
//		Resource:  "arn:aws:s3:::photos/1.jpg",
//		Context:   ctx,
//	})
//	if !d.Allowed { log(d); reply(d.Reason("s3:GetObject")) }
//
// The decision follows "Policy evaluation logic" of the IAM user guide:
//
//	any matching Deny ──────────────────────────────────────────────► denied, explicitly
//	       │ none
//	resource policy names the caller itself (same account) ─────────► allowed
//	       │ it names the caller's role: go on without an identity allow being needed
//	identity policies allow? ── no ─────────────────────────────────► denied
//	       │ yes
//	boundary, if any, allows? ── no ────────────────────────────────► denied
//	       │ yes
//	session policies, if any, allow? ── no ─────────────────────────► denied
//	       │ yes
//	     allowed
//
// Where the resource belongs to another account, or is a role whose trust policy is asked
// (EvaluateTrust), the resource's own policy has to allow as well.
package policy
