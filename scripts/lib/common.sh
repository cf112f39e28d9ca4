# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
#
# What all scripts share: directories, errors, --help. The other files of
# scripts/lib/ are sourced from here, but bench.sh; they use variables of each other and
# of scripts/arch/. To be sourced after `set -eu`:
#
#	. "$(dirname "$0")/lib/common.sh"
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
while [ ! -f "$top/scripts/lib/common.sh" ]; do
	[ "$top" != / ] || die "not inside a checkout of this project: run it where it was cloned"
	top=$(dirname "$top")
done

build=${BUILD:-$top/build}
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
# The kernel's Makefile cannot build in such a directory.
case $build in
*[[:space:]:]*) die "the path '$build' has a space or a colon: clone into another place, or set BUILD" ;;
esac
logs=$build/logs
mkdir -p "$logs" || die "cannot create $logs: check its owner, or set BUILD to a directory of your own"
# shellcheck disable=SC2034 # for the scripts that build
jobs=${JOBS:-$(nproc)}

# Bases, architectures, flavours and items have a file each.

# files_in DIRECTORY: the names, for a message.
files_in()
{
	(cd "$1" && echo *)
}

# is_name_in NAME DIRECTORY: whether the directory has such a file.
is_name_in()
{
	case $1 in
	'' | */*) return 1 ;;
	esac
	[ -f "$2/$1" ]
}

export LC_ALL=C

# shellcheck source=lib/progress.sh
. "$top/scripts/lib/progress.sh"
# shellcheck source=lib/cleanup.sh
. "$top/scripts/lib/cleanup.sh"
# shellcheck source=lib/packages.sh
. "$top/scripts/lib/packages.sh"
# shellcheck source=lib/series.sh
. "$top/scripts/lib/series.sh"
# shellcheck source=lib/arch.sh
. "$top/scripts/lib/arch.sh"
# shellcheck source=lib/kernel.sh
. "$top/scripts/lib/kernel.sh"
# shellcheck source=lib/count.sh
. "$top/scripts/lib/count.sh"
# shellcheck source=lib/results.sh
. "$top/scripts/lib/results.sh"
# shellcheck source=lib/items.sh
. "$top/scripts/lib/items.sh"
# shellcheck source=lib/guest.sh
. "$top/scripts/lib/guest.sh"
