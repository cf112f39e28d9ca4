// SPDX-License-Identifier: GPL-2.0
/* Under fire: lists that other threads and a process rewrite while the victim dies. */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A lock under fire is 32 bytes. Attackers write its word, and its link. All the
 * rest is constant: some words without an owner, and one more entry, which has
 * such a word before it and a link that leads on.
 */
#define FIRE_STRIDE	32
#define FIRE_WORD	4
#define FIRE_ENTRY	8
#define FIRE_DETOUR	24
#define FIRE_OFFSET	(FIRE_WORD - FIRE_ENTRY)
#define FIRE_HEAD	(FIRE_LOCKS * FIRE_STRIDE)
#define FIRE_USED	(FIRE_HEAD + 64)
#define ATTACKERS	3

static const __u32 canary_places[] = { 0, 16, FIRE_DETOUR + FIRE_OFFSET };
static const __u32 constant_places[] = { 0, 16, 20, 24, 28 };

/* Opens what no protection of pages closes to ourselves */
static int own_memory = -1;

/* The state of the random numbers of one attacker */
struct dice {
	__u64 state;
};

static __u32 roll(struct dice *dice, __u32 end)
{
	dice->state = dice->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (dice->state >> 33) % end;
}

static __u32 canary(__u32 lock, __u32 place)
{
	static const __u32 values[] = {
		0, FUTEX_WAITERS, FUTEX_OWNER_DIED, OTHER_TID,
		OTHER_TID | FUTEX_WAITERS, UINT32_MAX, OTHER_TID | FUTEX_OWNER_DIED,
		FUTEX_WAITERS | FUTEX_OWNER_DIED,
	};

	return values[(lock * 5 + place / 4 * 3 + lock / 8) % 8];
}

