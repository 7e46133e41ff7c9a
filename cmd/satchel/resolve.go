package main

import (
	"strings"

	"satchel/bundle"
	"satchel/transfer"
	"satchel/transfer/site"
)

// absentFrom lists what is named by something in a plan and is not in it. What the
// source did not have is among what is lacking once there is a receipt.
func absentFrom(plan *bundle.Plan, receipt *transfer.Receipt) []site.Absent {
	var all []site.Absent
	for _, m := range plan.Missing {
		if m.Digest == "" && receipt == nil {
			all = append(all, site.Absent{Pullspec: m.Image, Why: "the bundle does not have it: " + m.Reason})
		}
	}
	for _, reference := range plan.Blocked {
		all = append(all, site.Absent{Pullspec: reference, Blocked: true})
	}
	return all
}

// tryPullspecs says, in a dry run that writes no resources, which pullspecs would not
// be found with those that would be written: all of them, since there is no README.md
// that has the rest. Who signed releases does not matter to that.
func (f *siteFlags) tryPullspecs(out *output, plan *bundle.Plan) error {
	if f.dir != "" || f.to == "" || strings.HasPrefix(f.to, "oci:") {
		return nil
	}
	b, err := siteBundle(plan, f.names(), transfer.Trust{AllowUnsigned: true})
	if err != nil {
		return err
	}
	b.Absent = absentFrom(plan, nil)
	_, findings, err := site.RenderChecked(b, f.options())
	if err != nil {
		out.message("warning: whether every image would be found at the site is not known: %v", err)
	}
	for _, finding := range findings {
		out.message("warning: %s", finding)
	}
	return nil
}

// options are those that the flags say.
func (f *siteFlags) options() site.Options {
	return site.Options{MirrorSets: site.MirrorSets(f.mirrorSet), Scope: site.Scope(f.scope), AlsoMirror: f.alsoMirror, NeverContactSource: f.never}
}
