# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# What the scripts of the benchmark share, and its goals. To be sourced after common.sh.

# shellcheck source=bench/goals
. "$top/scripts/bench/goals"

# For the guest's kernel command line. On x86 only the TSC has a sufficient resolution,
# and it takes the kernel long to accept an emulated one as stable.
bench_append="guest.limit=$(item_value bench limit) tsc=reliable"

# The description of a clock that counts instructions, for results.
bench_clock='counts instructions (qemu -icount shift=0,sleep=off), one CPU'

# What scripts/bench-run measures: a file of results for each, bench-PART.tsv.
bench_parts='icount time calls mutex unlock latency together'

# bench_lines CONSOLE: what the benchmark printed in a guest.
bench_lines()
{
	tr -d '\r' <"$1" | sed -n 's/^\[[^]]*\] | //p'
}

# bench_rows CONSOLE: its table, without the names of the columns.
bench_rows()
{
	bench_lines "$1" | awk -F '\t' 'NF == 10 && $1 != "measurement"'
}

# bench_comment CONSOLE: what it printed about the kernel.
bench_comment()
{
	bench_lines "$1" | sed -n 's/^# Linux/Linux/p'
}

# bench_check CONSOLE [ITEM...]: dies unless the benchmark, or each of the items, ended
# with status 0 and the kernel reported nothing.
bench_check()
{
	checked=$1
	shift
	for item in "${@:-bench[^ ]*}"; do
		grep -q "^[^|]*guest: end $item 0 " "$checked" || {
			bench_lines "$checked" | tail -n 3 >&2
			die "the benchmark did not succeed: look at the end of $checked"
		}
	done
	if grep -v '^\[[^]]*\] |' "$checked" | grep -E 'BUG:|WARNING:|Oops|stall' >&2; then
		die "the kernel reported an error during the benchmark: see $checked"
	fi
	case $(bench_lines "$checked" | sed -n 's/^# clock source: //p' | sed -n 1p) in
	jiffies | refined-jiffies | acpi_pm)
		die "the guest's clock is too coarse to measure with: see $checked"
		;;
	esac
}

# bench_guest FLAVOUR ITEM[,ITEM...] OPTION...: boots a guest with a clock that counts
# instructions, with console_log and boot_log, and dies unless the items succeeded.
bench_guest()
{
	bench_flavour=$1 bench_items=$2
	shift 2
	logged "$boot_log" "$top/scripts/boot-guest" "$arch" "$bench_flavour" --icount --run "$bench_items" \
		--append "$bench_append" --console "$console_log" "$@" ||
		die "the guest did not finish: see $console_log"
	# shellcheck disable=SC2046 # a list of words
	bench_check "$console_log" $(echo "$bench_items" | tr , ' ')
}

# window_goal: the goal of scripts/check-window for this architecture, if there is one.
window_goal()
{
	for pair in $goal_window; do
		[ "${pair%%=*}" != "$arch" ] || echo "${pair#*=}"
	done
}
