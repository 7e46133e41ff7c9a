package release_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"satchel/oci"
	"satchel/oci/layers"
	"satchel/oci/release"
)

// payload are the files of a release, with more of them.
func payload(more ...file) []file {
	return append([]file{
		{"release-manifests/", ""},
		{"release-manifests/image-references", goodStream},
		{"release-manifests/release-metadata", goodMetadata},
	}, more...)
}

// base is a layer that has nothing of a release.
func base(t testing.TB) []byte {
	return layer(t, file{"manifests/0000_00_x.yaml", "a: b"}, file{"release-manifests.txt", ""}, file{"usr/release-manifests/image-references", "x"})
}

func TestRead(t *testing.T) {
	dotted := payload()
	for i := range dotted {
		dotted[i].name = "./" + dotted[i].name
	}
	verification := configMap(aKey, aStore)
	for name, c := range map[string]struct {
		layers [][]byte
		opened int
	}{
		"one layer":            {[][]byte{layer(t, payload()...)}, 1},
		"the last":             {[][]byte{base(t), layer(t, payload()...)}, 1},
		"dots":                 {[][]byte{base(t), layer(t, dotted...)}, 1},
		"not the last":         {[][]byte{layer(t, payload()...), base(t)}, 2},
		"the later one":        {[][]byte{layer(t, file{"release-manifests/image-references", "{}"}), layer(t, payload()...)}, 1},
		"a mode changed":       {[][]byte{layer(t, payload()...), layer(t, file{"release-manifests/", ""}, file{"release-manifests/sub/", ""})}, 2},
		"others whited out":    {[][]byte{layer(t, payload()...), layer(t, file{".wh.manifests", ""}, file{"usr/.wh..wh..opq", ""})}, 2},
		"opaque and anew":      {[][]byte{layer(t, file{"release-manifests/x", ""}), layer(t, payload(file{"release-manifests/.wh..wh..opq", ""})...)}, 1},
		"a file whited out":    {[][]byte{layer(t, file{"release-manifests/x", ""}), layer(t, payload(file{"release-manifests/.wh.x", ""})...)}, 1},
		"with directories":     {[][]byte{layer(t, payload(file{"release-manifests/sub/", ""}, file{"release-manifests/sub/x.yaml", verification})...)}, 1},
		"no YAML":              {[][]byte{layer(t, payload(file{"release-manifests/x.yaml", "\t{{"}, file{"release-manifests/y.yaml", verificationText + ": ["})...)}, 1},
		"what is no manifest":  {[][]byte{layer(t, payload(file{"release-manifests/x.sh", verification}, file{"release-manifests/y", verification})...)}, 1},
		"annotation elsewhere": {[][]byte{layer(t, payload(file{"release-manifests/x.yaml", "data: " + verificationText})...)}, 1},
	} {
		b := newBlobs()
		p, err := release.Read(t.Context(), b.open, b.image("{}", c.layers...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Version != "4.18.1" || len(p.Components) != 1 || p.Documents.Verification != nil ||
			string(p.Documents.References) != goodStream || string(p.Documents.Metadata) != goodMetadata {
			t.Errorf("%s: %+v", name, p)
		}
		if len(b.opened) != c.opened || b.closed != c.opened {
			t.Errorf("%s: %d opened, %d closed, want %d", name, len(b.opened), b.closed, c.opened)
		}
	}
}

const verificationText = "release.openshift.io/verification-config-map"

// TestReadCompression has the layer as plain tar and as zstd, with media types
// that say something else.
func TestReadCompression(t *testing.T) {
	plain := plain(t, payload()...)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"plain": plain, "zstd": w.EncodeAll(plain, nil)} {
		b := newBlobs()
		if p, err := release.Read(t.Context(), b.open, b.image("{}", base(t), content)); err != nil || p.Version != "4.18.1" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadVerification(t *testing.T) {
	a, z := configMap(aKey, aStore), configMap("verifier-public-key-z: z", "store-z: https://z.example")
	in := func(name, content string) file { return file{"release-manifests/" + name, content} }
	for name, c := range map[string]struct {
		files []file
		want  string
	}{
		"one":                 {[]file{in("0000_90_x.yaml", a)}, a},
		"first by name":       {[]file{in("b.yaml", z), in("a.yaml", a), in("c.yaml", z)}, a},
		"first, in order":     {[]file{in("a.yml", a), in("b.yaml", z)}, a},
		"by bytes":            {[]file{in("a.yaml", z), in("Z.json", a)}, a},
		"broken before":       {[]file{in("a.yaml", verificationText+": ["), in("b.yaml", a)}, a},
		"broken in the file":  {[]file{in("a.yaml", "\t"+verificationText+"\n---\n"+a), in("b.yaml", z)}, "\t" + verificationText + "\n---\n" + a},
		"several documents":   {[]file{in("a.yaml", "a: b\n---\n"+a+"---\n"+z)}, "a: b\n---\n" + a + "---\n" + z},
		"without extension":   {[]file{in("a", z), in("b.yaml", a)}, a},
		"in a directory":      {[]file{in("a/a.yaml", z), in("b.yaml", a)}, a},
		"unusable, the first": {[]file{in("a.yaml", configMap("x: y")), in("b.yaml", z)}, configMap("x: y")},
		"large without it":    {[]file{in("a.yaml", strings.Repeat("#", release.MaxVerification+1)), in("b.yaml", a)}, a},
	} {
		b := newBlobs()
		p, err := release.Read(t.Context(), b.open, b.image("{}", layer(t, payload(c.files...)...)))
		if err != nil || string(p.Documents.Verification) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newBlobs()
	large := a + strings.Repeat("#", release.MaxVerification)
	if _, err := release.Read(t.Context(), b.open, b.image("{}", layer(t, payload(in("a.yaml", large))...))); err == nil || !strings.Contains(err.Error(), "a.yaml") {
		t.Error("a large one was taken, or passed over")
	}
}

func TestReadNoRelease(t *testing.T) {
	whole := layer(t, payload()...)
	for name, m := range map[string][][]byte{
		"no layers":             {},
		"other layers":          {base(t), base(t)},
		"taken away":            {whole, layer(t, file{".wh.release-manifests", ""})},
		"all taken away":        {whole, layer(t, file{".wh..wh..opq", ""})},
		"emptied":               {whole, layer(t, file{"release-manifests/.wh..wh..opq", ""})},
		"references taken away": {whole, layer(t, file{"release-manifests/.wh.image-references", ""})},
		"no metadata":           {whole, layer(t, payload()[:2]...)},
		"no references":         {layer(t, file{"release-manifests/release-metadata", goodMetadata})},
		"only a manifest":       {whole, layer(t, file{"release-manifests/x.yaml", ""})},
	} {
		b := newBlobs()
		if p, err := release.Read(t.Context(), b.open, b.image("{}", m...)); !errors.Is(err, release.ErrNoRelease) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newBlobs()
	m := b.image("{}", whole)
	m.Blobs[1].MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	if _, err := release.Read(t.Context(), b.open, m); !errors.Is(err, release.ErrNoRelease) || len(b.opened) != 0 {
		t.Errorf("layers of another kind: %v, %d opened", err, len(b.opened))
	}
	m = &oci.Manifest{MediaType: oci.MediaTypeIndex}
	if _, err := release.Read(t.Context(), b.open, m); err == nil || errors.Is(err, release.ErrNoRelease) {
		t.Errorf("index: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	var many []file
	for i := range release.MaxFiles {
		many = append(many, file{fmt.Sprintf("release-manifests/%d.yaml", i), ""})
	}
	in := func(files ...file) []byte { return layer(t, payload(files...)...) }
	raw := func(h tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		return append(b.Bytes(), plain(t, payload()...)...)
	}
	for name, c := range map[string]struct {
		layer []byte
		want  string
	}{
		"references twice":   {in(file{"release-manifests/image-references", goodStream}), "stands twice"},
		"twice, with dots":   {in(file{"./release-manifests//release-metadata", goodMetadata}), "stands twice"},
		"manifest twice":     {in(file{"release-manifests/x", "1"}, file{"release-manifests/x", "2"}), "stands twice"},
		"climbing":           {in(file{"release-manifests/../image-references", "x"}), "not within the image"},
		"references a link":  {raw(tar.Header{Typeflag: tar.TypeSymlink, Name: "release-manifests/image-references", Linkname: "x"}), "no regular file"},
		"manifest hard link": {raw(tar.Header{Typeflag: tar.TypeLink, Name: "release-manifests/x", Linkname: "etc/x"}), "no regular file"},
		"directory a link":   {raw(tar.Header{Typeflag: tar.TypeSymlink, Name: "release-manifests", Linkname: "x"}), "no directory"},
		"large references":   {layer(t, file{"release-manifests/image-references", strings.Repeat(" ", release.MaxReferences+1)}), "more than"},
		"claimed size":       {raw(tar.Header{Typeflag: tar.TypeReg, Name: "release-manifests/release-metadata", Size: 1 << 40}), "more than"},
		"claimed file":       {raw(tar.Header{Typeflag: tar.TypeReg, Name: "release-manifests/x", Size: release.MaxFile + 1}), "more than"},
		"many files":         {in(many...), "more than"},
		"long name":          {in(file{"release-manifests/" + strings.Repeat("x", 256), ""}), "longer"},
		"other version":      {layer(t, file{"release-manifests/image-references", goodStream}, file{"release-manifests/release-metadata", metadata("4.18.2")}), "4.18.2"},
		"no tar":             {[]byte(strings.Repeat("no tar ", 200)), "tar"},
	} {
		b := newBlobs()
		p, err := release.Read(t.Context(), b.open, b.image("{}", c.layer))
		if err == nil || p != nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, release.ErrNoRelease) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFilesTogether has files that are each small enough.
func TestFilesTogether(t *testing.T) {
	b := newBlobs()
	m := b.image("{}", layer(t, payload(file{"release-manifests/a", "12345"}, file{"release-manifests/b", "12345"})...))
	size := int64(len(goodStream) + len(goodMetadata) + 10)
	for limit, want := range map[int64]error{size: nil, size - 1: layers.ErrLimit} {
		visit := func(string, []byte) error { return nil }
		if err := release.ManifestsLimited(t.Context(), b.open, m, limit, visit); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestReadDamage(t *testing.T) {
	content := layer(t, payload()...)
	for name, damaged := range map[string][]byte{
		"cut":       content[:len(content)-1],
		"longer":    append(slices.Clone(content), 0),
		"first":     append([]byte{content[0] ^ 1}, content[1:]...),
		"last byte": append(slices.Clone(content[:len(content)-1]), content[len(content)-1]^1),
	} {
		b := newBlobs()
		m := b.image("{}", content)
		b.content[m.Blobs[1].Digest] = damaged
		p, err := release.Read(t.Context(), b.open, m)
		var mismatch *oci.MismatchError
		if !errors.As(err, &mismatch) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newBlobs()
	m := b.image("{}", content)
	delete(b.content, m.Blobs[1].Digest)
	if _, err := release.Read(t.Context(), b.open, m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestManifests(t *testing.T) {
	b := newBlobs()
	m := b.image("{}", base(t), layer(t, payload(file{"release-manifests/b.yaml", "b: 1"}, file{"release-manifests/sub/a.yaml", ""}, file{"etc/x", "x"})...))
	var got []string
	visit := func(name string, content []byte) error {
		got = append(got, fmt.Sprintf("%s %d", name, len(content)))
		return nil
	}
	if err := release.Manifests(t.Context(), b.open, m, visit); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("image-references %d", len(goodStream)), fmt.Sprintf("release-metadata %d", len(goodMetadata)), "b.yaml 4", "sub/a.yaml 0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	mine := errors.New("mine")
	if err := release.Manifests(t.Context(), b.open, m, func(string, []byte) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("error of a visit: %v", err)
	}
}

func TestReadConfig(t *testing.T) {
	label := func(base string) string {
		return `{"architecture":"arm64","os":"linux","config":{"Labels":{"io.openshift.release":"4.18.1","io.openshift.release.base-image-digest":"` + base + `"}}}`
	}
	for name, c := range map[string]struct {
		config string
		want   release.Config
		err    string
	}{
		"whole":      {label("sha256:" + hex), release.Config{Version: "4.18.1", Architecture: "arm64", OS: "linux", Base: "sha256:" + hex}, ""},
		"no base":    {label(""), release.Config{Version: "4.18.1", Architecture: "arm64", OS: "linux"}, ""},
		"bad base":   {label("sha256:x"), release.Config{}, "base-image-digest"},
		"no labels":  {`{"architecture":"arm64","config":{}}`, release.Config{}, "no OpenShift release"},
		"no config":  {`{}`, release.Config{}, "no OpenShift release"},
		"no JSON":    {`x`, release.Config{}, "invalid"},
		"deep":       {strings.Repeat("[", 100), release.Config{}, "deeper"},
		"large":      {label("") + strings.Repeat(" ", release.MaxConfig), release.Config{}, "more than"},
		"other type": {`{"architecture":1}`, release.Config{}, "architecture"},
	} {
		b := newBlobs()
		got, err := release.ReadConfig(t.Context(), b.open, b.image(c.config))
		if c.err == "" && (err != nil || *got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if b.closed != len(b.opened) {
			t.Errorf("%s: %d opened, %d closed", name, len(b.opened), b.closed)
		}
	}
	b := newBlobs()
	m := b.image(label(""))
	b.content[m.Blobs[0].Digest] = []byte(strings.Replace(label(""), "arm64", "amd64", 1))
	var mismatch *oci.MismatchError
	if _, err := release.ReadConfig(t.Context(), b.open, m); !errors.As(err, &mismatch) {
		t.Errorf("changed: %v", err)
	}
	if _, err := release.ReadConfig(t.Context(), b.open, &oci.Manifest{MediaType: oci.MediaTypeIndex}); !errors.Is(err, release.ErrNoRelease) {
		t.Errorf("index: %v", err)
	}
}
