package iam

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/policy"
	"github.com/musher/musher/internal/state"
)

// The policies that AWS itself manages, as far as they speak of services that Musher has or will
// have. A file's path below managed/ is the policy's path and name. They allow what AWS's documents
// of the same names allow of these services; the grouping into statements is ours.
//
//go:embed managed
var awsDocuments embed.FS

// awsPolicy is a policy managed by AWS.
type awsPolicy struct {
	text     string
	compiled *policy.Document
}

// awsPolicyPrefix begins the ARN of every policy managed by AWS.
const awsPolicyPrefix = "arn:aws:iam::aws:policy/"

func loadAWSPolicies() (map[string]awsPolicy, error) {
	all := map[string]awsPolicy{}
	err := fs.WalkDir(awsDocuments, "managed", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := awsDocuments.ReadFile(path)
		if err != nil {
			return err
		}
		doc, err := policy.Parse(text, policy.Identity)
		if err != nil {
			return fmt.Errorf("iam: %s: %w", path, err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "managed/"), ".json")
		all[awsPolicyPrefix+name] = awsPolicy{string(text), doc}
		return nil
	})
	return all, err
}

// managed returns a managed policy, the account's own or AWS's.
func (s *Service) managed(tx *state.Tx, arn string) (*policyRow, error) {
	if p, ok := s.aws[arn]; ok {
		return awsRow(arn, p), nil
	}
	notFound := awsapi.Errorf("NoSuchEntity", "Policy %s was not found.", arn)
	if !strings.HasPrefix(arn, s.arn("policy", "/", "")) {
		return nil, notFound
	}
	row, err := s.store.policies.Get(tx, rowKey(lastName(arn)))
	if errors.Is(err, state.ErrNotFound) || err == nil && s.policyARN(row) != arn {
		return nil, notFound
	}
	return row, err
}

func awsRow(arn string, p awsPolicy) *policyRow {
	return &policyRow{Name: lastName(arn), Path: policyPath(arn), ID: fixedID(policyPrefix, arn), Document: p.text}
}

// policyPath is the path in a managed policy's ARN.
func policyPath(arn string) string {
	_, path, _ := strings.Cut(arn, ":policy")
	return path[:strings.LastIndexByte(path, '/')+1]
}

func (s *Service) policyARN(row *policyRow) string { return s.arn("policy", row.Path, row.Name) }

// managedSource compiles a managed policy for evaluation.
func (s *Service) managedSource(tx *state.Tx, arn string) (policy.Source, error) {
	if p, ok := s.aws[arn]; ok {
		return policy.Source{Name: arn, Document: p.compiled}, nil
	}
	row, err := s.managed(tx, arn)
	if err != nil {
		return policy.Source{}, err
	}
	doc, err := policy.Parse([]byte(row.Document), policy.Identity)
	if err != nil {
		return policy.Source{}, fmt.Errorf("iam: stored policy %s: %w", arn, err)
	}
	return policy.Source{Name: arn, Document: doc}, nil
}

