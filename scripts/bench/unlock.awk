# SPDX-License-Identifier: GPL-2.0
#
# The table of bench-unlock.tsv, with beside.awk

END {
	title("The release of a robust lock: instructions")
	table("instructions")
	print "\nfree        no FUTEX_WAITERS         bit         FUTEX_WAITERS, and no waiter"
	print "waiter      one waiter is woken, and the cost of reading the clock is not taken off"
	explain_marks()
}
