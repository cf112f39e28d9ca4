# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# The series: its base, its patches in this checkout, its git tree.

# The base is the file in scripts/base/; where there are several, BASE names one. Its
# series is in patches, seen from the top of this checkout.
base=${BASE:-$(files_in "$top/scripts/base")}
is_name_in "$base" "$top/scripts/base" ||
	die "unknown base '$base': set BASE to one of: $(files_in "$top/scripts/base")"
patches=patches/$base

# The identity of a kernel tree's contents, with uncommitted changes and without
# ignored files. A copy of the index is used, so that that of the tree does not change.
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

# is_work_tree DIR: whether it is one that its repository lists.
is_work_tree()
{
	[ -e "$1/.git" ] && git -C "$1" rev-parse -q --git-dir >/dev/null 2>&1
}

# add_work_tree DIR COMMIT: makes DIR a work tree of build/linux. A work tree of an
# earlier build/linux is replaced.
add_work_tree()
{
	rm -rf "$1"
	plain_git -C "$build/linux" worktree prune &&
		plain_git -C "$build/linux" worktree add -q --detach "$1" "$2"
}

# patches/BASE/before-6.1.X has the forms that some of the patches have before 6.1.X.

# boundaries DIRECTORY: these X, ascending.
boundaries()
{
	(cd "$1" && ls -d before-*/) 2>/dev/null | sed -n 's|^before-.*\.\([0-9][0-9]*\)/$|\1|p' | sort -n
}

# patches_in SERIES: the names in a series file.
patches_in()
{
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1"
}

# plain_patch PATCH: without the positions of its hunks: line numbers, blobs, diffstat.
plain_patch()
{
	awk '
	/^---$/ && !body { print; print ""; stat = 1; next }
	/^diff --git / { body = 1; stat = 0; header = 1 }
	stat { next }
	body && /^@@ / { header = 0; print "@@"; next }
	header && /^index [0-9a-f]/ { next }
	{ print }' "$1"
}

# base_release DIRECTORY: the release that its series was exported from, such as 6.1.192.
base_release()
{
	sed -n '1s/^# exported from Linux \([^ ,]*\).*/\1/p' "$1/series"
}

# compare_series DIRECTORY: names the patches of an export that differ from those here
# for its release; status 1 if there are any. Where the two were exported from
# different bases, line numbers, blob names and diffstats differ though the patches are
# the same.
compare_series()
{
	compare_list=$("$top/scripts/list-patches" --quilt "$(base_release "$1")") || return 1
	compare_filter=plain_patch
	if [ "$(head -n 1 "$1/series")" = "$(head -n 1 "$top/$patches/series")" ] && ! echo "$compare_list" | grep -q /; then
		compare_filter='cat'
	fi
	differing=$(
		{ echo "$compare_list" && (cd "$1" && ls) | grep '\.patch$'; } | sed 's,.*/,,' | sort -u | while read -r patch; do
			form=$(echo "$compare_list" | grep -E "(^|/)$patch\$" || :)
			[ -f "$1/$patch" ] && [ -n "$form" ] && [ -f "$top/$patches/$form" ] &&
				[ "$($compare_filter "$1/$patch" | sha256sum)" = "$($compare_filter "$top/$patches/$form" | sha256sum)" ] ||
				echo "${form:-$patch}"
		done
	)
	[ -n "$differing" ] || return 0
	echo "$differing"
	return 1
}

# in_patches TREE: whether patches/ has all that the tree has on top of its base.
in_patches()
{
	[ -f "$top/$patches/series" ] || return 1
	[ -z "$(git -C "$1" status --porcelain)" ] || return 1
	in_patches_export=$build/exported.$$
	unfinished "$in_patches_export"
	mkdir "$in_patches_export"
	"$top/scripts/export-series" --tree "$1" --to "$in_patches_export" >/dev/null || return 1
	in_patches_status=0
	compare_series "$in_patches_export/$patches" >/dev/null || in_patches_status=1
	rm -rf "$in_patches_export"
	return $in_patches_status
}
