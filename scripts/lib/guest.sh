# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Guests: boot, judge, and read their consoles.

# For a kernel with runtime checks: it is slower, and takes more memory.
debug_boot='--memory 2G --append guest.limit=1800 --timeout 5400'

# For a guest with eight CPUs, which may be more than the machine has.
large_boot='--append guest.limit=3600 --timeout 10800'

# Of the functions below each takes the options of scripts/boot-guest or those of
# scripts/judge-console. Variables name the files that they write:
#   console_log   the console
#   boot_log      the output of boot-guest; if empty, it is not redirected
#   judge_log     the output of judge-console
boot_log=
boot_pid=

# run_guest FLAVOUR OPTION...: sets boot_status.
run_guest()
{
	boot_status=0
	run_flavour=$1
	shift
	if [ -n "$boot_log" ]; then
		"$top/scripts/boot-guest" "$arch" "$run_flavour" --console "$console_log" "$@" >"$boot_log" 2>&1 || boot_status=$?
	else
		"$top/scripts/boot-guest" "$arch" "$run_flavour" --console "$console_log" "$@" || boot_status=$?
	fi
}

# start_guest FLAVOUR OPTION...: in the background, with boot_log; sets boot_pid.
start_guest()
{
	run_flavour=$1
	shift
	"$top/scripts/boot-guest" "$arch" "$run_flavour" --console "$console_log" "$@" >"$boot_log" 2>&1 &
	boot_pid=$!
	at_exit stop_guest
}

# stop_guest: ends it. A background process does not get SIGINT from the terminal.
stop_guest()
{
	[ -z "$boot_pid" ] || kill "$boot_pid" 2>/dev/null || :
}

# await_guest: the end of the one in the background; sets boot_status.
await_guest()
{
	boot_status=0
	wait "$boot_pid" || boot_status=$?
	boot_pid=
}

# judge_guest OPTION...: sets judge_status, and guest_counts, the counts of its tests.
judge_guest()
{
	judge_status=0
	"$top/scripts/judge-console" "$console_log" "$@" >"$judge_log" 2>&1 || judge_status=$?
	guest_counts=$(counts_in "$judge_log")
}

# show_verdict: what failed, and the counts.
show_verdict()
{
	grep FAILED "$judge_log" || :
	tail -n 1 "$judge_log"
}

# build_tools LINUX DIRECTORY: the tools/futex/ of a kernel tree, as the guest needs it.
build_tools()
{
	load_libc "$tools"
	env -u MAKEFLAGS -u MFLAGS make -C "$1/tools/futex" OUTPUT="$2/" CC="$compiler" LDFLAGS="$option"
}

# guest_kernel CONSOLE: "Linux 6.1.192-full x86_64, 2 CPU(s)".
guest_kernel()
{
	sed -n 's/.*guest: \(Linux .*\), runs .*/\1/p' "$1" | head -n 1
}

# item_ends CONSOLE: a line for each item that ended.
item_ends()
{
	sed -n 's/^[^|]*guest: end \([^ ]*\) \([^ ]*\) \(.*\)/\1	exit status \2	\3/p' "$1"
}

# item_status CONSOLE ITEM: how it ended.
item_status()
{
	sed -n "s/.*guest: end $2 \\([^ ]*\\) .*/\\1/p" "$1" | head -n 1
}
