/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A crowd of processes that work on something shared and kill each other at
 * random: what killtree.c and the programs of clients/ have in common.
 *
 * The processes form a tree. Each one starts its children anew when they were
 * killed, so that there are always as many, and a killed parent takes all its
 * descendants along: they die at one moment, wherever they are. The root is no
 * member and is not killed; it watches.
 *
 * At intervals all members pause: none begins a step, each has to end the step
 * that it began, and the root checks the result. This is also how a lost wakeup
 * shows: while all are busy, the next unlock wakes the sleeper after all.
 *
 * usage: PROGRAM [SECONDS [SEED [TIME_LIMIT]]]
 *
 *	SECONDS   how long they may go on (10)
 *	SEED      of all that is random but the scheduler
 *	TIME_LIMIT  seconds that a single step may take (20)
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
	/* In the root, before any member exists. NULL, or why it cannot be. */
	const char *(*prepare)(void);
	/* In each member, once: what it must open itself. */
	void (*enter)(void);
	/* In each member, again and again: one piece of work. */
	void (*step)(void);
	/* In a child of the root while all pause: whether all is as it should be. */
	void (*check)(void);
	/* What there is to say of a member that does not get on. */
	void (*explain)(int member);
	/*
	 * In a child of the root when a member does not get on: what lets it go on
	 * if all that was lost is a wakeup. Only where the C library itself is known
	 * to lose one; else NULL.
	 */
	void (*nudge)(int member);
	/* After the last check: figures. */
	void (*summarize)(void);
};

/* The tests that every crowd has. */
enum {
	IN_TIME,		/* every step came to its end within the time limit */
	DIED,			/* members were killed, and worked */
	FIRST_OWN_TEST,
};

/* Which member this process is, 0 for the root */
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