/* Write from an attacker, which must survive changes of the page by others. */
static void fire_write(const struct memory *memory, __u32 at,
		       const void *data, __u32 size)
{
	if (!memory->shared) {
		if (pwrite(own_memory, data, size,
			   (uintptr_t)memory->control + at) < 0)
			return;
	} else if (job->cuts) {
		if (pwrite(memory->fd, data, size, at) < 0)
			return;
	} else if (size == sizeof(long)) {
		__atomic_store_n((unsigned long *)(memory->control + at),
				 *(const unsigned long *)data, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n((__u32 *)(memory->control + at),
				 *(const __u32 *)data, __ATOMIC_RELAXED);
	}
}

static void fire_pointer(const struct memory *memory, __u32 at, __u64 pointer)
{
	__u32 compat = pointer;

	if (job->compat)
		fire_write(memory, at, &compat, 4);
	else
		fire_write(memory, at, &pointer, 8);
}

static __u64 fire_target(const struct memory *memory, struct dice *dice)
{
	__u64 start = (uintptr_t)memory->view[LOW];
	__u32 lock = roll(dice, job->locks);

	switch (roll(dice, 40)) {
	case 0:
		return roll(dice, 4096);
	case 1:
		return job->compat ? 0xfffff000U : 0xffff888000001000ULL;
	case 2:
		return start + FIRE_HEAD;
	case 3:
		return start + roll(dice, FIRE_USED);
	case 4:
	case 5:
	case 6:
	case 7:
		return start + lock * FIRE_STRIDE + FIRE_DETOUR;
	case 8:
		return start + lock * FIRE_STRIDE + canary_places[roll(dice, 3)] -
		       FIRE_OFFSET;
	case 9:
		return (start + lock * FIRE_STRIDE + FIRE_ENTRY) | 1;
	default:
		return start + lock * FIRE_STRIDE + FIRE_ENTRY;
	}
}

/* Never the value of a marked lock: only the kernel writes that. */
static __u32 fire_word(struct dice *dice)
{
	__u32 bits = roll(dice, 4) << 30;

	switch (roll(dice, 8)) {
	case 0:
		return bits & FUTEX_WAITERS;
	case 1:
		return OTHER_TID | bits;
	default:
		return job->tid | bits;
	}
}

/* Change the mapping of a page of the low view. Any of these calls may fail. */
static void attack_mapping(struct memory *memory, struct dice *dice)
{
	static const int protections[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	};
	__u32 pages = (job->locks * FIRE_STRIDE + page_size - 1) / page_size;
	__u32 at = roll(dice, pages) * page_size;
	char *page, *away;

	if (roll(dice, 20) == 0)
		at = FIRE_HEAD / page_size * page_size;
	page = memory->view[LOW] + at;
	switch (roll(dice, 8)) {
	case 0:
		munmap(page, page_size);
		map_again(memory, LOW, at, page_size);
		break;
	case 1:
		/* Growing it by a page makes it move. */
		away = mremap(page, page_size, 2 * page_size, MREMAP_MAYMOVE);
		if (away == MAP_FAILED || away == page)
			break;
		if (mremap(away, 2 * page_size, page_size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
			munmap(away, 2 * page_size);
			map_again(memory, LOW, at, page_size);
		}
		break;
	case 2:
	case 3:
		madvise(page, page_size, MADV_DONTNEED);
		break;
	case 4:
		madvise(page, 4 * page_size, MADV_HUGEPAGE);
		break;
	default:
		mprotect(page, page_size, protections[roll(dice, 4)]);
	}
}

/*
 * Write a word. Only the kernel marks one: whoever finds a mark knows that the walk has
 * begun. If a word that gets the TID after that is marked in the end, it was not over.
 */
static void attack_word(const struct memory *memory, struct dice *dice, bool *begun)
{
	__u32 word = fire_word(dice), lock = roll(dice, job->locks);
	__u32 at = lock * FIRE_STRIDE + FIRE_WORD, old;

	if (!memory->shared || job->cuts) {
		fire_write(memory, at, &word, 4);
		return;
	}
	old = __atomic_exchange_n((__u32 *)(memory->control + at), word, __ATOMIC_SEQ_CST);
	if (*begun && (word & FUTEX_TID_MASK) == job->tid)
		__atomic_store_n(&job->rewritten[lock], 1, __ATOMIC_SEQ_CST);
	if (old == MARKED_BITS(old))
		*begun = true;
}

static void attack_once(struct memory *memory, struct dice *dice, bool mappings, bool *begun)
{
	switch (roll(dice, 16)) {
	case 0:
		fire_pointer(memory, FIRE_HEAD + (roll(dice, 2) ? 0 :
			     job->compat ? 8 : 16), fire_target(memory, dice));
		break;
	case 1:
	case 2:
		if (mappings && job->moves) {
			attack_mapping(memory, dice);
			break;
		}
		if (job->cuts && roll(dice, 4) == 0 &&
		    !ftruncate(memory->fd, roll(dice, FIRE_HEAD) & ~3U))
			if (ftruncate(memory->fd, ARENA_SIZE))
				break;
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		fire_pointer(memory, roll(dice, job->locks) * FIRE_STRIDE + FIRE_ENTRY,
			     fire_target(memory, dice));
		break;
	default:
		attack_word(memory, dice, begun);
	}
}

/* One round of an attacker. Returns the number of its changes. */
static __u32 attack(__u32 number, bool mappings)
{
	struct memory *memory = &memories[job->kind];
	struct dice dice = { job->random + number * 0x9e3779b97f4a7c15ULL };
	__u32 strikes = 0;
	bool begun = false;

	while (!__atomic_load_n(&job->stop, __ATOMIC_ACQUIRE)) {
		attack_once(memory, &dice, mappings, &begun);
		strikes++;
		/* With few CPUs the victim needs one. */
		if (strikes % 256 == 0)
			sched_yield();
	}
	return strikes;
}

static void *attacker(void *argument)
{
	__u32 number = (uintptr_t)argument, round = 0;
	bool outside = number == 0;

	for (;;) {
		while (__atomic_load_n(&job->round, __ATOMIC_SEQ_CST) == round)
			futex_call(&job->round, FUTEX_WAIT, round, 0, NULL);
		round++;
		/* Private memory is not shared with the process outside. */
		if (!outside || memories[job->kind].shared)
			__atomic_add_fetch(&job->strikes, attack(number, !outside),
					   __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&job->idle, 1, __ATOMIC_SEQ_CST);
		futex_call(&job->idle, FUTEX_WAKE, INT_MAX, 0, NULL);
	}
	return NULL;
}

bool start_attackers(void)
{
	pthread_t thread;
	uintptr_t number;
	pid_t pid;

	own_memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	pid = fork();
	if (pid < 0)
		return false;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attacker(NULL);
	}
	for (number = 1; number < ATTACKERS; number++)
		if (pthread_create(&thread, NULL, attacker, (void *)number))
			return false;
	return true;
}

static int attacking_member(void *argument)
{
	attack(ATTACKERS + (uintptr_t)argument, true);
	syscall(SYS_exit_group, 0);
	return 0;
}

static void fire_tids(void)
{
	char *memory = scene.memory->control;
	__u32 i;

	for (i = 0; i < job->locks; i++)
		put_word(memory, i * FIRE_STRIDE + FIRE_WORD,
			 (i % 16 ? job->tid : OTHER_TID) | (i % 3 ? 0 : FUTEX_WAITERS));
}

static int fire_victim(void *unused)
{
	__u64 head = (uintptr_t)scene.memory->view[LOW] + FIRE_HEAD;
	uintptr_t thread;
	long error;

	(void)unused;
	job->tid = syscall(SYS_gettid);
	fire_tids();
	if (job->compat)
		error = set_compat_list(head);
	else
		error = syscall(SYS_set_robust_list, (uintptr_t)head,
				3 * sizeof(long));
	if (error)
		syscall(SYS_exit_group, VICTIM_FAILED);

	/* Now the others may begin. */
	__atomic_add_fetch(&job->round, 1, __ATOMIC_SEQ_CST);
	futex_call(&job->round, FUTEX_WAKE, INT_MAX, 0, NULL);
	if (!scene.common)
		for (thread = 1; thread < THREADS_MAX; thread++)
			if (clone(attacking_member, stack_of(thread),
				  THREAD_FLAGS, (void *)thread) < 0)
				syscall(SYS_exit_group, VICTIM_FAILED);
	sched_yield();
	if (scene.death == PROCESS_KILLED)
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	syscall(SYS_exit, 0);
	return 0;
}

static void make_fire(void)
{
	struct memory *memory;
	__u64 start, next;
	__u32 i, k, size;

	seed_random(scene.seed * 0x2545f4914f6cdd1dULL + 1);
	do {
		memory = &memories[below(SYSV_SHARED + 1)];
	} while (!memory->usable || (!memory->shared && own_memory < 0));
	scene.memory = memory;
	scene.death = percent(40) ? THREAD_EXIT : percent(50) ? PROCESS_EXIT :
		      PROCESS_KILLED;
	scene.common = !memory->shared || scene.death == THREAD_EXIT || percent(30);
	scene.nr_spots = 0;
	job->kind = memory - memories;
	job->compat = has_compat && (sizeof(long) == 4 || percent(40));
	job->locks = percent(10) ? 2 : percent(50) ? between(3, 100) :
		     between(100, FIRE_LOCKS);
	job->moves = percent(70);
	job->cuts = memory->shrinks && percent(30);
	job->random = random_bits();
	job->tid = OTHER_TID;
	job->stop = 0;
	job->idle = 0;
	job->strikes = 0;
	memset(job->rewritten, 0, sizeof(job->rewritten));

	size = job->compat ? 4 : 8;
	start = (uintptr_t)memory->view[LOW];
	memset(image, 0, FIRE_USED);
	for (i = 0; i < job->locks; i++) {
		for (k = 0; k < ARRAY_SIZE(canary_places); k++)
			put_word(image, i * FIRE_STRIDE + canary_places[k],
				 canary(i, canary_places[k]));
		next = i + 1 < job->locks ?
		       start + (i + 1) * FIRE_STRIDE + FIRE_ENTRY :
		       percent(50) ? start + FIRE_HEAD : start + FIRE_ENTRY;
		put_pointer(job->compat, i * FIRE_STRIDE + FIRE_ENTRY, next);
		put_pointer(job->compat, i * FIRE_STRIDE + FIRE_DETOUR,
			    start + below(job->locks) * FIRE_STRIDE + FIRE_ENTRY);
	}
	put_pointer(job->compat, FIRE_HEAD, start + FIRE_ENTRY);
	put_pointer(job->compat, FIRE_HEAD + size, (__s64)FIRE_OFFSET);
	put_pointer(job->compat, FIRE_HEAD + 2 * size, percent(50) ? 0 :
		    start + below(job->locks) * FIRE_STRIDE + FIRE_ENTRY);
	memcpy(memory->control, image, FIRE_USED);
}

/* A word that was lost with its page is 0 now, any other is unchanged. */
static bool check_constants(void)
{
	bool lost = job->cuts || !scene.memory->shared, right = true;
	__u32 i, k, at, found;

	for (i = 0; i < job->locks && right; i++) {
		for (k = 0; k < ARRAY_SIZE(constant_places); k++) {
			at = i * FIRE_STRIDE + constant_places[k];
			found = get_word(scene.memory->control, at);
			if (found == get_word(image, at) || (lost && !found))
				continue;
			fail("word at +%#x: %08x became %08x, the TID is %u", at,
			     get_word(image, at), found, job->tid);
			right = false;
		}
	}
	return right;
}

/* A word that was written during the walk has a value of an attacker or of the walk. */
static bool check_fire_words(void)
{
	bool right = true;
	__u32 i, at, found, owner;

	for (i = 0; i < job->locks && right; i++) {
		at = i * FIRE_STRIDE + FIRE_WORD;
		found = get_word(scene.memory->control, at);
		owner = found & FUTEX_TID_MASK;
		if (found == MARKED_BITS(found)) {
			totals.marked++;
			job->during += job->rewritten[i];
		} else if (owner != job->tid && owner != OTHER_TID &&
			   found != (found & FUTEX_WAITERS)) {
			fail("word at +%#x is %08x, the TID is %u", at, found, job->tid);
			right = false;
		}
	}
	return right;
}

bool fire_one(void)
{
	struct memory *memory;
	double began, time;
	bool right = true;
	__u32 idle;
	int status;
	pid_t pid;

	make_fire();
	memory = scene.memory;
	began = now_seconds();
	pid = clone(fire_victim, stack_of(0), clone_flags(), NULL);
	time = now_seconds() - began;
	if (pid < 0) {
		fail("clone() fails");
		return false;
	}
	if (time > totals.longest)
		totals.longest = time;

	__atomic_store_n(&job->stop, 1, __ATOMIC_RELEASE);
	while ((idle = __atomic_load_n(&job->idle, __ATOMIC_SEQ_CST)) < ATTACKERS)
		futex_call(&job->idle, FUTEX_WAIT, idle, 0, NULL);
	if (scene.death != THREAD_EXIT) {
		while (waitpid(pid, &status, __WALL) < 0)
			if (errno != EINTR)
				break;
		if (WIFEXITED(status) && WEXITSTATUS(status)) {
			fail("the victim ended with status %#x", status);
			right = false;
		}
	}

	if (memory->fd >= 0 && ftruncate(memory->fd, ARENA_SIZE))
		right = false;
	if (memory->shared)
		right &= map_again(memory, LOW, 0, ARENA_SIZE);
	else
		right &= !mprotect(memory->control, ARENA_SIZE, PROT_READ | PROT_WRITE);
	right &= check_constants() && check_fire_words();
	totals.deaths[scene.death]++;
	totals.kinds[job->kind]++;
	totals.attacks += job->strikes;
	totals.lists++;
	totals.compat += job->compat;
	totals.locks += job->locks;
	if (!right || verbose)
		fail("%s, %s memory%s, %s-bit, %u locks, %s%s",
		     death_names[scene.death], memory->name,
		     scene.common ? " in common" : "", job->compat ? "32" : "64",
		     job->locks, job->moves ? "mappings change " : "",
		     job->cuts ? "the file's size changes" : "");
	return right;
}
