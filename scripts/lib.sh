# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
#
# What every script here shares: where things are, how progress is shown, how
# packages get installed, and that an interrupt leaves nothing half-written.
# To be sourced after `set -eu`:
#
#	. "$(dirname "$0")/lib.sh"
#
# Variables:
#   top     the root of this checkout
#   build   all output (BUILD overrides it)
#   logs    full logs of all steps
#   jobs    how many compilers run at once (JOBS overrides it)
#
# Environment that the user may set: BUILD, JOBS, BASE, KERNEL_SRC (see get-base).

program=${0##*/}

# One line on stderr that says what went wrong and what to do next.
die()
{
	echo "$program: $*" >&2
	exit 1
}

# The comment at the head of the script is its manual.
usage()
{
	awk 'NR == 1 && /^#!/ { next }
	     /^# SPDX-/ { next }
	     !/^#/ { exit }
	     { sub(/^# ?/, ""); if (shown || $0 != "") { print; shown = 1 } }' "$0"
}

top=$(cd "$(dirname "$0")" && pwd -P)
while [ ! -f "$top/scripts/lib.sh" ]; do
	[ "$top" != / ] || die "not inside a checkout of this project: run it where it was cloned"
	top=$(dirname "$top")
done

build=${BUILD:-$top/build}
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
# The kernel's own Makefile cannot build in such a place.
case $build in
*[[:space:]:]*) die "the path '$build' has a space or a colon: clone into another place, or set BUILD" ;;
esac
logs=$build/logs
mkdir -p "$logs" || die "cannot create $logs: check its owner, or set BUILD to a directory of your own"
# shellcheck disable=SC2034 # for the scripts that build
jobs=${JOBS:-$(nproc)}

# Progress. The clock runs from the first script that the user called.

if [ -z "${STARTED:-}" ]; then
	outermost=yes
	STARTED=$(date +%s)
	export STARTED
else
	outermost=no
fi

now()
{
	date +%s
}

# The title of a step, with the time since the whole command began.
begin()
{
	step_began=$(now)
	printf '[%02d:%02d] %s ...\n' $(((step_began - STARTED) / 60)) $(((step_began - STARTED) % 60)) "$*"
}

# How long the step took, and what came of it.
finish()
{
	printf '        %d s%s\n' $(($(now) - step_began)) "${1:+, $1}"
}

# logged FILE COMMAND...: the output goes to FILE; its end is shown on failure.
logged()
{
	log_file=$1
	shift
	log_status=0
	# A subshell, so that an interrupt is not reported into the log.
	("$@") >"$log_file" 2>&1 || log_status=$?
	if [ $log_status -ne 0 ]; then
		tail -n 15 "$log_file" >&2
		echo "        the full log is $log_file" >&2
	fi
	return $log_status
}

# What is half-written. An interrupt, an error and a normal end all remove the
# paths that unfinished() was called with and that were not renamed since.

unfinished_paths=
exit_command=

unfinished()
{
	for path in "$@"; do
		unfinished_paths="$unfinished_paths$path
"
	done
}

# keep: all that unfinished() was called with is whole now.
keep()
{
	unfinished_paths=
}

# at_exit COMMAND: to be run, besides, whatever ends the script.
at_exit()
{
	exit_command=$1
}

clean_up()
{
	eval "$exit_command"
	printf '%s' "$unfinished_paths" | while read -r path; do
		rm -rf "$path"
	done
}

interrupted()
{
	trap '' INT TERM HUP
	[ $outermost = no ] || echo "$program: interrupted; nothing half-done is left, run it again to go on" >&2
	exit 130
}

trap clean_up EXIT
trap interrupted INT TERM HUP

# Packages.

install_packages()
{
	command -v apt-get >/dev/null ||
		die "not found: $*; no apt-get here, install what your distribution calls these Debian packages"
	[ "$(id -u)" = 0 ] ||
		die "packages are missing: run 'apt-get install $*' as root, then try again"
	begin "install $*"
	# Lists may be missing or old: they are fetched only if the first try fails.
	for try in first second; do
		if [ $try = second ]; then
			logged "$logs/apt-update.log" apt-get -q -o DPkg::Lock::Timeout=300 update ||
				die "apt-get update failed: check the network and /etc/apt/sources.list, then try again"
		fi
		if DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 install "$@" >"$logs/apt-install.log" 2>&1 </dev/null; then
			finish
			return
		fi
	done
	tail -n 15 "$logs/apt-install.log" >&2
	die "apt-get could not install $*: see $logs/apt-install.log, install them by hand, then try again"
}

# need COMMAND=PACKAGE...: the commands exist after this, or the script ends.
need()
{
	missing=
	for want in "$@"; do
		command -v "${want%%=*}" >/dev/null || missing="$missing ${want#*=}"
	done
	# shellcheck disable=SC2086 # a list of words
	[ -z "$missing" ] || install_packages $missing
}

# need_packages PACKAGE...: the same, for packages that bring no command.
need_packages()
{
	missing=
	for want in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$want" 2>/dev/null) in
		*' installed') ;;
		*) missing="$missing $want" ;;
		esac
	done
	# shellcheck disable=SC2086 # a list of words
	[ -z "$missing" ] || install_packages $missing
}

