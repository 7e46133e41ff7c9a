package graph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// DefaultURL is Red Hat's public update service.
const DefaultURL = "https://api.openshift.com/api/upgrades_info/v1/graph"

// Fetch gets the graph of a channel ("stable-4.16") and an architecture, as Go and the
// update service name them ("amd64", "arm64", "multi"), from the update service
// at base, an http or https URL whose own query is kept. The answer, at most [MaxSize] bytes, is for
// [Parse]; an unknown channel is answered with a graph without nodes. Any status but
// 200 is an error. No error text holds user, password or query of base.
func Fetch(ctx context.Context, client *http.Client, base, channel, arch string) ([]byte, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The text of a parse error has the whole URL in it.
		return nil, errors.New("update graph: not an http or https URL")
	}
	query := u.Query()
	query.Set("channel", channel)
	query.Set("arch", arch)
	u.RawQuery = query.Encode()
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	data, err := get(ctx, client, u.String())
	if err != nil {
		return nil, fmt.Errorf("update graph of channel %q, %s, from %s: %w", channel, arch, shown, err)
	}
	return data, nil
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not a valid URL")
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error // names the URL, with its user
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("answer is longer than %d bytes", MaxSize)
	}
	return data, nil
}
