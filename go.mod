module satchel

go 1.26.0

require (
	github.com/ProtonMail/go-crypto v1.5.2 // OpenPGP: the signatures of releases
	github.com/blang/semver/v4 v4.0.0 // versions of releases, ordered as the cluster-version operator orders them
	github.com/cespare/xxhash/v2 v2.3.0 // the checksum of zstd frames that are stored
	github.com/containers/image/v5 v5.36.2 // references, credentials, certificates and registries.conf as podman has them; the last version under this path
	github.com/gowebpki/jcs v1.0.2 // canonical JSON, RFC 8785: plan ID and bundle ID rest on it
	github.com/klauspost/compress v1.20.3 // zstd; its version is part of the plan, see bundle.EncoderVersion
	github.com/opencontainers/go-digest v1.0.0 // digests as all of OCI writes them
	github.com/opencontainers/image-spec v1.1.1 // the types of manifests and descriptors
	github.com/opencontainers/umoci v0.6.0 // OCI layouts on disk
	github.com/rogpeppe/go-internal v1.16.0 // testscript, for tests of the command line only
	github.com/schollz/progressbar/v3 v3.19.1 // the bar with bytes, rate and time left
	github.com/spf13/pflag v1.0.10 // flags as skopeo, podman and oc have them
	go.yaml.in/yaml/v3 v3.0.6 // reading manifests of a payload, writing those for a site
	golang.org/x/sync v0.24.0 // errgroup, weighted semaphore, singleflight
	golang.org/x/sys v0.49.0 // free space and errors of file systems
	golang.org/x/term v0.47.0 // is standard error a terminal
)

require (
	github.com/AdaLogics/go-fuzz-headers v0.0.0-20230106234847-43070de90fa1 // indirect
	github.com/BurntSushi/toml v1.5.0 // indirect
	github.com/apex/log v1.9.0 // indirect
	github.com/cloudflare/circl v1.6.3 // indirect
	github.com/containers/storage v1.59.1 // indirect
	github.com/cyphar/filepath-securejoin v0.5.0 // indirect
	github.com/docker/docker-credential-helpers v0.9.3 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/klauspost/pgzip v1.2.6 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/moby/sys/capability v0.4.0 // indirect
	github.com/moby/sys/mountinfo v0.7.2 // indirect
	github.com/moby/sys/user v0.4.0 // indirect
	github.com/opencontainers/runtime-spec v1.2.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/sirupsen/logrus v1.9.3 // indirect
	golang.org/x/crypto v0.41.0 // indirect
	golang.org/x/tools v0.26.0 // indirect
)