# The base, architectures and flavours: one file each.

# files_in DIRECTORY: the names, for a message.
files_in()
{
	(cd "$1" && echo *)
}

# is_name_in NAME DIRECTORY: there is such a file, right in there.
is_name_in()
{
	case $1 in
	'' | */*) return 1 ;;
	esac
	[ -f "$2/$1" ]
}

# The base is the file in scripts/base/; where there are several, BASE names one. Its
# series is in patches, seen from the top of this checkout.
base=${BASE:-$(files_in "$top/scripts/base")}
is_name_in "$base" "$top/scripts/base" ||
	die "which base is '$base'? set BASE to one of: $(files_in "$top/scripts/base")"
# shellcheck disable=SC2034 # for the scripts that read and write it
patches=patches/$base

# load_arch NAME: sets the variables that scripts/arch/NAME describes.
load_arch()
{
	is_name_in "$1" "$top/scripts/arch" ||
		die "unknown architecture '$1': there are $(files_in "$top/scripts/arch")"
	arch=$1
	# What few of them set.
	# shellcheck disable=SC2034 # for the scripts that boot
	memory=1G parameters='' untestable='' plugin='' no_programs='' threads=multi bench_qemu=''
	# shellcheck disable=SC2034 # for the scripts that build
	toolchain='' toolchain_dir=$build/toolchain-$1 kernel_compiler='' make_settings='' no_machine=''
	libcs='' libc_packages='' clients='' client_packages='' steps='' test_flavours=''
	# shellcheck source=arch/x86_64
	. "$top/scripts/arch/$arch"
	kernel_compiler=${kernel_compiler:-${cross}gcc}
	for setting in kernel_arch cross qemu machine console image packages user_compilers config smp; do
		eval "[ -n \"\${$setting+set}\" ]" || die "scripts/arch/$arch does not set '$setting': see scripts/arch/x86_64"
	done
}

# prepare_arch: what the architecture of load_arch() is built with is there after this.
prepare_arch()
{
	# shellcheck disable=SC2086 # a list of words
	need_packages $packages
	"$top/scripts/get-toolchain" "$arch"
	"$top/scripts/make-plugin" "$arch"
}

# arch_files NAME: its file, and the one that it is a variant of.
arch_files()
{
	echo "$top/scripts/arch/$1"
	# shellcheck disable=SC2016 # as it is written there
	sed -n 's|^\. "\$top/scripts/arch/\([a-z0-9_-]*\)"$|\1|p' "$top/scripts/arch/$1" | while read -r variant_of; do
		echo "$top/scripts/arch/$variant_of"
	done
}

# word_sizes: the labels of user_compilers.
word_sizes()
{
	for pair in $user_compilers; do
		echo "${pair%%:*}"
	done
}

# user_compiler LABEL: the compiler of one word size, and its options.
user_compiler()
{
	for pair in $user_compilers; do
		[ "${pair%%:*}" != "$1" ] || echo "$(echo "${pair#*:}" | tr , ' ')$(plugin_option)"
	done
}

# plugin_option: what makes the compiler use the plugin of scripts/make-plugin.
plugin_option()
{
	[ -z "$plugin" ] || echo " -fplugin=$build/plugin-$arch.so"
}

# untestable: the tests that may skip themselves wherever they run, one a line.
untestable()
{
	# A pattern has a star, which is no name of a file here.
	set -f
	# shellcheck disable=SC2086 # a list of words
	printf '%s\n' $untestable
	set +f
}

# test_items: all that a guest of this architecture is tested with, for --run.
test_items()
{
	{
		for label in $(word_sizes); do
			echo "kill9:$label selftests:$label killtree:$label fuzz:$label"
		done
		for triple in $libcs; do
			echo "robust_pthread:${triple%%:*}"
		done
		for pair in $clients; do
			echo "${pair#*:}:${pair%%:*}"
		done
		# Each 16th instruction, of one of them: scripts/check-kills has all.
		[ -z "$steps" ] || echo "step:${steps%%:*}:16"
	} | xargs | tr ' ' ,
}

# has_config SYMBOL: the kernel that is built as this flavour of this architecture does.
has_config()
{
	grep -q "^CONFIG_$1=y" "$build/kernel-$arch-$flavour/.config"
}

# debug_items: what the guest is tested with on a kernel that looks for mistakes: all
# of that, and more on one that can make itself fail, and run out of memory.
debug_items()
{
	{
		test_items
		for label in $(word_sizes); do
			! has_config FAIL_FUTEX || echo "faults:$label"
			! has_config MEMCG || echo "oom:$label"
		done
	} | xargs | tr ' ' ,
}

# debug_items_short: the most telling of these, which take half of the time.
debug_items_short()
{
	debug_items | tr , '\n' | awk -v native="$(word_sizes | head -n 1)" '
		{ split($0, part, ":") }
		part[1] ~ /^(killtree|fuzz|faults)$/ { print; next }
		part[1] ~ /^(kill9|selftests|oom)$/ && part[2] == native' | xargs | tr ' ' ,
}

# What such a kernel needs: it is slower, and takes more memory.
# shellcheck disable=SC2034 # for the scripts that boot
debug_boot='--memory 2G --append guest.limit=1800 --timeout 5400'

# load_flavour NAME: sets source, the kernel tree that this flavour is built from,
# and flavour_patch, what is applied on top of it, which only benchmarks have. The
# tree is the whole series, none of it (base), or the series up to a patch, which
# is named by its subject: numbers move.
load_flavour()
{
	[ "$1" != common ] && is_name_in "$1" "$top/scripts/config" ||
		die "unknown flavour '$1': there are $(files_in "$top/scripts/config" | sed 's/common *//')"
	flavour=$1
	revision=$(sed -n 's/^# source: *//p' "$top/scripts/config/$flavour")
	flavour_patch=$(sed -n 's/^# patch: *//p' "$top/scripts/config/$flavour")
	[ -z "$flavour_patch" ] || [ -f "$top/$flavour_patch" ] ||
		die "scripts/config/$flavour names $flavour_patch, which is not there: fix it"
	# shellcheck disable=SC2034 # for the scripts that build
	case $revision in
	series) source=$build/linux ;;
	base) source=$build/source-base ;;
	'patch '?*) source=$build/source-$flavour ;;
	*) die "scripts/config/$flavour has no line '# source: series', 'base' or 'patch SUBJECT': add one" ;;
	esac
	# shellcheck disable=SC2034 # for the scripts that build
	[ -z "$flavour_patch" ] || source=$build/source-$flavour
}

