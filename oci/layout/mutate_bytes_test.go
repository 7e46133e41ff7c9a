//go:build !windows

package layout_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"satchel/oci/layout"
)

// text is what shrinks as catalogs do, of more than one block of a compressor.
func text(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+100)
	for len(b) < n {
		b = fmt.Appendf(b, `{"schema":"olm.bundle","name":"operator.v%d.%d.%d","image":"quay.io/x/y@sha256:%x"}`+"\n",
			random.IntN(9), random.IntN(30), random.IntN(9), random.Uint64())
	}
	return b[:n]
}

// TestAddLayerIsReproducible builds with one and with two processors, from readers
// that give much and little, and compares with what was built when MakerVersion
// was written: if these digests change, MakerVersion must.
func TestAddLayerIsReproducible(t *testing.T) {
	want := []string{
		"sha256:6f7f87421cc7145863fa3b3d4b438d6b95b409e7fa06fd08ade20210d0a6563c",
		"sha256:8bb08b2f651a84f560588b1c685f091738c80e109ed9a1a857d7ce1b6a192adc",
		"sha256:5cff045ffe3caf76b3bd876cbdacf22a7ab9322217b57285062139aabbd1b761",
	}
	const wantLayer = "sha256:5dc08cf20a494ca9acc0aac4b9cc8cf03b93517e391409a1c1f0a1ee7dda6236"
	plain := text(1<<18 + 12345)
	readers := []func() io.Reader{
		func() io.Reader { return bytes.NewReader(plain) },
		func() io.Reader { return iotest.HalfReader(bytes.NewReader(plain)) },
		func() io.Reader { return iotest.DataErrReader(&odd{bytes.NewReader(plain), 0}) },
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, family := range families {
		o := newOriginal(family.manifest, family.config, config)
		for r, reader := range readers {
			if i > 0 && r > 0 {
				break // the layer does not depend on the family
			}
			for procs := 1; procs <= 2; procs++ {
				runtime.GOMAXPROCS(procs)
				m, c, l, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, reader(), dropCache, "satchel")
				if err != nil || string(m.Descriptor.Digest) != want[i] || string(l.Descriptor.Digest) != wantLayer {
					t.Errorf("family %d, reader %d, %d processors: manifest %s, config %s, layer %s, %v",
						i, r, procs, m.Descriptor.Digest, c.Descriptor.Digest, l.Descriptor.Digest, err)
				}
			}
		}
	}
}

// odd gives pieces of all sizes, and sometimes nothing.
type odd struct {
	r io.Reader
	n int
}

func (o *odd) Read(p []byte) (int, error) {
	o.n = (o.n*31 + 7) % 70_001
	if o.n%50 == 0 {
		return 0, nil
	}
	return o.r.Read(p[:min(len(p), o.n)])
}

// TestMakerVersion compares with the versions that this module is built with.
func TestMakerVersion(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for part := range strings.SplitSeq(layout.MakerVersion, ", ") {
		name, _, _ := strings.Cut(part, " gzip")
		if strings.Contains(name, "/") && strings.Contains(string(mod), "\t"+name+" ") {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of the modules of %q are in go.mod", found, layout.MakerVersion)
	}
}
