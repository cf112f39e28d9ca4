# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0
#
# Counting tests. The last line of a script that runs tests is "N passed, N failed, N skipped".

passed=0
failed=0
skipped=0

count_passed()
{
	passed=$((passed + 1))
}

count_failed()
{
	failed=$((failed + 1))
}

count_skipped()
{
	skipped=$((skipped + 1))
}

# counts: what has been counted.
counts()
{
	echo "$passed passed, $failed failed, $skipped skipped"
}

# counts_in LOG [INSTEAD]: the last such line of a log; of one that has none, INSTEAD, or
# that is a failure.
counts_in()
{
	grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$1" 2>/dev/null | tail -n 1 | grep . ||
		echo "${2:-0 passed, 1 failed, 0 skipped}"
}

# add_counts COUNTS: such a line, which counts_in() has printed.
add_counts()
{
	# shellcheck disable=SC2086 # six words
	set -- $1
	passed=$((passed + $1))
	failed=$((failed + $3))
	skipped=$((skipped + $5))
}

# end_counts: prints the line; status 0 if none failed and there were any.
end_counts()
{
	counts
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
}
