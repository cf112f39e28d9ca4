// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * robust-trace: how many locks of a list have had their events.
 */
#include <stdlib.h>

#include "robust-trace.h"

#define NR_BUCKETS	256

/* A thread whose list is being walked */
struct tally {
	struct tally *next;
	unsigned long long pid;
	unsigned long long marked;
};

static struct tally *buckets[NR_BUCKETS];

/* Where the tally of thread @pid is linked, or would be */
static struct tally **find_tally(unsigned long long pid)
{
	struct tally **link = &buckets[pid % NR_BUCKETS];

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	return link;
}

/**
 * tally_mark() - Count a lock that was marked
 * @pid:	TID of the thread that held it
 */
void tally_mark(unsigned long long pid)
{
	struct tally **link = find_tally(pid);

	if (!*link) {
		*link = calloc(1, sizeof(**link));
		if (!*link)
			return;
		(*link)->pid = pid;
	}
	(*link)->marked++;
}

/**
 * tally_take() - Get the count at the end of a list
 * @pid:	TID of the thread that the list belongs to
 *
 * The events of a list are those of its locks, and then that of the walk. The next
 * list of the thread, or of another one with this TID, is counted from 0.
 *
 * Return: for how many of its locks there was a robust_mark
 */
unsigned long long tally_take(unsigned long long pid)
{
	struct tally **link = find_tally(pid);
	struct tally *found = *link;
	unsigned long long marked;

	if (!found)
		return 0;
	marked = found->marked;
	*link = found->next;
	free(found);
	return marked;
}
