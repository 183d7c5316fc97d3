package awsclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// The variables by which a process that runs as a role finds its credentials;
// the AWS SDKs read them as well.
const (
	ContainerURIEnv   = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	ContainerTokenEnv = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
)

// renewBefore is how long before their end credentials are asked for anew.
const renewBefore = 5 * time.Minute

// ContainerCredentials returns a source that asks uri for temporary
// credentials, showing token, and keeps them while they last.
func ContainerCredentials(uri, token string, client *http.Client) Source {
	var mu sync.Mutex
	var kept awsapi.Credentials
	var expires time.Time
	return func(ctx context.Context) (awsapi.Credentials, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Until(expires) > renewBefore {
			return kept, nil
		}
		fresh, until, err := askContainer(ctx, uri, token, client)
		switch {
		case err == nil:
			kept, expires = fresh, until
		case time.Until(expires) > 0:
			// The old ones still do: the next call tries again.
		default:
			return awsapi.Credentials{}, fmt.Errorf("credentials of the role: %w", err)
		}
		return kept, nil
	}
}

func askContainer(ctx context.Context, uri, token string, client *http.Client) (c awsapi.Credentials, expires time.Time, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return c, expires, err
	}
	r.Header.Set("Authorization", token)
	answer, err := client.Do(r)
	if err != nil {
		return c, expires, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return c, expires, err
	}
	if answer.StatusCode != http.StatusOK {
		return c, expires, fmt.Errorf("%s: %s", answer.Status, raw)
	}
	var body struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return c, expires, err
	}
	return awsapi.Credentials{AccessKeyID: body.AccessKeyID, SecretAccessKey: body.SecretAccessKey, Token: body.Token}, body.Expiration, nil
}
