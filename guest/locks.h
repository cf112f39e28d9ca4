/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A robust list of thousands of locks, with waiters, and what became of them when
 * their owner is dead: what faults.c and oom.c have in common.
 *
 * The locks are bare futex words, so that no C library stands between them and the
 * kernel. Some of them have a waiter, a thread of this process; a few are PI
 * futexes; a few have the TID of another task and must stay as they are; the
 * last one is not on the list but in list_op_pending.
 *
 * Whether a waiter was woken is not a matter of time: once the owner is reaped,
 * only this program makes wakeups, and FUTEX_WAKE returns how many waiters it
 * woke. These are the ones that the exit did not wake.
 */
#ifndef LOCKS_H
#define LOCKS_H

#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* No call here has a timeout, so both kinds are the same. */
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

#define LOCKS_MAX	4096
/* How far apart they are: 64 of them in a page of 4 KiB. */
#define STEP		64
/* Each part needs a page table of its own, wherever there are such. */
#define PARTS		8
#define PART_SIZE	(4UL << 20)
/* A TID that no thread of the test has. */
#define FOREIGN		1

struct slot {
	struct robust_list list;
	volatile unsigned int word;
};

enum kind {
	PLAIN,			/* no waiter */
	AWAITED,		/* one waiter sleeps in FUTEX_WAIT */
	PI,			/* one waiter sleeps in FUTEX_LOCK_PI */
	SOMEBODY_ELSES,		/* on the list, but the word has another TID */
};

struct waiter {
	pthread_t thread;
	struct slot *slot;
	enum kind kind;
	volatile pid_t tid;
	volatile unsigned int found;	/* what it found in a PI futex */
};

/* The lists that a test makes, one after the other. */
static struct {
	char *memory;
	size_t size;
	int locks;		/* how many; the last one is pending */
	int parts;		/* into how many pieces of memory they are put */
	int waiting;		/* of so many, two have a waiter */
	struct waiter waiters[LOCKS_MAX];
	int waiter_count;
} area;

/* What the death left. */
struct outcome {
	int marked;		/* words that are marked as they should be */
	int unmarked;		/* words that are as before */
	int wrong;		/* words that hold anything else */
	int pi;			/* PI futexes that went to their waiter */
	int first_unmarked;	/* the first place in the list that is, or INT_MAX */
	int last_marked;	/* the last place in the list that is marked */
	int pending_marked;
	int waiters;		/* of words that are marked */
	int forgotten;		/* those of them that still sleep */
};

static void tell(const char *format, ...)
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

/* What this guest does not have: no result can follow. */
static void give_up(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(stdout);
	/* No process may be left behind. */
	kill(0, SIGKILL);
	_exit(1);
}

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

static long futex(volatile unsigned int *word, int operation, unsigned int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static pid_t own_tid(void)
{
	return syscall(SYS_gettid);
}

static void *map_memory(size_t size, int sharing)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    sharing | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		give_up("cannot map memory, give the guest more of it");
	return memory;
}

static void make_area(int sharing, int locks, int parts, int waiting)
{
	char *start;

	area.size = (parts + 1) * PART_SIZE;
	area.memory = map_memory(area.size, sharing);
	/* The parts are whole page tables. */
	start = (char *)(((unsigned long)area.memory + PART_SIZE - 1) & ~(PART_SIZE - 1));
	munmap(area.memory, start - area.memory);
	munmap(start + parts * PART_SIZE, area.memory + area.size - start - parts * PART_SIZE);
	area.memory = start;
	area.size = parts * PART_SIZE;
	area.locks = locks;
	area.parts = parts;
	area.waiting = waiting;
	area.waiter_count = 0;
}

static void free_area(void)
{
	munmap(area.memory, area.size);
}

static struct slot *slot_of(int number)
{
	int each = area.locks / area.parts;
	int part = number / each < area.parts ? number / each : area.parts - 1;

	return (struct slot *)(area.memory + part * PART_SIZE + (number - part * each) * STEP);
}

static enum kind kind_of(int number)
{
	if (number % 512 == 81)
		return SOMEBODY_ELSES;
	if (number % 512 == 113)
		return PI;
	/* Neighbours, as their wakeups are made together. */
	return number % area.waiting < 2 || number == area.locks - 1 ? AWAITED : PLAIN;
}

static int has_waiter(int number)
{
	return kind_of(number) == AWAITED || kind_of(number) == PI;
}

/* The word at first. In that of a PI futex FUTEX_LOCK_PI sets FUTEX_WAITERS. */
static unsigned int held_word(int number, pid_t owner)
{
	switch (kind_of(number)) {
	case AWAITED:
		return owner | FUTEX_WAITERS;
	case SOMEBODY_ELSES:
		return FOREIGN;
	default:
		return owner;
	}
}

static struct robust_list *link_to(int number)
{
	return (struct robust_list *)((unsigned long)&slot_of(number)->list |
				      (kind_of(number) == PI));
}

