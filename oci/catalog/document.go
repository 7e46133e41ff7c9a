package catalog

import (
	"errors"
	"fmt"
)

// document is what is kept of every document, so that it can be found again and
// put in its place.
type document struct {
	file   int // of Catalog.files
	number int // within the file, from 1
	size   int // as compact JSON, in bytes

	schema, pkg, name string
}

// parser makes of documents what is kept of them. Texts that stand often are
// kept once.
type parser struct {
	texts map[string]string
	left  int // of MaxKept, in bytes
}

// cost is what a kept value costs beside its text.
const cost = 64

// keep gives a text back that was kept before, or counts it.
func (p *parser) keep(s string) string {
	p.left -= cost
	if kept, ok := p.texts[s]; ok {
		return kept
	}
	p.left -= len(s) + cost
	p.texts[s] = s
	return s
}

func (p *parser) check() error {
	if p.left < 0 {
		return &totalError{fmt.Errorf("catalog that needs more than %d bytes of memory: %w", MaxKept, ErrLimit)}
	}
	return nil
}

// head reads schema, package and name, which alone a document must have right.
// The package of an olm.package is its name.
func (p *parser) head(all []member) (d document, err error) {
	for _, field := range []struct {
		key string
		to  *string
	}{{"schema", &d.schema}, {"package", &d.pkg}, {"name", &d.name}} {
		s, err := textOf(all, field.key)
		if err != nil {
			return d, err
		}
		*field.to = p.keep(s)
	}
	if d.schema == "" {
		return d, errors.New("it has no schema")
	}
	if d.schema == SchemaPackage {
		d.pkg = d.name
	}
	return d, nil
}

// channel reads an olm.channel. What is wrong with it stands in it.
func (p *parser) channel(d document, all []member) Channel {
	c := Channel{Name: d.name}
	err := elements(value(all, "entries"), func(raw []byte) error {
		entry, err := p.entry(raw)
		if err != nil {
			return fmt.Errorf("entry %d: %w", len(c.Entries)+1, err)
		}
		c.Entries = append(c.Entries, entry)
		return p.check()
	})
	if err != nil {
		c.broken = err.Error()
	}
	return c
}

func (p *parser) entry(raw []byte) (e Entry, err error) {
	all, err := members(raw)
	if err != nil {
		return e, err
	}
	if err := p.fields(all, "name", &e.Name, "replaces", &e.Replaces, "skipRange", &e.SkipRange); err != nil {
		return e, err
	}
	err = elements(value(all, "skips"), func(raw []byte) error {
		name, err := text(raw)
		if err != nil {
			return fmt.Errorf("skips: %w", err)
		}
		e.Skips = append(e.Skips, p.keep(name))
		return p.check()
	})
	return e, err
}

// fields reads texts by pairs of key and place.
func (p *parser) fields(all []member, pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		s, err := textOf(all, pairs[i].(string))
		if err != nil {
			return err
		}
		*pairs[i+1].(*string) = p.keep(s)
	}
	return nil
}

// images reads the image of a document and its related images, each once.
func (p *parser) images(all []member) (image string, related []string, err error) {
	if err := p.fields(all, "image", &image); err != nil {
		return "", nil, err
	}
	seen := make(map[string]bool)
	err = elements(value(all, "relatedImages"), func(raw []byte) error {
		fields, err := members(raw)
		var name string
		if err == nil {
			name, err = textOf(fields, "image")
		}
		if err != nil {
			return fmt.Errorf("relatedImages: %w", err)
		}
		// Bundles in public catalogs have some without image (operator-registry,
		// alpha/model/model.go).
		if name != "" && !seen[name] {
			seen[name] = true
			related = append(related, p.keep(name))
		}
		return p.check()
	})
	return image, related, err
}

// other reads a document of any schema. Images are where other schemas have
// them too (openshift/oc, pkg/cli/admin/catalog/mirror.go); what stands there in
// another form is none.
func (p *parser) other(d document, all []member) Other {
	o := Other{Schema: d.schema, Package: d.pkg, Name: d.name}
	seen := make(map[string]bool)
	add := func(raw []byte) {
		if s, err := text(raw); err == nil && s != "" && !seen[s] {
			seen[s] = true
			o.Related = append(o.Related, p.keep(s))
		}
	}
	add(value(all, "image"))
	if list := value(all, "relatedImages"); len(list) > 0 && list[0] == '[' {
		elements(list, func(raw []byte) error {
			if fields, err := members(raw); err == nil {
				add(value(fields, "image"))
			}
			return p.check()
		})
	}
	return o
}

// deprecations reads the entries of an olm.deprecations.
func (p *parser) deprecations(all []member) (list []Deprecation, err error) {
	err = elements(value(all, "entries"), func(raw []byte) error {
		d, err := p.deprecation(raw)
		list = append(list, d)
		if err == nil {
			err = p.check()
		}
		return err
	})
	return list, err
}

func (p *parser) deprecation(raw []byte) (d Deprecation, err error) {
	all, err := members(raw)
	if err != nil {
		return d, err
	}
	message, err := textOf(all, "message")
	if err != nil {
		return d, err
	}
	d.silent = message == ""
	reference := value(all, "reference")
	if reference == nil {
		return d, nil
	}
	fields, err := members(reference)
	if err != nil {
		return d, err
	}
	err = p.fields(fields, "schema", &d.Schema, "name", &d.Name)
	return d, err
}
