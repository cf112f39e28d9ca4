# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-calls.tsv, with beside.awk

END {
	title("The calls that every program makes: instructions each")
	table("instructions")
	title("The same by time: nanoseconds each")
	table("ns")
	explain_marks()
}
