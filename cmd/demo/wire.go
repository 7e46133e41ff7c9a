package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"satchel/oci"
)

// wire asks registries with nothing but net/http.
type wire struct {
	ctx    context.Context // of one act
	client *http.Client
}

func newWire(ctx context.Context) *wire {
	return &wire{ctx, &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
}

// do returns type and content of an answer of status 200.
func (w *wire) do(method, url string, mediaTypes []string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(w.ctx, method, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(mediaTypes) > 0 {
		req.Header.Set("Accept", strings.Join(mediaTypes, ", "))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, oci.MaxManifestSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %s: got status %s, want 200", method, url, resp.Status)
	}
	return resp, content, nil
}

func (w *wire) manifest(base, repository, reference string) (mediaType string, content []byte, err error) {
	resp, content, err := w.do(http.MethodGet, base+"/v2/"+repository+"/manifests/"+reference, oci.ManifestMediaTypes())
	if err != nil {
		return "", nil, err
	}
	return resp.Header.Get("Content-Type"), content, nil
}

// blob wants a blob to be there, in its size.
func (w *wire) blob(base, repository string, d oci.Descriptor) error {
	url := base + "/v2/" + repository + "/blobs/" + d.Digest.String()
	resp, _, err := w.do(http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	if got := resp.Header.Get("Docker-Content-Digest"); resp.ContentLength != d.Size || got != d.Digest.String() {
		return fmt.Errorf("HEAD %s: got %d bytes of %s, want %d", url, resp.ContentLength, got, d.Size)
	}
	return nil
}

// repositories lists a registry of a few repositories, in order.
func (w *wire) repositories(base string) ([]string, error) {
	var answer struct{ Repositories []string }
	err := w.list(base+"/v2/_catalog?n=100", &answer)
	slices.Sort(answer.Repositories)
	return answer.Repositories, err
}

// tags lists a repository of a few tags, in order.
func (w *wire) tags(base, repository string) ([]string, error) {
	var answer struct{ Tags []string }
	err := w.list(base+"/v2/"+repository+"/tags/list", &answer)
	slices.Sort(answer.Tags)
	return answer.Tags, err
}

func (w *wire) list(url string, answer any) error {
	_, content, err := w.do(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}
