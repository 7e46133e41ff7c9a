package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// compare looks at both registries without satchel: it starts from the names of
// the images at the source, follows what the manifests there say, and wants all
// of it at the site.
func (j *journey) compare(ctx context.Context) error {
	j.pen.title("Did everything arrive?")
	j.pen.say(`Do not take satchel's word for it. The demo now asks both registries itself, in
plain HTTP, and compares manifest by manifest and blob by blob.`)
	c := &comparison{wire: newWire(ctx), source: j.source.URL(), site: j.site.URL(), seen: make(map[string]bool)}
	defer c.wire.client.CloseIdleConnections()
	tags := make(map[string][]string)
	for _, image := range j.images {
		repository, tag := destination(image)
		tags[repository] = append(tags[repository], tag)
		if err := c.image(image.Repository, image.Tag, image.Root.Digest, repository, tag); err != nil {
			return fmt.Errorf("comparing %s: %w", image.Reference(), err)
		}
	}
	if err := c.names(tags); err != nil {
		return fmt.Errorf("comparing names: %w", err)
	}
	manifests, blobs := contents(j.images)
	if c.manifests != manifests || c.blobs != blobs {
		return fmt.Errorf("comparing: found %d manifests and %d blobs, want %d and %d", c.manifests, c.blobs, manifests, blobs)
	}
	j.pen.say(`%d tags in %d repositories, and no others: each names the digest that it names
at the source. %d manifests, those within indexes too: equal byte for byte.
%d blobs: all there, with the same digest and size. (What two repositories hold
counts twice.)`, len(j.images), len(tags), c.manifests, c.blobs)
	return nil
}

type comparison struct {
	wire             *wire
	source, site     string // URLs
	seen             map[string]bool
	manifests, blobs int
}

// image compares one image: what it is called, and all that is below it.
func (c *comparison) image(repository, tag string, root digest.Digest, siteRepository, siteTag string) error {
	reference := tag
	if reference == "" {
		reference = root.String()
	}
	mediaType, content, err := c.wire.manifest(c.source, repository, reference)
	if err != nil {
		return err
	}
	if got := digest.FromBytes(content); got != root {
		return fmt.Errorf("source: %s is %s, want %s", reference, got, root)
	}
	siteType, siteContent, err := c.wire.manifest(c.site, siteRepository, siteTag)
	if err != nil {
		return err
	}
	if siteType != mediaType || !bytes.Equal(siteContent, content) {
		return fmt.Errorf("site: %s is %s of type %s, want %s of type %s",
			siteTag, digest.FromBytes(siteContent), siteType, root, mediaType)
	}
	return c.manifest(repository, siteRepository, root)
}

// manifest compares a manifest by its digest, and all that is below it.
func (c *comparison) manifest(repository, siteRepository string, d digest.Digest) error {
	if c.seen[repository+"@"+d.String()] {
		return nil
	}
	c.seen[repository+"@"+d.String()] = true
	mediaType, content, err := c.wire.manifest(c.source, repository, d.String())
	if err != nil {
		return err
	}
	siteType, siteContent, err := c.wire.manifest(c.site, siteRepository, d.String())
	if err != nil {
		return err
	}
	if siteType != mediaType || !bytes.Equal(siteContent, content) || digest.FromBytes(content) != d {
		return fmt.Errorf("manifest %s: source has %s of type %s, site has %s of type %s",
			d, digest.FromBytes(content), mediaType, digest.FromBytes(siteContent), siteType)
	}
	c.manifests++
	// Read without package oci, so that a mistake there is not made twice.
	var names struct {
		Manifests, Layers []oci.Descriptor
		Config            *oci.Descriptor
	}
	if err := json.Unmarshal(content, &names); err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	for _, child := range names.Manifests {
		if err := c.manifest(repository, siteRepository, child.Digest); err != nil {
			return err
		}
	}
	if names.Config != nil {
		names.Layers = append(names.Layers, *names.Config)
	}
	for _, blob := range names.Layers {
		if err := c.blob(repository, siteRepository, blob); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) blob(repository, siteRepository string, d oci.Descriptor) error {
	if c.seen[repository+"@"+d.Digest.String()] {
		return nil
	}
	c.seen[repository+"@"+d.Digest.String()] = true
	if err := c.wire.blob(c.source, repository, d); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := c.wire.blob(c.site, siteRepository, d); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	c.blobs++
	return nil
}

// names wants the tags by repository at the site, and no others.
func (c *comparison) names(want map[string][]string) error {
	repositories, err := c.wire.repositories(c.site)
	if err != nil {
		return err
	}
	if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(repositories, sorted) {
		return fmt.Errorf("site: got repositories %q, want %q", repositories, sorted)
	}
	for repository, tags := range want {
		got, err := c.wire.tags(c.site, repository)
		if err != nil {
			return err
		}
		if sorted := slices.Sorted(slices.Values(tags)); !slices.Equal(got, sorted) {
			return fmt.Errorf("site: %s: got tags %q, want %q", repository, got, sorted)
		}
	}
	return nil
}
