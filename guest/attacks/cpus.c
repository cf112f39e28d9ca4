// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.cpus: threads of another process act on locks just ahead of the walk. In each
 * group of locks there is one for each of them:
 *
 *   TO		its waiters are requeued to it from a gate
 *   AWAY	its waiters are requeued from it to another word
 *   WAKE	one of its waiters is woken
 *   SET	FUTEX_WAITERS is set in its word by FUTEX_WAKE_OP
 *
 * and one that nobody touches. After each action the word shows whether it came before the
 * mark: then it is known how many waiters the walk wakes, and else that it is one at most. The
 * waiters that still sleep on a word are counted, and those that came back.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum role { TO, AWAY, WAKE, SET, ROLES };

/* Behind them in a group, locks that are only there to be walked */
#define QUIET		ROLES
#define GROUP		24
#define GROUPS		160
/* Two threads for each role: of eight CPUs one is left for the walk. */
#define SHARES		2

/* How many groups ahead of the walk a thread acts */
#define AHEAD		1

static const char *const role_names[ROLES] = {
	[TO] = "waiters are requeued to a lock",
	[AWAY] = "waiters are requeued from a lock",
	[WAKE] = "a waiter is woken by another process",
	[SET] = "FUTEX_WAITERS is set by FUTEX_WAKE_OP",
};

/* Waiters of each lock at first; of TO at the gate */
static const int waiters[ROLES] = { [TO] = 2, [AWAY] = 2, [WAKE] = 3, [SET] = 1 };
#define POOL		((2 + 2 + 3 + 1) * GROUPS)

/* FUTEX_WAKE_OP: OR 1 << 31, and wake if the word was -1, which none is. */
#define SET_WAITERS	((unsigned int)(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT) << 28 |	\
			 FUTEX_OP_CMP_EQ << 24 | 31 << 12 | 0xfff)

/* What a thread did about a lock */
struct action {
	bool done;
	bool late;		/* the lock was marked before */
	bool early;		/* the lock was not marked afterwards */
	int count;		/* of waiters that were moved or woken */
};

static struct shared {
	volatile unsigned int gate;	/* where the pool sleeps */
	volatile unsigned int away;	/* where waiters are moved from locks */
	volatile unsigned int other;	/* the first word of FUTEX_WAKE_OP */
	struct slot locks[GROUPS][GROUP];
} *shared;

static struct action actions[GROUPS][ROLES];
static unsigned int came_back;
static volatile int over;

/*
 * Actions, of each role: within the walk; those of them that came before the mark of their
 * lock; and those that came after it
 */
static long met[ROLES], early[ROLES], late[ROLES];

static volatile unsigned int *word_of(int group, int number)
{
	return &shared->locks[group][number].word;
}

static bool marked(int group, int number)
{
	return (*word_of(group, number) & FUTEX_OWNER_DIED) != 0;
}

static int requeue(volatile unsigned int *from, volatile unsigned int *to, int count)
{
	return syscall(SYS_futex, from, FUTEX_REQUEUE, 0, (long)count, to, 0);
}

/* Sleeps at the gate, and wherever it is moved from there. */
static void *wait_in_pool(void *unused)
{
	for (;;)
		if (!futex(&shared->gate, FUTEX_WAIT, 0))
			__atomic_add_fetch(&came_back, 1, __ATOMIC_SEQ_CST);
	return unused;
}

static int act_on(enum role role, volatile unsigned int *word)
{
	switch (role) {
	case TO:
		return requeue(&shared->gate, word, waiters[TO]);
	case AWAY:
		return requeue(word, &shared->away, INT_MAX);
	case WAKE:
		return futex(word, FUTEX_WAKE, 1);
	default:
		return syscall(SYS_futex, &shared->other, FUTEX_WAKE_OP, 0, 0L, word, SET_WAITERS);
	}
}

static void act(enum role role, int group)
{
	struct action *action = &actions[group][role];
	volatile unsigned int *word = word_of(group, role);
	bool began, ended;

	began = marked(0, QUIET);
	action->late = marked(group, role);
	action->count = act_on(role, word);
	action->early = !marked(group, role);
	ended = marked(GROUPS - 1, GROUP - 1);
	action->done = true;
	__atomic_fetch_add(&met[role], began && !ended, __ATOMIC_RELAXED);
	__atomic_fetch_add(&early[role], began && action->early, __ATOMIC_RELAXED);
	__atomic_fetch_add(&late[role], action->late, __ATOMIC_RELAXED);
}

/* Every second group, as soon as the walk has come near; the first ones before it. */
static void *run_ahead(void *argument)
{
	int number = (intptr_t)argument, spins = 0;
	enum role role = number / SHARES;

	for (int group = number % SHARES; group < GROUPS; group += SHARES) {
		while (group > AHEAD && !over && !marked(group - AHEAD, QUIET))
			if (++spins % 64 == 0)
				sched_yield();
		if (over)
			break;
		act(role, group);
	}
	return NULL;
}

static int own_groups(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < GROUPS * GROUP; i++)
		__atomic_fetch_or(&shared->locks[0][i].word, 0, __ATOMIC_RELAXED);
	register_head(&owners->heads[0]);
	owners->tids[0] = own_tid();
	wait_for_go();
	syscall(SYS_exit_group, 0);
	return 0;
}

