# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-arch.tsv: for each architecture the measurements that have goals, on
# the series and on the base

function line(character, width,    text)
{
	text = sprintf("%" width "s", "")
	gsub(/ /, character, text)
	return text
}

function cell(figure)
{
	return figure == "" ? "-" : sprintf("%.1f", figure)
}

function get(name, kernel, measurement, variant, n)
{
	return median[name, kernel, measurement, variant, n]
}

# A kernel that was not measured has no figure, and no verdict.
function show(what, base, full)
{
	printf "%-44s %9s %9s %9s  %s\n", what, cell(base), cell(full),
		(base != "" && full > 0 ? sprintf("%.1f", base / full) : "-"),
		(base == "" || full == "" ? "not measured" : full > base + 0.05 ? "dearer" : "")
}

function above(name, kernel, what, than)
{
	what = get(name, kernel, what, "-", 0)
	than = get(name, kernel, than, "-", 0)
	return what == "" || than == "" ? "" : what - than
}

function lock(name, what, variant, n)
{
	show(what, get(name, "base", "exit", variant, n), get(name, "full", "exit", variant, n))
}

/^#/ || $1 == "architecture" { next }
{
	if (!($1 in seen)) {
		seen[$1]
		names[++name_count] = $1
	}
	median[$1, $2, $3, $4, $5] = $7
}

END {
	for (i = 1; i <= name_count; i++) {
		name = names[i]
		heading = name ": instructions"
		print (i > 1 ? "\n" : "") heading "\n" line("-", length(heading)) "\n"
		printf "%-44s %9s %9s %9s\n", "", "base", "full", "base/full"
		show("exit without a list", get(name, "base", "exit-nothing", "-", 0), get(name, "full", "exit-nothing", "-", 0))
		show("an empty list, above that", above(name, "base", "exit-empty", "exit-nothing"),
		     above(name, "full", "exit-empty", "exit-nothing"))
		lock(name, "one lock", "shared/ordered/none", 1)
		lock(name, "one lock with FUTEX_WAITERS", "shared/ordered/bit", 1)
		lock(name, "two locks, each", "shared/ordered/none", 2)
		lock(name, "two locks with FUTEX_WAITERS, each", "shared/ordered/bit", 2)
		lock(name, "ten locks, each", "shared/ordered/none", 10)
		lock(name, "ten locks with FUTEX_WAITERS, each", "shared/ordered/bit", 10)
		lock(name, "a million locks, each", "shared/ordered/none", 1000000)
		lock(name, "a million with FUTEX_WAITERS, each", "shared/ordered/bit", 1000000)
		lock(name, "the same in random order, each", "shared/shuffled/bit", 1000000)
	}
	print "\nbase        the base with its own robust futexes, their limit of 2048 lifted"
	print "full        the whole series"
	print "dearer      full costs more than base"
}
