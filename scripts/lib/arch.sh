# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Architectures: a file in scripts/arch/ each.

# load_arch NAME: sets the variables that scripts/arch/NAME describes. What their values
# mean is in scripts/arch/x86_64, but for what scripts/get-cross knows besides:
#
#   toolchain       'source TARGET': GNU binutils and GCC are built for TARGET, and
#                   installed in $toolchain_dir. scripts/test-arch tests such an
#                   architecture only where it is named
#   toolchain_core  what GCC's xtensa-config.h does not say of the processor, lines of C:
#                   each Xtensa processor has other instructions (none)
load_arch()
{
	is_name_in "$1" "$top/scripts/arch" ||
		die "unknown architecture '$1': there are $(files_in "$top/scripts/arch")"
	arch=$1
	# Defaults of the settings that few architectures need.
	memory=1G parameters='' untestable='' plugin='' no_programs='' threads=multi bench_qemu=''
	toolchain='' toolchain_dir=$build/toolchain-$1 toolchain_core='' kernel_compiler='' make_settings='' no_machine=''
	libcs='' libc_packages='' clients='' client_packages='' tools='' tool_packages='' steps='' test_flavours=''
	kernel_dirs='' headers='' placeholder='' bench_arch='' exchange='' vdso_unlock='' write_protection='' no_step=''
	both_calls='' no_huge_pages='' short_races=''
	# shellcheck source=arch/x86_64
	. "$top/scripts/arch/$arch"
	kernel_compiler=${kernel_compiler:-${cross}gcc}
	kernel_dirs=${kernel_dirs:-$kernel_arch}
	for setting in kernel_arch cross qemu machine console image packages user_compilers config smp; do
		eval "[ -n \"\${$setting+set}\" ]" || die "scripts/arch/$arch does not set '$setting': see 'An architecture' in CONTRIBUTING.md"
	done
}

# prepare_arch: installs or builds the tools of the architecture of load_arch().
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

# architectures_with SETTING [VALUE]: those that set it, or to this value.
architectures_with()
{
	for candidate in $(files_in "$top/scripts/arch"); do
		(
			load_arch "$candidate"
			eval "setting=\$$1"
			[ -n "$setting" ] && [ "$setting" = "${2:-$setting}" ] && echo "$candidate"
		) || :
	done | xargs
}

# headers_arch LABEL: ARCH of the kernel's headers that its programs are built with.
headers_arch()
{
	for pair in $headers; do
		[ "${pair%%:*}" != "$1" ] || {
			echo "${pair#*:}"
			return
		}
	done
	echo "$kernel_arch"
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

# pointer_size LABEL: of its programs, in bytes.
pointer_size()
{
	# shellcheck disable=SC2046 # a compiler and its options
	echo __SIZEOF_POINTER__ | $(user_compiler "$1") -E -P -x c - | tail -n 1
}

# other_size LABEL: the first label of programs with pointers of another size, if there is one.
other_size()
{
	own_size=$(pointer_size "$1")
	for candidate in $(word_sizes); do
		if [ "$(pointer_size "$candidate")" != "$own_size" ]; then
			echo "$candidate"
			return
		fi
	done
}

# load_libc LABEL: sets compiler and option, what programs for this one of libcs are compiled
# and linked with.
load_libc()
{
	for libc in $libcs; do
		[ "${libc%%:*}" = "$1" ] || continue
		compiler=${libc#*:}
		compiler=${compiler%:*}
		option=-static
		# This kind of path holds for what the libraries need, too.
		[ "${libc##*:}" != dynamic ] || option=-Wl,-rpath,/lib/$1,--disable-new-dtags
	done
}

# plugin_option: the compiler's option for the plugin of scripts/make-plugin.
plugin_option()
{
	[ -z "$plugin" ] || echo " -fplugin=$build/plugin-$arch.so"
}

# untestable: the tests that may skip themselves wherever they run, one a line: what the
# settings of the architecture rule out, and what it names itself. scripts/list-tests refuses a
# pattern without a test of its own, so none may stand here twice or have all tests of another.
untestable()
{
	# None of the listed tests is run.
	[ -z "$no_programs$no_machine" ] || return 0
	# A pattern has stars, which must not become names of files.
	set -f
	# shellcheck disable=SC2086 # a list of words
	[ -z "$untestable" ] || printf '%s\n' $untestable
	set +f
	# One program has lists of one size, and takes another program for the other size.
	[ "$(word_sizes | wc -l)" -gt 1 ] || printf '%s\n' global.native_and_compat 'sizes.*' 'own.*'
	case $config in
	*CONFIG_HUGETLBFS=y*) no_huge=$no_huge_pages ;;
	*) no_huge=yes ;;
	esac
	[ -z "$no_huge" ] || printf '%s\n' 'kind.hugetlb_shared.*' 'kind.hugetlb_private.*' \
		'clean_page.hugetlb.*' 'clean_page.hugetlb_private.*'
	# A page is taken from a thread between two of its instructions: nowhere can that be relied on.
	echo 'taken_page.*'
	# In Linux 6.1 few can protect pages from writes by userfaultfd.
	[ -n "$write_protection" ] || printf '%s\n' 'slow_write.*' 'call_taken_page.*' 'call_late_page.protected_*'
	[ -n "$short_races" ] || echo exec.private_never_waits
	# What one CPU does during a walk on another one. CPUs that share a thread of QEMU take turns,
	# each for longer than most walks.
	if [ "$smp" = 1 ] || [ "$threads" = single ]; then
		printf '%s\n' list.concurrent_changes ring.locks_retaken fuzz.under_fire
	fi
	# The memory of a lock is unmapped, or its word is read all the time, on another CPU.
	[ "$smp" != 1 ] || printf '%s\n' 'call_unmapped.*' 'sibling.polling_*'
	# The vDSO of few architectures releases robust futexes.
	if [ -z "$vdso_unlock" ]; then
		printf '%s\n' 'vdso_*' 'unlock.vdso_*' 'unlock.moved_*' 'unlock.list32_*'
	else
		[ -z "$no_step" ] || printf '%s\n' 'vdso_step.*' 'unlock.*_kill' 'unlock.*_awaited' 'unlock.*_jump'
		[ -n "$write_protection" ] || echo 'vdso_late_store.*'
	fi
	# Only architectures with this symbol in their configuration have trace events.
	case $config in
	*CONFIG_ENABLE_DEFAULT_TRACERS=y*)
		[ -z "$no_step" ] || printf '%s\n' 'trace_clear.signal*' 'trace_clear.killed*'
		[ -n "$both_calls" ] || echo trace.compat
		;;
	*) printf '%s\n' 'trace.*' 'trace_lock.*' 'trace_place.*' 'trace_clear.*' ;;
	esac
	# The libraries of tools/futex/ are those of the machine that this runs on: dpkg would have
	# to know a foreign architecture for others.
	[ -n "$tools" ] || echo 'trace_tool.*'
}
