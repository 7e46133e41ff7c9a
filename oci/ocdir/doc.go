// Package ocdir reads the directories that `oc adm release mirror --to-dir`,
// `oc image mirror` and `oc adm catalog mirror` to file:// wrote, and the mapping
// files of `oc image mirror -f`.
//
// Such a tree has (openshift/oc, pkg/cli/image/imagesource/file.go)
//
//	v2/REPOSITORY/blobs/sha256:HEX         layers, configs and manifests
//	v2/REPOSITORY/manifests/sha256:HEX     a hard link to the blob, for manifests
//	v2/REPOSITORY/manifests/TAG            a symlink with the text sha256:HEX
//	config/signature-sha256-HEX16.json     signatures of releases, as ConfigMaps
//
// with no host in REPOSITORY, no media types and no sizes. What carrying does to
// it is borne: names of Windows (sha256-HEX), links with older or longer targets,
// copies where links were, manifests that are left in only one of the two places,
// downloads that were interrupted. oc believes what it finds; here everything is
// hostile until checked: nothing becomes a file name that is not in the grammar of
// repositories, tags or digests, no link is followed out of the tree, nothing but
// regular files is opened, and manifests are handed out when their digest agrees.
package ocdir
