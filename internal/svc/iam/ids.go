package iam

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
)

// Prefixes of IAM's identifiers.
const (
	userPrefix      = "AIDA"
	rolePrefix      = "AROA"
	policyPrefix    = "ANPA"
	keyPrefix       = "AKIA" // a long-lived access key
	temporaryPrefix = "ASIA" // an access key of a session
)

// newID returns a prefix and 17 random letters and digits, as IAM's unique ids are.
func newID(prefix string) string { return prefix + randomBase32(17) }

// newAccessKeyID returns an access key's 20 characters.
func newAccessKeyID(prefix string) string { return prefix + randomBase32(16) }

// newSecret returns the 40 characters of a secret access key: 240 random bits.
func newSecret() string {
	var b [30]byte
	rand.Read(b[:]) // never fails: it ends the program where the system has no randomness
	return base64.StdEncoding.EncodeToString(b[:])
}

func randomBase32(n int) string {
	b := make([]byte, (n*5+7)/8)
	rand.Read(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// fixedID returns the same id for the same name: AWS's own policies have theirs without a record.
func fixedID(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
