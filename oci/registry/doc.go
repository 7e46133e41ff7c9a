// Package registry talks to registries by the distribution specification: it
// resolves references, reads manifests and blobs, and writes them.
//
// Start with [New], [ParseReference] and [Client.Resolve]. Reading is
// [Client.Manifest] and [Client.Blob], writing is [Client.HasBlob],
// [Client.Mount], [Client.PushBlob] and [Client.PushManifest].
//
// # Choice of the data path
//
// Measurements behind the choice of the data path are kept in this section.
//
// # Design
//
// The bytes go over net/http, by a thin path of our own. Of containers/image
// only what decides where and how to connect is used: the grammar of references,
// the search for credentials, registries.conf and certificate directories. So
// satchel finds a registry where podman and skopeo find it, and reads ambient
// files in [New] and here only.
//
// The dance of challenges and tokens is ours too. The client of oras-go refuses
// token servers with private addresses unless they share the registry's host
// name, and at a site that is how they are: a GitLab or a Keycloak beside the
// registry. It cannot be told otherwise.
//
//   - hosts.go: one transport per registry, since TLS settings differ, with
//     HTTP/1.1 only, since several TCP connections are the point. Credentials
//     never follow a redirect to another origin, and no redirect leads from
//     HTTPS to plain HTTP.
//   - roundtrip.go: sees each request; aborts what stands still, for one minute
//     within a body, and tells Options.Log.
//   - auth.go, challenge.go: Basic and Bearer. Tokens are kept per repository and
//     scopes, renewed before they end, and fetched before a body is sent: the
//     request that opens an upload has none, and meets the challenge.
//   - sources.go: reading goes through the mirrors of registries.conf in order
//     and remembers what worked; writing goes to the named registry.
//   - retry.go: what is worth another attempt. Back-off grows from 0.5 s to 30 s
//     with chance in it; a stated Retry-After wins, up to 2 minutes. Not repeated:
//     unknown hosts, refused certificates, statuses other than 408, 429 and 5xx
//     (without 501 and 505). Repeated once: refused connections, and whatever
//     happens with a mirror.
//   - blob.go: a blob over as many range requests as it takes.
//   - upload.go, pushbody.go: POST and one PUT. Registries bind an upload's state
//     to what they have stored, so a broken one starts again from its first byte.
//     The last bytes are held back until the source's gate has said io.EOF.
//
// Errors hold no query, no user name and no token. Everything that a registry
// sends is bounded, and made printable where it is shown.
package registry
