package logs

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

const byTime = "LastEventTime" // the value of orderBy that is not the default

func (s *Service) handleStreams() {
	awsapi.Handle(s.api, "CreateLogStream", s.createLogStream, awsapi.Access(func(r *awsapi.Request, in *CreateLogStreamInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, in.LogStreamName)
	}))
	awsapi.Handle(s.api, "DeleteLogStream", s.deleteLogStream, awsapi.Access(func(r *awsapi.Request, in *DeleteLogStreamInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, in.LogStreamName)
	}))
	awsapi.Handle(s.api, "DescribeLogStreams", s.describeLogStreams, awsapi.Access(func(r *awsapi.Request, in *DescribeLogStreamsInput) []awsapi.Permission {
		return needsChosen(r, in.LogGroupName, in.LogGroupIdentifier, "")
	}))
}

func (s *Service) createLogStream(ctx context.Context, in *CreateLogStreamInput) (*CreateLogStreamOutput, error) {
	if strings.Contains(in.LogStreamName, "\x00") {
		return nil, invalid("logStreamName must not have a NUL in it.")
	}
	err := s.update(ctx, func(tx *state.Tx) error {
		if _, err := s.group(tx, in.LogGroupName); err != nil {
			return err
		}
		return s.streams.Insert(tx, state.Key(in.LogGroupName, in.LogStreamName), newStream(time.Now()))
	})
	if errors.Is(err, state.ErrExists) {
		return nil, awsapi.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	return nil, err
}

func (s *Service) deleteLogStream(ctx context.Context, in *DeleteLogStreamInput) (*DeleteLogStreamOutput, error) {
	return nil, s.update(ctx, func(tx *state.Tx) error {
		g, st, err := s.stream(tx, in.LogGroupName, in.LogStreamName)
		if err != nil {
			return err
		}
		g.Bytes -= st.Bytes
		if err := s.groups.Put(tx, g.Name, g); err != nil {
			return err
		}
		return s.drop(tx, state.Key(in.LogGroupName, in.LogStreamName), st)
	})
}

// rank is a stream's place in a listing, and so what its token tells.
type rank struct {
	Last int64 `json:"t,omitempty"`
	Name string
}

func (s *Service) describeLogStreams(ctx context.Context, in *DescribeLogStreamsInput) (*DescribeLogStreamsOutput, error) {
	groupName, err := chosen(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	inTime := or(in.OrderBy, "") == byTime
	if inTime && in.LogStreamNamePrefix != nil {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	after, err := openToken[rank](in.NextToken)
	if err != nil {
		return nil, err
	}
	var found map[string]*stream
	err = s.view(ctx, func(tx *state.Tx) (err error) {
		if _, err = s.group(tx, groupName); err == nil {
			found, err = s.all(tx, groupName, or(in.LogStreamNamePrefix, ""))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	page, next := pageOf(found, inTime, or(in.Descending, false), after, int(or(in.Limit, 50)))
	out := &DescribeLogStreamsOutput{LogStreams: []*LogStream{}}
	for _, k := range page {
		out.LogStreams = append(out.LogStreams, found[k.Name].describe(awsapi.RequestFrom(ctx), groupName, k.Name))
	}
	if next != nil {
		out.NextToken = new(sealToken(*next))
	}
	return out, nil
}

// pageOf orders streams and cuts the page behind a rank; next is the rank for
// the page after it, nil where there is none.
func pageOf(found map[string]*stream, inTime, descending bool, after rank, size int) (page []rank, next *rank) {
	compare := func(a, b rank) int {
		c := cmp.Or(cmp.Compare(a.Last, b.Last), strings.Compare(a.Name, b.Name))
		if descending {
			return -c
		}
		return c
	}
	for name, st := range found {
		k := rank{Name: name}
		if inTime {
			k.Last = st.Last
		}
		if after.Name == "" || compare(k, after) > 0 {
			page = append(page, k)
		}
	}
	slices.SortFunc(page, compare)
	if len(page) > size {
		page, next = page[:size], &page[size-1]
	}
	return page, next
}

func (st *stream) describe(r *awsapi.Request, group, name string) *LogStream {
	out := &LogStream{
		LogStreamName: &name, CreationTime: &st.Created, StoredBytes: new(int64(0)), // as the service does since 2019
		Arn: new(groupARN(r, group) + ":log-stream:" + name), UploadSequenceToken: new(sequence(st.Next)),
	}
	if st.Last > 0 {
		out.FirstEventTimestamp, out.LastEventTimestamp, out.LastIngestionTime = &st.First, &st.Last, &st.Comes
	}
	return out
}

// sealToken writes what the next page must know.
func sealToken[T any](v T) string {
	raw, _ := json.Marshal(v) //nolint:errchkjson // texts and numbers
	return base64.RawURLEncoding.EncodeToString(raw)
}

// openToken reads it again; no token is the zero value.
func openToken[T any](token *string) (v T, err error) {
	if token == nil {
		return v, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*token)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		return v, invalid("The specified nextToken is invalid.")
	}
	return v, nil
}
