// SPDX-License-Identifier: GPL-2.0
/*
 * Kill a thread at every instruction of the C library's robust mutexes.
 *
 * For each function below, and for n = 0, 1, 2, ... until the function has returned: a new
 * victim is stepped through n instructions and killed by SIGKILL. Two other processes take
 * the lock, one that already sleeps on it if there is something to sleep on, and one that
 * starts after the death. Each must get it, with 0 or EOWNERDEAD. Two accounts hold 100
 * together, and the victim moves 40 from one to the other: with 0 a process must find 100.
 * If not, it sees inconsistent data, and the output counts it as that.
 *
 * A step into a system call that sleeps ends when another process makes the wakeup. Once
 * for each such call the victim is killed asleep.
 *
 * If all remaining processes sleep, none gets the lock any more. The cause is determined
 * by what the kernel has to do, which follows from three values in the victim's memory at
 * its last moment: the word, list_op_pending, and whether the mutex is on the list. It must
 * mark the word if that has the victim's TID and one of the two leads to it, and wake one
 * waiter if the word had FUTEX_WAITERS; it must wake one waiter if the mutex is pending with
 * a word that has no TID, or another TID and no FUTEX_WAITERS. If it did all that, the C
 * library has left the lock in a state that no kernel can resolve. That is a hole of the
 * library and not a failure: holes are counted separately and shown with the instruction.
 * Anything else is a hang, and a failure.
 *
 * The kernel does not know an owner of a condition variable. Whether it can still be used
 * after the death is tested as well, and is not a failure.
 *
 * usage: step [STRIDE [TEST [TIME_LIMIT]]]
 *
 *	STRIDE    try every STRIDE-th instruction (1)
 *	TEST      only tests that have this in their names (all)
 *	TIME_LIMIT  seconds that anything may take (20)
 *
 * The output is KTAP. The exit status is 0 if no process hung or saw
 * inconsistent data. The machine is x86, of either word size.
 */
#define _GNU_SOURCE
#include "step.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The number of failures of one test that are shown; others are only counted. */
#define SHOWN_MAX 3

double time_limit_max = 20;
long stride = 1;
static const char *wanted = "";

/* The error, or 0. */
static int set_stage(void)
{
	pthread_mutexattr_t robust;
	pthread_condattr_t shared;
	int error;

	memset(stage, 0, sizeof(*stage));
	stage->first = 100;
	clock_gettime(CLOCK_REALTIME, &stage->far);
	stage->far.tv_sec += 3600;

	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	error = pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	if (!error)
		error = pthread_mutex_init(&stage->mutex, &robust);
	pthread_condattr_init(&shared);
	pthread_condattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&stage->cond, &shared);
	return error;
}

/* Whether the kernel has done all that it must. A later claim needs no wakeup. */
static bool kernel_was_right(const struct moment *moment, const struct claim *claim)
{
	if (moment->must_mark && (*lock_word() & FUTEX_TID_MASK) == moment->tid)
		return false;
	return !moment->must_wake || claim == &stage->late || !moment->sleepers ||
	       sleepers() < moment->sleepers;
}

enum verdict { RIGHT, HOLE, WRONG };

static enum verdict judge(const struct scenario *scenario, struct claim *claim,
			  const struct moment *moment, struct tally *tally)
{
	const char *waiter = claim == &stage->early ? "the waiter" : "a later waiter";
	char text[128];

	if (!finish(claim, claim)) {
		if (kernel_was_right(moment, claim))
			return HOLE;
		snprintf(text, sizeof(text), "%s never gets the lock", waiter);
		if (++tally->hangs <= SHOWN_MAX)
			show(scenario, moment, text);
		return WRONG;
	}
	if (claim->result ? claim->result != EOWNERDEAD : claim->sum != 100) {
		snprintf(text, sizeof(text), "%s gets %s and finds %d", waiter,
			 claim->result ? strerror(claim->result) : "0", claim->sum);
		if (++tally->inconsistent <= SHOWN_MAX)
			show(scenario, moment, text);
		return WRONG;
	}
	return RIGHT;
}

/*
 * Wait and signal, a few times: a condition variable may use two groups of waiters
 * alternately, and a dead waiter blocks only the second use of its group.
 */
static bool cond_works(void)
{
	bool fine = true;
	int turn;

	for (turn = 0; fine && turn < 3; turn++) {
		start_claim(&stage->waiter, use_cond);
		settle(&stage->waiter);
		start_claim(&stage->helper, make_ready);
		fine = finish(&stage->waiter, &stage->helper);
		end_claim(&stage->waiter);
		end_claim(&stage->helper);
	}
	return fine;
}