# kernel_make SOURCE OUTPUT ARGUMENT...: the kernel's make, for the architecture of
# load_arch(). Every tree is built by way of one link, build/tree, so that all of
# them have the same path: what is compiled for one kernel is found in the cache by
# another, wherever the two do not differ. So there is one build at a time.
kernel_make()
{
	kernel_source=$1
	kernel_output=$2
	shift 2
	(
		exec 8>"$build/tree.lock"
		flock 8
		ln -sfn "$kernel_source" "$build/tree"
		# shellcheck disable=SC2086 # make_settings is a list of words
		env -u MAKEFLAGS -u MFLAGS make -C "$build/tree" abs_srctree="$build/tree" O="$kernel_output" \
			ARCH="$kernel_arch" CROSS_COMPILE="$cross" CC="$top/scripts/compile $kernel_compiler$(plugin_option)" HOSTCC="ccache gcc" \
			LOCALVERSION="-$flavour" $make_settings -j"$jobs" "$@"
	)
}

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

# Equal sources give equal binaries, wherever the checkout is: what was compiled
# in one is found in the cache by another.
export CCACHE_BASEDIR="$build"
export CCACHE_NOHASHDIR=1
# The kernel's build writes the list of headers that ccache needs: no file has to
# be preprocessed a second time to find out that it is not in the cache.
export CCACHE_DEPEND=1
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=series
export KBUILD_BUILD_HOST=localhost
export KBUILD_BUILD_VERSION=1
export LC_ALL=C

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
