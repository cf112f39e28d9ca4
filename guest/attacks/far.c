// SPDX-License-Identifier: GPL-2.0
/* A list with its words and its links in different pages. */
#define _GNU_SOURCE
#include "attacks.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAIR		2

void make_far(struct far *far, int sharing, int pages)
{
	far->size = page_size();
	far->pages = pages;
	far->words = map_memory(pages * far->size, sharing);
	far->links = map_memory(pages * far->size, sharing);
	/* A huge page would be none of these pages. */
	madvise(far->words, pages * far->size, MADV_NOHUGEPAGE);
	madvise(far->links, pages * far->size, MADV_NOHUGEPAGE);
	far->waiters = calloc(PAIR * pages, sizeof(*far->waiters));
	if (!far->waiters)
		give_up("no memory");
	far->waiter_count = 0;
}

void free_far(struct far *far)
{
	munmap(far->words, far->pages * far->size);
	munmap(far->links, far->pages * far->size);
	free(far->waiters);
}

static size_t place_of(const struct far *far, int page, int number)
{
	return page * far->size + number * (far->size / PER_PAGE);
}

volatile unsigned int *far_word(const struct far *far, int page, int number)
{
	return (volatile unsigned int *)(far->words + place_of(far, page, number));
}

struct robust_list *far_link(const struct far *far, int page, int number)
{
	return (struct robust_list *)(far->links + place_of(far, page, number));
}

unsigned int far_held(int number, pid_t owner)
{
	return number ? (unsigned int)owner : owner | FUTEX_WAITERS;
}

void own_pages(struct far *far, int first, int end, struct robust_list_head *head, pid_t owner,
	       struct robust_list *next)
{
	struct robust_list *link, *last = NULL;

	for (int page = first; page < end; page++) {
		for (int i = 0; i < PER_PAGE; i++) {
			*far_word(far, page, i) = far_held(i, owner);
			link = far_link(far, page, i);
			if (page == end - 1 && i == PER_PAGE - 1) {
				head->list_op_pending = link;
				continue;
			}
			if (last)
				last->next = link;
			else
				head->list.next = link;
			last = link;
		}
	}
	last->next = next;
	head->futex_offset = far->words - far->links;
}

void register_head(struct robust_list_head *head)
{
	if (syscall(SYS_set_robust_list, head, sizeof(*head)))
		give_up("set_robust_list() fails");
}

int own_far(void *head)
{
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	register_head(head);
	owners->tids[0] = own_tid();
	wait_for_go();
	syscall(SYS_exit_group, 0);
	return 0;
}

/* The word may have any value: it is not looked at before the thread sleeps. */
static void *wait_on_word(void *argument)
{
	volatile unsigned int *word = argument;

	futex(word, FUTEX_WAIT, *word);
	return NULL;
}

static bool all_asleep(const struct far *far, int first, int end)
{
	for (int page = first; page < end; page++) {
		volatile unsigned int *word = far_word(far, page, 0);

		/* To itself: none is moved, and they are counted. */
		if (syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 0, (long)INT_MAX, word, *word) !=
		    PAIR)
			return false;
	}
	return true;
}

void start_pairs(struct far *far, int first, int end)
{
	for (int page = first; page < end; page++)
		for (int i = 0; i < PAIR; i++)
			start_thread(&far->waiters[far->waiter_count++], wait_on_word,
				     (void *)far_word(far, page, 0));
	await(all_asleep(far, first, end));
}

static void judge_pair(volatile unsigned int *word, bool marked, struct far_outcome *outcome)
{
	int woken = PAIR - futex(word, FUTEX_WAKE, INT_MAX);

	outcome->woken += marked && woken == 1;
	outcome->badly_woken += woken != marked;
}

void judge_pages(struct far *far, int first, int end, pid_t owner, struct far_outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	for (int page = first; page < end; page++) {
		for (int i = 0; i < PER_PAGE; i++) {
			unsigned int value = *far_word(far, page, i), held = far_held(i, owner);
			bool marked = value == ((held & FUTEX_WAITERS) | FUTEX_OWNER_DIED);

			outcome->marked += marked;
			outcome->unmarked += value == held;
			outcome->wrong += !marked && value != held;
			if (!i)
				judge_pair(far_word(far, page, i), marked, outcome);
		}
	}
}

void end_pairs(struct far *far)
{
	for (int i = 0; i < far->waiter_count; i++)
		pthread_join(far->waiters[i], NULL);
	far->waiter_count = 0;
}
