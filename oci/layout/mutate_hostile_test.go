//go:build !windows

package layout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
	"satchel/oci/layout"
)

// TestAddLayerHostile breaks images in every way; the error says which.
func TestAddLayerHostile(t *testing.T) {
	one := fmt.Sprintf("%q", digest.FromString("1"))
	rootfs := func(ids ...string) string {
		return `{"rootfs":{"type":"layers","diff_ids":[` + strings.Join(ids, ",") + `]}}`
	}
	withConfig := func(config string) *original {
		return newOriginal(oci.MediaTypeManifest, ispec.MediaTypeImageConfig, config)
	}
	// changed names the manifest's bytes anew after they were changed.
	changed := func(old, new string) *original {
		o := withConfig(config)
		content := strings.Replace(string(o.blobs[o.manifest.Digest]), old, new, 1)
		o.manifest = o.add(o.manifest.MediaType, content)
		return o
	}
	with := func(o *original, change func(o *original)) *original {
		change(o)
		return o
	}
	sound := withConfig(config)
	for name, c := range map[string]struct {
		image *original
		err   string
	}{
		"index":                 {with(withConfig(config), func(o *original) { o.manifest.MediaType = oci.MediaTypeIndex }), "not that of an image manifest"},
		"no media type":         {with(withConfig(config), func(o *original) { o.manifest.MediaType = "" }), `media type "" is not`},
		"another media type":    {with(withConfig(config), func(o *original) { o.manifest.MediaType = oci.MediaTypeDockerManifest }), "states media type"},
		"manifest is not there": {with(withConfig(config), func(o *original) { delete(o.blobs, o.manifest.Digest) }), "manifest: file does not exist"},
		"manifest too long":     {with(withConfig(config), func(o *original) { o.manifest.Size-- }), "longer than the promised"},
		"manifest too short":    {with(withConfig(config), func(o *original) { o.manifest.Size++ }), "manifest: sha256:"},
		"huge manifest":         {with(withConfig(config), func(o *original) { o.manifest.Size = 1 << 40 }), "manifest: 1099511627776 bytes are more than 4194304"},
		"negative size":         {with(withConfig(config), func(o *original) { o.manifest.Size = -1 }), "size -1"},
		"manifest is other":     {with(withConfig(config), func(o *original) { o.blobs[o.manifest.Digest] = bytes.Repeat([]byte(" "), int(o.manifest.Size)) }), "content has digest"},
		"manifest is no JSON":   {changed("{", "["), "manifest"},
		"index in disguise":     {changed(`"layers"`, `"manifests":[],"layers"`), "fields of an index"},
		"two lists of layers":   {changed(`"layers"`, `"layers":[],"layers"`), `field "layers" is there twice`},
		"layers in capitals":    {changed(`"layers"`, `"LAYERS":[],"layers"`), `field "layers" is written "LAYERS"`},
		"two sizes of a layer":  {changed(`"layers":[`, fmt.Sprintf(`"layers":[{"digest":%q,"size":1},`, digest.FromString("1"))), "stated with"},
		"MD5":                   {changed("sha256:", "md5:"), "digest"},
		"artifact":              {changed(ispec.MediaTypeImageConfig, "application/vnd.cncf.helm.config.v1+json"), "is not that of an image"},
		"layers twice as many":  {changed(`"layers":[`, fmt.Sprintf(`"layers":[{"digest":%q,"size":1000},`, digest.FromString("1"))), "it has 2 diff_ids, but the manifest 3 layers"},
		"config is not there":   {with(withConfig(config), func(o *original) { delete(o.blobs, digest.FromString(config)) }), "file does not exist"},
		"config of other size":  {changed(fmt.Sprintf(`"size":%d}`, len(config)), `"size":7}`), "longer than the promised 7 bytes"},
		"huge config":           {changed(fmt.Sprintf(`"size":%d}`, len(config)), `"size":4194305}`), "4194305 bytes are more than 4194304"},
		"config is other":       {with(withConfig(config), func(o *original) { o.blobs[digest.FromString(config)] = make([]byte, len(config)) }), "content has digest"},
		"config is empty":       {withConfig(""), "config sha256:"},
		"config is a list":      {withConfig("[]"), `"{" is not there`},
		"config is null":        {withConfig("null"), `"{" is not there`},
		"config is cut":         {withConfig(config[:len(config)-1]), "config sha256:"},
		"config and more":       {withConfig(config + "{}"), "something follows"},
		"config says nothing":   {withConfig("{}"), `rootfs has type ""`},
		"rootfs of other type":  {withConfig(`{"rootfs":{"type":"layers+base","diff_ids":[]}}`), `rootfs has type "layers+base"`},
		"no diff_ids":           {withConfig(rootfs()), "it has 0 diff_ids, but the manifest 2 layers"},
		"one diff_id":           {withConfig(rootfs(one)), "it has 1 diff_ids, but the manifest 2 layers"},
		"three diff_ids":        {withConfig(rootfs(one, one, one)), "it has 3 diff_ids, but the manifest 2 layers"},
		"empty diff_id":         {withConfig(rootfs(one, `""`)), `diff_ids: digest ""`},
		"diff_id of MD5":        {withConfig(rootfs(one, `"md5:d41d8cd98f00b204e9800998ecf8427e"`)), "diff_ids: digest"},
		"diff_ids of numbers":   {withConfig(rootfs("1", "2")), "cannot unmarshal number"},
		"two rootfs":            {withConfig(strings.TrimSuffix(rootfs(one, one), "}") + `,"rootfs":{}}`), `field "rootfs" is there twice`},
		"rootfs in capitals":    {withConfig(strings.TrimSuffix(rootfs(one, one), "}") + `,"rootFS":{}}`), `field "rootfs" is written "rootFS"`},
		"rootfs, long s":        {withConfig(strings.TrimSuffix(rootfs(one, one), "}") + `,"rootfſ":{}}`), `field "rootfs" is written`},
		"two Cmd":               {withConfig(`{"config":{"Cmd":[],"Cmd":[]},` + rootfs(one, one)[1:]), `field "config": field "Cmd" is there twice`},
		"cmd":                   {withConfig(`{"config":{"cmd":[]},` + rootfs(one, one)[1:]), `field "config": field "Cmd" is written "cmd"`},
		"config of a config":    {withConfig(`{"config":[],` + rootfs(one, one)[1:]), "cannot unmarshal array"},
		"deep":                  {withConfig(`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,` + rootfs(one, one)[1:]), "nested deeper than 32"},
		"long":                  {withConfig(rootfs(strings.Repeat(`"",`, 100_000) + `""`)), "list of more than 100000 elements"},
		"bad time":              {withConfig(`{"created":"yesterday",` + rootfs(one, one)[1:]), "yesterday"},
	} {
		m, cfg, l, err := layout.AddLayer(t.Context(), c.image.manifest, c.image.fetch, strings.NewReader("tar"), nil, "x")
		if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "adding a layer") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
		if m.Content != nil || cfg.Content != nil || l.Content != nil {
			t.Errorf("%s: something was made", name)
		}
	}
	if _, _, _, err := layout.AddLayer(t.Context(), sound.manifest, sound.fetch, strings.NewReader("tar"), nil, "x"); err != nil {
		t.Errorf("none of it: %v", err)
	}
	mine := errors.New("connection lost")
	lost := func(context.Context, oci.Descriptor) ([]byte, error) { return nil, mine }
	if _, _, _, err := layout.AddLayer(t.Context(), sound.manifest, lost, strings.NewReader("tar"), nil, "x"); !errors.Is(err, mine) {
		t.Errorf("error of fetch: %v", err)
	}
	_, _, _, err := layout.AddLayer(t.Context(), sound.manifest, sound.fetch, strings.NewReader("tar"),
		func(c *ispec.ImageConfig) { c.Env = append(c.Env, strings.Repeat("<", 700_000)) }, "x") // six bytes each
	if err == nil || !strings.Contains(err.Error(), "new config: 420") || len(err.Error()) > 600 {
		t.Errorf("an edited config that is too large: %v", err)
	}
}

