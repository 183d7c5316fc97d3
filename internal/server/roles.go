package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sts"
)

// credentialsPath is where work asks for its role's credentials. No bucket can
// have the name.
const credentialsPath = "/_musher/credentials"

// sessionLife is how long such credentials last; clients renew them before.
const sessionLife = time.Hour

// roles lets SageMaker and its work act as execution roles.
//
// Work gets no keys but a ticket: its id and role, sealed. The ticket buys
// temporary keys for as long as the work runs, so that a job or an endpoint may
// run for months, and a ticket that leaks is worth nothing afterwards.
type roles struct {
	sts      *sts.Service
	runner   runner.Runner
	seal     []byte
	endpoint string
}

// ticket says who may act as which role.
type ticket struct{ Work, Role, Name string }

type sealRow struct{ Key []byte }

// newRoles reads the key that seals tickets, or makes it at first start: work
// that outlives this server shows its ticket to the next one.
func newRoles(ctx context.Context, db *state.DB, tokens *sts.Service, work runner.Runner, endpoint string) (*roles, error) {
	r := &roles{sts: tokens, runner: work, endpoint: endpoint}
	table := state.NewTable[sealRow](db, "work_tickets")
	return r, db.Update(ctx, func(tx *state.Tx) error {
		row, err := table.Get(tx, "seal")
		if errors.Is(err, state.ErrNotFound) {
			row = &sealRow{Key: make([]byte, sha256.Size)}
			rand.Read(row.Key) //nolint:errcheck // it never fails
			err = table.Insert(tx, "seal", row)
		}
		if err == nil {
			r.seal = row.Key
		}
		return err
	})
}

// Session implements sagemaker.Roles.
func (r *roles) Session(ctx context.Context, roleARN, name string) (*awsapi.Caller, error) {
	_, caller, err := r.assume(ctx, roleARN, name)
	return caller, err
}

func (r *roles) assume(ctx context.Context, roleARN, name string) (sts.Credentials, *awsapi.Caller, error) {
	creds, caller, err := r.sts.RoleSession(ctx, roleARN, name, sagemaker.Principal, sessionLife)
	var refused *awsapi.Error
	if errors.As(err, &refused) {
		err = awsapi.Errorf("ValidationException", "Could not assume role %s. Please ensure that the role exists and allows principal '%s' to assume the role (%s).", roleARN, sagemaker.Principal, refused.Message)
	}
	return creds, caller, err
}

// Environment implements sagemaker.Roles.
func (r *roles) Environment(workID, roleARN, name string) map[string]string {
	return map[string]string{
		awsclient.ContainerURIEnv:   r.endpoint + credentialsPath,
		awsclient.ContainerTokenEnv: r.issue(ticket{workID, roleARN, name}),
	}
}

func (r *roles) issue(t ticket) string {
	raw, _ := json.Marshal(t) //nolint:errchkjson // strings always encode
	body := base64.RawURLEncoding.EncodeToString(raw)
	return body + "." + base64.RawURLEncoding.EncodeToString(r.sign(body))
}

func (r *roles) sign(body string) []byte {
	mac := hmac.New(sha256.New, r.seal)
	mac.Write([]byte(body))
	return mac.Sum(nil)
}

// open reads a ticket that this account has issued.
func (r *roles) open(token string) (t ticket, ok bool) {
	body, signature, _ := strings.Cut(token, ".")
	given, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(given, r.sign(body)) {
		return t, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	return t, err == nil && json.Unmarshal(raw, &t) == nil
}

// ServeHTTP answers work that asks for credentials, in the form of the
// container credentials of ECS.
func (r *roles) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t, ok := r.open(req.Header.Get("Authorization"))
	if !ok {
		refuse(w, http.StatusUnauthorized, "the authorization token is not one that this server gave")
		return
	}
	if st, err := r.runner.Inspect(req.Context(), t.Work); err != nil || st.Ended() {
		refuse(w, http.StatusForbidden, "the work that the token was given to does not run")
		return
	}
	creds, _, err := r.assume(req.Context(), t.Role, t.Name)
	if err != nil {
		refuse(w, http.StatusForbidden, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck // the client has gone
		"RoleArn": t.Role, "AccessKeyId": creds.AccessKeyId, "SecretAccessKey": creds.SecretAccessKey,
		"Token": creds.SessionToken, "Expiration": creds.Expiration,
	})
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": why}) //nolint:errcheck // the client has gone
}
