package registry_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
)

// distribution starts Docker's registry, with storage of its own.
func distribution(t *testing.T) string {
	t.Helper()
	program := fixtures.Program(t, "docker-registry")
	config := write(t, "config.yml", fmt.Sprintf(`
version: 0.1
log: {level: info, formatter: text}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0", relativeurls: true}
`, t.TempDir()))
	cmd := exec.CommandContext(t.Context(), program, "serve", config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
	})
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(stderr)
	var seen strings.Builder
	for {
		line, err := lines.ReadString('\n')
		seen.WriteString(line)
		if m := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`).FindStringSubmatch(line); m != nil {
			go func() {
				defer close(drained)
				io.Copy(io.Discard, lines) // ends with the program
			}()
			return m[1]
		}
		if err != nil {
			close(drained)
			t.Fatalf("docker-registry did not start: %s", seen.String())
		}
	}
}

func TestDistribution(t *testing.T) {
	host := distribution(t)
	c := connect(t, func(o *registry.Options) { o.Insecure = true })
	ctx := t.Context()
	repo, other := host+"/org/app", host+"/other/deep/app"

	if _, _, err := c.Resolve(ctx, oci.Reference{Repository: repo, Tag: "v1"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("before anything: %v", err)
	}
	config, layer := `{"architecture":"amd64","os":"linux"}`, pattern(3_000_000)
	blobs := []*source{
		{d: describe("application/vnd.oci.image.config.v1+json", config), content: config},
		{d: describe("application/vnd.oci.image.layer.v1.tar", layer), content: layer},
		{d: describe("application/octet-stream", ""), content: ""},
	}
	for _, src := range blobs {
		if has, err := c.HasBlob(ctx, repo, src.d); has || err != nil {
			t.Errorf("before the push: %v, %v", has, err)
		}
		if err := c.PushBlob(ctx, repo, src.d, src.open); err != nil {
			t.Fatal(err)
		}
		if has, err := c.HasBlob(ctx, repo, src.d); !has || err != nil {
			t.Errorf("after the push: %v, %v", has, err)
		}
		if mounted, err := c.Mount(ctx, other, repo, src.d); !mounted || err != nil {
			t.Errorf("mounting: %v, %v", mounted, err)
		}
	}
	if mounted, err := c.Mount(ctx, other, repo, describe("", "unknown")); mounted || err != nil {
		t.Errorf("mounting what is not there: %v, %v", mounted, err)
	}
	bad := &source{d: blobs[1].d, content: layer[1:] + "x"}
	bad.d.Digest = digest.FromString("unknown")
	var mismatch *oci.MismatchError
	if err := c.PushBlob(ctx, repo, bad.d, bad.open); !errors.As(err, &mismatch) {
		t.Errorf("a damaged blob: %v", err)
	}
	if has, err := c.HasBlob(ctx, repo, bad.d); has || err != nil {
		t.Errorf("the damaged blob: %v, %v", has, err)
	}

	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		oci.MediaTypeManifest, blobs[0].d.MediaType, blobs[0].d.Digest, blobs[0].d.Size, blobs[1].d.MediaType, blobs[1].d.Digest, blobs[1].d.Size)
	d := describe(oci.MediaTypeManifest, manifest)
	for _, tag := range []string{"", "v1"} {
		for _, to := range []string{repo, other} {
			if err := c.PushManifest(ctx, to, tag, d, []byte(manifest)); err != nil {
				t.Fatal(err)
			}
		}
	}
	missing := strings.Replace(manifest, string(blobs[1].d.Digest), string(bad.d.Digest), 1)
	err := c.PushManifest(ctx, repo, "v2", describe(oci.MediaTypeManifest, missing), []byte(missing))
	if err == nil || !strings.Contains(err.Error(), "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("a manifest of what is not there: %v", err)
	}
	got, content, err := c.Resolve(ctx, oci.Reference{Repository: other, Tag: "v1"})
	if err != nil || got.Digest != d.Digest || got.MediaType != d.MediaType || string(content) != manifest {
		t.Errorf("resolved %+v, %v", got, err)
	}
	if _, err := c.Manifest(ctx, repo, d); err != nil {
		t.Error(err)
	}
	for _, part := range [][2]int64{{0, int64(len(layer))}, {0, 10}, {1_000_000, 1_000_000}, {2_999_999, 1}} {
		rc, ranged, err := c.Blob(ctx, repo, blobs[1].d, part[0], part[1])
		if err != nil || !ranged {
			t.Fatalf("%v: %v, %v", part, ranged, err)
		}
		if readAll(t, rc) != layer[part[0]:part[0]+part[1]] {
			t.Errorf("%v: other bytes", part)
		}
		rc.Close()
	}
	if err := c.DeleteManifest(ctx, repo, d.Digest); err != nil {
		t.Error(err)
	}
	if _, err := c.Manifest(ctx, repo, d); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("after deleting: %v", err)
	}
}
