// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "crowd.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How many failures of each test are reported in detail. */
#define DETAILS_MAX	5

/* The time in milliseconds between two pauses. */
#define ROUND		1000

/* How many times as long the work may take until it is enough. */
#define LONGEST		10

/* Seconds at one step after which a member is nudged. */
#define NUDGE_TIME	0.4

struct member {
	volatile pid_t pid;	/* 0 while there is no process */
	volatile int busy;	/* between two pauses: it may be killed */
	volatile long long since;	/* when this step began */
	volatile unsigned int lives;
	volatile unsigned long long steps;
};

struct crowd {
	struct member members[MEMBERS_MAX + 1];
	volatile int pause, stop;
	volatile int alive;
	volatile unsigned long kills, deaths;
	volatile int failures[TESTS_MAX];
	volatile int nudges, pauses;
};

int me;
double time_limit = 60;

static const struct work *work;
static struct crowd *crowd;
static uint64_t random_state;
static unsigned long long seed;

/* Not inherited by the children that a member starts. */
static pid_t own_children[MEMBERS_MAX + 1];

/* Independent of the C library, so that a seed has the same effect with each. */
unsigned int any_below(unsigned int limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 32) % limit;
}

static void seed_random(uint64_t number)
{
	random_state = (seed + 1) * 0x9e3779b97f4a7c15ull ^ (number + 1) * 0xbf58476d1ce4e5b9ull;
	if (!random_state)
		random_state = 1;
	for (int i = 0; i < 8; i++)
		any_below(2);
}

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		printf("Bail out! cannot map memory, give the guest more of it\n");
		exit(1);
	}
	return memory;
}

int fail(int test)
{
	return __atomic_fetch_add(&crowd->failures[test], 1, __ATOMIC_SEQ_CST) < DETAILS_MAX;
}

static int any_failure(void)
{
	for (int i = 0; i < TESTS_MAX; i++)
		if (crowd->failures[i])
			return 1;
	return 0;
}

/*
 * Reap one dead child. Its PID is cleared before it is reaped, while no other process
 * can have it: see kill_random_member().
 */
static int reap_one(void)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return 0;
	for (int i = 1; i <= work->members; i++) {
		if (own_children[i] == info.si_pid)
			own_children[i] = 0;
		if (crowd->members[i].pid != info.si_pid)
			continue;
		crowd->members[i].busy = 0;
		__atomic_sub_fetch(&crowd->alive, 1, __ATOMIC_SEQ_CST);
		if (info.si_code == CLD_KILLED && info.si_status == SIGKILL)
			__atomic_add_fetch(&crowd->deaths, 1, __ATOMIC_SEQ_CST);
		else if (!crowd->stop)
			fails(IN_TIME, "member %d ended by itself, %s %d", i,
			      info.si_code == CLD_EXITED ? "with status" : "of signal",
			      info.si_status);
		__atomic_store_n(&crowd->members[i].pid, 0, __ATOMIC_SEQ_CST);
	}
	waitpid(info.si_pid, NULL, 0);
	return 1;
}

pid_t pid_of(int member)
{
	return crowd->members[member].pid;
}

/* A file descriptor for the process of a member: -1 if it is dead already. */
static int open_member(int member)
{
	pid_t pid = crowd->members[member].pid;
	int fd = pid ? syscall(SYS_pidfd_open, pid, 0) : -1;

	/* If it still has this PID, no other process had it meanwhile. */
	if (fd >= 0 && crowd->members[member].pid != pid) {
		close(fd);
		return -1;
	}
	return fd;
}

static int kill_member(int member)
{
	int fd = open_member(member), killed;

	if (fd < 0)
		return 0;
	killed = !syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	close(fd);
	return killed;
}

