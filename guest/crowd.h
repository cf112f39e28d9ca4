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
 * usage: PROGRAM [SECONDS [SEED [PATIENCE]]]
 *
 *	SECONDS   how long they may go on (10)
 *	SEED      of all that is random but the scheduler
 *	PATIENCE  seconds that a single step may take (20)
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 *
 * A program that includes this describes its work in a `struct work`.
 */
#ifndef CROWD_H
#define CROWD_H

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS_MAX	64
#define TESTS_MAX	8

/* How many failures of each test are reported in detail. */
#define DETAILS_MAX	5

/* The members are busy so long, in milliseconds, before all have to pause. */
#define ROUND		1000

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
	IN_TIME,		/* every step came to its end within the patience */
	DIED,			/* members were killed, and worked */
	FIRST_OWN_TEST,
};

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

static const struct work *work;
static struct crowd *crowd;
static int me;			/* which member this process is, 0 for the root */
static uint64_t random_state;
static unsigned long long seed;
static double patience = 20;

/* What a member does not inherit when it starts its own children. */
static pid_t own_children[MEMBERS_MAX + 1];

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void doze(int how_long)
{
	struct timespec time = { .tv_nsec = how_long * 1000000L };

	nanosleep(&time, NULL);
}

/* Neither the C library's nor the kernel's: a seed gives the same everywhere. */
static unsigned int any_below(unsigned int limit)
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

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		printf("Bail out! cannot map memory, give the guest more of it\n");
		exit(1);
	}
	return memory;
}

/* One line, by one system call: the writer may be killed at any time. */
static void __attribute__((format(printf, 1, 2))) tell(const char *format, ...)
{
	char text[512] = "# ";
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	vsnprintf(text + 2, sizeof(text) - 3, format, arguments);
	va_end(arguments);
	length = strlen(text);
	text[length++] = '\n';
	if (write(STDOUT_FILENO, text, length) < 0)
		return;
}

/* Whether this failure of the test is still to be reported in detail. */
static int fail(int test)
{
	return __atomic_fetch_add(&crowd->failures[test], 1, __ATOMIC_SEQ_CST) < DETAILS_MAX;
}

#define fails(test, ...)						\
do {									\
	if (fail(test))							\
		tell(__VA_ARGS__);					\
} while (0)

static int any_failure(void)
{
	for (int i = 0; i < TESTS_MAX; i++)
		if (crowd->failures[i])
			return 1;
	return 0;
}

/*
 * Reap one dead child. Its number is given up before it is reaped, while no
 * other process can have it: see kill_somebody().
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

/* A file descriptor for the process of a member: -1 if it is dead already. */
static int open_member(int member)
{
	pid_t pid = crowd->members[member].pid;
	int fd = pid ? syscall(SYS_pidfd_open, pid, 0) : -1;

	/* If it still has this number, no other process had it meanwhile. */
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

/* Only while most are alive: else the crowd would do nothing but grow. */
static void kill_somebody(void)
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

static void tend_children(void)
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
		/* No memory now: there may be some when others have died. */
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
		self->since = milliseconds();
		self->busy = 1;
		work->enter();
		self->busy = 0;
	}
	while (!crowd->stop) {
		tend_children();
		self->since = milliseconds();
		__atomic_store_n(&self->busy, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&crowd->pause, __ATOMIC_SEQ_CST)) {
			self->busy = 0;
			doze(10);
			continue;
		}
		if (!any_below(4))
			kill_somebody();
		work->step();
		self->steps++;
		self->busy = 0;
	}
	_exit(0);
}

/* Run something in a child, with a time limit. False if it did not come to an end. */
static int run_aside(void (*what)(int), int argument)
{
	long long end = milliseconds() + patience * 1000;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		what(argument);
		_exit(0);
	}
	while (pid > 0) {
		siginfo_t info = { .si_pid = 0 };

		/* Not by reap_one(): orphans are not its business. */
		if (!waitid(P_PID, pid, &info, WEXITED | WNOHANG) && info.si_pid)
			return info.si_code == CLD_EXITED && !info.si_status;
		if (milliseconds() > end) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			break;
		}
		doze(2);
	}
	return 0;
}

static void run_check(int unused)
{
	(void)unused;
	seed_random(crowd->pauses);
	work->check();
}

