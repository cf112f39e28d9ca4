# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-latency.tsv, with beside.awk

function mark_longest(base, full, row)
{
	if (!known(base, row) || !known(full, row))
		return "not measured"
	return (most[full, row] - most[base, row] > 1) ? "dearer" : ""
}

function block(base, full, text,    format, i, row, part)
{
	title(text)
	format = "%-12s %10s %12s %10s %10s %12s %10s %10s  %s\n"
	printf format, "", "base", "", "", "full", "", "", "longest", ""
	printf format, "variant", "median", "longest", "wakeups", "median", "longest", "wakeups", "base/full", ""
	for (i = 1; i <= row_count; i++) {
		row = rows[i]
		split(row, part, SUBSEP)
		printf format, part[3],
			cell(median, base, row, "%.0f"), cell(most, base, row, "%.0f"), cell(runs, base, row, "%d"),
			cell(median, full, row, "%.0f"), cell(most, full, row, "%.0f"), cell(runs, full, row, "%d"),
			ratio(most[base, row], most[full, row]), mark_longest(base, full, row)
	}
}

END {
	block("base", "full", "How late a real-time task is, CONFIG_PREEMPT_VOLUNTARY: instructions")
	block("base-preempt", "full-preempt", "How late a real-time task is, CONFIG_PREEMPT: instructions")
	print "\ndearer      the longest of full is over one instruction longer than that of base"
}