/* Only while most members are alive: else they only start new processes. */
static void kill_random_member(void)
{
	int member = 1 + any_below(work->members);

	if (crowd->alive * 4 < work->members * 3)
		return;
	/* Counted before the kill, as the caller may kill itself. */
	__atomic_add_fetch(&crowd->kills, 1, __ATOMIC_SEQ_CST);
	if (!kill_member(member))
		__atomic_sub_fetch(&crowd->kills, 1, __ATOMIC_SEQ_CST);
}

static void live(int member, pid_t parent);

static void restart_children(void)
{
	int first = me * work->children + 1;
	pid_t parent = getpid(), pid;

	while (reap_one())
		;
	for (int i = first; i < first + work->children && i <= work->members; i++) {
		/* Of a killed parent's children some may still be about to die. */
		if (own_children[i] || crowd->members[i].pid)
			continue;
		pid = fork();
		if (!pid)
			live(i, parent);
		/* No memory now; there may be when others have died. */
		if (pid > 0)
			own_children[i] = pid;
	}
}

static void live(int member, pid_t parent)
{
	struct member *self = &crowd->members[member];
	pid_t none = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	if (!__atomic_compare_exchange_n(&self->pid, &none, getpid(), 0,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		_exit(0);
	__atomic_add_fetch(&crowd->alive, 1, __ATOMIC_SEQ_CST);
	me = member;
	memset(own_children, 0, sizeof(own_children));
	seed_random(((uint64_t)member << 32) + self->lives++);

	if (work->enter) {
		self->since = now_ms();
		self->busy = 1;
		work->enter();
		self->busy = 0;
	}
	while (!crowd->stop) {
		restart_children();
		self->since = now_ms();
		__atomic_store_n(&self->busy, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&crowd->pause, __ATOMIC_SEQ_CST)) {
			self->busy = 0;
			sleep_ms(10);
			continue;
		}
		if (!any_below(4))
			kill_random_member();
		work->step();
		self->steps++;
		self->busy = 0;
	}
	_exit(0);
}

/* Run a function in a child, with a time limit. False if it did not end. */
static int run_aside(void (*what)(int), int argument)
{
	long long end = now_ms() + time_limit * 1000;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		what(argument);
		_exit(0);
	}
	while (pid > 0) {
		siginfo_t info = { .si_pid = 0 };

		/* Not by reap_one(), which reaps any child. */
		if (!waitid(P_PID, pid, &info, WEXITED | WNOHANG) && info.si_pid)
			return info.si_code == CLD_EXITED && !info.si_status;
		if (now_ms() > end) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			break;
		}
		sleep_ms(2);
	}
	return 0;
}

static void run_check(int unused)
{
	(void)unused;
	seed_random(crowd->pauses);
	work->check();
}

static void report_late(int member)
{
	struct member *late = &crowd->members[member];
	char state;

	if (!fail(IN_TIME))
		return;
	state = task_state(late->pid);
	diag("member %d, process %d, state %c, has been at one step for %.1f s",
	     member, late->pid, state ? state : '?', (now_ms() - late->since) / 1000.0);
	if (work->explain)
		work->explain(member);
}

/* A member that has been at one step for @limit seconds, or 0. */
static int late_member(double limit)
{
	long long now = now_ms();

	for (int i = 1; i <= work->members; i++) {
		struct member *member = &crowd->members[i];

		if (member->pid && member->busy && now - member->since > limit * 1000)
			return i;
	}
	return 0;
}

static int all_pause(void)
{
	for (int i = 1; i <= work->members; i++)
		if (!crowd->members[i].pid || crowd->members[i].busy)
			return 0;
	return 1;
}

/* False if a member makes no progress, or if the crowd does not pause. */
static int wait_for(int (*condition)(void), long long limit)
{
	long long end = now_ms() + limit;
	int member;

	while (!condition || !condition()) {
		restart_children();
		member = late_member(work->nudge ? NUDGE_TIME : time_limit);
		if (member && work->nudge && crowd->members[member].pid) {
			__atomic_add_fetch(&crowd->nudges, 1, __ATOMIC_SEQ_CST);
			run_aside(work->nudge, member);
			sleep_ms(200);
			member = late_member(time_limit);
		}
		if (member) {
			report_late(member);
			return 0;
		}
		if (any_failure())
			return 0;
		if (now_ms() > end)
			return !condition;
		sleep_ms(5);
	}
	return 1;
}

