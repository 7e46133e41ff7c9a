package registry_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"satchel/oci"
	"satchel/oci/registry"
)

// place is one registry of several; status 0 means that it answers properly.
type place struct {
	b      *bench
	status atomic.Int64
	calls  atomic.Int64
}

func newPlace(t *testing.T, body string) *place {
	p := &place{}
	p.b = serve(t, func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		if s := p.status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		switch {
		case r.Method == http.MethodPut:
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusCreated)
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", oci.MediaTypeManifest)
			io.WriteString(w, plainManifest)
		default:
			content(w, r, body)
		}
	})
	return p
}

func (p *place) take() int64 { return p.calls.Swap(0) }

func TestSources(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	origin, first, second := newPlace(t, body), newPlace(t, body), newPlace(t, body)
	conf := fmt.Sprintf(`
[[registry]]
location = "%s"
[[registry.mirror]]
location = "%s/proxy"
insecure = true
[[registry.mirror]]
location = "%s"
`, origin.b.host, first.b.host, second.b.host)
	mirrored := func(o *registry.Options) { o.Insecure = true; o.RegistriesConf = write(t, "m.conf", conf) }
	read := func(c *bench) error {
		rc, _, err := c.Blob(t.Context(), origin.b.repo, d, 0, d.Size)
		if err != nil {
			return err
		}
		defer rc.Close()
		if got := readAll(t, rc); got != body {
			t.Errorf("got %q", got)
		}
		return nil
	}
	ref := oci.Reference{Repository: origin.b.repo, Tag: "v1"}
	expect := func(what string, a, b, c int64) {
		t.Helper()
		if x, y, z := first.take(), second.take(), origin.take(); x != a || y != b || z != c {
			t.Errorf("%s: %d, %d, %d requests, want %d, %d, %d", what, x, y, z, a, b, c)
		}
	}

	c := connect(t, mirrored)
	if _, _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	expect("first mirror", 1, 0, 0)
	if got := c.requests()[0]; got != "GET /v2/proxy/org/app/manifests/v1 200" {
		t.Errorf("asked for %s", got)
	}

	c = connect(t, mirrored)
	first.status.Store(404)
	second.status.Store(503)
	if err := read(c); err != nil {
		t.Fatal(err)
	}
	expect("not found, then busy", 1, 2, 1)
	if err := read(c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Manifest(t.Context(), origin.b.repo, describe(oci.MediaTypeManifest, plainManifest)); err != nil {
		t.Fatal(err)
	}
	expect("what worked is remembered", 0, 0, 2)

	if err := c.PushManifest(t.Context(), origin.b.repo, "v1", describe(oci.MediaTypeManifest, plainManifest), []byte(plainManifest)); err != nil {
		t.Fatal(err)
	}
	expect("writing", 0, 0, 1)

	c = connect(t, mirrored, func(o *registry.Options) { o.Direct = true })
	if err := read(c); err != nil {
		t.Fatal(err)
	}
	expect("direct", 0, 0, 1)

	c = connect(t, mirrored)
	second.status.Store(401)
	origin.status.Store(403)
	err := read(c)
	if !errors.Is(err, registry.ErrUnauthorized) || errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "before that") {
		t.Errorf("got %v", err)
	}
}

func TestSourcesByKind(t *testing.T) {
	body := pattern(10)
	origin, digests := newPlace(t, body), newPlace(t, body)
	c := connect(t, func(o *registry.Options) {
		o.Insecure = true
		o.RegistriesConf = write(t, "k.conf", fmt.Sprintf("[[registry]]\nlocation=\"%s\"\n[[registry.mirror]]\nlocation=\"%s\"\npull-from-mirror=\"digest-only\"\n", origin.b.host, digests.b.host))
	})
	m := describe(oci.MediaTypeManifest, plainManifest)
	if _, err := c.Manifest(t.Context(), origin.b.repo, m); err != nil {
		t.Fatal(err)
	}
	// The mirror worked, but tags are none of its business.
	if _, _, err := c.Resolve(t.Context(), oci.Reference{Repository: origin.b.repo, Tag: "v1"}); err != nil {
		t.Fatal(err)
	}
	if digests.take() != 1 || origin.take() != 1 {
		t.Errorf("requests: %q", c.requests())
	}
}

func TestBlocked(t *testing.T) {
	body := pattern(10)
	origin, mirror := newPlace(t, body), newPlace(t, body)
	conf := "[[registry]]\nlocation=\"" + origin.b.host + "\"\nblocked=true\n"
	c := connect(t, func(o *registry.Options) { o.Insecure = true; o.RegistriesConf = write(t, "b.conf", conf) })
	ref := oci.Reference{Repository: origin.b.repo, Tag: "v1"}
	if _, _, err := c.Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "is blocked by") {
		t.Errorf("got %v", err)
	}
	if _, err := c.HasBlob(t.Context(), origin.b.repo, describe("", "x")); err == nil {
		t.Error("writing to a blocked registry")
	}
	// As an ImageDigestMirrorSet with NeverContactSource has it.
	conf += "[[registry.mirror]]\nlocation=\"" + mirror.b.host + "\"\n"
	c = connect(t, func(o *registry.Options) { o.Insecure = true; o.RegistriesConf = write(t, "n.conf", conf) })
	if _, _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Error(err)
	}
	mirror.status.Store(404)
	if _, _, err := c.Resolve(t.Context(), ref); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if origin.take() != 0 {
		t.Error("the blocked registry was asked")
	}
}
