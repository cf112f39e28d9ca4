# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-mutex.tsv, with beside.awk

END {
	title("A pair of lock and unlock of a free mutex: instructions")
	table("instructions")
	title("The same by time: nanoseconds")
	table("ns")
	title("Two threads on two CPUs and one mutex: pairs in a second of both together")
	table("pairs")
	title("How much of these the thread had that had less: percent")
	table("percent")
	explain_marks()
}
