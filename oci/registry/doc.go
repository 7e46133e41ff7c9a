// Package registry talks to registries by the distribution specification: it
// resolves references, reads manifests and blobs, and writes them.
//
// Start with [New], [ParseReference] and [Client.Resolve]. Reading is
// [Client.Manifest] and [Client.Blob], writing is [Client.HasBlob],
// [Client.Mount], [Client.PushBlob] and [Client.PushManifest].
//
// # Choice of the data path
//
// Five clients were measured against distribution 3.1.2, through a proxy where it
// says so: the docker transport of containers/image 5.36.2, oras-go 2.6.4,
// go-containerregistry 0.22.1, regclient 0.11.7, and this package.
//
//	                                c/image   oras-go    ggcr      regclient  this
//	range with an explicit end      no (1)    no (2)     no        no         yes
//	exact media type on PUT         guessed   yes        yes       yes        yes
//	mount answered 202              DELETE    goes on    goes on   DELETE     DELETE
//	2,000 repositories, 200 ms (3)  53 s      13.4 s     26.5 s    13-18 s    13.7 s
//	  connections, requests         4000 4000 32 2000    32 4000   407 2000   33 2001
//	600 MB at 20 MiB/s each (4)     31 s      30 s       30 s      30 s       4.3 s
//	packages (go list -deps)        263       210        240       257        230
//
//	(1) GetBlobAt takes an internal type. (2) Fetch and Seek read to the blob's end:
//	20 ranges of 64 KiB took 39 connections and 104 MB, here none and 1.3 MB.
//	(3) reading all manifests, 32 at a time; 12.5 s is the least possible.
//	(4) one stream; here in ranges over 8 connections.
//
// Ranges, exact media types and one pool of connections decide: the packing side
// stands and falls with them, and only a path of our own has all three.
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
