package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// waitDelay is how long a process that was ended may hold on to its output.
const waitDelay = 5 * time.Second

// call is one call of satchel.
type call struct {
	args []string
	// status is the exit status that is wanted.
	status int
	// most limits the lines that are shown; 0 is for all.
	most int
	// progress shows standard error too.
	progress bool
}

// satchel shows a command, runs it in the directory of the story, so that all
// paths are as they are shown, and returns what it printed on standard output,
// with progress also on standard error.
func (j *journey) satchel(ctx context.Context, c call) (string, error) {
	if j.pen.err != nil {
		return "", j.pen.err
	}
	j.pen.command(append([]string{"satchel"}, c.args...)...)
	stdout := &display{pen: j.pen, most: c.most}
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, j.programs.satchel, c.args...)
	command.Dir, command.Env, command.WaitDelay = j.dir, j.environment(), waitDelay
	command.Stdout, command.Stderr = stdout, &stderr
	if c.progress {
		command.Stderr = stdout
	}
	err := command.Run()
	stdout.end()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && !errors.As(err, &exit):
		return "", fmt.Errorf("satchel %s: %w", c.args[0], err)
	case command.ProcessState.ExitCode() != c.status:
		return "", fmt.Errorf("satchel %s: got %s, want exit status %d: %s",
			c.args[0], command.ProcessState, c.status, bytes.TrimSpace(stderr.Bytes()))
	}
	if c.status != 0 {
		j.pen.write(fmt.Sprintf("$ echo $?\n%s%d\n", indent, c.status))
	}
	j.pen.gap()
	return stdout.all.String(), nil
}

// environment keeps the configuration of whoever runs the demo out of it:
// credentials, mirrors and limits. The directories that it names do not exist:
// satchel needs none for temporary files.
func (j *journey) environment() []string {
	nowhere := j.path("nowhere")
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{
			"HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG",
			"CONTAINERS_REGISTRIES_CONF", "REGISTRY_AUTH_FILE", "GOMEMLIMIT",
			"TMPDIR", "TMP", "TEMP",
		}, name)
	})
	return append(kept, "HOME="+nowhere, "USERPROFILE="+nowhere,
		"TMPDIR="+nowhere, "TMP="+nowhere, "TEMP="+nowhere)
}
