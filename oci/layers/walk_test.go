package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"satchel/oci"
	"satchel/oci/layers"
)

// usual is a layer with one entry of each kind.
func usual(t testing.TB) []byte {
	return tarOf(t,
		dir("./"),
		entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}, ""},
		dir("./usr/"),
		file("./usr/empty", ""),
		file("usr/text", "hello"),
		file("/usr/slashes//and/./dots", "absolute"),
		link("usr/link", "../../etc/passwd"),
		hard("usr/hard", "./usr/text"),
		entry{tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666}, ""},
		file("usr/.wh.gone", ""),
		file("usr/"+strings.Repeat("long/", 60)+"name", "pax"),
		file("big", noise(200_000)),
	)
}

var usualSeen = []string{
	`5 usr -rwxr-xr-x 0 "" `,
	`0 usr/empty -rwxr-xr-x 0 "" `,
	`0 usr/text -rwxr-xr-x 5 "" hello`,
	`0 usr/slashes/and/dots -rwxr-xr-x 8 "" absolute`,
	`2 usr/link -rwxrwxrwx 0 "../../etc/passwd" `,
	`1 usr/hard -rw-r--r-- 0 "usr/text" `,
	`3 dev/null -rw-rw-rw- 0 "" `,
	`0 usr/.wh.gone -rwxr-xr-x 0 "" `,
	`0 usr/` + strings.Repeat("long/", 60) + `name -rwxr-xr-x 3 "" pax`,
	`0 big -rwxr-xr-x 200000 "" ` + noise(20),
}

// forms are the ways in which a tar may be a layer.
func forms(t testing.TB, plain []byte) map[string][]byte {
	half, third := len(plain)/2, len(plain)/3
	skippable := []byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	return map[string][]byte{
		"plain":              plain,
		"without end blocks": bytes.TrimRight(plain, "\x00")[:len(bytes.TrimRight(plain, "\x00"))/512*512+512],
		"with padding":       append(slices.Clone(plain), make([]byte, 9000)...),
		"something follows":  append(slices.Clone(plain), "no tar at all"...),
		"gzip":               gzipOf(t, plain),
		"gzip members":       gzipOf(t, plain[:third], nil, plain[third:half], plain[half:]),
		"gzip, garbage":      append(gzipOf(t, plain), 0, 0, 0),
		"zstd":               zstdOf(t, plain),
		"zstd frames":        zstdOf(t, plain[:third], plain[third:half], plain[half:]),
		"zstd, skippable":    slices.Concat(skippable, zstdOf(t, plain), skippable),
	}
}

func TestWalkForms(t *testing.T) {
	plain := usual(t)
	for name, content := range forms(t, plain) {
		if got, err := seen(t, content); err != nil || !slices.Equal(got, usualSeen) {
			t.Errorf("%s: %v, saw\n%s", name, err, strings.Join(got, "\n"))
		}
	}
	for name, content := range map[string][]byte{"nothing": nil, "empty gzip": gzipOf(t, nil), "empty zstd": zstdOf(t, nil)} {
		if got, err := seen(t, content); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, saw %q", name, err, got)
		}
	}
}

func TestWalkUnread(t *testing.T) {
	for name, content := range forms(t, usual(t)) {
		var readers []io.Reader
		err := layers.Walk(t.Context(), func(context.Context, oci.Descriptor) (io.ReadCloser, error) {
			return io.NopCloser(iotest.DataErrReader(bytes.NewReader(content))), nil
		}, describe(content), func(_ layers.Entry, r io.Reader) error {
			readers = append(readers, r)
			return nil
		})
		if err != nil || len(readers) != len(usualSeen) {
			t.Errorf("%s: %v, %d entries", name, err, len(readers))
		}
		for _, r := range readers {
			if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
				t.Fatalf("%s: read after its visit gave %d bytes, %v", name, n, err)
			}
		}
	}
}

func TestWalkErrors(t *testing.T) {
	b := newBlobs()
	d := b.add(usual(t))
	mine := errors.New("mine")
	visits := 0
	err := layers.Walk(t.Context(), b.Open, d, func(e layers.Entry, _ io.Reader) error {
		if visits++; e.Name == "usr/text" {
			return mine
		}
		return nil
	})
	if !errors.Is(err, mine) || visits != 3 || !strings.Contains(err.Error(), `"usr/text"`) || !strings.Contains(err.Error(), string(d.Digest)) {
		t.Errorf("error of a visit: %v after %d", err, visits)
	}
	ignore := func(layers.Entry, io.Reader) error { return nil }
	missing := describe([]byte("missing"))
	if err := layers.Walk(t.Context(), b.Open, missing, ignore); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error of open: %v", err)
	}
	broken := errors.New("connection lost")
	err = layers.Walk(t.Context(), func(context.Context, oci.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(usual(t)[:5000]), iotest.ErrReader(broken))), nil
	}, d, ignore)
	if !errors.Is(err, broken) {
		t.Errorf("error of the source: %v", err)
	}
	bad := d
	bad.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e"
	if err := layers.Walk(t.Context(), b.Open, bad, ignore); err == nil {
		t.Error("a digest of MD5 was taken")
	}
	if b.open != 0 {
		t.Errorf("%d left open", b.open)
	}
}

func TestWalkCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	content := gzipOf(t, tarOf(t, file("first", ""), file("zeros", strings.Repeat("\x00", 4<<20)), file("last", "")))
	content = append(content, make([]byte, 1<<20)...)
	visits := 0
	err := layers.Walk(ctx, serve(content), describe(content), func(layers.Entry, io.Reader) error {
		cancel()
		visits++
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v after %d visits", err, visits)
	}
}
