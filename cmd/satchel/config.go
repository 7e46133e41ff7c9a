package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"satchel/transfer/imageset"
)

func configCommand() command {
	return command{
		name: "config", arguments: "check FILE...", summary: "check an ImageSetConfiguration",
		about: "Reads oc-mirror's ImageSetConfiguration, mirror.openshift.io/v2alpha1 or v1alpha2, and says\n" +
			"line by line what is wrong and what satchel does not do. Nothing is asked of any network.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &configFlags{}
			flags.BoolVar(&f.ignore, "ignore-unsupported", false, "pass over what satchel does not do")
			f.out = p.output(flags)
			return f.run
		},
	}
}

// configFlags are the flags of satchel config.
type configFlags struct {
	out    *output
	ignore bool
}

// checkedConfig is what is found in one file.
type checkedConfig struct {
	File     string         `json:"file"`
	OK       bool           `json:"ok"`
	Findings []configFailed `json:"findings,omitempty"`
}

type configFailed struct {
	Line        int    `json:"line"`
	Key         string `json:"key,omitempty"`
	Problem     string `json:"problem"`
	Unsupported bool   `json:"unsupported,omitempty"`
	Near        string `json:"near,omitempty"`
}

func (f *configFlags) run(_ context.Context, arguments []string) error {
	if len(arguments) < 2 || arguments[0] != "check" {
		return usagef("config has one verb: satchel config check FILE")
	}
	var all []checkedConfig
	status := 0
	for _, name := range arguments[1:] {
		c, err := f.check(name)
		if err != nil {
			return err
		}
		if all = append(all, c); !c.OK {
			status = exitUsage
		}
	}
	if err := f.out.json(all); err != nil {
		return err
	}
	if status != 0 {
		return &statusError{status}
	}
	return nil
}

// check reads one file and says what it finds.
func (f *configFlags) check(name string) (checkedConfig, error) {
	c := checkedConfig{File: name}
	data, err := readBounded(name)
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	config, findings, err := imageset.Parse(data, name)
	if refused := (*imageset.RefusedError)(nil); err != nil && !errors.As(err, &refused) {
		return c, fmt.Errorf("config %s: %w", name, err)
	}
	unsupported := false
	for _, finding := range findings {
		unsupported = unsupported || finding.Unsupported
		f.out.printf("%s\n", finding.In(name))
		c.Findings = append(c.Findings, configFailed{finding.Line, finding.Key, finding.Problem, finding.Unsupported, finding.Near})
	}
	c.OK = err == nil && (f.ignore || !unsupported)
	switch {
	case err != nil:
		f.out.printf("%s: refused\n", name)
	case !c.OK:
		f.out.printf("%s: it asks for what satchel does not do; --ignore-unsupported passes over that\n", name)
	default:
		f.out.printf("%s: ok: %s, %s, %s\n", name, count(len(config.Platform.Channels), "release channel"),
			count(len(config.Operators), "operator catalog"), count(len(config.AdditionalImages), "image"))
	}
	return c, nil
}
