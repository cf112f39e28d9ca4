/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A robust list of thousands of locks, with waiters, and their state after the death of
 * the owner: the common part of faults.c, oom.c and attacks/.
 *
 * The locks are plain futex words, so that no C library is involved. Some of them have a
 * waiter, a thread of this process; a few are PI futexes; a few have the TID of another
 * task and must stay as they are; the last one is not on the list but in list_op_pending.
 *
 * Whether a waiter was woken does not depend on timing: once the owner is reaped, only
 * this program makes wakeups, and FUTEX_WAKE returns the number of waiters that it woke.
 * These are the ones that the exit did not wake.
 *
 * The locks are one list, of one owner: take_all() and register_list(). Or each part is the
 * list of an owner of its own, and its last lock is the one in list_op_pending: take_part()
 * and register_part().
 */
#ifndef LOCKS_H
#define LOCKS_H

#include <linux/futex.h>
#include <stddef.h>
#include <sys/types.h>

#include "util.h"

/* There may be more locks, but not more waiters. */
#define LOCKS_MAX	4096
/* How far apart they are: 64 of them in a page of 4 KiB. */
#define STEP		64
/* Each part needs a page table of its own, wherever there are such. */
#define PARTS		8
#define PART_SIZE	(4UL << 20)

struct slot {
	struct robust_list list;
	volatile unsigned int word;
};

/* The state after the death. */
struct outcome {
	int marked;		/* words that are marked correctly */
	int unmarked;		/* words that are unchanged */
	int wrong;		/* words with any other value */
	int pi;			/* PI futexes that went to their waiter */
	int first_unmarked;	/* the first place in the list that is, or INT_MAX */
	int last_marked;	/* the last place in the list that is marked */
	int pending_marked;	/* one, or one in each part */
	int waiters;		/* words that are marked and have a waiter, or several */
	int not_woken;		/* those of them whose waiters all sleep */
	int woken_twice;	/* those with more than one waiter that was woken */
};

/* As bail_out(), and no process of the group is left behind. */
void __noreturn bail_out_all(const char *what);

pid_t own_tid(void);

/* @sharing is MAP_SHARED or MAP_PRIVATE. */
void *map_memory(size_t size, int sharing);

/*
 * Memory for so many locks, the last of which is pending, in so many pieces. Of
 * @waiting locks two have a waiter. There is one area at a time.
 */
void make_area(int sharing, int locks, int parts, int waiting);
void free_area(void);

/* So many more waiters for each lock that has one, which are not to be woken. */
void add_spare_waiters(int spare);

/* Between the locks there is memory that nothing may change. */
void fill_gaps(void);
int count_changed_gaps(void);

struct slot *slot_of(int number);

/* Whether the kernel has marked it */
int is_marked(int number);

/* The owner has all locks, and is about to lock or unlock the last one. */
void take_all(struct robust_list_head *head, pid_t owner);

/* The same for the locks of one part, when the others have owners of their own. */
void take_part(int part, struct robust_list_head *head, pid_t owner);

/* The number of the first lock of a part, and of the one that is pending */
int first_of(int part);
int last_of(int part);

/* For the calling thread */
void register_list(struct robust_list_head *head);
void register_part(int part, struct robust_list_head *head);

/* The owner has all locks by now. On return all waiters sleep. */
void start_waiters(void);

/*
 * The owner is dead and reaped; if each part has its own, all of them, and @owner is of no
 * meaning. Afterwards there are no waiters any more.
 */
void judge_area(pid_t owner, struct outcome *outcome);

#endif /* LOCKS_H */