/* The owner has all locks, and is about to lock or unlock the last one. */
static void take_all(struct robust_list_head *head, pid_t owner)
{
	int listed = area.locks - 1;

	for (int i = 0; i < area.locks; i++)
		slot_of(i)->word = held_word(i, owner);
	for (int i = 0; i < listed; i++)
		slot_of(i)->list.next = i + 1 < listed ? link_to(i + 1) : &head->list;
}

static void register_list(struct robust_list_head *head)
{
	head->list.next = link_to(0);
	head->futex_offset = offsetof(struct slot, word) - offsetof(struct slot, list);
	head->list_op_pending = link_to(area.locks - 1);
	if (syscall(SYS_set_robust_list, head, sizeof(*head)))
		give_up("set_robust_list()");
}

static void *wait_for_lock(void *argument)
{
	struct waiter *waiter = argument;
	volatile unsigned int *word = &waiter->slot->word;
	unsigned int value = *word;

	waiter->tid = own_tid();
	if (waiter->kind == PI) {
		if (!futex(word, FUTEX_LOCK_PI, 0)) {
			waiter->found = *word;
			futex(word, FUTEX_UNLOCK_PI, 0);
		}
	} else if (!(value & FUTEX_OWNER_DIED)) {
		futex(word, FUTEX_WAIT, value);
	}
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (!file)
		return state;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(file);
	return state;
}

/* The owner has all locks by now. On return all waiters sleep. */
static void start_waiters(void)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 16384);
	area.waiter_count = 0;
	for (int i = 0; i < area.locks; i++) {
		struct waiter *waiter = &area.waiters[area.waiter_count];

		if (!has_waiter(i))
			continue;
		memset(waiter, 0, sizeof(*waiter));
		waiter->slot = slot_of(i);
		waiter->kind = kind_of(i);
		errno = pthread_create(&waiter->thread, &attributes, wait_for_lock, waiter);
		if (errno)
			give_up("cannot start a waiter, give the guest more memory");
		area.waiter_count++;
	}
	pthread_attr_destroy(&attributes);
	for (int i = 0; i < area.waiter_count; i++)
		while (!area.waiters[i].tid || state_of(area.waiters[i].tid) != 'S')
			doze(1);
}

static struct waiter *waiter_of(struct slot *slot)
{
	for (int i = 0; i < area.waiter_count; i++)
		if (area.waiters[i].slot == slot)
			return &area.waiters[i];
	return NULL;
}

/*
 * The kernel makes the waiter of a PI futex its owner, whether or not the walk could
 * reach the word. The waiter has written down what it found.
 */
static int pi_word_is_right(struct slot *slot)
{
	struct waiter *waiter = waiter_of(slot);

	/* It is woken, but may not have run yet. */
	for (int tries = 0; tries < 10000 && !waiter->found; tries++)
		doze(1);
	return (waiter->found & FUTEX_TID_MASK) == (unsigned int)waiter->tid &&
	       waiter->found & FUTEX_OWNER_DIED;
}

/* A word that has a waiter in FUTEX_WAIT, or none. */
static void judge_plain_word(int number, pid_t owner, struct outcome *outcome)
{
	struct slot *slot = slot_of(number);
	unsigned int held = held_word(number, owner), value = slot->word;
	unsigned int marked = (held & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	int asleep = 0;

	if (kind_of(number) == AWAITED)
		asleep = futex(&slot->word, FUTEX_WAKE, INT_MAX);
	if (value == marked) {
		outcome->marked++;
		outcome->waiters += kind_of(number) == AWAITED;
		outcome->forgotten += asleep;
		if (number == area.locks - 1)
			outcome->pending_marked = 1;
		else
			outcome->last_marked = number;
	} else if (value == held) {
		outcome->unmarked++;
		if (number < outcome->first_unmarked && number < area.locks - 1)
			outcome->first_unmarked = number;
	} else {
		outcome->wrong++;
		tell("lock %d holds %08x, and was %08x", number, value, held);
	}
}

static void judge_word(int number, pid_t owner, struct outcome *outcome)
{
	struct slot *slot = slot_of(number);
	int right;

	switch (kind_of(number)) {
	case PLAIN:
	case AWAITED:
		judge_plain_word(number, owner, outcome);
		return;
	case PI:
		right = pi_word_is_right(slot);
		outcome->pi += right;
		break;
	default:
		right = slot->word == FOREIGN;
	}
	if (!right) {
		outcome->wrong++;
		tell("lock %d, of %s, holds %08x", number,
		     kind_of(number) == PI ? "a PI waiter" : "another task", slot->word);
	}
}

/* The owner is dead and reaped. Afterwards there are no waiters any more. */
static void judge_area(pid_t owner, struct outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->first_unmarked = INT_MAX;
	outcome->last_marked = -1;
	for (int i = 0; i < area.locks; i++)
		judge_word(i, owner, outcome);
	for (int i = 0; i < area.waiter_count; i++)
		if (area.waiters[i].kind == AWAITED || area.waiters[i].found)
			pthread_join(area.waiters[i].thread, NULL);
}

#endif /* LOCKS_H */