static void state_of(pid_t pid, char *text, size_t size)
{
	char path[64];
	FILE *file;

	snprintf(text, size, "?");
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return;
	if (fscanf(file, "%*d (%*[^)]) %3s", text) != 1)
		snprintf(text, size, "?");
	fclose(file);
}

static void complain_of(int member)
{
	struct member *who = &crowd->members[member];
	char state[4];

	if (!fail(IN_TIME))
		return;
	state_of(who->pid, state, sizeof(state));
	tell("member %d, process %d, state %s, has been at one step for %.1f s",
	     member, who->pid, state, (milliseconds() - who->since) / 1000.0);
	if (work->explain)
		work->explain(member);
}

/* A member that has been at one step for @limit seconds, or 0. */
static int late_member(double limit)
{
	long long now = milliseconds();

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

/* False if a member does not get on, or if the crowd does not come to rest. */
static int wait_for(int (*condition)(void), long long limit)
{
	long long end = milliseconds() + limit;
	int member;

	while (!condition || !condition()) {
		tend_children();
		member = late_member(work->nudge ? patience / 50 : patience);
		if (member && work->nudge && crowd->members[member].pid) {
			__atomic_add_fetch(&crowd->nudges, 1, __ATOMIC_SEQ_CST);
			run_aside(work->nudge, member);
			doze(200);
			member = late_member(patience);
		}
		if (member) {
			complain_of(member);
			return 0;
		}
		if (any_failure())
			return 0;
		if (milliseconds() > end)
			return !condition;
		doze(5);
	}
	return 1;
}

/* Ends all members, those included that have lost their parents. */
static void end_crowd(void)
{
	/* A member that found a failure may be about to report it. */
	if (any_failure())
		doze(500);
	crowd->stop = 1;
	for (int i = 1; i <= work->members; i++)
		kill_member(i);
	for (int tries = 0; tries < 1000; tries++) {
		if (!reap_one()) {
			if (waitpid(-1, NULL, WNOHANG) < 0)
				return;
			doze(10);
		}
	}
	tell("some processes do not end");
}

/* Whether the crowd had all of its time: a failure ends it early. */
static int whole;

static void run_rounds(double length)
{
	long long end = milliseconds() + length * 1000;

	while (!any_failure() && milliseconds() < end) {
		if (!wait_for(NULL, ROUND))
			return;
		__atomic_store_n(&crowd->pause, 1, __ATOMIC_SEQ_CST);
		if (!wait_for(all_pause, patience * 2000)) {
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
		/* What is judged in a pause was not judged where there was none. */
		int bad = obstacle || crowd->failures[i] || (i != IN_TIME && !crowd->pauses);

		failed += bad;
		printf("%sok %d %s%s\n", bad ? "not " : "", i + 1, work->tests[i],
		       bad || whole ? "" : " # SKIP another one has failed too soon");
	}
	fflush(stdout);
	return failed ? 1 : 0;
}

static int crowd_main(const struct work *what, int argc, char **argv)
{
	double length = argc > 1 ? atof(argv[1]) : 10;
	struct rlimit no_core = { 0, 0 };
	unsigned long long steps = 0;
	const char *obstacle;
	char *end = "";

	work = what;
	seed = milliseconds() ^ (unsigned long long)getpid() << 20;
	if (argc > 2)
		seed = strtoull(argv[2], &end, 0);
	if (argc > 3)
		patience = atof(argv[3]);
	if (argc > 4 || length <= 0 || patience <= 0 || *end) {
		fprintf(stderr, "usage: %s [SECONDS [SEED [PATIENCE]]], all positive numbers\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	crowd = shared_memory(sizeof(*crowd));
	/* Orphans become children of this process, which reaps them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed_random(0);

	tell("%d members, %g seconds, seed %llu", work->members, length, seed);
	obstacle = work->prepare();
	if (obstacle) {
		tell("%s", obstacle);
		return report(obstacle);
	}
	run_rounds(length);
	end_crowd();

	for (int i = 1; i <= work->members; i++)
		steps += crowd->members[i].steps;
	tell("%lu kills, %lu deaths, %llu steps, %d pauses", crowd->kills,
	     crowd->deaths, steps, crowd->pauses);
	if (work->nudge)
		tell("%d times those who waited long were woken from outside", crowd->nudges);
	if (work->summarize)
		work->summarize();
	if (!crowd->deaths || !steps || !crowd->pauses)
		fails(DIED, "no task died or worked or paused: nothing was tested");
	return report(NULL);
}

#endif /* CROWD_H */
