// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "locks.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A TID that no thread of the test has. */
#define FOREIGN		1

/* What is in the memory between the locks */
#define GAP		0x5a

enum kind {
	PLAIN,			/* no waiter */
	AWAITED,		/* one waiter sleeps in FUTEX_WAIT */
	PI,			/* one waiter sleeps in FUTEX_LOCK_PI */
	OTHER_OWNER,		/* on the list, but the word has another TID */
};

struct waiter {
	pthread_t thread;
	struct slot *slot;
	enum kind kind;
	volatile pid_t tid;
	volatile unsigned int found;	/* the word that it found in a PI futex */
};

/* The area of the current test. */
static struct {
	char *memory;
	size_t size;
	int locks;		/* how many; the last one is pending */
	int parts;		/* into how many pieces of memory they are put */
	int waiting;		/* of so many, two have a waiter */
	int spare;		/* how many more waiters these two have */
	int split;		/* each part is the list of an owner of its own, */
	pid_t owners[PARTS];	/* one of these */
	struct waiter waiters[LOCKS_MAX];
	int waiter_count;
} area;

void bail_out_all(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(stdout);
	/* No process may be left behind. */
	kill(0, SIGKILL);
	_exit(1);
}

static long futex(volatile unsigned int *word, int operation, unsigned int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

pid_t own_tid(void)
{
	return syscall(SYS_gettid);
}

void *map_memory(size_t size, int sharing)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    sharing | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail_out_all("cannot map memory, give the guest more of it");
	return memory;
}

void make_area(int sharing, int locks, int parts, int waiting)
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
	area.spare = 0;
	area.split = 0;
	area.waiter_count = 0;
}

void free_area(void)
{
	munmap(area.memory, area.size);
}

void add_spare_waiters(int spare)
{
	area.spare = spare;
}

static int part_of(int number)
{
	int part = number / (area.locks / area.parts);

	return part < area.parts ? part : area.parts - 1;
}

int first_of(int part)
{
	return part * (area.locks / area.parts);
}

int last_of(int part)
{
	return part + 1 < area.parts ? first_of(part + 1) - 1 : area.locks - 1;
}

struct slot *slot_of(int number)
{
	int part = part_of(number);

	return (struct slot *)(area.memory + part * PART_SIZE + (number - first_of(part)) * STEP);
}

int is_marked(int number)
{
	return (slot_of(number)->word & FUTEX_OWNER_DIED) != 0;
}

void fill_gaps(void)
{
	for (int i = 0; i < area.locks; i++)
		memset(slot_of(i) + 1, GAP, STEP - sizeof(struct slot));
}

int count_changed_gaps(void)
{
	int changed = 0;

	for (int i = 0; i < area.locks; i++) {
		const unsigned char *gap = (const unsigned char *)(slot_of(i) + 1);
		size_t at = 0;

		while (at < STEP - sizeof(struct slot) && gap[at] == GAP)
			at++;
		changed += at < STEP - sizeof(struct slot);
	}
	return changed;
}

static int is_pending(int number)
{
	return number == (area.split ? last_of(part_of(number)) : area.locks - 1);
}

static enum kind kind_of(int number)
{
	if (number % 512 == 81)
		return OTHER_OWNER;
	if (number % 512 == 113)
		return PI;
	/* Adjacent ones, as their wakeups are made together. */
	return number % area.waiting < 2 || is_pending(number) ? AWAITED : PLAIN;
}

static int waiters_of(int number)
{
	switch (kind_of(number)) {
	case AWAITED:
		return 1 + area.spare;
	case PI:
		return 1;
	default:
		return 0;
	}
}

/* The word at first. In that of a PI futex FUTEX_LOCK_PI sets FUTEX_WAITERS. */
static unsigned int held_word(int number, pid_t owner)
{
	switch (kind_of(number)) {
	case AWAITED:
		return owner | FUTEX_WAITERS;
	case OTHER_OWNER:
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

static void take(int first, int last, struct robust_list_head *head, pid_t owner)
{
	for (int i = first; i <= last; i++)
		slot_of(i)->word = held_word(i, owner);
	for (int i = first; i < last; i++)
		slot_of(i)->list.next = i + 1 < last ? link_to(i + 1) : &head->list;
}

void take_all(struct robust_list_head *head, pid_t owner)
{
	take(0, area.locks - 1, head, owner);
}

void take_part(int part, struct robust_list_head *head, pid_t owner)
{
	area.split = 1;
	area.owners[part] = owner;
	take(first_of(part), last_of(part), head, owner);
}

static void register_locks(int first, int last, struct robust_list_head *head)
{
	head->list.next = link_to(first);
	head->futex_offset = offsetof(struct slot, word) - offsetof(struct slot, list);
	head->list_op_pending = link_to(last);
	if (syscall(SYS_set_robust_list, head, sizeof(*head)))
		bail_out_all("set_robust_list()");
}

void register_list(struct robust_list_head *head)
{
	register_locks(0, area.locks - 1, head);
}

void register_part(int part, struct robust_list_head *head)
{
	register_locks(first_of(part), last_of(part), head);
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

static void start_waiter(int number, const pthread_attr_t *attributes)
{
	struct waiter *waiter = &area.waiters[area.waiter_count];

	errno = EAGAIN;
	if (area.waiter_count == LOCKS_MAX)
		bail_out_all("too many waiters");
	memset(waiter, 0, sizeof(*waiter));
	waiter->slot = slot_of(number);
	waiter->kind = kind_of(number);
	errno = pthread_create(&waiter->thread, attributes, wait_for_lock, waiter);
	if (errno)
		bail_out_all("cannot start a waiter, give the guest more memory");
	area.waiter_count++;
}

void start_waiters(void)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 16384);
	area.waiter_count = 0;
	for (int i = 0; i < area.locks; i++)
		for (int k = 0; k < waiters_of(i); k++)
			start_waiter(i, &attributes);
	pthread_attr_destroy(&attributes);
	for (int i = 0; i < area.waiter_count; i++)
		while (!area.waiters[i].tid || task_state(area.waiters[i].tid) != 'S')
			sleep_ms(1);
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
 * reach the word. The waiter has recorded the word.
 */
static int pi_word_is_right(struct slot *slot)
{
	struct waiter *waiter = waiter_of(slot);

	/* It is woken, but may not have run yet. */
	for (int tries = 0; tries < 10000 && !waiter->found; tries++)
		sleep_ms(1);
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
		if (kind_of(number) == AWAITED) {
			outcome->waiters++;
			outcome->not_woken += asleep > area.spare;
			outcome->woken_twice += asleep < area.spare;
		}
		if (is_pending(number))
			outcome->pending_marked++;
		else
			outcome->last_marked = number;
	} else if (value == held) {
		outcome->unmarked++;
		if (number < outcome->first_unmarked && !is_pending(number))
			outcome->first_unmarked = number;
	} else {
		outcome->wrong++;
		diag("lock %d holds %08x, and was %08x", number, value, held);
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
		diag("lock %d, of %s, holds %08x", number,
		     kind_of(number) == PI ? "a PI waiter" : "another task", slot->word);
	}
}

void judge_area(pid_t owner, struct outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->first_unmarked = INT_MAX;
	outcome->last_marked = -1;
	for (int i = 0; i < area.locks; i++)
		judge_word(i, area.split ? area.owners[part_of(i)] : owner, outcome);
	for (int i = 0; i < area.waiter_count; i++)
		if (area.waiters[i].kind == AWAITED || area.waiters[i].found)
			pthread_join(area.waiters[i].thread, NULL);
}
