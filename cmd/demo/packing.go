package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// plannedVolume is a line of what pack --dry-run shows.
type plannedVolume struct {
	name   string
	size   int64 // bytes
	atMost bool
}

var (
	volumeLine = regexp.MustCompile(`(?m)^(\S+\.tar\.zst) +(at most )?([0-9,]+) `)
	planLine   = regexp.MustCompile(`(?m)^plan ID sha256:([0-9a-f]{64})$`)
)

func (j *journey) packArguments(more ...string) []string {
	return append(append([]string{"pack"}, more...), "--images-file", list, "-o", stick, "--name", "demo",
		"--volume-size", mib(j.sizes.volume), "--buffer", mib(j.sizes.buffer), "--tls-verify=false")
}

func (j *journey) dryRun(ctx context.Context) error {
	j.pen.title("How much will it be?")
	j.pen.say(`What satchel writes is a bundle: files of a size that fits the medium, called
volumes. Real ones fill a stick; these are small, %s at most, so that there
are some. One layer is larger than that (%s) and will lie in several. Another
(%s) is %d times what may wait in memory for the stick (--buffer); nothing is
put aside on a disk, and here satchel could not: it is told of no directory for
temporary files. The registries here speak plain HTTP, which --tls-verify=false
allows.`,
		mib(j.sizes.volume), mib(j.sizes.large), mib(j.sizes.huge), j.sizes.huge/j.sizes.buffer)
	j.pen.say("First the plan, which reads manifests only and writes nothing:")
	output, err := j.satchel(ctx, call{args: j.packArguments("--dry-run")})
	if err != nil {
		return err
	}
	for _, m := range volumeLine.FindAllStringSubmatch(output, -1) {
		size, err := strconv.ParseInt(strings.ReplaceAll(m[3], ",", ""), 10, 64)
		if err != nil {
			return fmt.Errorf("plan: volume %s: %w", m[1], err)
		}
		j.planned = append(j.planned, plannedVolume{m[1], size, m[2] != ""})
	}
	id := planLine.FindStringSubmatch(output)
	if len(j.planned) < 2 || id == nil {
		return fmt.Errorf("plan: got %d volumes and the plan ID %q, want several and one", len(j.planned), id)
	}
	j.planID = id[1]
	written, err := os.ReadDir(j.path(stick))
	if err != nil {
		return err
	}
	if len(written) > 0 {
		return fmt.Errorf("plan: pack --dry-run wrote %s", written[0].Name())
	}
	return nil
}

func (j *journey) pack(ctx context.Context) error {
	j.pen.title("Packing")
	j.pen.say(`Now in earnest. The layers go from the registry into the volumes, several at a
time over the network, one after the other onto the stick. (On a terminal of
your own you see a bar.)`)
	if _, err := j.satchel(ctx, call{args: j.packArguments(), progress: true}); err != nil {
		return err
	}
	names, err := j.checkVolumes()
	if err != nil {
		return err
	}
	sums, err := j.checkSums()
	if err != nil {
		return err
	}
	j.pen.command("ls", stick)
	j.show(strings.Join(names, "\n"))
	j.pen.say(`Names, sizes and the plan ID are those that the dry run promised. Whoever has no
satchel checks the stick by SHA256SUMS, which names %d files, and unpacks it with
zstd and tar, as README.txt says.`, sums)
	return nil
}

// checkVolumes compares what lies on the stick with what was planned and
// returns the names of all files there, in order.
func (j *journey) checkVolumes() ([]string, error) {
	entries, err := os.ReadDir(j.path(stick))
	if err != nil {
		return nil, err
	}
	found := make(map[string]int64)
	var names []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		found[entry.Name()] = info.Size()
		names = append(names, entry.Name())
	}
	volumes := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".tar.zst") {
			volumes++
		}
	}
	if volumes != len(j.planned) {
		return nil, fmt.Errorf("stick: got %d volumes, want the %d that were planned", volumes, len(j.planned))
	}
	for _, v := range j.planned {
		size, ok := found[v.name]
		switch {
		case !ok:
			return nil, fmt.Errorf("stick: volume %s is not there", v.name)
		case size > j.sizes.volume:
			return nil, fmt.Errorf("stick: volume %s has %d bytes, more than the %d of --volume-size", v.name, size, j.sizes.volume)
		case size > v.size, size < v.size && !v.atMost:
			return nil, fmt.Errorf("stick: volume %s has %d bytes, but %d were planned", v.name, size, v.size)
		}
	}
	for _, name := range []string{"demo.plan.json", "inventory.json", "SHA256SUMS", "README.txt"} {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("stick: %s is not there", name)
		}
	}
	if id, err := sum(j.path(filepath.Join(stick, "demo.plan.json"))); err != nil {
		return nil, err
	} else if id != j.planID {
		return nil, fmt.Errorf("stick: SHA-256 of demo.plan.json is %s, but the plan ID was %s", id, j.planID)
	}
	return names, nil
}

// checkSums does as sha256sum -c SHA256SUMS, and returns how many files are
// named there.
func (j *journey) checkSums() (int, error) {
	content, err := os.ReadFile(j.path(filepath.Join(stick, "SHA256SUMS")))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for _, line := range lines {
		want, name, ok := strings.Cut(line, "  ")
		if !ok || !filepath.IsLocal(name) {
			return 0, fmt.Errorf("SHA256SUMS: line %q", line)
		}
		got, err := sum(j.path(filepath.Join(stick, name)))
		if err != nil {
			return 0, err
		}
		if got != want {
			return 0, &sumError{name, got, want}
		}
	}
	if len(lines) < len(j.planned) {
		return 0, fmt.Errorf("SHA256SUMS: it names %d files, but there are %d volumes", len(lines), len(j.planned))
	}
	return len(lines), nil
}

// sumError says that a file is not what SHA256SUMS says.
type sumError struct{ name, got, want string }

func (e *sumError) Error() string {
	return fmt.Sprintf("SHA256SUMS: %s is %s, want %s", e.name, e.got, e.want)
}

// sum is the SHA-256 of a file in hexadecimal.
func sum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close() // opened for reading
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
