# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Kernels: their flavours, a file in scripts/config/ each, and how they are built.

# load_flavour NAME: sets source, the kernel tree that this flavour is built from,
# flavour_patch, what is applied on top of it, which only benchmarks have,
# flavour_packages, the Debian packages that only this flavour is built with, and
# flavour_smp, flavour_memory and flavour_parameters, how its guest is booted where that
# is not what the architecture says: CPUs, memory, words for the kernel command line. The
# tree is the whole series, none of it (base), or the series up to a patch, which
# is named by its subject: numbers move.
load_flavour()
{
	[ "$1" != common ] && is_name_in "$1" "$top/scripts/config" ||
		die "unknown flavour '$1': there are $(files_in "$top/scripts/config" | sed 's/common *//')"
	flavour=$1
	revision=$(sed -n 's/^# source: *//p' "$top/scripts/config/$flavour")
	flavour_patch=$(sed -n 's/^# patch: *//p' "$top/scripts/config/$flavour")
	flavour_packages=$(sed -n 's/^# packages: *//p' "$top/scripts/config/$flavour")
	flavour_smp=$(sed -n 's/^# smp: *//p' "$top/scripts/config/$flavour")
	flavour_memory=$(sed -n 's/^# memory: *//p' "$top/scripts/config/$flavour")
	flavour_parameters=$(sed -n 's/^# parameters: *//p' "$top/scripts/config/$flavour")
	# The configuration has the version of pahole, if that is installed, and each file
	# depends on it. So only the flavours that need pahole see it.
	case " $flavour_packages " in
	*' dwarves '*) pahole=pahole ;;
	*) pahole=none ;;
	esac
	[ -z "$flavour_patch" ] || [ -f "$top/$flavour_patch" ] ||
		die "scripts/config/$flavour names $flavour_patch, which is not there: fix it"
	case $revision in
	series) source=$build/linux ;;
	base) source=$build/source-base ;;
	'patch '?*) source=$build/source-$flavour ;;
	*) die "scripts/config/$flavour has no line '# source: series', 'base' or 'patch SUBJECT': add one" ;;
	esac
	[ -z "$flavour_patch" ] || source=$build/source-$flavour
}

# has_config SYMBOL: whether the kernel of this flavour and architecture has it.
has_config()
{
	grep -q "^CONFIG_$1=y" "$build/kernel-$arch-$flavour/.config"
}

# kernel_make SOURCE OUTPUT ARGUMENT...: the kernel's make, for the architecture of
# load_arch(). Every tree is built by way of one link, build/tree, so that all of
# them have the same path: what is compiled for one kernel is found in the cache by
# another if the two do not differ. So there is one build at a time.
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
			PAHOLE="${pahole:-none}" LOCALVERSION="-$flavour" $make_settings -j"$jobs" "$@"
	)
}

# Equal sources give equal binaries in any checkout: what was compiled in one is
# found in the cache by another.
export CCACHE_BASEDIR="$build"
export CCACHE_NOHASHDIR=1
# The kernel's build writes the list of headers that ccache needs, so that no file is
# preprocessed a second time on a cache miss.
export CCACHE_DEPEND=1
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=series
export KBUILD_BUILD_HOST=localhost
export KBUILD_BUILD_VERSION=1
