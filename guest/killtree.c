// SPDX-License-Identifier: GPL-2.0
/*
 * A tree of 64 processes that share 16 robust mutexes, some of them with priority
 * inheritance, and kill each other at random: see parts/crowd.h.
 *
 * With musl there are none with priority inheritance, see is_pi().
 *
 * Each mutex protects two accounts, between which its owner moves money. The owner keeps a
 * journal, so that a member that gets EOWNERDEAD can undo an incomplete operation. A member
 * may hold several mutexes at once, and dies with all of them.
 *
 *   killtree.no_hang	Every attempt to lock ends within the time limit,
 *			whichever member was killed meanwhile.
 *   killtree.owners_died	Members were killed, and EOWNERDEAD was returned: else
 *			nothing was tested.
 *   killtree.data_consistent	A member that gets a mutex without EOWNERDEAD
 *			finds no incomplete operation, and no other member in the
 *			critical section. The sum is always right, if necessary
 *			after the operation in the journal was undone.
 *   killtree.no_lost_operation	All mutexes together count at least as many
 *			operations as the members completed, and at most one more
 *			for each mutex that a dead owner left.
 *   killtree.locks_free	In every pause each mutex can be locked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "parts/crowd.h"
#include "parts/util.h"

#define CELLS		16
#define TOTAL		1000000

enum {
	LOCKS_COME_IN_TIME = IN_TIME,
	OWNERS_DIED = DIED,
	DATA_IS_WHOLE,
	NOTHING_DONE_IS_LOST,
	LOCKS_CAN_BE_TAKEN,
};

/* The data that a mutex protects. The journal is open while the accounts may be wrong. */
struct cell {
	pthread_mutex_t mutex;
	volatile int inside;		/* the member that holds it */
	volatile int open;
	volatile long long old[2], old_operations;
	volatile long long account[2];
	volatile long long operations;
	volatile unsigned long owners_died;
};

static struct {
	struct cell cells[CELLS];
	/* The mutex that a member waits for: the number of a cell plus one, or 0. */
	volatile int wants[MEMBERS_MAX + 1];
	volatile long long done[MEMBERS_MAX + 1];
} *bank;

/*
 * Not with musl: its trylock takes a mutex that is marked FUTEX_OWNER_DIED by compare
 * and exchange, although only the kernel may change a word with FUTEX_WAITERS. The kernel
 * then gives the mutex to the first waiter, and two threads own it.
 */
static int is_pi(int number)
{
#ifdef __GLIBC__
	return number % 2;
#else
	return 0 * number;
#endif
}

/* No instruction of one step may move into the next: the owner may die between. */
static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static const char *create_bank(void)
{
	pthread_mutexattr_t attributes;
	int error = 0;

	bank = shared_memory(sizeof(*bank));
	for (int i = 0; i < CELLS; i++) {
		pthread_mutexattr_init(&attributes);
		pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
		error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
		if (!error && is_pi(i))
			error = pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
		if (!error)
			error = pthread_mutex_init(&bank->cells[i].mutex, &attributes);
		if (error)
			return "the C library has no robust mutexes on this kernel";
		bank->cells[i].account[0] = TOTAL;
	}
	return NULL;
}

/* The words of a mutex: its structure is private to the C library. */
static void show_cell(int number)
{
	struct cell *cell = &bank->cells[number];
	char words[200] = "";

	for (size_t i = 0; i < 10; i++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), " %08x",
			 ((volatile unsigned int *)&cell->mutex)[i]);
	diag("mutex %d (%s):%s, inside is member %d, journal %s", number,
	     is_pi(number) ? "PI" : "plain", words, cell->inside,
	     cell->open ? "open" : "closed");
}

static void explain(int member)
{
	int wanted = bank->wants[member];

	if (!wanted)
		return;
	show_cell(wanted - 1);
	for (int i = 1; i <= MEMBERS_MAX; i++) {
		pid_t pid = pid_of(i);
		char state;

		if (bank->wants[i] != wanted || !pid)
			continue;
		state = task_state(pid);
		diag("member %d, process %d, state %c, waits for it", i, pid,
		     state ? state : '?');
	}
}

static void undo(int number)
{
	struct cell *cell = &bank->cells[number];

	if (!cell->open)
		return;
	cell->account[0] = cell->old[0];
	cell->account[1] = cell->old[1];
	cell->operations = cell->old_operations;
	barrier();
	cell->open = 0;
}

/* True once this process owns the mutex, and its data are consistent. */
static int take_over(int number, int error)
{
	struct cell *cell = &bank->cells[number];

	if (error == EOWNERDEAD) {
		__atomic_add_fetch(&cell->owners_died, 1, __ATOMIC_SEQ_CST);
		undo(number);
		cell->inside = me;
		error = pthread_mutex_consistent(&cell->mutex);
		if (error)
			fails(DATA_IS_WHOLE, "mutex %d cannot be made consistent: %s",
			      number, strerror(error));
	} else if (error) {
		fails(LOCKS_COME_IN_TIME, "member %d gets no mutex: %s", me, strerror(error));
		explain(me);
		return 0;
	} else if (cell->inside || cell->open) {
		fails(DATA_IS_WHOLE, "member %d is told nothing of what member %d left half done",
		      me, cell->inside);
		show_cell(number);
	}
	cell->inside = me;
	if (cell->account[0] + cell->account[1] != TOTAL) {
		fails(DATA_IS_WHOLE, "mutex %d guards %lld + %lld, which is not %d", number,
		      cell->account[0], cell->account[1], TOTAL);
		show_cell(number);
	}
	return 1;
}

