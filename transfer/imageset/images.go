package imageset

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"satchel/oci"
)

func (r *reader) additionalImages(n *yaml.Node, key string) {
	places := make(map[string]Image) // by name at the site, where one is asked for
	seen := make(map[Image]bool)
	r.list(n, key, func(n *yaml.Node, key string) {
		r.asked = true
		i := Image{Line: n.Line}
		var ref oci.Reference
		layout := false
		found := r.mapping(n, key,
			needed(r, "name", &i.Name, func(n *yaml.Node, key string) string {
				if layout = n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Value, layoutScheme); layout {
					r.unsupported(n.Line, key, "an additional image comes from a registry, not from a directory")
					return ""
				}
				var s string
				s, ref = r.reference(n, key)
				return s
			}),
			as("targetRepo", v2alpha1, &i.TargetRepo, r.target),
			as("targetTag", v2alpha1, &i.TargetTag, r.tag),
			field{"platforms", v2alpha1, r.unsupportedPlatforms},
		)
		r.required(found, n, key, "name")
		same := i
		same.Line = 0
		if i.Name == "" || seen[same] {
			return
		}
		seen[same] = true
		r.oneImage(places, i, ref, key)
		r.config.AdditionalImages = append(r.config.AdditionalImages, i)
	})
}

// oneImage notes two images that ask for one name at the site.
func (r *reader) oneImage(places map[string]Image, i Image, ref oci.Reference, key string) {
	repository, tag := ref.Path(), ref.Tag
	if i.TargetRepo != "" {
		repository = i.TargetRepo
	}
	if i.TargetTag != "" {
		tag = i.TargetTag
	}
	if tag == "" {
		return
	}
	place := repository + ":" + tag
	other, taken := places[place]
	if taken && other.Name != i.Name && (i.TargetRepo+i.TargetTag+other.TargetRepo+other.TargetTag) != "" {
		r.problem(i.Line, key, "%s at the site would be both this and line %d, %s", place, other.Line, other.Name)
		return
	}
	places[place] = i
}

func (r *reader) blockedImages(n *yaml.Node, key string) {
	r.list(n, key, func(n *yaml.Node, key string) {
		b := Blocked{Line: n.Line}
		found := r.mapping(n, key, needed(r, "name", &b.Pattern, func(n *yaml.Node, key string) string {
			s := r.text(n, key)
			if _, err := regexp.Compile(s); err != nil {
				r.problem(n.Line, key, "no regular expression: %v", err)
				return ""
			}
			return s
		}))
		r.required(found, n, key, "name")
		if b.Pattern != "" {
			r.config.BlockedImages = append(r.config.BlockedImages, b)
		}
	})
}

// helm checks the keys, and names each chart.
func (r *reader) helm(n *yaml.Node, key string) {
	charts := func(n *yaml.Node, key string) {
		r.list(n, key, r.chart)
	}
	r.mapping(n, key,
		field{"repositories", everywhere, func(n *yaml.Node, key string) {
			r.list(n, key, func(n *yaml.Node, key string) {
				var name, url string
				found := r.mapping(n, key, needed(r, "name", &name, r.text), needed(r, "url", &url, r.text), field{"charts", everywhere, charts})
				if found["charts"] == 0 {
					r.unsupported(n.Line, key, fmt.Sprintf("helm: repository %.80q is not read", name))
				}
			})
		}},
		field{"local", everywhere, charts},
	)
}

func (r *reader) chart(n *yaml.Node, key string) {
	var name, version, file string
	r.mapping(n, key,
		needed(r, "name", &name, r.text),
		as("version", everywhere, &version, r.text),
		as("path", everywhere, &file, r.text),
		field{"imagePaths", everywhere, func(n *yaml.Node, key string) {
			r.list(n, key, func(n *yaml.Node, key string) { r.text(n, key) })
		}},
		field{"platforms", v2alpha1, func(n *yaml.Node, key string) { r.platforms(n, key) }},
	)
	r.unsupported(n.Line, key, fmt.Sprintf("helm: the images of chart %.80q are not looked for; name them as additionalImages", name))
}

func (r *reader) samples(n *yaml.Node, key string) {
	r.list(n, key, func(n *yaml.Node, key string) {
		var name string
		r.mapping(n, key, needed(r, "name", &name, r.text))
		r.unsupported(n.Line, key, fmt.Sprintf("samples: %.80q is not packed, nor is it by oc-mirror; satchel packs samples from the cluster's own list", name))
	})
}
