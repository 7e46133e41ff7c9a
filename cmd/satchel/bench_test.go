package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"satchel/fixtures"
)

// Benchmarks state ratios against a floor and a peer of the same run, since
// rates alone say more of the machine than of satchel.

// layered is one image of n opaque layers.
func layered(n int, size int64) []fixtures.Image {
	spec := fixtures.ImageSpec{}
	for i := range n {
		spec.Layers = append(spec.Layers, fixtures.OpaqueLayer(string(rune('a'+i)), size))
	}
	return []fixtures.Image{fixtures.NewImage(spec).Named("bench/layers", "1")}
}

// hashTime is how long one core takes to hash n bytes: the floor of all that
// satchel does, since nothing is believed without.
func hashTime(n int64) time.Duration {
	const block = 1 << 20
	b := make([]byte, block)
	h := sha256.New()
	start := time.Now()
	for range min(n, 256<<20) / block {
		h.Write(b)
	}
	return time.Duration(float64(time.Since(start)) * float64(n) / float64(min(n, 256<<20)))
}

// bareFetch reads all layers over so many connections and throws them away: what
// the link gives at most.
func bareFetch(b *testing.B, host string, image fixtures.Image, connections int) time.Duration {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	start := time.Now()
	var g errgroup.Group
	g.SetLimit(connections)
	const segment = 8 << 20
	for _, blob := range image.Blobs {
		for offset := int64(0); offset < blob.Descriptor.Size; offset += segment {
			g.Go(func() error {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet,
					"http://"+host+"/v2/"+image.Repository+"/blobs/"+blob.Descriptor.Digest.String(), nil)
				if err != nil {
					return err
				}
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, min(offset+segment, blob.Descriptor.Size)-1))
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.Copy(io.Discard, resp.Body)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkLink packs and unpacks through a link of 100 MB/s that gives each
// connection 30 MB/s, with 50 ms of round trip, and states how full it was: of
// its nominal rate, and of what the bare reading of the same bytes gets.
func BenchmarkLink(b *testing.B) {
	const size, total = 600 << 20, 100e6
	images := layered(4, size)
	source := startRegistry(b, fixtures.Options{}, images...)
	site := startRegistry(b, fixtures.Options{DiscardBlobs: true})
	shaped := func(host string) string {
		p, err := fixtures.NewProxy(host, fixtures.ProxyOptions{PerConnection: 30e6, Total: total, Latency: 25 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		return p.Addr()
	}
	from, to := shaped(source.Host()), shaped(site.Host())
	var bare, packing, unpacking time.Duration
	for b.Loop() {
		bare += bareFetch(b, from, images[0], 8)
		dir := b.TempDir()
		start := time.Now()
		mustSatchel(b, "pack", "--quiet", "--tls-verify=false", "-o", dir, from+"/bench/layers:1")
		packing += time.Since(start)
		start = time.Now()
		mustSatchel(b, "unpack", "--quiet", "--tls-verify=false", dir, "--to", to)
		unpacking += time.Since(start)
		for _, image := range images {
			site.Remove("bench/layers", image.Tag)
		}
	}
	link := float64(4*size) / total * float64(b.N)
	b.ReportMetric(100*link/bare.Seconds(), "bare-link-%")
	b.ReportMetric(100*link/packing.Seconds(), "pack-link-%")
	b.ReportMetric(packing.Seconds()/bare.Seconds(), "pack/bare")
	b.ReportMetric(100*link/unpacking.Seconds(), "unpack-link-%")
}

// BenchmarkLocal packs, verifies and unpacks on loopback without a limit, and
// compares with hashing once and with skopeo copy to and from an OCI layout.
func BenchmarkLocal(b *testing.B) {
	const size = 128 << 20
	images := layered(4, size)
	source := startRegistry(b, fixtures.Options{}, images...)
	floor := hashTime(4 * size).Seconds()
	ref := source.Host() + "/bench/layers:1"
	var packing, verifying, unpacking, out, in time.Duration
	timed := func(sum *time.Duration, f func()) {
		start := time.Now()
		f()
		*sum += time.Since(start)
	}
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		b.Log("skopeo is not installed: no ratio against it")
	}
	for b.Loop() {
		dir := b.TempDir()
		site := startRegistry(b, fixtures.Options{DiscardBlobs: true})
		peer := startRegistry(b, fixtures.Options{DiscardBlobs: true})
		timed(&packing, func() { mustSatchel(b, "pack", "--quiet", "--tls-verify=false", "-o", dir, ref) })
		timed(&verifying, func() { mustSatchel(b, "verify", "--quiet", dir) })
		timed(&unpacking, func() { mustSatchel(b, "unpack", "--quiet", "--tls-verify=false", dir, "--to", site.Host()) })
		if skopeo != "" {
			layout := filepath.Join(b.TempDir(), "layout")
			timed(&out, func() {
				execute(b, "", skopeo, "copy", "-q", "--src-tls-verify=false", "docker://"+ref, "oci:"+layout+":1")
			})
			timed(&in, func() {
				execute(b, "", skopeo, "copy", "-q", "--dest-tls-verify=false", "oci:"+layout+":1", "docker://"+peer.Host()+"/bench/layers:1")
			})
		}
	}
	n := float64(b.N)
	b.ReportMetric(packing.Seconds()/n/floor, "pack/hash")
	b.ReportMetric(verifying.Seconds()/n/floor, "verify/hash")
	b.ReportMetric(unpacking.Seconds()/n/floor, "unpack/hash")
	if skopeo != "" {
		b.ReportMetric(packing.Seconds()/out.Seconds(), "pack/skopeo")
		b.ReportMetric(unpacking.Seconds()/in.Seconds(), "unpack/skopeo")
	}
}