func (s *Service) createPolicy(ctx context.Context, in *CreatePolicyInput) (*CreatePolicyOutput, error) {
	if _, err := checkDocument(in.PolicyDocument, policy.Identity); err != nil {
		return nil, err
	}
	if policySize(in.PolicyDocument) > maxManaged {
		return nil, overQuota("PolicySize", maxManaged)
	}
	row := &policyRow{
		Name: in.PolicyName, Path: pathOr(in.Path), ID: newID(policyPrefix), Document: in.PolicyDocument,
		Description: orEmpty(in.Description), Created: s.now().UTC(), Tags: tagsFrom(in.Tags),
	}
	err := s.update(ctx, func(tx *state.Tx) error {
		if err := roomIn(tx, s.store.policies, "PoliciesPerAccount", maxPolicies); err != nil {
			return err
		}
		err := s.store.policies.Insert(tx, rowKey(row.Name), row)
		if errors.Is(err, state.ErrExists) {
			return awsapi.Errorf("EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", row.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := policyOut(s.policyARN(row), row, uses{})
	out.Description = nil // as in AWS, only GetPolicy tells it
	return &CreatePolicyOutput{Policy: out}, nil
}

func (s *Service) getPolicy(ctx context.Context, in *GetPolicyInput) (*GetPolicyOutput, error) {
	out := &GetPolicyOutput{}
	return out, s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err := s.managed(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		used, err := s.policyUses(tx)
		out.Policy = policyOut(in.PolicyArn, row, used[in.PolicyArn])
		return err
	})
}

// onlyVersion is the one version that a policy has here.
const onlyVersion = "v1"

func (s *Service) getPolicyVersion(ctx context.Context, in *GetPolicyVersionInput) (*GetPolicyVersionOutput, error) {
	out := &GetPolicyVersionOutput{}
	return out, s.store.db.View(ctx, func(tx *state.Tx) error {
		row, err := s.managed(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		if in.VersionId != onlyVersion {
			return awsapi.Errorf("NoSuchEntity", "Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionId)
		}
		isDefault := true
		out.PolicyVersion = &PolicyVersion{
			Document: escapeDocument(row.Document), VersionId: &in.VersionId, IsDefaultVersion: &isDefault, CreateDate: &row.Created,
		}
		return nil
	})
}

func (s *Service) listPolicies(ctx context.Context, in *ListPoliciesInput) (*ListPoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var all []*Policy
	err = s.store.db.View(ctx, func(tx *state.Tx) (err error) {
		all, err = s.allPolicies(tx, orEmpty(in.Scope))
		return err
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p *Policy) bool { return !in.wants(p) })
	listed, n := slicePage(all, p, func(p *Policy) string { return *p.Arn })
	return &ListPoliciesOutput{Policies: listed, IsTruncated: n.isTruncated(), Marker: n.marker()}, nil
}

// wants applies a listing's filters.
func (in *ListPoliciesInput) wants(p *Policy) bool {
	switch {
	case !strings.HasPrefix(*p.Path, pathOr(in.PathPrefix)):
		return false
	case in.OnlyAttached != nil && *in.OnlyAttached && *p.AttachmentCount == 0:
		return false
	}
	switch orEmpty(in.PolicyUsageFilter) {
	case "PermissionsPolicy":
		return *p.AttachmentCount > 0
	case "PermissionsBoundary":
		return *p.PermissionsBoundaryUsageCount > 0
	}
	return true
}

// allPolicies lists a scope's policies by ARN: "Local", "AWS", or both.
func (s *Service) allPolicies(tx *state.Tx, scope string) ([]*Policy, error) {
	used, err := s.policyUses(tx)
	if err != nil {
		return nil, err
	}
	var all []*Policy
	add := func(arn string, row *policyRow) {
		out := policyOut(arn, row, used[arn])
		out.Description, out.Tags = nil, nil // as in AWS, a listing leaves them out
		all = append(all, out)
	}
	if scope != "AWS" {
		err := s.store.policies.Scan(tx, state.Range{}, func(_ string, row *policyRow) (bool, error) {
			add(s.policyARN(row), row)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	if scope != "Local" {
		for _, arn := range slices.Sorted(maps.Keys(s.aws)) {
			add(arn, awsRow(arn, s.aws[arn]))
		}
	}
	slices.SortFunc(all, func(a, b *Policy) int { return strings.Compare(*a.Arn, *b.Arn) })
	return all, nil
}

func (s *Service) deletePolicy(ctx context.Context, in *DeletePolicyInput) (*DeletePolicyOutput, error) {
	return &DeletePolicyOutput{}, s.update(ctx, func(tx *state.Tx) error {
		row, err := s.managed(tx, in.PolicyArn)
		if err != nil {
			return err
		}
		if _, ok := s.aws[in.PolicyArn]; ok {
			return awsapi.Errorf("AccessDenied", "Policy %s is managed by AWS and cannot be deleted.", in.PolicyArn)
		}
		used, err := s.policyUses(tx)
		if err != nil {
			return err
		}
		if used[in.PolicyArn] != (uses{}) {
			return awsapi.Errorf("DeleteConflict", "Cannot delete a policy attached to entities.")
		}
		return s.store.policies.Delete(tx, rowKey(row.Name))
	})
}

// uses counts who uses a managed policy.
type uses struct{ attached, boundary int64 }

// policyUses counts by ARN. There are at most a few thousand users and roles, and few ask.
func (s *Service) policyUses(tx *state.Tx) (map[string]uses, error) {
	all := map[string]uses{}
	count := func(h *holder) {
		for _, arn := range h.Attached {
			u := all[arn]
			u.attached++
			all[arn] = u
		}
		if h.Boundary != "" {
			u := all[h.Boundary]
			u.boundary++
			all[h.Boundary] = u
		}
	}
	err := s.store.roles.Scan(tx, state.Range{}, func(_ string, row *roleRow) (bool, error) {
		count(&row.holder)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return all, s.store.users.Scan(tx, state.Range{}, func(_ string, row *userRow) (bool, error) {
		count(&row.holder)
		return true, nil
	})
}

func policyOut(arn string, row *policyRow, used uses) *Policy {
	version, attachable := onlyVersion, true
	return &Policy{
		PolicyName: &row.Name, PolicyId: &row.ID, Arn: &arn, Path: &row.Path, DefaultVersionId: &version,
		AttachmentCount: &used.attached, PermissionsBoundaryUsageCount: &used.boundary, IsAttachable: &attachable,
		Description: orNil(row.Description), CreateDate: &row.Created, UpdateDate: &row.Created, Tags: tagsOut(row.Tags),
	}
}
