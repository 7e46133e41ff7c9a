package release

// ManifestsLimited is Manifests with a limit that tests can reach.
var ManifestsLimited = manifests
