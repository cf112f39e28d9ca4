// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the guest of an architecture that has no C library, or none that works: a few
 * tests of robust futexes that need no library, reported in the format of guest/init.c.
 * It is built with -nostdlib. The instruction of a system call is in parts/machine.h.
 */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/reboot.h>

#include "parts/machine.h"

typedef unsigned int u32;

/* With an offset of 0 the unit of mmap2() does not matter. */
#ifndef __NR_mmap2
#define __NR_mmap2 __NR_mmap
#endif

#define CALL(name, ...)			CALL_(__NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(n, a, b, c, d, e, f, ...)	\
	machine_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Each test has more locks than a page has room for. */
#define LOCKS	5000

struct lock {
	u32 word;
	struct robust_list entry;
};

/* Shared by the processes */
static struct shared {
	struct robust_list_head head;
	struct lock locks[LOCKS];
	struct lock pending;
	volatile u32 ready, go;
	volatile u32 seen[2];
} *shared;

static int output, number, failed;

void *memcpy(void *to, const void *from, __SIZE_TYPE__ size);

/* The compiler calls it, on some architectures, to initialise an array. */
void *memcpy(void *to, const void *from, __SIZE_TYPE__ size)
{
	char *end = to;
	const char *next = from;

	while (size--)
		*end++ = *next++;
	return to;
}

static void say(const char *start, const char *text)
{
	char line[200];
	int length = 0;

	while (*start)
		line[length++] = *start++;
	while (*text)
		line[length++] = *text++;
	line[length++] = '\n';
	CALL(write, output, line, length);
}

static void result(int passed, const char *name)
{
	char start[] = "<12>| not ok 0 ";
	char *lead = start;

	number++;
	start[13] += number;
	if (passed) {
		/* Without the "not" */
		lead += 4;
		for (int i = 5; i >= 0; i--)
			lead[i] = start[i];
	} else {
		failed++;
	}
	say(lead, name);
}

static void sleep_on(volatile u32 *word, u32 value)
{
	CALL(futex, word, FUTEX_WAIT, value, 0);
}

static void wake(volatile u32 *word)
{
	CALL(futex, word, FUTEX_WAKE, 1);
}

/* The owner: holds all of the locks, and is killed. */
static void own(void)
{
	u32 tid = CALL(gettid), pid = CALL(getpid);
	int i;

	shared->head.list.next = &shared->locks[0].entry;
	shared->head.futex_offset = -(long)__builtin_offsetof(struct lock, entry);
	shared->head.list_op_pending = &shared->pending.entry;
	for (i = 0; i < LOCKS; i++) {
		shared->locks[i].word = tid;
		shared->locks[i].entry.next = i + 1 < LOCKS ? &shared->locks[i + 1].entry :
							      &shared->head.list;
	}
	shared->locks[1].word |= FUTEX_WAITERS;
	/* A lock of another task, between the others */
	shared->locks[2].word = tid + 1;
	shared->pending.word = tid | FUTEX_WAITERS;
	failed = CALL(set_robust_list, &shared->head, sizeof(shared->head)) != 0;
	shared->ready = 1;
	wake(&shared->ready);
	if (failed)
		CALL(exit, 1);
	while (!shared->go)
		sleep_on(&shared->go, 0);
	CALL(kill, pid, SIGKILL);
}

/* A waiter, of the listed lock or of the pending one */
static void wait_for(u32 *word, volatile u32 *seen)
{
	u32 value = *(volatile u32 *)word;

	sleep_on(word, value);
	*seen = *(volatile u32 *)word;
	CALL(exit, 0);
}

/* A child that runs @body(), or the parent's return */
static long start(void (*body)(void))
{
	/* As fork(), which not every architecture has */
	long pid = CALL(clone, SIGCHLD);

	if (!pid) {
		body();
		CALL(exit, 1);
	}
	return pid;
}

static void wait_for_listed(void)
{
	wait_for(&shared->locks[1].word, &shared->seen[0]);
}

static void wait_for_pending(void)
{
	wait_for(&shared->pending.word, &shared->seen[1]);
}

static void pause_for(long nanoseconds)
{
	struct { long seconds, nanoseconds; } time = { 0, nanoseconds };

	CALL(nanosleep, &time, 0);
}

static void tests(void)
{
	u32 dead = FUTEX_OWNER_DIED, waited = FUTEX_OWNER_DIED | FUTEX_WAITERS;
	int i, marked = 0, status = 0, ended = 0;
	long owner;

	say("<12>| TAP version 13", "");
	say("<12>| 1..", "6");
	owner = start(own);
	while (!shared->ready)
		sleep_on(&shared->ready, 0);
	start(wait_for_listed);
	start(wait_for_pending);
	/* They sleep long before this ends. */
	for (i = 0; i < 20; i++)
		pause_for(100000000);
	shared->go = 1;
	wake(&shared->go);
	CALL(wait4, owner, &status, 0, 0);
	result((status & 0x7f) == SIGKILL, "owner_killed");
	for (i = 0; i < LOCKS; i++)
		marked += i != 2 && shared->locks[i].word == (i == 1 ? waited : dead);
	result(marked == LOCKS - 1, "list_marked");
	result(shared->locks[2].word == (u32)owner + 1, "foreign_lock_kept");
	result(shared->pending.word == waited, "pending_marked");
	/* For five seconds at most. */
	for (i = 0; i < 50 && ended < 2; i++) {
		pause_for(100000000);
		ended = !!shared->seen[0] + !!shared->seen[1];
	}
	result(shared->seen[0] == waited, "list_waiter_woken");
	result(shared->seen[1] == waited, "pending_waiter_woken");
}

void _start(void);

void _start(void)
{
	char cpus[] = "0 CPU(s), runs bare";
	static unsigned long mask[16];

	/* As it restarts the machine at the end. */
	if (CALL(getpid) != 1)
		CALL(exit, 1);

	output = CALL(openat, AT_FDCWD, "/dev/kmsg", O_WRONLY);
	shared = (void *)CALL(mmap2, 0, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CALL(sched_getaffinity, 0, sizeof(mask), mask);
	for (; mask[0]; mask[0] >>= 1)
		cpus[0] += mask[0] & 1;
	say("<12>guest: Linux without a C library, ", cpus);
	say("<12>guest: begin ", "bare");
	tests();
	say("<12>guest: end bare ", failed ? "1 0.0 s" : "0 0.0 s");
	say("<12>guest: finished bare=", failed ? "1" : "0");
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0);
	for (;;)
		pause_for(100000000);
}
