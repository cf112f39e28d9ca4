// SPDX-License-Identifier: GPL-2.0
/*
 * Release a robust lock, and be killed between the store that releases it and the one that
 * clears list_op_pending, while the memory becomes something else.
 *
 * A victim has a lock in memory that processes share. It is stepped through the release
 * by ptrace. After n = 0, 1, 2, ... instructions, if the lock is free by then, another process
 * takes it, destroys it, and a second thread of the victim maps a file at its address. The
 * file happens to have the victim's TID where the lock had its word. Then the victim is
 * killed. If the walk still takes this place for a lock, it changes the file.
 *
 * If the lock is still held, it must be marked. The victim has a second lock on its list: it is
 * marked if the walk took place. With "awaited" another process sleeps on the lock, and
 * must be woken.
 *
 * The lock is released in one of these ways:
 *
 *   plain	by three steps in user space: the word, the wakeup, the pending pointer
 *   call	by FUTEX_ROBUST_UNLOCK
 *   vdso	by the function of the vDSO, and the call if there is a waiter
 *   moved	the same, after mremap() of the vDSO
 *   list32	the same for a pending pointer of 4 bytes; a 64-bit program has a 32-bit list
 *
 * and the tests are, for each of them,
 *
 *   unlock.WAY_kill		a kill at each instruction
 *   unlock.WAY_awaited		the same, with a waiter
 *   unlock.WAY_jump		a signal at each instruction, and a handler that does not return
 *   unlock.WAY_random_kill	kills at random, for some seconds, without a tracer
 *   unlock.WAY_random_signal	signals at random
 *
 * By the plain way files must be changed, and handlers must find the lock free and pending: it
 * shows that the others would be found out. At random that may not happen: no such test is made.
 *
 * usage: unlock [SECONDS [TEST]]
 *        unlock story
 *
 *	SECONDS  of each test at random (5)
 *	TEST     only tests that have this in their names (all)
 *	story    one kill in the middle for each way, told in a line
 *
 * The output is KTAP. The exit status is 0 if no test failed.
 */
#define _GNU_SOURCE
#include "unlock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum what { KILL, AWAITED, JUMP, RANDOM_KILL, RANDOM_SIGNAL, WHATS };

/* In user space alone a random moment is in the middle too seldom to be a test. */
static const char *const names[WAYS][WHATS] = {
	[PLAIN] = {
		[KILL] = "unlock.plain_kill",
		[AWAITED] = "unlock.plain_awaited",
		[JUMP] = "unlock.plain_jump",
	},
	[CALL] = {
		[KILL] = "unlock.call_kill",
		[AWAITED] = "unlock.call_awaited",
		[JUMP] = "unlock.call_jump",
		[RANDOM_KILL] = "unlock.call_random_kill",
		[RANDOM_SIGNAL] = "unlock.call_random_signal",
	},
	[VDSO] = {
		[KILL] = "unlock.vdso_kill",
		[AWAITED] = "unlock.vdso_awaited",
		[JUMP] = "unlock.vdso_jump",
		[RANDOM_KILL] = "unlock.vdso_random_kill",
		[RANDOM_SIGNAL] = "unlock.vdso_random_signal",
	},
	[MOVED] = {
		[KILL] = "unlock.moved_kill",
		[AWAITED] = "unlock.moved_awaited",
		[JUMP] = "unlock.moved_jump",
		[RANDOM_KILL] = "unlock.moved_random_kill",
		[RANDOM_SIGNAL] = "unlock.moved_random_signal",
	},
	[LIST32] = {
		[KILL] = "unlock.list32_kill",
		[AWAITED] = "unlock.list32_awaited",
		[JUMP] = "unlock.list32_jump",
		[RANDOM_KILL] = "unlock.list32_random_kill",
		[RANDOM_SIGNAL] = "unlock.list32_random_signal",
	},
};

static double seconds = 5;

static bool is_random(enum what what)
{
	return what == RANDOM_KILL || what == RANDOM_SIGNAL;
}

static void run(enum way way, enum what what, struct tally *tally)
{
	switch (what) {
	case KILL:
	case AWAITED:
		kill_each(way, what == AWAITED, tally);
		break;
	case JUMP:
		jump_each(way, tally);
		break;
	case RANDOM_KILL:
		kill_at_random(way, seconds, tally);
		break;
	default:
		signal_at_random(way, seconds, tally);
		break;
	}
}

