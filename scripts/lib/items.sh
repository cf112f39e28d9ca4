# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# What guests run: the items of guest/items/.

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
debug_boot='--memory 2G --append guest.limit=1800 --timeout 5400'
