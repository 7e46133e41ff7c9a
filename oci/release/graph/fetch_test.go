package graph_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"satchel/oci/release/graph"
)

func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		user, password, _ := r.BasicAuth()
		switch r.URL.Path {
		case "/graph":
			fmt.Fprintf(w, "%s for %s %s", r.URL.RawQuery, user, password)
		case "/large":
			w.Write(make([]byte, graph.MaxSize))
		case "/too-large":
			w.Write(make([]byte, graph.MaxSize+1))
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("cut"))
		case "/circle":
			http.Redirect(w, r, r.RequestURI, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	withUser := strings.Replace(server.URL, "://", "://someone:secret@", 1)
	for _, test := range []struct {
		url, channel, arch string
		want, err          string
	}{
		{server.URL + "/graph", "stable-4.16", "amd64", "arch=amd64&channel=stable-4.16 for  ", ""},
		{withUser + "/graph?id=x&arch=y", "a&b=c", "multi", "arch=multi&channel=a%26b%3Dc&id=x for someone secret", ""},
		{server.URL + "/large", "stable-4.16", "amd64", string(make([]byte, graph.MaxSize)), ""},
		{withUser + "/too-large?token=secret", "stable-4.16", "amd64", "", "answer is longer than 16777216 bytes"},
		{withUser + "/500?token=secret", "stable-4.16", "amd64", "", "status 500 Internal Server Error"},
		{withUser + "/none?token=secret", "stable-4.16", "arm64", "", `channel "stable-4.16", arm64, from ` + server.URL + "/none: status 404 Not Found"},
		{withUser + "/cut?token=secret", "stable-4.16", "amd64", "", "unexpected EOF"},
		{withUser + "/circle?token=secret", "stable-4.16", "amd64", "", "stopped after 10 redirects"},
		{"file:///secret", "stable-4.16", "amd64", "", "not an http or https URL"},
		{"https://someone:secret@%zz", "stable-4.16", "amd64", "", "not an http or https URL"},
	} {
		got, err := graph.Fetch(t.Context(), server.Client(), test.url, test.channel, test.arch)
		if string(got) != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %.80q, %v", test.url, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "someone")) {
			t.Errorf("%s: the error shows credentials: %v", test.url, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := graph.Fetch(ctx, server.Client(), server.URL+"/graph", "x", "y"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFetchUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, err = graph.Fetch(t.Context(), http.DefaultClient, "http://someone:secret@"+address+"/?token=secret", "stable-4.16", "amd64")
	if err == nil || !strings.Contains(err.Error(), address) || strings.Contains(err.Error(), "someone") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
