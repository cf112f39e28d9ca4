/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A crowd of processes that work on shared data and kill each other at random: the common
 * part of killtree.c and the programs of clients/.
 *
 * The processes form a tree. Each one restarts its children when they were killed, so that
 * their number is constant, and a killed parent takes all its descendants along: they die at
 * the same moment, in any state. The root is not a member and is not killed; it watches.
 *
 * At intervals all members pause: none begins a step, each has to end the current step, and
 * the root checks the result. Only so does a lost wakeup become visible: while all are busy,
 * the next unlock wakes the sleeping member.
 *
 * usage: PROGRAM [SECONDS [SEED [TIME_LIMIT]]]
 *
 *	SECONDS   duration of the work, up to ten times as long on a slow machine (10)
 *	SEED      of all that is random except the scheduler
 *	TIME_LIMIT  seconds that a single step may take (60)
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 *
 * A program describes its work in a `struct work`.
 */
#ifndef CROWD_H
#define CROWD_H

#include <stddef.h>
#include <sys/types.h>

#include "util.h"

#define MEMBERS_MAX	64
#define TESTS_MAX	8

struct work {
	int members;		/* 1 to MEMBERS_MAX */
	int children;		/* of each member, and of the root */
	/* The names of the tests, and NULL. The first two are judged here. */
	const char *tests[TESTS_MAX + 1];
	/* In the root, before any member exists. NULL, or why it failed. */
	const char *(*prepare)(void);
	/* In each member, once: open what it cannot inherit. */
	void (*enter)(void);
	/* In each member, repeatedly: one piece of work. */
	void (*step)(void);
	/* In a child of the root while all pause: check the data. */
	void (*check)(void);
	/* Describe a member that makes no progress. */
	void (*explain)(int member);
	/*
	 * In a child of the root when a member makes no progress: continue it if only a wakeup
	 * was lost. Only for a C library that is known to lose one; else NULL.
	 */
	void (*nudge)(int member);
	/*
	 * In the root: whether what the tests are about has happened. Until then the work goes
	 * on, ten times as long at most. NULL if any work will do.
	 */
	int (*enough)(void);
	/* After the last check: figures. */
	void (*summarize)(void);
};

/* The tests that every crowd has. */
enum {
	IN_TIME,		/* every step ended within the time limit */
	DIED,			/* members were killed, and worked */
	FIRST_OWN_TEST,
};

/* The number of this member, 0 for the root */
extern int me;

/* Seconds that a single step may take */
extern double time_limit;

/* A number from 0 to @limit - 1 */
unsigned int any_below(unsigned int limit);

/* Zeroed memory that all processes share */
void *shared_memory(size_t size);

/* Whether this failure of the test is still to be reported in detail. */
int fail(int test);

#define fails(test, ...)						\
do {									\
	if (fail(test))							\
		diag(__VA_ARGS__);					\
} while (0)

/* The process of a member, or 0 while there is none */
pid_t pid_of(int member);

/* The whole program: its exit status */
int crowd_main(const struct work *what, int argc, char **argv);

#endif /* CROWD_H */
