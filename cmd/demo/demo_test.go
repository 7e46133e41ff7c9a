package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"satchel/fixtures"
)

// small has all that the real sizes have: a layer larger than a volume, and one
// of four times the buffer.
var small = sizes{volume: 2 << 20, buffer: 1 << 20, large: 3 << 20, huge: 4 << 20}

// testPrograms builds satchel, and the registry where nothing has to be fetched
// for that or the environment asks for everything.
func testPrograms(t *testing.T) programs {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and runs satchel and real registries")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	version, err := registryVersion(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	dependOnSource(t, root)
	dir := t.TempDir()
	built := programs{filepath.Join(dir, "satchel"+suffix()), filepath.Join(root, "bin", "registry-"+version+suffix())}
	if _, err := goTool(t.Context(), root, "build", "-trimpath", "-buildvcs=false", "-o", built.satchel, "./cmd/satchel"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(built.registry); err == nil {
		return built
	}
	if !fixtures.RequireAll() {
		t.Setenv("GOPROXY", "off")
	}
	built.registry = filepath.Join(dir, "registry")
	if err := fixtures.BuildRegistry(t.Context(), built.registry); err != nil {
		fixtures.Lacking(t, "a program of the demo", err)
	}
	return built
}

// dependOnSource looks at every file that satchel is built of. The go command
// remembers what a test looked at, and runs it again when that has changed; that
// a program was built from it, it does not see.
func dependOnSource(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// temporary makes the directory below which the story plays. Nothing may be
// left there.
func temporary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// ended wants the registries that a story names to be gone.
func ended(t *testing.T, story string) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindAllString(story, -1)
	if len(addresses) < 2 {
		t.Errorf("story names registries %q", addresses)
	}
	for _, address := range addresses {
		resp, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			resp.Body.Close()
			t.Fatalf("registry %s runs", address)
		}
	}
}

func TestDemo(t *testing.T) {
	built := testPrograms(t)
	t.Run("story", func(t *testing.T) { testStory(t, built) })
	t.Run("cut short", func(t *testing.T) { testStoryCutShort(t, built) })
	t.Run("acts", func(t *testing.T) { testActs(t, built) })
}

func testStory(t *testing.T, built programs) {
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(t.TempDir(), "none"))
	if err := forgetRegistryVariables(); err != nil {
		t.Fatal(err)
	}
	temporary(t)
	var story bytes.Buffer
	if err := tell(t.Context(), &pen{w: &story}, built, small); err != nil {
		t.Fatalf("%v\n%s", err, story.String())
	}
	for _, want := range []string{
		"\n$ satchel pack --dry-run --images-file images.txt -o stick --name demo",
		"\n    demo-0001.tar.zst is written: volume 1 of ",
		"\n    ok: demo, 10 images, ",
		"\n    10 of 10 images are at ",
		"\n    DAMAGED: demo: 1 of 10 images cannot be unpacked\n",
		"\n$ echo $?\n    3\n",
		": 0 blobs pushed (0 bytes), 35 were there",
		"The end\n",
	} {
		if !strings.Contains(story.String(), want) {
			t.Errorf("story lacks %q", want)
		}
	}
	if strings.Contains(story.String(), os.Getenv("TMPDIR")) {
		t.Error("story shows where its directory is")
	}
	ended(t, story.String())
	if t.Failed() {
		t.Log(story.String())
	}
}

// cutter calls cut where a text is written.
type cutter struct {
	at   string
	cut  func()
	next io.Writer
}

func (c *cutter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), c.at) {
		c.cut()
	}
	return c.next.Write(b)
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func testStoryCutShort(t *testing.T, built programs) {
	t.Run("interrupted", func(t *testing.T) {
		temporary(t)
		ctx, cancel := context.WithCancel(t.Context())
		var story bytes.Buffer
		err := tell(ctx, &pen{w: &cutter{"satchel unpack", cancel, &story}}, built, small)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if strings.Contains(story.String(), "Did everything") {
			t.Error("the story went on")
		}
		ended(t, story.String())
	})
	t.Run("nobody listens", func(t *testing.T) {
		temporary(t)
		p := &pen{w: broken{io.ErrClosedPipe}}
		p.say("Once upon a time")
		if err := tell(t.Context(), p, built, small); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no registry", func(t *testing.T) {
		temporary(t)
		bad := built
		bad.registry = filepath.Join(t.TempDir(), "none")
		if err := tell(t.Context(), &pen{w: io.Discard}, bad, small); err == nil {
			t.Error("got no error")
		}
	})
}

// testActs plays each act first with a satchel that does nothing and says
// that all is well, then with the true one, then with what the true one would
// have to do wrong for the comparison to fail.
func testActs(t *testing.T, built programs) {
	idle, err := exec.LookPath("true")
	if err != nil {
		fixtures.Lacking(t, "a program of the demo", err)
	}
	j := &journey{pen: &pen{w: io.Discard}, programs: built, sizes: small, dir: t.TempDir()}
	t.Cleanup(j.stop)
	if err := j.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	acts := []struct {
		name string
		play func(context.Context) error
		more func(*testing.T, *journey)
	}{
		{"dry run", j.dryRun, nil},
		{"pack", j.pack, checkVolumesFails},
		{"check", j.check, nil},
		{"inspect", j.inspect, nil},
		{"unpack", j.unpack, nil},
		{"compare", j.compare, compareFails},
		{"again", j.again, nil},
		{"damage", j.damage, nil},
	}
	for _, act := range acts {
		if act.name != "compare" { // which asks satchel nothing
			j.programs.satchel = idle
			if err := act.play(t.Context()); err == nil {
				t.Errorf("%s: passed without satchel", act.name)
			}
			j.programs.satchel = built.satchel
		}
		if act.name == "damage" { // the failed act left the byte as it was
			if _, err := flip(j.path(filepath.Join(stick, j.planned[len(j.planned)/2].name)), -1); err != nil {
				t.Fatal(err)
			}
		}
		if err := act.play(t.Context()); err != nil {
			t.Fatalf("%s: %v", act.name, err)
		}
		if act.more != nil {
			act.more(t, j)
		}
	}
}
