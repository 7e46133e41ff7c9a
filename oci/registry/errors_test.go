package registry_test

import (
	"errors"
	"net/http"
	"testing"

	"satchel/oci"
)

// What is not there is told from what failed, without this package's errors
// being known: a token server's 404 says nothing of the registry.
func TestNotFoundMethod(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		token  bool
		want   bool
	}{
		{name: "not there", status: http.StatusNotFound, want: true},
		{name: "gone for good", status: http.StatusGone},
		{name: "not allowed", status: http.StatusForbidden},
		{name: "no token server", status: http.StatusNotFound, token: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if test.token && r.URL.Path != "/token" {
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.WriteHeader(test.status)
			})
			_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"})
			var absent interface {
				error
				NotFound() bool
			}
			if !errors.As(err, &absent) || absent.NotFound() != test.want {
				t.Errorf("got %v, want not found: %t", err, test.want)
			}
		})
	}
}
