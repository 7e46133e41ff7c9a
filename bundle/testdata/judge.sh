#!/usr/bin/env bash
# judge.sh DIR - unpacks the whole bundle in DIR and judges it by FORMAT.md
# alone, with nothing of satchel: bash, coreutils, zstd, tar, jq and openssl.
# It prints what it finds. Exit status: 0 nothing found, 1 something found,
# 2 it could not work. The unpacked bundle takes room below ${TMPDIR:-/tmp}.
set -u -o pipefail
export LC_ALL=C TZ=UTC

[ $# = 1 ] && [ -d "$1" ] || { echo "usage: judge.sh DIR" >&2; exit 2; }
for tool in zstd tar jq openssl sha256sum base64 od cmp dd; do
	command -v "$tool" >/dev/null || { echo "$tool is not here" >&2; exit 2; }
done
cd -- "$1" || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
layout=$tmp/layout
mkdir -p "$layout/blobs/sha256" "$layout/satchel/extents"

findings=0
finding() { printf '%s\n' "$*"; findings=$((findings + 1)); }
over() { # the verdict
	[ -s "$tmp/broken" ] && finding "$(<"$tmp/broken")"
	if [ "$findings" -gt 0 ]; then
		echo "$findings findings"
		exit 1
	fi
	echo "nothing found"
	exit 0
}
id() { local line; line=$(openssl dgst -sha256 -r <"$1") && echo "sha256:${line%% *}"; }
size() { stat -L -c %s -- "$1"; }
query() { jq -r "$@" 2>>"$tmp/broken" || echo "jq does not understand ${*: -1}" >>"$tmp/broken"; } # often in a subshell
both() { # QUERY over $p, the plan, $i, the inventory, and $lacks, what no volume holds though the plan gives it a place
	jq -nr --slurpfile plans "$plan" --slurpfile inventories inventory.json '$plans[0] as $p | $inventories[0] as $i
		| [($i.missing // [])[($p.missing // [] | length):][] | .digest // "-"] as $lacks | '"$1" 2>>"$tmp/broken" ||
		echo "jq does not understand $plan and inventory.json" >>"$tmp/broken"
}
cut() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=64K status=none; } # FILE OFFSET LENGTH

# The stored size of content, by the formula of FORMAT.md.
stored_frame() { echo $((10 + $1 + ($1 + 131071) / 131072 * 3 + 4)); }
stored_member() { # CONTENT SIZE
	local tar=$((512 + ($1 + 511) / 512 * 512)) full
	full=$((tar / 4194304 * $(stored_frame 4194304)))
	[ $((tar % 4194304)) = 0 ] || full=$((full + $(stored_frame $((tar % 4194304)))))
	echo "$full"
}

# frames FILE writes the offset of each frame and checks what its headers say.
frames() {
	local at=0 end b block window content
	end=$(size "$1")
	while [ "$at" -lt "$end" ]; do
		echo "$at"
		read -r -a b < <(od -An -v -w10 -tu1 -j "$at" -N 10 "$1")
		[ "${b[*]:0:4}" = "40 181 47 253" ] || { echo "byte $at: no frame begins here" >&2; return; }
		window=$((1 << (10 + b[5] / 8)))
		window=$((window + window / 8 * (b[5] % 8)))
		case ${b[4]} in
		132) content=$((b[6] + b[7] * 256 + b[8] * 65536 + b[9] * 16777216)) block=$((at + 10)) ;;
		68) content=$((b[6] + b[7] * 256 + 256)) block=$((at + 8)) ;;
		*) echo "byte $at: frame descriptor ${b[4]}" >&2; return ;;
		esac
		[ "$window" -le 8388608 ] || echo "byte $at: window of $window bytes" >&2
		[ "$content" -ge 1 ] && [ "$content" -le 4194304 ] || echo "byte $at: frame of $content bytes" >&2
		while :; do
			read -r -a b < <(od -An -v -w3 -tu1 -j "$block" -N 3 "$1")
			[ ${#b[@]} = 3 ] || { echo "byte $block: the file ends in a frame" >&2; return; }
			local header=$((b[0] + b[1] * 256 + b[2] * 65536))
			case $((header / 2 % 4)) in
			0 | 2) block=$((block + 3 + header / 8)) ;;
			1) block=$((block + 4)) ;;
			3) echo "byte $block: reserved block type" >&2; return ;;
			esac
			[ $((header % 2)) = 0 ] || break
		done
		[ $((block + 4 - at)) -le "$(stored_frame "$content")" ] || echo "byte $at: frame is longer than stored" >&2
		at=$((block + 4))
	done
	[ "$at" = "$end" ] || echo "byte $at: the last frame goes on after the end of the file" >&2
}

