package transfer_test

import (
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// Where an index has the tag sha256-<its own digest>, as oc-mirror calls images,
// that tag is where a list of its attachments would stand: it is left alone.
func TestReferrersUnderOwnTag(t *testing.T) {
	index := fixtures.NewIndex(layered("one", "one"), layered("two", "two")).Named("team/many", "1")
	referrer := spdx(index, "x")
	source := serve(t, fixtures.Options{}, index, referrer)
	sources := transfer.Sources{Registry: client(t), Referrers: client(t)}
	prologue := plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, index)
	site := serve(t, fixtures.Options{RefuseReferrers: true, AllowSparse: true})
	content, err := index.Manifests[len(index.Manifests)-1].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	tagIndex(t, site, index, oci.MediaTypeIndex, content)
	_, err = transfer.Copy(t.Context(), prologue, sources, client(t), transfer.CopyOptions{UnpackOptions: into(site)})
	if err == nil || !strings.Contains(err.Error(), "the tag names the image itself") {
		t.Errorf("got %v", err)
	}
	if got := site.Digests()["mirror/team/many"][fixtures.AttachmentTag(index.Root.Digest, "")]; got != index.Root.Digest {
		t.Errorf("the tag names %s now", got)
	}
}
