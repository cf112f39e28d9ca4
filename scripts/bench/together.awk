# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-together.tsv, with beside.awk

# One death alone, of the same kind
function alone(kernel, part,    kind)
{
	kind = part[3]
	sub(/\/.*/, "", kind)
	return median[kernel, part[1], part[2], kind "/alone", part[4]]
}

# In how many rounds both deaths overlapped, and by how much
function overlaps(kernel, row, part,    other)
{
	other = "percent" SUBSEP "overlap" SUBSEP part[3] SUBSEP part[4]
	if (!known(kernel, row) || !known(kernel, other))
		return "-"
	return sprintf("%d/%d %.0f %%", runs[kernel, row] / 2, runs[kernel, other], median[kernel, other])
}

END {
	title("Two deaths at a time: nanoseconds per lock, by time, with two CPUs")
	format = "%-22s %8s %9s %9s %9s %9s %10s %15s %15s\n"
	printf format, "variant", "n", "base", "of alone", "full", "of alone", "base/full", "overlap, base", "overlap, full"
	for (i = 1; i <= row_count; i++) {
		row = rows[i]
		split(row, part, SUBSEP)
		if (part[2] != "together")
			continue
		printf format, part[3], part[4],
			cell(median, "base", row, "%.1f"), ratio(median["base", row], alone("base", part)),
			cell(median, "full", row, "%.1f"), ratio(median["full", row], alone("full", part)),
			ratio(median["base", row], median["full", row]),
			overlaps("base", row, part), overlaps("full", row, part)
	}
	print "\nof alone    how many times the cost of one death alone"
	print "overlap     in how many rounds both deaths overlapped, and how much of the shorter one"
	print "            that was, as a median over all rounds"
}