# names FILE lists the tar entries in a zstd file, and complains of entries that
# are not plain files as FORMAT.md has them.
names() {
	local line entry='^-rw-r--r-- 0/0 +[0-9]+ 1970-01-01 00:00 ([^ ]+)$'
	while IFS= read -r line; do
		if [[ $line =~ $entry ]]; then
			echo "${BASH_REMATCH[1]}"
		else
			echo "entry: $line"
		fi
	done < <(zstd -dcq <"$1" | tar --numeric-owner -tvf - 2>&1)
}

# 1. The small files.
[ -f inventory.json ] || finding "inventory.json is missing"
[ -f SHA256SUMS ] || finding "SHA256SUMS is missing"
plans=(*.plan.json)
[ ${#plans[@]} = 1 ] && [ -f "${plans[0]}" ] || finding "not one plan: ${plans[*]}"
[ "$findings" = 0 ] || over
plan=${plans[0]}
name=${plan%.plan.json}
sha256sum --strict --quiet -c SHA256SUMS >"$tmp/sums" 2>&1 || finding "SHA256SUMS: $(<"$tmp/sums")"
listed=" "
while read -r _ file; do listed+="$file "; done <SHA256SUMS
for file in *; do
	[[ $file = SHA256SUMS || $listed = *" $file "* ]] || finding "$file is not in SHA256SUMS"
done
known=$findings
for file in "$plan" inventory.json; do
	jq -cS . "$file" 2>"$tmp/jq" | cmp -s - "$file" || finding "$file is not canonical JSON $(<"$tmp/jq")"
done
[ "$(jq -r '"\(.version) \(.name)"' "$plan" inventory.json)" = "1 $name"$'\n'"1 $name" ] ||
	finding "$plan or inventory.json is not of version 1, or has another name"
[ "$findings" = "$known" ] || over
plan_id=$(id "$plan")
[[ $(<README.txt) = *"Bundle ID: $(id inventory.json)"* ]] || finding "README.txt does not state the bundle ID"
query '{images: [.images[] | del(.incomplete)], blobs: [.blobs[] | {digest, mediaType, size}], manifests: [.manifests[] | {digest, mediaType, size}]}
	| tojson' "$plan" inventory.json >"$tmp/same"
{ read -r one && read -r other; } <"$tmp/same"
[ "$one" = "$other" ] || finding "plan and inventory state different contents"
query '.attached // [] | tojson' "$plan" inventory.json >"$tmp/same"
{ read -r one && read -r other; } <"$tmp/same"
[ "$one" = "$other" ] || finding "plan and inventory attach different contents"
while read -r line; do finding "$line"; done < <(both '
	($i.missing // [] | select(.[:($p.missing // [] | length)] != ($p.missing // [])) | "the inventory does not lack what the plan lacks"),
	((($p.missing // []) + ($i.missing // []))[] | select(((.digest or .image) and (.reason | test("^[ -~]{1,500}$"))) | not) |
		"missing: \(tojson)")')
while read -r line; do finding "$line"; done < <(both '
	($lacks | group_by(.)[] | select(length > 1) | "\(.[0]) is missing twice"),
	($lacks - [$p.blobs[] | select(.held | not) | .digest] | .[] | "\(.) is missing and has no place in the plan"),
	($p.blobs[] | select([.volume, .extents, .held | select(.)] | length != 1) | "\(.digest) has not one place in the plan"),
	($p.blobs[] | select((.held // 1) > ($p.held // [1] | length)) | "\(.digest) is held with no image")')
while read -r line; do finding "$line"; done < <(query '
	def text($most): test("\\A[ -~]{1,\($most)}\\z");
	def word: test("\\A[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?\\z");
	def destination: length <= 255 and
		test("\\A[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\\z");
	([.manifests[] | {key: .digest, value: {digest, mediaType, size}}] | from_entries) as $manifests
	| ($manifests + ([.blobs[] | {key: .digest, value: {digest, mediaType, size}}] | from_entries)) as $contents
	| ([.images[] | {key: .reference, value: (.attachedTo // "")}] | from_entries) as $images
	| (.images[] | select(.attachedTo and $images[.attachedTo] != "") | "image \(.reference) is attached to \(.attachedTo | tojson)"),
	(.images[], (.held // [])[] | select(.part and (.part | IN("release", "component") | not)) | "\(.reference) is part \(.part | tojson) of a release"),
	(.images[] | select(.destinations) | select(.destinations |
		(all(destination) and (unique | length) == length and (map(split(":")[0]) | unique | length) == 1) | not) |
		"image \(.reference) goes to \(.destinations | tojson)"),
	((.blobs + .manifests)[] | select(.origin | length != 1) | "\(.digest) has not one origin"),
	(.manifests[] | select(.origin | has("repository") or has("local") | not) | "manifest \(.digest) has origin \(.origin | tojson)"),
	(.blobs[] | select(.held and .origin.inline) | "\(.digest) is held and in the plan"),
	((.attached // [])[] | select($contents[.content.digest] != .content) | "attached \(.content.digest) is not in the plan"),
	((.attached // [])[] | select(.subject and $manifests[.subject] == null) | "attached \(.content.digest) is about \(.subject)"),
	((.attached // [])[] | select((.type | word) and (.annotations // {} | length <= 16 and all(keys[]; word) and all(.[]; text(500))) | not) |
		"attached \(.content.digest) is \({type, annotations} | tojson)"),
	(.request | select((.channel // "-" | text(500)) and all(.releases // [] | .[]; text(512)) | not) | "the request is \(tojson)")' "$plan")
declare -A left_out=() missing=()
while read -r digest; do left_out[$digest]=1; done < <(both '($p.blobs[] | select(.held) | .digest), $lacks[]')
while read -r digest; do missing[$digest]=1; done < <(both '($i.missing // [])[].digest // empty')
read -r count volume_size < <(query '"\(.volumes) \(.volumeSize)"' "$plan")
query '.plan, (.volumes[] | "\(.number) \(.name) \(.size) \(.digest)")' inventory.json >"$tmp/volumes"
{ read -r stated && mapfile -t volumes; } <"$tmp/volumes"
[ "$stated" = "$plan_id" ] || finding "inventory.json is of another plan than $plan_id"
[ "$count" = ${#volumes[@]} ] || finding "inventory.json does not name $count volumes"

# 2. The volumes.
prologue=$(query '"oci-layout", "index.json", "satchel/plan.json", ("blobs/sha256/" + .manifests[].digest[7:])' "$plan")
both '$p.blobs[] | select(.held or (.digest | IN($lacks[])) | not) | . as $b
	| if .volume then "\(.volume) \(.digest) 0 \(.size) \(.compress) blobs/sha256/\(.digest[7:])"
	  else (.extents | to_entries[] | .key as $k | "\(.value.volume) \($b.digest) \([$b.extents[:$k][].size] | add // 0)" +
		" \(.value.size) \($b.compress) satchel/extents/sha256-\($b.digest[7:]).\("000\($k + 1)"[-4:])") end' >"$tmp/all-planned"
query '.volumes[] | .number as $n | .members[] | "\($n) \(.digest) \(.start // 0) \(.size) \(.offset) \(.length)"' \
	inventory.json >"$tmp/all-placed"
of() { while read -r number rest; do [ "$number" != "$1" ] || echo "$rest"; done; } # VOLUME

for ((n = 1; n <= count; n++)); do
	printf -v nnnn %04d "$n"
	volume=$name-$nnnn.tar.zst
	[ -f "$volume" ] || { finding "$volume is missing"; continue; }
	read -r number want_name want_size want_digest <<<"${volumes[n - 1]:-}"
	[ "$number" = "$n" ] || finding "inventory.json has volume $number instead of $n"
	[ "$want_name" = "$volume" ] || finding "$volume is called $want_name in the inventory"
	[ "$(size "$volume")" = "$want_size" ] || finding "$volume has $(size "$volume") bytes, not $want_size"
	[ "$(size "$volume")" -le "$volume_size" ] || finding "$volume is larger than $volume_size bytes"
	[ "$(id "$volume")" = "$want_digest" ] || finding "$volume is $(id "$volume"), not $want_digest"
	zstd -tq "$volume" 2>"$tmp/zstd" || { finding "$volume: zstd -t: $(<"$tmp/zstd")"; continue; }
	frames "$volume" >"$tmp/frames" 2>"$tmp/wrong"
	[ -s "$tmp/wrong" ] && finding "$volume: $(<"$tmp/wrong")"
	mapfile -t starts <"$tmp/frames"
	starts=" ${starts[*]} "

	# As a whole: what README.txt says.
	one=$tmp/volume-$nnnn
	mkdir "$one"
	zstd -dcq "$volume" | tar -x -C "$one" 2>"$tmp/tar" || finding "$volume: tar: $(<"$tmp/tar")"
	header="{\"count\":$count,\"name\":\"$name\",\"number\":$n,\"plan\":\"$plan_id\",\"version\":1}"
	[ "$(cat "$one/satchel/volume-$nnnn.json" 2>/dev/null)" = "$header" ] || finding "$volume: the volume header is not $header"
	cmp -s "$one/satchel/plan.json" "$plan" || finding "$volume holds another plan than $plan"
	[ "$(id "$one/satchel/plan.json")" = "$plan_id" ] || finding "$volume: the plan is not $plan_id"
	[ "$(cat "$one/oci-layout")" = '{"imageLayoutVersion":"1.0.0"}' ] || finding "$volume: oci-layout"
	[ -f "$tmp/index.json" ] || cp "$one/index.json" "$tmp/index.json"
	cmp -s "$one/index.json" "$tmp/index.json" || finding "$volume: index.json is not that of the volume before"
	of "$n" <"$tmp/all-planned" >"$tmp/planned"
	of "$n" <"$tmp/all-placed" >"$tmp/placed"
	wanted=satchel/volume-$nnnn.json$'\n'$prologue
	while read -r _ _ _ _ member; do wanted+=$'\n'$member; done <"$tmp/planned"
	[ "$(names "$volume")" = "$wanted" ] || finding "$volume: other entries than planned: $(names "$volume")"

	# Part by part: prologue, members, end.
	at=-1
	while read -r digest start bytes compress member <&3 && read -r digest2 start2 bytes2 offset length <&4; do
		[ "$digest $start $bytes" = "$digest2 $start2 $bytes2" ] || finding "$volume: inventory has not $member"
		if [ $at = -1 ]; then
			cut "$volume" 0 "$offset" >"$tmp/part"
			[ "$(names "$tmp/part")" = "satchel/volume-$nnnn.json"$'\n'"$prologue" ] || finding "$volume: the prologue does not end at byte $offset"
		elif [ "$at" != "$offset" ]; then
			finding "$volume: $member begins at byte $offset, not $at"
		fi
		at=$((offset + length))
		[[ $starts = *" $offset "* ]] || finding "$volume: no frame begins with $member"
		[ "$compress" = true ] || [ "$length" = "$(stored_member "$bytes")" ] ||
			finding "$volume: $member takes $length bytes, not $(stored_member "$bytes")"
		cut "$volume" "$offset" "$length" >"$tmp/part"
		[ "$(names "$tmp/part")" = "$member" ] || finding "$volume: $member is not what is at byte $offset"
		zstd -dcq <"$tmp/part" | tar -xOf - "$member" 2>/dev/null >"$tmp/content" || finding "$volume: $member cannot be read at byte $offset"
		[ "$(size "$tmp/content")" = "$bytes" ] || finding "$volume: $member has $(size "$tmp/content") bytes, not $bytes"
		cmp -s "$tmp/content" "$one/$member" || finding "$volume: $member at byte $offset is not what tar unpacks"
	done 3<"$tmp/planned" 4<"$tmp/placed"
	[ "$(wc -l <"$tmp/planned")" = "$(wc -l <"$tmp/placed")" ] || finding "$volume: the inventory has other members than the plan"
	if [ $at != -1 ]; then
		cut "$volume" "$at" 1041 >"$tmp/part"
		[ $((at + 1041)) = "$want_size" ] || finding "$volume: $((want_size - at)) bytes follow the last member"
		zstd -dcq <"$tmp/part" | cmp -s - <(head -c 1024 /dev/zero) || finding "$volume: it does not end with two zero blocks"
	fi
	cp -R "$one/." "$layout/" && rm -rf "$one"
done

# 3. The layout: extents joined, every blob by size and digest.
for first in "$layout"/satchel/extents/*.0001; do
	[ -f "$first" ] || continue
	hash=${first##*/sha256-}
	hash=${hash%.0001}
	cat "$layout/satchel/extents/sha256-$hash".* >"$layout/blobs/sha256/$hash"
done
declare -A stated_size=()
query '(.blobs + .manifests)[] | "\(.digest) \(.size)"' inventory.json >"$tmp/contents"
while read -r digest bytes; do
	blob=$layout/blobs/sha256/${digest#sha256:}
	stated_size[$digest]=$bytes
	if [ -n "${left_out[$digest]:-}" ]; then
		[ ! -f "$blob" ] || finding "blob $digest is there, and should be left out"
		continue
	fi
	[ -f "$blob" ] || { finding "blob $digest is missing"; continue; }
	[ "$(size "$blob")" = "$bytes" ] || finding "blob $digest has $(size "$blob") bytes, not $bytes"
	[ "$(id "$blob")" = "$digest" ] || finding "blob $digest has digest $(id "$blob")"
done <"$tmp/contents"
query '.blobs[] | select(.origin.inline) | "\(.digest) \(.origin.inline)"' "$plan" >"$tmp/inline"
while read -r digest text; do
	printf %s "$text" | base64 -d >"$tmp/content" 2>/dev/null
	[ "$(base64 -w 0 <"$tmp/content")" = "$text" ] || finding "blob $digest is in the plan as base64 that is not canonical"
	[ "$(id "$tmp/content")" = "$digest" ] || finding "blob $digest is in the plan as $(id "$tmp/content")"
	[ "$(size "$tmp/content")" -le 1048576 ] || finding "blob $digest has $(size "$tmp/content") bytes in the plan"
	blob=$layout/blobs/sha256/${digest#sha256:}
	[ ! -f "$blob" ] || cmp -s "$tmp/content" "$blob" || finding "blob $digest is in the plan with other bytes than in its volume"
done <"$tmp/inline"
blobs=("$layout"/blobs/sha256/*)
wanted=$(($(wc -l <"$tmp/contents") - ${#left_out[@]}))
[ ${#blobs[@]} = "$wanted" ] || finding "${#blobs[@]} blobs, the inventory has $wanted"

# 4. The graph, from index.json down to the last layer.
jq -cS . "$layout/index.json" 2>"$tmp/jq" | cmp -s - "$layout/index.json" || finding "index.json is not canonical JSON"
query 'if .schemaVersion then [.manifests[] | {reference: .annotations["org.opencontainers.image.ref.name"], root: {digest, mediaType, size}}]
	else [.images[] | {reference, root}] end | tojson' "$layout/index.json" inventory.json >"$tmp/same"
{ read -r one && read -r other; } <"$tmp/same"
[ "$one" = "$other" ] || finding "index.json names other images than the inventory"
manifests=()
while read -r file; do
	[ ! -f "$layout/$file" ] || manifests+=("$layout/$file")
done < <(query '.manifests[] | "blobs/sha256/" + .digest[7:]' inventory.json)
declare -A stated_type=() children=()
while read -r file kind child; do
	if [ "$kind" = self ]; then stated_type[${file##*/}]=$child; else children[${file##*/}]+="$child $kind"$'\n'; fi
done < <(query 'input_filename + " " + (
	"self \(.mediaType // "-")",
	(.manifests[]? | if .mediaType | test("[.]manifest([.]list)?[.]|[.]image[.]index[.]") then "manifest" else "blob" end
		+ " \(.digest) \(.size) \(.mediaType)"),
	((.config // empty), .layers[]? | "blob \(.digest) \(.size) \(.mediaType // "-")"))' "${manifests[@]}" </dev/null)
declare -A first=() named=()
descend() { # DEPTH SPARSE DIGEST SIZE TYPE KIND, for $number, the image's; notes whether it is $incomplete
	local hash=${3#sha256:} child
	[ "$6" != blob ] || first[$3]=${first[$3]:-$number}
	[ "$6" != blob ] || [ -z "${missing[$3]:-}" ] || incomplete=true
	if [ "$6" = blob ] && [ -n "${left_out[$3]:-}" ]; then
		[ "${stated_size[$3]}" = "$4" ] || finding "blob $3 has not the $4 bytes that its parent says"
		return
	fi
	if [ ! -f "$layout/blobs/sha256/$hash" ]; then
		[ "$2:$6" = true:manifest ] || finding "$6 $3 is missing"
		return
	fi
	[ "$(size "$layout/blobs/sha256/$hash")" = "$4" ] || finding "$6 $3 has not the $4 bytes that its parent says"
	[ "$6" != blob ] || return
	[ "$1" -le 8 ] || { finding "indexes are nested deeper than 8"; return; }
	case ${stated_type[$hash]:-missing} in
	- | "$5") ;;
	*) finding "$6 $3 is ${stated_type[$hash]:-not among the manifests}, not $5" ;;
	esac
	while read -r child; do
		# shellcheck disable=SC2086 # four fields without blanks
		[ -z "$child" ] || descend $(($1 + 1)) "$2" $child
	done <<<"${children[$hash]:-}"
}
while read -r reference; do named[$reference]=true; done < <(query '.missing[]? | .image // empty' inventory.json)
query '.images[] | "\(.sparse // false) \(.root.digest) \(.root.size) \(.root.mediaType) \(.incomplete // false) \(.reference)"' \
	inventory.json >"$tmp/images"
number=0 references=()
while read -r sparse digest bytes type stated reference; do
	number=$((number + 1)) incomplete=${named[$reference]:-false}
	references[number]=$reference
	descend 1 "$sparse" "$digest" "$bytes" "$type" image
	[ "$incomplete" = "$stated" ] || finding "image $reference is incomplete: $incomplete, the inventory says $stated"
done <"$tmp/images"
query '.blobs[] | "\(.digest) \(.image // 0)"' inventory.json >"$tmp/needed"
while read -r digest stated; do
	[ "${first[$digest]:-0}" = "$stated" ] || finding "blob $digest is needed first by image ${first[$digest]:-0}, the inventory says $stated"
done <"$tmp/needed"
while read -r digest image; do
	[ "$image" = - ] || [ "$image" = "${references[${first[$digest]:-0}]:-}" ] || finding "blob $digest is missing for $image, which is not the first image that needs it"
done < <(both '($i.missing // [])[($p.missing // [] | length):][] | "\(.digest) \(.image // "-")"')
over
