# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# The series: its base, its patches in this checkout, its git tree.

# The base is the file in scripts/base/; where there are several, BASE names one. Its
# series is in patches, seen from the top of this checkout.
base=${BASE:-$(files_in "$top/scripts/base")}
is_name_in "$base" "$top/scripts/base" ||
	die "which base is '$base'? set BASE to one of: $(files_in "$top/scripts/base")"
patches=patches/$base

# The identity of a kernel tree's contents, uncommitted changes included, what
# it ignores left out. A copy of the index leaves the tree's own one alone.
tree_id()
{
	tree_index=$(git -C "$1" rev-parse --absolute-git-dir)/index
	cp -p "$tree_index" "$tree_index.$$"
	GIT_INDEX_FILE=$tree_index.$$ git -C "$1" add -A .
	GIT_INDEX_FILE=$tree_index.$$ git -C "$1" write-tree
	rm -f "$tree_index.$$"
}

# git without the user's configuration: the results must not depend on the settings
# or on the name of the user.
plain_git()
{
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
		GIT_COMMITTER_NAME=series GIT_COMMITTER_EMAIL=series@localhost \
		git -c advice.detachedHead=false "$@"
}

# compare_series DIRECTORY DIRECTORY: names the patches that differ between two
# exports; status 1 if there are any. Where the two were exported from different
# bases, line numbers and blob names differ though the patches are the same.
compare_series()
{
	if [ "$(head -n 1 "$1/series")" = "$(head -n 1 "$2/series")" ]; then
		normalize=
	else
		normalize='/^index [0-9a-f]/d; s/^@@ -[0-9,]* +[0-9,]* @@.*/@@/'
	fi
	differing=$(
		{ (cd "$1" && ls) && (cd "$2" && ls); } | grep '\.patch$' | sort -u | while read -r patch; do
			[ -f "$1/$patch" ] && [ -f "$2/$patch" ] &&
				[ "$(sed "$normalize" "$1/$patch" | sha256sum)" = "$(sed "$normalize" "$2/$patch" | sha256sum)" ] ||
				echo "$patch"
		done
	)
	[ -n "$differing" ] || return 0
	echo "$differing"
	return 1
}

# in_patches TREE: all that the tree has on top of its base, patches/ has too.
in_patches()
{
	[ -f "$top/$patches/series" ] || return 1
	[ -z "$(git -C "$1" status --porcelain)" ] || return 1
	in_patches_export=$build/exported.$$
	unfinished "$in_patches_export"
	mkdir "$in_patches_export"
	"$top/scripts/export-series" --tree "$1" --to "$in_patches_export" >/dev/null || return 1
	in_patches_status=0
	compare_series "$in_patches_export/$patches" "$top/$patches" >/dev/null || in_patches_status=1
	rm -rf "$in_patches_export"
	return $in_patches_status
}