static bool is_good(enum way way, enum what what, const struct tally *tally)
{
	bool kills = what == KILL || what == AWAITED || what == RANDOM_KILL;

	if (!tally->points || tally->stuck || tally->early)
		return false;
	/* The second process may not have had its turn before the first kill. */
	if (kills && what != RANDOM_KILL && tally->walks != tally->points)
		return false;
	if (kills && (!tally->walks || !tally->replaced))
		return false;
	if (way == PLAIN)
		return what == JUMP ? tally->middle > 0 : tally->changed > 0;
	return !tally->changed && !tally->lost && !tally->middle;
}

static bool test(enum way way, enum what what, int number)
{
	const char *reason = missing(way);
	struct tally tally = {};
	double began = now_seconds();
	bool good;

	if (!reason && !is_random(what))
		reason = cannot_step(way);
	if (reason) {
		printf("ok %d %s # SKIP %s\n", number, names[way][what], reason);
		return true;
	}
	run(way, what, &tally);
	good = is_good(way, what, &tally);
	if (tally.changed)
		printf("# %s: a file had %08x, and has %08x\n", names[way][what], tally.expected,
		       tally.found);
	printf("%sok %d %s # %ld points, %ld walks, %ld files in place, %ld changed, ",
	       good ? "" : "not ", number, names[way][what], tally.points, tally.walks,
	       tally.replaced, tally.changed);
	printf("%ld lost, %ld middle, %ld early, %ld stuck, %.1f s\n", tally.lost, tally.middle,
	       tally.early, tally.stuck, now_seconds() - began);
	fflush(stdout);
	return good;
}

static bool is_wanted(enum way way, enum what what, const char *wanted)
{
	return names[way][what] && strstr(names[way][what], wanted);
}

/* The unlock: the same kill for each way. */
static int tell(void)
{
	bool right = true;

	if (syscall(SYS_set_robust_list, NULL, 0L) && errno == ENOSYS) {
		printf("unlock: the kernel has no robust futexes.\n");
		return 0;
	}
	printf("unlock: A lock is released, and its owner is killed while it is pending.\n");
	printf("unlock: A file is mapped where the lock was. It has a number, the TID.\n");
	for (enum way way = PLAIN; way <= VDSO; way++) {
		const char *reason = missing(way);
		struct tally tally = {};

		if (reason) {
			printf("unlock: %s: %s.\n", way_names[way], reason);
			continue;
		}
		if (!kill_in_middle(way, &tally)) {
			/* No stop between the two stores: the kernel has made both. */
			printf("unlock: %s: there is no moment in between.\n", way_names[way]);
			continue;
		}
		if (!tally.walks || !tally.replaced) {
			printf("unlock: %s: this went wrong.\n", way_names[way]);
			right = false;
		} else if (tally.changed) {
			printf("unlock: %s: the file had %08x, and has %08x: ", way_names[way],
			       tally.expected, tally.found);
			printf("the kernel has changed it.\n");
			right &= way == PLAIN;
		} else {
			printf("unlock: %s: the file is as before.\n", way_names[way]);
			right &= way != PLAIN;
		}
	}
	return !right;
}

int main(int argc, char **argv)
{
	const char *wanted = argc > 2 ? argv[2] : "";
	int count = 0, number = 0, failed = 0;
	char *end;

	make_scene();
	if (argc == 2 && !strcmp(argv[1], "story"))
		return tell();
	if (argc > 1) {
		seconds = strtod(argv[1], &end);
		if (*end || seconds <= 0 || argc > 3) {
			fprintf(stderr, "unlock: takes SECONDS and TEST, or \"story\"\n");
			return 2;
		}
	}

	for (enum way way = PLAIN; way < WAYS; way++)
		for (enum what what = KILL; what < WHATS; what++)
			count += is_wanted(way, what, wanted);
	printf("TAP version 13\n1..%d\n", count);
	fflush(stdout);
	for (enum way way = PLAIN; way < WAYS; way++)
		for (enum what what = KILL; what < WHATS; what++)
			if (is_wanted(way, what, wanted))
				failed += !test(way, what, ++number);
	return failed > 0;
}
