package verify

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// judgement says what all that was read means.
type judgement struct {
	*checker
	plan    *bundle.Plan
	volumes map[int]string // the best state of each
	// reasons are what the inventory says about blobs that are missing, missing
	// where they stand in the report.
	reasons map[digest.Digest]bundle.Missing
	missing map[digest.Digest]int
	// children are the manifests that the source did not have, by image, and for
	// those of which no image is named, by themselves.
	children map[string][]bundle.Missing
	anywhere map[digest.Digest]bundle.Missing
}

// judgement counts the blobs that are right, and lists what is missing.
func (c *checker) judgement() *judgement {
	j := &judgement{
		checker: c, plan: c.bundle.Prologue.Plan(), volumes: c.report.best(),
		reasons: make(map[digest.Digest]bundle.Missing), missing: make(map[digest.Digest]int),
		children: make(map[string][]bundle.Missing), anywhere: make(map[digest.Digest]bundle.Missing),
	}
	for _, m := range j.plan.Missing {
		j.report.Missing = append(j.report.Missing, Missing{Digest: m.Digest, Image: m.Image, Reason: m.Reason})
		if m.Image != "" {
			j.children[m.Image] = append(j.children[m.Image], m)
		} else {
			j.anywhere[m.Digest] = m
		}
	}
	if j.bundle.Inventory != nil {
		for _, m := range j.bundle.Inventory.Missing[len(j.plan.Missing):] {
			j.reasons[m.Digest] = m
		}
	}
	for i := range j.plan.Blobs {
		b := &j.plan.Blobs[i]
		switch {
		case b.Held != 0:
		case j.right[b]:
			j.report.BlobsOK++
		case j.fateOf(b) == lacking:
			reason, ok := j.reasons[b.Digest]
			if !ok {
				reason.Reason = "it was left out when the bundle was packed"
			}
			j.missing[b.Digest] = len(j.report.Missing)
			j.report.Missing = append(j.report.Missing, Missing{Digest: b.Digest, Image: reason.Image, Reason: reason.Reason, Volumes: b.VolumesOf()})
		}
	}
	return j
}

// fateOf is that of a blob which was not found right: the worst that matters of
// its members. Of volumes that are not there, the inventory is believed.
func (j *judgement) fateOf(b *bundle.Blob) fate {
	seen := make(map[fate]bool)
	for _, m := range membersOf(b) {
		seen[j.fates[m]] = true
	}
	_, stated := j.reasons[b.Digest]
	switch {
	case seen[damaged]:
		return damaged
	case seen[lacking] || seen[notHere] && stated:
		return lacking
	case seen[notHere]:
		return notHere
	case j.options.Quick:
		return whole
	}
	return damaged // its members are whole, but not together
}

// membersOf returns the members of a blob in their order.
func membersOf(b *bundle.Blob) []bundle.Member {
	if len(b.Extents) == 0 {
		return []bundle.Member{{Blob: b, Size: b.Size}}
	}
	members := make([]bundle.Member, len(b.Extents))
	start := int64(0)
	for i, e := range b.Extents {
		members[i] = bundle.Member{Blob: b, Extent: i + 1, Start: start, Size: e.Size}
		start += e.Size
	}
	return members
}

// images follows each image from its root to its last layer and says what the
// findings mean for it.
func (j *judgement) images() {
	for _, image := range j.plan.Images {
		r := ImageReport{Reference: image.Reference, Digest: image.Root.Digest, State: StateOK}
		if j.options.Quick {
			r.State = StateUnchecked
		}
		graph, err := j.bundle.Prologue.Graph(image)
		if err != nil {
			r.State = StateDamaged
			j.report.Findings = append(j.report.Findings, Finding{Volume: j.plan.VolumeName(1), Offset: -1, Problem: err.Error()})
		} else {
			j.judgeManifests(&r, graph)
			for _, b := range graph.Blobs {
				j.judge(&r, b)
			}
		}
		slices.Sort(r.Volumes)
		r.Volumes = slices.Compact(r.Volumes)
		j.report.Images = append(j.report.Images, r)
	}
}

// judgeManifests looks for children that the source did not have.
func (j *judgement) judgeManifests(r *ImageReport, graph *bundle.Graph) {
	for _, m := range j.children[r.Reference] {
		r.lack(Missing{Digest: m.Digest, Reason: m.Reason})
	}
	if len(j.anywhere) == 0 {
		return
	}
	for _, d := range graph.Manifests {
		content, _ := j.bundle.Prologue.Manifest(d.Digest)
		parsed, err := oci.ParseManifest(d.MediaType, content)
		if err != nil {
			continue // the graph was made of it
		}
		for _, child := range parsed.Manifests {
			if m, ok := j.anywhere[child.Digest]; ok {
				r.lack(Missing{Digest: m.Digest, Reason: m.Reason})
			}
		}
	}
}

func (r *ImageReport) lack(m Missing) {
	r.Lacks = append(r.Lacks, m)
	if r.State != StateDamaged {
		r.State = StateMissing
	}
}

// judge lets the state of a blob count for an image that needs it.
func (j *judgement) judge(r *ImageReport, b *bundle.Blob) {
	if b.Held != 0 || j.right[b] {
		return
	}
	switch j.fateOf(b) {
	case whole:
		return
	case lacking:
		m := &j.report.Missing[j.missing[b.Digest]]
		if m.Image == "" {
			m.Image = r.Reference
		}
		r.lack(Missing{Digest: m.Digest, Reason: m.Reason, Volumes: m.Volumes})
		return
	case notHere:
		if r.State != StateDamaged {
			r.State = StateMissing
		}
	default:
		r.State = StateDamaged
	}
	found := len(r.Volumes)
	for _, n := range b.VolumesOf() {
		if state := j.volumes[n]; state == StateDamaged || state == StateMissing {
			r.Volumes = append(r.Volumes, n)
		}
	}
	if found < len(r.Volumes) {
		return
	}
	// Each volume has a whole copy, but the blob cannot be read from them.
	for _, v := range j.report.Volumes {
		if v.State == StateDamaged && slices.Contains(b.VolumesOf(), v.Number) {
			r.Volumes = append(r.Volumes, v.Number)
			j.report.Again = append(j.report.Again, v.Number)
		}
	}
}

// leans lists the bundles with which the site got what this one leaves out, in
// the order of the plan.
func leans(prologue *bundle.Prologue) []Lean {
	plan := prologue.Plan()
	var list []Lean
	place := make([]int, len(plan.Held)) // in list
	for i, h := range plan.Held {
		k := slices.IndexFunc(list, func(l Lean) bool { return l.Plan == h.Plan })
		if k < 0 {
			k = len(list)
			list = append(list, Lean{Name: h.Name, Plan: h.Plan})
		}
		if place[i] = k; list[k].Bundle == "" {
			list[k].Bundle = h.Bundle
		}
	}
	for i := range plan.Blobs {
		if b := &plan.Blobs[i]; b.Held != 0 {
			lean := &list[place[b.Held-1]]
			lean.Blobs++
			lean.Bytes += b.Size
		}
	}
	for _, image := range plan.Images {
		graph, err := prologue.Graph(image)
		if err != nil {
			continue // which is a finding
		}
		needed := make(map[int]bool)
		for _, b := range graph.Blobs {
			if b.Held != 0 {
				needed[place[b.Held-1]] = true
			}
		}
		for k := range needed {
			list[k].Images++
		}
	}
	return list
}
