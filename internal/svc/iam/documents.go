package iam

import (
	"net/url"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// Quotas of an account, by the name that AWS's messages give them. Sizes are in characters other
// than white space.
const (
	maxUsers         = 5000
	maxRoles         = 1000
	maxPolicies      = 1500
	maxKeysPerUser   = 2
	maxAttached      = 10
	maxUserInline    = 2048
	maxRoleInline    = 10240
	maxTrustDocument = 2048
	maxManaged       = 6144
)

func overQuota(name string, quota int) error {
	return awsapi.Errorf("LimitExceeded", "Cannot exceed quota for %s: %d", name, quota)
}

// roomIn refuses one row more in a table that is full.
func roomIn[Row any](tx *state.Tx, table state.Table[Row], name string, quota int) error {
	n, err := table.Count(tx)
	if err == nil && n >= quota {
		return overQuota(name, quota)
	}
	return err
}

// checkDocument refuses a document that does not parse.
func checkDocument(text string, kind policy.Kind) (*policy.Document, error) {
	doc, err := policy.Parse([]byte(text), kind)
	if err != nil {
		return nil, awsapi.Errorf("MalformedPolicyDocument", "%w", err)
	}
	return doc, nil
}

// policySize counts as IAM's quotas do.
func policySize(text string) int {
	n := 0
	for _, r := range text {
		if !strings.ContainsRune(" \t\r\n", r) {
			n++
		}
	}
	return n
}

// escapeDocument encodes a document as IAM's answers carry it (RFC 3986); clients decode it.
func escapeDocument(text string) *string {
	escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	return &escaped
}