static int lock_in_time(struct cell *cell)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += (time_t)time_limit + 1;
	return pthread_mutex_timedlock(&cell->mutex, &end);
}

/* False if the mutex was only tried and another member holds it. */
static int acquire(int number)
{
	struct cell *cell = &bank->cells[number];
	int error, how = any_below(4);

	bank->wants[me] = number + 1;
	if (how == 0)
		error = pthread_mutex_trylock(&cell->mutex);
	else if (how == 1)
		error = lock_in_time(cell);
	else
		error = pthread_mutex_lock(&cell->mutex);
	if (how == 0 && error == EBUSY) {
		bank->wants[me] = 0;
		return 0;
	}
	error = take_over(number, error);
	bank->wants[me] = 0;
	return error;
}

static void release(int number)
{
	struct cell *cell = &bank->cells[number];
	int error;

	cell->inside = 0;
	error = pthread_mutex_unlock(&cell->mutex);
	if (error)
		fails(DATA_IS_WHOLE, "mutex %d cannot be unlocked: %s", number, strerror(error));
}

/* Let other members run: to wait for the mutex, or to kill its owner. */
static void linger(void)
{
	switch (any_below(16)) {
	case 0:
		if (!any_below(4))
			poll(NULL, 0, 1);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		sched_yield();
		break;
	case 5:
		if (!any_below(8))
			kill(getpid(), SIGKILL);
		break;
	default:
		for (volatile int i = any_below(500); i > 0; i--)
			;
	}
}

/* Move money, and do the same with mutexes of higher numbers in the middle of it. */
static void transfer(int first, int more)
{
	int number = first + any_below(CELLS - first), amount = any_below(100);
	struct cell *cell = &bank->cells[number];

	if (!acquire(number))
		return;
	cell->old[0] = cell->account[0];
	cell->old[1] = cell->account[1];
	cell->old_operations = cell->operations;
	barrier();
	cell->open = 1;
	barrier();
	cell->account[0] -= amount;
	linger();
	if (more && number + 1 < CELLS)
		transfer(number + 1, more - 1);
	cell->account[1] += amount;
	cell->operations++;
	barrier();
	cell->open = 0;
	barrier();
	bank->done[me]++;
	linger();
	release(number);
	linger();
}

/* The previous process of this member may have died while it waited. */
static void enter(void)
{
	bank->wants[me] = 0;
}

static void step(void)
{
	transfer(0, any_below(4));
}

static void check(void)
{
	long long operations = 0, done = 0, died = 0;
	int error;

	for (int i = 0; i < CELLS; i++) {
		error = lock_in_time(&bank->cells[i]);
		if (error && error != EOWNERDEAD) {
			fails(LOCKS_CAN_BE_TAKEN, "mutex %d cannot be locked in a pause: %s", i,
			      strerror(error));
			show_cell(i);
			continue;
		}
		if (take_over(i, error))
			release(i);
		operations += bank->cells[i].operations;
		died += bank->cells[i].owners_died;
	}
	for (int i = 1; i <= MEMBERS_MAX; i++)
		done += bank->done[i];
	if (operations < done || operations > done + died)
		fails(NOTHING_DONE_IS_LOST,
		      "%lld operations counted, %lld were completed, %lld owners died",
		      operations, done, died);
}

#ifndef __GLIBC__
/*
 * musl's pthread_mutex_unlock() clears list_op_pending before it wakes, and its waiters
 * do not set it: a kill in between loses a wakeup, which the kernel cannot detect. The
 * next lock and unlock makes it.
 */
static void wake_sleepers(int member)
{
	int wanted = bank->wants[member], error;

	if (!wanted)
		return;
	error = lock_in_time(&bank->cells[wanted - 1]);
	if ((!error || error == EOWNERDEAD) && take_over(wanted - 1, error))
		release(wanted - 1);
}

#define NUDGE wake_sleepers
#else
#define NUDGE NULL
#endif

/* How many times EOWNERDEAD was returned, of plain mutexes or of PI ones. */
static long long owners_died(int pi)
{
	long long died = 0;

	for (int i = 0; i < CELLS; i++)
		if (is_pi(i) == pi)
			died += bank->cells[i].owners_died;
	return died;
}

static int enough(void)
{
	return owners_died(0) && (!is_pi(1) || owners_died(1));
}

static void summarize(void)
{
	long long operations = 0;

	for (int i = 0; i < CELLS; i++)
		operations += bank->cells[i].operations;
	diag("%lld operations; EOWNERDEAD %lld times of plain mutexes, %lld of PI ones",
	     operations, owners_died(0), owners_died(1));
	if (!enough())
		fails(OWNERS_DIED, "no owner died, of one kind of mutexes or both");
}

int main(int argc, char **argv)
{
	static const struct work killtree = {
		.members = 64,
		.children = 4,
		.tests = {
			"killtree.no_hang",
			"killtree.owners_died",
			"killtree.data_consistent",
			"killtree.no_lost_operation",
			"killtree.locks_free",
		},
		.prepare = create_bank,
		.enter = enter,
		.step = step,
		.check = check,
		.explain = explain,
		/* With glibc a lost wakeup is a failure: glibc is not known to lose one here. */
		.nudge = NUDGE,
		.enough = enough,
		.summarize = summarize,
	};

	return crowd_main(&killtree, argc, argv);
}
