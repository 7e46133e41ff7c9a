package extract

import (
	"fmt"
	"slices"
	"strings"
)

// target is a program that releases hold, for one system: openshift/oc,
// pkg/cli/admin/release/extract_tools.go.
type target struct {
	// command is what people ask for; as is the name that the program gets.
	command, as string
	os          string
	// arch is empty for that of the release itself.
	arch string
	// component has the program at path.
	component, path string
	// pack is the name of the packed program, with the version for %s.
	pack string
	// alone: it is not among the tools, only written when it is asked for.
	alone bool
	marks []markKind
	// readme goes into the pack; link is another name of the program there.
	readme, link string
}

// fileName is the name that the program gets in the directory.
func (t target) fileName() string {
	if t.os == "windows" {
		return t.as + ".exe"
	}
	return t.as
}

// signed reports whether the system runs signed programs only.
func (t target) signed() bool { return t.os == "darwin" && t.arch == "arm64" }

// system is OS/ARCH, for messages.
func (t target) system() string {
	if t.arch == "" {
		return t.os + " of the release's own architecture"
	}
	return t.os + "/" + t.arch
}

// targets lists all programs, those of the release's own architecture before the
// others of the same command.
func targets() []target {
	var all []target
	client := func(t target) {
		t.as, t.readme, t.marks = "oc", readmeClient, []markKind{markVersion}
		if t.os != "windows" {
			t.link = "kubectl"
		}
		all = append(all, t)
	}
	installer := func(t target) {
		t.readme, t.marks = readmeInstaller, []markKind{markLocation, markVersion, markArchitecture}
		t.as = t.command
		all = append(all, t)
	}

	client(target{command: "oc", os: "linux", component: "cli", path: "usr/bin/oc", pack: "openshift-client-linux-%s.tar.gz"})
	const clients, installers = "cli-artifacts", "installer-artifacts"
	const share = "usr/share/openshift/"
	client(target{command: "oc", os: "darwin", arch: "amd64", component: clients, path: share + "mac/oc",
		pack: "openshift-client-mac-%s.tar.gz"})
	client(target{command: "oc", os: "darwin", arch: "arm64", component: clients, path: share + "mac_arm64/oc",
		pack: "openshift-client-mac-arm64-%s.tar.gz"})
	client(target{command: "oc", os: "windows", arch: "amd64", component: clients, path: share + "windows/oc.exe",
		pack: "openshift-client-windows-%s.zip"})
	for _, arch := range []string{"amd64", "arm64", "ppc64le", "s390x"} {
		client(target{command: "oc", os: "linux", arch: arch, component: clients, path: share + "linux_" + arch + "/oc",
			pack: "openshift-client-linux-" + arch + "-%s.tar.gz", alone: arch == "s390x"}) // oc does not pack it
		for _, rhel := range []string{"rhel9", "rhel8"} {
			client(target{command: "oc." + rhel, os: "linux", arch: arch, component: clients,
				path: share + "linux_" + arch + "/oc." + rhel,
				pack: "openshift-client-linux-" + arch + "-" + rhel + "-%s.tar.gz"})
		}
	}

	installer(target{command: "openshift-install", os: "linux", component: "installer", path: "usr/bin/openshift-install",
		pack: "openshift-install-linux-%s.tar.gz"})
	installer(target{command: "openshift-install", os: "darwin", arch: "amd64", component: installers,
		path: share + "mac/openshift-install", pack: "openshift-install-mac-%s.tar.gz"})
	installer(target{command: "openshift-install", os: "darwin", arch: "arm64", component: installers,
		path: share + "mac_arm64/openshift-install", pack: "openshift-install-mac-arm64-%s.tar.gz"})
	for _, arch := range []string{"amd64", "arm64"} {
		installer(target{command: "openshift-install", os: "linux", arch: arch, component: installers,
			path: share + "linux_" + arch + "/openshift-install", pack: "openshift-install-linux-" + arch + "-%s.tar.gz"})
	}
	const metal = "baremetal-installer"
	installer(target{command: "openshift-baremetal-install", os: "linux", component: metal, path: "usr/bin/openshift-install",
		pack: "openshift-baremetal-install-linux-%s.tar.gz", alone: true})
	installer(target{command: "openshift-install-fips", os: "linux", component: metal, path: "usr/bin/openshift-install",
		pack: "openshift-install-rhel-%s.tar.gz", alone: true})

	for _, suffix := range []string{"", ".rhel8", ".rhel9"} {
		all = append(all, target{command: "ccoctl" + suffix, as: "ccoctl", os: "linux",
			component: "cloud-credential-operator", path: "usr/bin/ccoctl" + suffix,
			pack: "ccoctl-linux" + strings.ReplaceAll(suffix, ".", "-") + "-%s.tar.gz", readme: readmeCredentials})
	}
	return all
}

// Commands lists the names that [Command] knows, sorted. The caller owns the
// slice.
func Commands() []string {
	var names []string
	for _, t := range targets() {
		names = append(names, t.command)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// anything asks for all systems.
const anything = "*"

// selection says which targets are wanted.
type selection struct {
	command  string // empty: the tools
	os, arch string // or anything
	release  string // the architecture of the release
}

// choose returns the targets that are wanted. A program for the architecture of
// the release is taken from the image that is for it, and not again from the
// image that has the programs for all.
func (s selection) choose() ([]target, error) {
	if s.command != "" && !slices.Contains(Commands(), s.command) {
		return nil, fmt.Errorf("command %q is not known: there are %s", s.command, strings.Join(Commands(), ", "))
	}
	var chosen []target
	var systems []string
	own := make(map[string]bool) // commands taken for the architecture of the release
	for _, t := range targets() {
		if s.command == "" && t.alone || s.command != "" && t.command != s.command {
			continue
		}
		systems = append(systems, t.system())
		arch := t.arch
		if arch == "" {
			arch = s.release
		}
		if s.os != anything && t.os != s.os || s.arch != anything && arch != s.arch {
			continue
		}
		if t.arch == "" {
			own[t.command] = true
		} else if t.os == "linux" && arch == s.release && own[t.command] {
			continue
		}
		chosen = append(chosen, t)
	}
	if len(chosen) == 0 {
		slices.Sort(systems)
		what := "tools"
		if s.command != "" {
			what = "command " + s.command
		}
		return nil, fmt.Errorf("%s for %s/%s: there is one for %s", what, s.os, s.arch,
			strings.Join(slices.Compact(systems), ", "))
	}
	return chosen, nil
}

// normal returns an operating system and an architecture by the names of Go,
// from those that people use.
func normal(system, arch string) (string, string, error) {
	switch system {
	case "mac":
		system = "darwin"
	case anything, "linux", "darwin", "windows":
	default:
		return "", "", fmt.Errorf("operating system %q is not known: there are linux, mac, windows and %q for all", system, anything)
	}
	switch arch {
	case "":
		arch = "amd64"
		if system == anything {
			arch = anything
		}
	case "x86_64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	}
	return system, arch, nil
}