static void take_groups(struct robust_list_head *head, pid_t owner)
{
	struct slot *locks = shared->locks[0];

	for (int i = 0; i < GROUPS * GROUP; i++) {
		int number = i % GROUP;

		locks[i].list.next = &locks[i + 1].list;
		locks[i].word = owner | (number < ROLES && number != SET ? FUTEX_WAITERS : 0);
	}
	head->list.next = &locks[0].list;
	locks[GROUPS * GROUP - 2].list.next = &head->list;
	head->list_op_pending = &locks[GROUPS * GROUP - 1].list;
	head->futex_offset = offsetof(struct slot, word) - offsetof(struct slot, list);
}

static void place_waiters(void)
{
	long long end = now_ms() + WAIT_LIMIT * 1000;

	for (int group = 0; group < GROUPS; group++) {
		for (int role = AWAY; role < ROLES; role++) {
			int placed = 0, moved;

			while (placed < waiters[role]) {
				moved = requeue(&shared->gate, word_of(group, role),
						waiters[role] - placed);
				if (moved < 0 || now_ms() > end)
					give_up("waiters do not come back to sleep");
				placed += moved;
				if (!moved)
					sched_yield();
			}
		}
	}
	/* Those for TO sleep as well by then. */
	await(requeue(&shared->gate, &shared->gate, INT_MAX) == waiters[TO] * GROUPS);
}

static bool word_is_right(int group, int number)
{
	unsigned int value = *word_of(group, number), bit = 0;

	if (number < ROLES && (number != SET || actions[group][number].done))
		bit = FUTEX_WAITERS;
	return value == (FUTEX_OWNER_DIED | bit);
}

/*
 * Whether the walk has woken as many waiters of a lock as it should. @walk is how many it
 * woke, if nobody else but the thread did something.
 */
static bool wakeups_are_right(int role, const struct action *action, int walk)
{
	switch (role) {
	case TO:
		/* The walk wakes a while after the mark. */
		if (!action->count)
			return !walk;
		return action->early ? walk == 1 : walk == 0 || walk == 1;
	case SET:
		if (!action->done || action->late)
			return !walk;
		return action->early ? walk == 1 : walk == 0 || walk == 1;
	case AWAY:
		/* Before the mark all were moved, and none was left to wake. */
		if (!action->done)
			return walk == 1;
		return action->early ? !walk : walk == 0 || walk == 1;
	default:
		return walk == 1;
	}
}

static unsigned int judge_group(int group)
{
	unsigned int woken = 0;

	for (int number = 0; number < GROUP; number++)
		check(word_is_right(group, number));
	for (int role = 0; role < ROLES; role++) {
		const struct action *action = &actions[group][role];
		int asleep = requeue(word_of(group, role), &shared->gate, INT_MAX), walk;

		walk = (role == TO ? action->count : waiters[role]) - asleep;
		if (role == AWAY)
			walk -= action->count;
		woken += walk;
		if (role == WAKE) {
			check(!action->done || action->count == 1);
			walk -= action->count;
		}
		check(wakeups_are_right(role, action, walk));
	}
	return woken;
}

static void run_death_of_groups(bool killed)
{
	pthread_t threads[ROLES * SHARES];
	unsigned int before = came_back, woken = 0;
	pid_t owner;

	memset(owners, 0, sizeof(*owners));
	memset(actions, 0, sizeof(actions));
	over = 0;
	owner = fork();
	if (owner < 0)
		give_up("cannot start a process");
	if (!owner)
		own_groups();
	await(owners->tids[0]);
	take_groups(&owners->heads[0], owners->tids[0]);
	place_waiters();
	for (int i = 0; i < ROLES * SHARES; i++)
		start_thread(&threads[i], run_ahead, (void *)(intptr_t)i);
	let_die(owner, killed);
	over = 1;
	for (int i = 0; i < ROLES * SHARES; i++)
		pthread_join(threads[i], NULL);

	requeue(&shared->away, &shared->gate, INT_MAX);
	for (int group = 0; group < GROUPS; group++)
		woken += judge_group(group);
	await(__atomic_load_n(&came_back, __ATOMIC_SEQ_CST) - before >= woken);
	/* None came back that was not woken. */
	await(requeue(&shared->gate, &shared->gate, INT_MAX) == POOL);
	check(came_back - before == woken);
}

static bool all_met(void)
{
	for (int role = 0; role < ROLES; role++)
		if (!met[role] || !early[role])
			return false;
	return true;
}

void attack_cpus(void)
{
	struct repeat repeat = {};
	pthread_t thread;

	shared = map_memory(sizeof(*shared), MAP_SHARED);
	for (int i = 0; i < POOL; i++)
		start_thread(&thread, wait_in_pool, NULL);
	while (once_more(&repeat, 10, all_met()))
		run_death_of_groups(repeat.deaths & 1);
	diag("%d deaths of %d locks, %ld CPUs, up to %lld ms", repeat.deaths, GROUPS * GROUP,
	     sysconf(_SC_NPROCESSORS_ONLN), longest);
	for (int role = 0; role < ROLES; role++) {
		diag("%s: %ld times within a walk, %ld before the mark, %ld after it",
		     role_names[role], met[role], early[role], late[role]);
		must_meet(met[role] && early[role], role_names[role]);
	}
}
