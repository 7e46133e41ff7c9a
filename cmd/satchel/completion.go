package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

func completionCommand() command {
	return command{
		name: "completion", arguments: "bash|zsh", summary: "print a completion script for a shell",
		about: "For bash: source <(satchel completion bash). For zsh: source <(satchel completion zsh).",
		prepare: func(p *program, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(_ context.Context, arguments []string) error {
				if len(arguments) != 1 || arguments[0] != "bash" && arguments[0] != "zsh" {
					return usagef("completion takes one argument, bash or zsh")
				}
				if arguments[0] == "zsh" {
					fmt.Fprint(p.stdout, "autoload -U +X bashcompinit && bashcompinit\n")
				}
				return writeCompletion(p.stdout)
			}
		},
	}
}

// writeCompletion writes a bash script that completes commands and flags, and
// files and directories everywhere else.
func writeCompletion(w io.Writer) error {
	var names []string
	var cases strings.Builder
	for _, c := range commands() {
		names = append(names, c.name)
		flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
		c.prepare(&program{stdout: io.Discard, stderr: io.Discard}, flags)
		var words []string
		flags.VisitAll(func(f *pflag.Flag) { words = append(words, "--"+f.Name) })
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", c.name, strings.Join(append(words, "--help"), " "))
	}
	_, err := fmt.Fprintf(w, `_satchel() {
  local current=${COMP_WORDS[COMP_CWORD]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W %q -- "$current"))
    return
  fi
  case ${COMP_WORDS[1]} in
%s  esac
  case $current in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}
complete -o filenames -F _satchel satchel
`, strings.Join(append(names, "help"), " "), cases.String())
	return err
}
