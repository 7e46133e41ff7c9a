package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"satchel/fixtures"
)

const distribution = "github.com/distribution/distribution/v3"

// programs are the absolute paths of what the demo runs.
type programs struct{ satchel, registry string }

// build puts satchel and the registry into the directory bin of the module in
// which the demo runs. satchel is built always, the registry only when the file
// with its version is not there. Both stay.
func build(ctx context.Context, p *pen) (built programs, err error) {
	dir, err := os.MkdirTemp("", "satchel-demo-")
	if err != nil {
		return programs{}, err
	}
	defer func() { err = finish(ctx, err, dir) }()
	// The go command leaves its temporary files behind when it is interrupted.
	if err := os.Setenv("GOTMPDIR", dir); err != nil {
		return programs{}, err
	}
	module, err := goTool(ctx, "", "env", "GOMOD")
	if err != nil {
		return programs{}, err
	}
	root := filepath.Dir(module)
	if module == "" || module == os.DevNull {
		return programs{}, errors.New("working directory is in no module: run it where go.mod is")
	}
	version, err := registryVersion(ctx, root)
	if err != nil {
		return programs{}, err
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return programs{}, err
	}
	built = programs{filepath.Join(bin, "satchel"+suffix()), filepath.Join(bin, "registry-"+version+suffix())}
	p.title("Building what is needed")
	p.say(`Satchel carries container images over an air gap. This demo does so on this
machine alone, with nothing but Go. It begins by building satchel, which takes a minute or two
the first time.`)
	if err := buildSatchel(ctx, p, root); err != nil {
		return programs{}, err
	}
	if _, err := os.Stat(built.registry); err == nil {
		p.say("A registry stands ready from an earlier run: bin/%s.", filepath.Base(built.registry))
		return built, p.err
	}
	p.say(`Images live in registries, so it needs one of these too, and takes a real one:
version %s of the CNCF project "distribution". It is built as bin/%s from source,
which the go command fetches. That is a large program: the first time it takes
some minutes, in which nothing is to be seen here. Later runs find the file.`, version, filepath.Base(built.registry))
	begun := time.Now()
	if err := fixtures.BuildRegistry(ctx, built.registry); err != nil {
		return programs{}, err
	}
	p.say("The registry is built; that took %s.", time.Since(begun).Round(time.Second))
	return built, p.err
}

// buildSatchel builds as make build does.
func buildSatchel(ctx context.Context, p *pen, root string) error {
	args := []string{"build", "-trimpath"}
	// Where git can tell nothing, as in a repository that belongs to someone
	// else, the go command refuses to build with what it would tell.
	git := exec.CommandContext(ctx, "git", "rev-parse", "--verify", "--quiet", "HEAD")
	if git.Dir = root; git.Run() != nil {
		args = append(args, "-buildvcs=false")
	}
	args = append(args, "-o", "bin/satchel"+suffix(), "./cmd/satchel")
	p.command(append([]string{"CGO_ENABLED=0", "go"}, args...)...)
	_, err := goTool(ctx, root, args...)
	p.gap()
	return err
}

// registryVersion is what fixtures/tools pins.
func registryVersion(ctx context.Context, root string) (string, error) {
	content, err := goTool(ctx, root, "mod", "edit", "-json", filepath.Join("fixtures", "tools", "go.mod"))
	if err != nil {
		return "", err
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(content), &file); err != nil {
		return "", fmt.Errorf("fixtures/tools/go.mod: %w", err)
	}
	for _, required := range file.Require {
		if required.Path == distribution {
			return required.Version, nil
		}
	}
	return "", fmt.Errorf("fixtures/tools/go.mod: it does not require %s", distribution)
}

// goTool runs the go command in a directory and returns what it printed.
func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Stderr, command.WaitDelay = dir, &stderr, waitDelay
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(bytes.TrimSpace(output)), nil
}

func suffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
