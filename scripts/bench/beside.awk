# SPDX-License-Identifier: GPL-2.0
#
# Common functions of the tables of bench-report that have the base beside the series:
# read a file of results. The part of a unit before the slash distinguishes the clock.

function line(character, width,    text)
{
	text = sprintf("%" width "s", "")
	gsub(/ /, character, text)
	return text
}

function title(text)
{
	print "\n" text "\n" line("-", length(text)) "\n"
}

function known(kernel, row)
{
	return (kernel SUBSEP row) in median
}

function cell(figures, kernel, row, format)
{
	return known(kernel, row) ? sprintf(format, figures[kernel, row]) : "-"
}

function ratio(above, below)
{
	return above != "" && below > 0 ? sprintf("%.2f", above / below) : "-"
}

# The spread of the middle half of the runs in percent of the median.
function spread(kernel, row)
{
	if (!known(kernel, row) || median[kernel, row] <= 0)
		return "-"
	return sprintf("%.1f %%", 100 * (high[kernel, row] - low[kernel, row]) / median[kernel, row])
}

function difference(row)
{
	if (!known("full", row) || !known("base", row))
		return "-"
	return sprintf("%+.1f", median["full", row] - median["base", row])
}

# If the middle halves of the runs overlap, the difference may be random.
function mark(row)
{
	if (!known("full", row) || !known("base", row))
		return "not measured"
	if (median["full", row] - median["base", row] <= 1)
		return ""
	return low["full", row] > high["base", row] ? "dearer" : "(dearer)"
}

# all rows of one unit: instructions with their difference, others with their ratio
function table(unit,    format, i, row, part)
{
	format = "%-16s %-16s %12s %12s %12s  %s\n"
	if (unit == "instructions")
		printf format, "measurement", "variant", "base", "full", "difference", ""
	else
		printf format, "measurement", "variant", "base", "full", "full/base", "spread of base, full"
	for (i = 1; i <= row_count; i++) {
		row = rows[i]
		split(row, part, SUBSEP)
		if (part[1] != unit)
			continue
		printf format, part[2], part[3], cell(median, "base", row, "%.1f"), cell(median, "full", row, "%.1f"),
			unit == "instructions" ? difference(row) : ratio(median["full", row], median["base", row]),
			unit == "instructions" ? mark(row) : spread("base", row) ", " spread("full", row)
	}
}

function explain_marks()
{
	print "\ndearer      full costs over one instruction more than base"
	print "(dearer)    the same, but the middle halves of their runs overlap"
}

/^#/ || $1 == "kernel" { next }
{
	unit = $5
	sub(/\/.*/, "", unit)
	row = unit SUBSEP $2 SUBSEP $3 SUBSEP $4
	if (!(row in seen)) {
		seen[row] = 1
		rows[++row_count] = row
	}
	median[$1, row] = $6
	most[$1, row] = $8
	low[$1, row] = $9
	high[$1, row] = $10
	runs[$1, row] = $11
}