// endless never ends.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n += int64(len(p))
	for i := range p {
		p[i] = byte(e.n + int64(i)*int64(i)>>3)
	}
	return len(p), nil
}

func TestAddLayerBounds(t *testing.T) {
	o := newOriginal(oci.MediaTypeManifest, ispec.MediaTypeImageConfig, config)
	for _, c := range []struct {
		layer             io.Reader
		plain, compressed int64
		err               string
	}{
		{bytes.NewReader(make([]byte, 100_000)), 100_000, 1 << 20, ""},
		{bytes.NewReader(make([]byte, 100_001)), 100_000, 1 << 20, "layer of more than 100000 bytes"},
		{&endless{}, 100_000, 1 << 20, "layer of more than 100000 bytes"},
		{bytes.NewReader(text(100_000)), 1 << 40, 10_000, "blob of more than 10000 bytes"},
	} {
		_, _, l, err := layout.AddLayerBounded(t.Context(), o.manifest, o.fetch, c.layer, nil, "x", c.plain, c.compressed)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v, layer of %d bytes", err, l.Descriptor.Size)
		}
		if e, ok := c.layer.(*endless); ok && e.n > 200_000 {
			t.Errorf("%d bytes were read", e.n)
		}
	}
}

// TestAddLayerBrokenSource has a layer that breaks off: that is never its end, and
// nothing reads on when the call has returned.
func TestAddLayerBrokenSource(t *testing.T) {
	o := newOriginal(oci.MediaTypeManifest, ispec.MediaTypeImageConfig, config)
	before := runtime.NumGoroutine()
	for _, cause := range []error{io.ErrUnexpectedEOF, errors.New("connection lost"), context.DeadlineExceeded} {
		layer := io.MultiReader(bytes.NewReader(text(200_000)), iotest.ErrReader(cause))
		m, _, _, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, layer, nil, "x")
		if !errors.Is(err, cause) || m.Content != nil {
			t.Errorf("%v: %v", cause, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	layer := io.MultiReader(bytes.NewReader(text(200_000)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	}), &endless{})
	if _, _, _, err := layout.AddLayer(ctx, o.manifest, o.fetch, layer, nil, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, there were %d", after, before)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// FuzzAddLayer has outside bytes as a config: what is made of them can be read.
func FuzzAddLayer(f *testing.F) {
	f.Add([]byte(config))
	f.Add([]byte(`{"config":null,"created":"2024-01-01T00:00:00Z","x":1,"rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		o := newOriginal(oci.MediaTypeDockerManifest, dockerConfig, string(config))
		m, c, l, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, strings.NewReader("tar"), dropNothing, "x")
		if err != nil {
			return
		}
		var image ispec.Image
		decode(t, c.Content, &image)
		var created time.Time
		if image.Created != nil {
			created = *image.Created
		}
		if len(image.RootFS.DiffIDs) != 3 || created.Year() > 9999 {
			t.Errorf("got %s of %s", c.Content, config)
		}
		parsed, err := oci.ParseManifest(m.Descriptor.MediaType, m.Content)
		if err != nil || parsed.Blobs[0].Digest != c.Descriptor.Digest || parsed.Blobs[3].Digest != l.Descriptor.Digest {
			t.Errorf("got %s, %v", m.Content, err)
		}
	})
}

func dropNothing(c *ispec.ImageConfig) { c.Cmd = nil }
