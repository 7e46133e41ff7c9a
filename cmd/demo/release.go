package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"satchel/fixtures"
)

const (
	releaseStick = "stick2"
	releaseKey   = "release-key.asc"
	siteFiles    = "site-files"
	mirrored     = "release-mirror"
)

// release carries a small release of OpenShift, made for the story, with some
// operators, and takes the installer out of it.
func (j *journey) release(ctx context.Context) error {
	store := &fixtures.SignatureStore{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: store}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Close() // what it says, Serve says too
		<-served
	}()
	r := fixtures.NewRelease(fixtures.ReleaseSpec{
		Version: "4.12.0", Registry: j.source.Addr(), Stores: map[string]string{"demo": "http://" + listener.Addr().String()},
	})
	if err := fixtures.Push(ctx, j.source.URL(), r.Images...); err != nil {
		return err
	}
	store.Add(r.Image.Root.Digest, fixtures.SignRelease(r.Image.Root.Digest, r.Reference()))
	if err := os.WriteFile(j.path(releaseKey), fixtures.ReleaseKey().Armored(), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(j.path(releaseStick), 0o755); err != nil {
		return err
	}
	j.pen.title("A release of OpenShift, and operators")
	j.pen.say(`A release is an image that names others, its components. This one is small and made for the story, with %d of them, but
in the form of real ones. It says where its signatures are published, and satchel looks there; its key, not being Red Hat's, has
to be named.`, len(r.Components))
	catalog, err := j.offerCatalog(ctx)
	if err != nil {
		return err
	}
	trust := []string{"--release-key", releaseKey, "--quiet"}
	if _, err := j.satchel(ctx, call{args: append([]string{
		"pack", "--release", r.Reference(), "--catalog", catalog.Reference() + "=" + wantedOperators, "-o", releaseStick, "--tls-verify=false",
	}, trust...)}); err != nil {
		return err
	}
	if _, err := j.satchel(ctx, call{args: []string{"verify", releaseStick, "--quiet"}}); err != nil {
		return err
	}
	to := j.site.Addr() + "/" + mirrored
	j.pen.say("At the site, the signature is verified again, offline, and what the cluster needs is written beside:")
	if _, err := j.satchel(ctx, call{args: append([]string{
		"unpack", releaseStick, "--to", to, "--resources", siteFiles, "--tls-verify=false",
	}, trust...)}); err != nil {
		return err
	}
	if err := j.checkRelease(ctx, r); err != nil {
		return err
	}
	if err := j.checkCatalog(ctx, catalog); err != nil {
		return err
	}
	if err := j.showSiteFiles(); err != nil {
		return err
	}
	if err := j.showCatalogSource(catalog); err != nil {
		return err
	}
	return j.installer(ctx, r, to+"/openshift/release-images", trust)
}

// checkRelease asks the site's registry for every component, by digest and by
// tag.
func (j *journey) checkRelease(ctx context.Context, r fixtures.Release) error {
	w := newWire(ctx)
	tag := r.Version + "-" + r.Architecture
	check := func(repository, tag string, image fixtures.Image) error {
		want, err := image.Manifests[len(image.Manifests)-1].Bytes()
		if err != nil {
			return err
		}
		for _, reference := range []string{tag, string(image.Root.Digest)} {
			_, got, err := w.manifest(j.site.URL(), mirrored+"/"+repository, reference)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, want) {
				return fmt.Errorf("%s %s at the site: it is not the manifest of %s", repository, reference, image.Root.Digest)
			}
		}
		return nil
	}
	if err := check("openshift/release-images", tag, r.Image); err != nil {
		return err
	}
	for _, c := range r.Components {
		if err := check("openshift/release", tag+"-"+c.Name, c.Image); err != nil {
			return err
		}
	}
	j.pen.say(`The registry was asked, not satchel: the release image and all %d components are there under their tags and their digests.`, len(r.Components))
	return nil
}

func (j *journey) showSiteFiles() error {
	entries, err := os.ReadDir(j.path(siteFiles))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	j.pen.command("ls", siteFiles)
	j.show(strings.Join(names, "\n"))
	j.pen.say("README.md has the commands in their order, with the names of this registry filled in.")
	return nil
}

// installer takes the installer out of the bundle, and sees that it differs from
// the one in the release only by what is embedded.
func (j *journey) installer(ctx context.Context, r fixtures.Release, repository string, trust []string) error {
	j.pen.say("The installer comes out of the same stick, pinned to the release at the site:")
	if _, err := j.satchel(ctx, call{args: append([]string{
		"extract", releaseStick, "--command", "openshift-install", "--command-os", "linux", "--mirror", repository, "-o", "bin",
	}, trust...)}); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(j.path("bin"), "openshift-install"))
	if err != nil {
		return err
	}
	original := r.Component("installer").Files[0].Content
	if location := repository + "@" + string(r.Image.Root.Digest); !bytes.Contains(got, []byte(location)) || len(got) != len(original) {
		return fmt.Errorf("installer: %d bytes, want %d with %s in them", len(got), len(original), location)
	}
	j.pen.say("It names the mirrored release, and is as long as before to the byte.")
	return nil
}
