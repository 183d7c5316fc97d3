// Package sts is AWS Security Token Service: it tells callers who they are and hands out temporary
// credentials.
//
//	s := sts.New(sts.Options{Account: "123456789012", Identities: iam})
//	gateway := awsapi.NewGateway(cfg, s.API(), …)
//
// Operations: GetCallerIdentity and GetSessionToken, which need no permission; and AssumeRole,
// which the role's trust policy and the caller's own policies decide. Services of this process
// take a role's credentials by RoleSession, which the trust policy has to grant to the service's
// name. Other session features of AWS (tags, source identity, MFA devices) are refused, not
// ignored: a policy that relied on them would otherwise decide wrongly.
//
// One rule is looser than in AWS: the root may assume roles whose trust policy lets it in. AWS
// never lets it; here the root key is what a developer starts with, and AWS's console user, who
// has every right by policy, has no counterpart.
//
// A session lives from its creation until it expires, in its token alone (see package iam):
//
//	AssumeRole, GetSessionToken, RoleSession ──► valid ── Expiration ──► ExpiredToken
//	                                               └── role deleted ───► valid, but allowed nothing
package sts