/* Kill after n instructions, or at the end. Returns their number; or none, if stuck. */
static long try_point(const struct scenario *scenario, long n, struct tally *tally)
{
	struct moment moment = {};
	enum progress progress;
	enum verdict verdict;

	set_stage();
	if (scenario->left) {
		start_claim(&stage->late, die_with_lock);
		waitpid(stage->late.pid, NULL, 0);
		if ((*lock_word() & FUTEX_TID_MASK) == (unsigned int)stage->late.pid) {
			printf("# %s: the last owner is dead, but the word still has its TID\n",
			       scenario->name);
			tally->stuck++;
		}
		stage->late.pid = 0;
		if (tally->stuck)
			return 0;
	}
	if (scenario->held) {
		start_claim(&stage->holder, hold);
		while (!stage->holder.begun)
			sleep_ns(POLL_NS);
	}
	progress = start_victim(scenario);
	if (scenario->awaited)
		want_early();

	while (progress == STOPPED && moment.n < n && !stage->over) {
		moment.n++;
		progress = step_on(scenario, moment.n == n);
	}
	moment.asleep = progress == SLEEPS && moment.n == n;
	if (progress != STOPPED && !moment.asleep) {
		printf("# %s: the victim %s after %ld instructions\n", scenario->name,
		       progress == GONE ? "is gone" : "sleeps for ever", moment.n);
		tally->stuck++;
		kill_and_reap(&victim);
		goto out;
	}

	want_early();
	look(&moment);
	kill_and_reap(&victim);
	tally->points++;
	if (scenario->held)
		release_holder();

	verdict = judge(scenario, &stage->early, &moment, tally);
	if (verdict == WRONG)
		goto out;
	if (verdict == HOLE)
		add_hole(scenario, &moment, "the waiter", tally);
	start_claim(&stage->late, use_lock);
	if (judge(scenario, &stage->late, &moment, tally) == HOLE && verdict != HOLE)
		add_hole(scenario, &moment, "a later waiter", tally);
	if (scenario->cond && stage->late.done && !cond_works() && !tally->conds_lost++)
		show(scenario, &moment, "the condition variable is lost: " LIBRARY
		     " counts on the dead waiter");
out:
	end_claim(&stage->late);
	end_claim(&stage->early);
	end_claim(&stage->holder);
	return tally->stuck ? 0 : moment.n;
}

static bool run(const struct scenario *scenario, int number)
{
	struct tally tally = {};
	double began = now_seconds();
	long n, length;
	bool good;

	/* First the whole function, to know its length. */
	length = try_point(scenario, LONG_MAX, &tally);
	for (n = 0; n < length && !tally.stuck; n += stride)
		try_point(scenario, n, &tally);
	end_row(scenario, &tally);

	good = !tally.hangs && !tally.inconsistent && !tally.stuck;
	printf("%sok %d %s # %ld instructions, %ld kill points, %ld hangs, %ld inconsistent, ",
	       good ? "" : "not ", number, scenario->name, length, tally.points, tally.hangs,
	       tally.inconsistent);
	printf("%ld stuck, %ld holes of " LIBRARY ", %ld condition variables lost, %.1f s\n",
	       tally.stuck, tally.holes, tally.conds_lost, now_seconds() - began);
	return good;
}

int main(int argc, char **argv)
{
	int number = 0, failed = 0, planned = 0, refused;
	const struct scenario *scenario;

	if (argc > 1)
		stride = atol(argv[1]);
	if (argc > 2)
		wanted = argv[2];
	if (argc > 3)
		time_limit_max = atof(argv[3]);
	for (scenario = scenarios; scenario->name; scenario++)
		planned += !!strstr(scenario->name, wanted);
	if (argc > 4 || stride < 1 || time_limit_max <= 0 || !planned) {
		fprintf(stderr, "usage: step [STRIDE [TEST [TIME_LIMIT]]], numbers above 0\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stage == MAP_FAILED)
		bail_out("no memory");
	refused = set_stage();
	if (!refused)
		find_head();

	printf("TAP version 14\n1..%d\n", planned);
	printf("# " LIBRARY ", %d-bit, every %ld. instruction\n", (int)sizeof(long) * 8, stride);
	if (refused)
		printf("# the C library has no robust mutexes on this kernel\n");
	for (scenario = scenarios; scenario->name; scenario++) {
		if (!strstr(scenario->name, wanted))
			continue;
		if (refused)
			printf("not ok %d %s\n", ++number, scenario->name);
		if (refused || !run(scenario, ++number))
			failed++;
	}
	return failed > 0;
}
