// Package iam is AWS Identity and Access Management: the account's users, access keys, roles and
// policies, and with them the answers to two questions that every call of every service asks.
//
//	s, err := iam.New(ctx, db, iam.Options{Account: "123456789012"})
//	gateway := awsapi.NewGateway(awsapi.Config{Authenticator: s, Authorizer: s, …}, s.API(), …)
//
// Who is calling? (awsapi.Authenticator)
//
//	AKIA… of the root ────► the account itself
//	AKIA… of a user ──────► the user, while the key is Active
//	ASIA… with a token ───► whoever the sealed token names, until it expires
//
// May they? (awsapi.Authorizer) The caller's policies, compiled once and cached until any IAM
// record changes, are evaluated by package policy; nothing is allowed unless a policy allows it.
// The root holds an implicit policy that allows everything. A session of a user or of the root
// (GetSessionToken) cannot call IAM, as in AWS.
//
// Sessions are not stored. A session token is the session itself, sealed with a key that is made
// at first start and kept in the database: it outlives a restart, costs no write, and vanishes by
// expiring. What it may do is looked up at every call, so deleting a role or a policy acts at once
// on sessions already out. A user or role made anew under an old name has a new unique id, and
// sessions of the old one get nothing.
//
// Supported are users with up to two access keys, roles, inline policies of both, permissions
// boundaries (set at creation), and managed policies attached to either: one's own, and those of
// AWS that stand in managed/. SimulatePrincipalPolicy asks the second question on behalf of a user
// or role, with the same evaluation. Bucket and other resource policies are not consulted yet: a
// Permission carries none.
//
// Access keys' secrets lie in the database as they are, since verifying a signature takes the
// secret itself; the data folder's permissions protect them. They are never logged.
package iam