/* Ends all members, including orphans. */
static void end_crowd(void)
{
	/* A member that found a failure may be about to report it. */
	if (any_failure())
		sleep_ms(500);
	crowd->stop = 1;
	for (int i = 1; i <= work->members; i++)
		kill_member(i);
	for (int tries = 0; tries < 1000; tries++) {
		if (!reap_one()) {
			if (waitpid(-1, NULL, WNOHANG) < 0)
				return;
			sleep_ms(10);
		}
	}
	diag("some processes do not end");
}

/* Whether the crowd had all of its time: a failure ends it early. */
static int whole;

/* Whether there is to be another round. */
static int go_on(long long began, double length)
{
	double time = (now_ms() - began) / 1000.0;

	if (time < length)
		return 1;
	return work->enough && !work->enough() && time < LONGEST * length;
}

static void run_rounds(double length)
{
	long long began = now_ms();

	while (!any_failure() && go_on(began, length)) {
		if (!wait_for(NULL, ROUND))
			return;
		__atomic_store_n(&crowd->pause, 1, __ATOMIC_SEQ_CST);
		if (!wait_for(all_pause, time_limit * 2000)) {
			if (!any_failure())
				fails(IN_TIME, "only %d of %d members came to a pause",
				      crowd->alive, work->members);
			return;
		}
		crowd->pauses++;
		if (!run_aside(run_check, 0))
			fails(IN_TIME, "the check did not come to its end");
		crowd->pause = 0;
	}
	whole = !any_failure();
}

static int report(const char *obstacle)
{
	int count = 0, failed = 0;

	while (work->tests[count])
		count++;
	printf("TAP version 14\n1..%d\n", count);
	for (int i = 0; i < count; i++) {
		/* Without a pause, its checks were not made. */
		int bad = obstacle || crowd->failures[i] || (i != IN_TIME && !crowd->pauses);

		failed += bad;
		printf("%sok %d %s%s\n", bad ? "not " : "", i + 1, work->tests[i],
		       bad || whole ? "" : " # SKIP another one has failed too soon");
	}
	fflush(stdout);
	return failed ? 1 : 0;
}

int crowd_main(const struct work *what, int argc, char **argv)
{
	double length = argc > 1 ? atof(argv[1]) : 10;
	struct rlimit no_core = { 0, 0 };
	unsigned long long steps = 0;
	const char *obstacle;
	char *end = "";

	work = what;
	seed = now_ms() ^ (unsigned long long)getpid() << 20;
	if (argc > 2)
		seed = strtoull(argv[2], &end, 0);
	if (argc > 3)
		time_limit = atof(argv[3]);
	if (argc > 4 || length <= 0 || time_limit <= 0 || *end) {
		fprintf(stderr, "usage: %s [SECONDS [SEED [TIME_LIMIT]]], all positive numbers\n",
			argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	crowd = shared_memory(sizeof(*crowd));
	/* Orphans become children of this process, which reaps them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed_random(0);

	diag("%d members, %g seconds, seed %llu", work->members, length, seed);
	obstacle = work->prepare();
	if (obstacle) {
		diag("%s", obstacle);
		return report(obstacle);
	}
	run_rounds(length);
	end_crowd();

	for (int i = 1; i <= work->members; i++)
		steps += crowd->members[i].steps;
	diag("%lu kills, %lu deaths, %llu steps, %d pauses", crowd->kills,
	     crowd->deaths, steps, crowd->pauses);
	if (work->nudge)
		diag("%d times members that waited long were woken by the root", crowd->nudges);
	if (work->summarize)
		work->summarize();
	if (!crowd->deaths || !steps || !crowd->pauses)
		fails(DIED, "no task died or worked or paused: nothing was tested");
	return report(NULL);
}
