// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * FUTEX_ROBUST_UNLOCK: the kernel releases a robust futex and clears the
 * pending pointer. What it does, what it refuses, and that a refusal has
 * changed nothing.
 */
#include <sched.h>

#include "robust_unlock.h"

#define NR_WAITERS	3

/* What no test stores anywhere */
#define GUARD		0xa5

/*
 * The word, and behind it, in pages of their own, places for pending pointers.
 * One is written, the others are not to be.
 */
struct area {
	char *memory;
	size_t page;
	futex_t *word;
	char *pop;
};

#define AREA_PAGES	4

static bool make_area(struct area *area, int sharing)
{
	area->page = sysconf(_SC_PAGESIZE);
	area->memory = mmap(NULL, AREA_PAGES * area->page, PROT_READ | PROT_WRITE,
			    sharing | MAP_ANONYMOUS, -1, 0);
	if (area->memory == MAP_FAILED)
		return false;
	memset(area->memory, GUARD, AREA_PAGES * area->page);
	area->word = (futex_t *)area->memory;
	area->pop = area->memory + area->page + 64;
	return true;
}

/* Whether @size bytes at @from still have what make_area() stored */
static bool untouched(const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if ((unsigned char)from[i] != GUARD)
			return false;
	return true;
}

static bool all_zero(const char *from, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (from[i])
			return false;
	return true;
}

/* All of the area but the word and @size bytes at @pop */
static bool rest_untouched(struct area *area, const char *pop, size_t size)
{
	const char *end = area->memory + AREA_PAGES * area->page;
	const char *from = area->memory + sizeof(*area->word);

	return untouched(from, pop - from) && untouched(pop + size, end - pop - size);
}

/* Threads that sleep on the word, by an operation that has the same flags */
struct sleeper {
	pthread_t thread;
	futex_t *word;
	int flags;
	bool pi;
	__u32 value;
	__u32 bitset;
	futex_t tid;
	futex_t ended;
	long result;
};

static void *sleep_on_word(void *arg)
{
	struct __kernel_timespec limit = {};
	struct sleeper *sleeper = arg;
	struct timespec now;
	int op = FUTEX_WAIT_BITSET;

	/* Both take a point in time, of different clocks */
	clock_gettime(sleeper->pi ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
	limit.tv_sec = now.tv_sec + 6 * TIME_LIMIT;
	if (sleeper->pi)
		op = FUTEX_LOCK_PI;
	sleeper->tid = syscall(SYS_gettid);
	sleeper->result = syscall(SYS_FUTEX_TIMED, sleeper->word, op | sleeper->flags,
				  sleeper->value, &limit, NULL, sleeper->bitset);
	sleeper->ended = 1;
	/* One that has a PI futex keeps it until the test is over */
	while (sleeper->pi)
		pause();
	return NULL;
}

static int count_asleep(struct sleeper *sleeper)
{
	return syscall(SYS_FUTEX_TIMED, sleeper->word, FUTEX_CMP_REQUEUE | sleeper->flags, 0,
		       (long)INT_MAX, sleeper->word, *sleeper->word);
}

static bool start_sleeper(struct sleeper *sleeper, futex_t *word, int flags, bool pi)
{
	int before;

	sleeper->word = word;
	sleeper->flags = flags;
	sleeper->pi = pi;
	sleeper->value = *word;
	if (!sleeper->bitset)
		sleeper->bitset = FUTEX_BITSET_MATCH_ANY;
	before = pi ? 0 : count_asleep(sleeper);
	if (pthread_create(&sleeper->thread, NULL, sleep_on_word, sleeper) ||
	    !happens(sleeper->tid))
		return false;
	if (pi)
		return happens(*word & FUTEX_WAITERS) &&
		       happens(task_state(getpid(), sleeper->tid) == 'S');
	return happens(count_asleep(sleeper) == before + 1);
}

static int count_ended(struct sleeper *sleepers, int nr)
{
	int i, ended = 0;

	for (i = 0; i < nr; i++)
		ended += sleepers[i].ended;
	return ended;
}

FIXTURE(call_release)
{
	struct area area;
	struct sleeper sleepers[NR_WAITERS];
	int op;
	size_t pop_size;
	__u32 tid;
};

FIXTURE_VARIANT(call_release)
{
	int command;
	enum width width;
	bool private;
};

FIXTURE_VARIANT_ADD(call_release, wake) {
	.command = FUTEX_WAKE,
};

FIXTURE_VARIANT_ADD(call_release, wake_private) {
	.command = FUTEX_WAKE,
	.private = true,
};

FIXTURE_VARIANT_ADD(call_release, wake_list32) {
	.command = FUTEX_WAKE,
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(call_release, wake_list32_private) {
	.command = FUTEX_WAKE,
	.width = LIST32,
	.private = true,
};

FIXTURE_VARIANT_ADD(call_release, bitset) {
	.command = FUTEX_WAKE_BITSET,
};

FIXTURE_VARIANT_ADD(call_release, bitset_private) {
	.command = FUTEX_WAKE_BITSET,
	.private = true,
};

FIXTURE_VARIANT_ADD(call_release, bitset_list32) {
	.command = FUTEX_WAKE_BITSET,
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(call_release, bitset_list32_private) {
	.command = FUTEX_WAKE_BITSET,
	.width = LIST32,
	.private = true,
};

FIXTURE_VARIANT_ADD(call_release, pi) {
	.command = FUTEX_UNLOCK_PI,
};

FIXTURE_VARIANT_ADD(call_release, pi_private) {
	.command = FUTEX_UNLOCK_PI,
	.private = true,
};

FIXTURE_VARIANT_ADD(call_release, pi_list32) {
	.command = FUTEX_UNLOCK_PI,
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(call_release, pi_list32_private) {
	.command = FUTEX_UNLOCK_PI,
	.width = LIST32,
	.private = true,
};

FIXTURE_SETUP(call_release)
{
	REQUIRE_UNLOCK_CALL();

	ASSERT_TRUE(make_area(&self->area, variant->private ? MAP_PRIVATE : MAP_SHARED));
	self->op = variant->command;
	if (variant->private)
		self->op |= FUTEX_PRIVATE_FLAG;
	if (variant->width == LIST32)
		self->op |= FUTEX_ROBUST_LIST32;
	self->pop_size = POP_SIZE(variant->width);
	self->tid = syscall(SYS_gettid);
	*self->area.word = self->tid;
}

FIXTURE_TEARDOWN(call_release)
{
}

/*
 * The kernel stores 0 to the word and to the pending pointer, of which it writes
 * as many bytes as it has, and returns how many waiters it woke.
 */
TEST_F(call_release, no_waiter)
{
	struct area *area = &self->area;

	ASSERT_EQ(0, unlock_call(area->word, self->op, 1, area->pop));
	EXPECT_EQ(0U, *area->word);
	EXPECT_TRUE(all_zero(area->pop, self->pop_size));
	EXPECT_TRUE(rest_untouched(area, area->pop, self->pop_size));
}

/* A program has one or two system calls for it, by the width of their times. */
TEST_F(call_release, each_entry)
{
	static const long numbers[] = {
#ifdef __NR_futex
		__NR_futex,
#endif
#ifdef __NR_futex_time64
		__NR_futex_time64,
#endif
	};
	struct area *area = &self->area;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		memset(area->memory, GUARD, AREA_PAGES * area->page);
		*area->word = self->tid;
		EXPECT_EQ(0, unlock_by(numbers[i], area->word, self->op, 1, area->pop,
				       FUTEX_BITSET_MATCH_ANY));
		EXPECT_EQ(0U, *area->word);
		EXPECT_TRUE(all_zero(area->pop, self->pop_size));
		EXPECT_TRUE(rest_untouched(area, area->pop, self->pop_size));
	}
}

/* One waiter is woken, and a PI futex goes to its waiter. */
TEST_F(call_release, waiter)
{
	bool pi = variant->command == FUTEX_UNLOCK_PI;
	int flags = variant->private ? FUTEX_PRIVATE_FLAG : 0;
	struct sleeper *sleeper = &self->sleepers[0];
	struct area *area = &self->area;

	if (!pi)
		*area->word |= FUTEX_WAITERS;
	ASSERT_TRUE(start_sleeper(sleeper, area->word, flags, pi));

	ASSERT_EQ(pi ? 0 : 1, unlock_call(area->word, self->op, 1, area->pop));
	EXPECT_TRUE(happens(sleeper->ended));
	EXPECT_EQ(0, sleeper->result);
	EXPECT_EQ(pi ? sleeper->tid : 0, *area->word & FUTEX_TID_MASK);
	EXPECT_TRUE(all_zero(area->pop, self->pop_size));
	EXPECT_TRUE(rest_untouched(area, area->pop, self->pop_size));
}

/*
 * What the kernel refuses has changed nothing, and woken none: the word is still
 * held, so that the exit of the thread marks it.
 */
struct refusal {
	const char *name;
	/* Prepares the area, and returns the address of the pending pointer */
	char *(*prepare)(struct area *area);
	/* An architecture may refuse it as misaligned instead */
	bool may_be_misaligned;
};

static char *pop_null(struct area *area)
{
	return NULL;
}

static char *pop_kernel(struct area *area)
{
	return (char *)(uintptr_t)-4096;
}

static char *pop_read_only(struct area *area)
{
	mprotect(area->memory + 2 * area->page, area->page, PROT_READ);
	return area->memory + 2 * area->page + 64;
}

static char *pop_no_access(struct area *area)
{
	mprotect(area->memory + 2 * area->page, area->page, PROT_NONE);
	return area->memory + 2 * area->page + 64;
}

static char *pop_not_mapped(struct area *area)
{
	munmap(area->memory + 3 * area->page, area->page);
	return area->memory + 3 * area->page + 64;
}

/* Its last bytes are in the next page */
static char *pop_half_read_only(struct area *area)
{
	mprotect(area->memory + 3 * area->page, area->page, PROT_READ);
	return area->memory + 3 * area->page - 2;
}

static char *pop_half_mapped(struct area *area)
{
	munmap(area->memory + 3 * area->page, area->page);
	return area->memory + 3 * area->page - 2;
}

static const struct refusal refusals[] = {
	{ "NULL", pop_null },
	{ "kernel address", pop_kernel },
	{ "read-only page", pop_read_only },
	{ "page without access", pop_no_access },
	{ "not mapped", pop_not_mapped },
	{ "second half read-only", pop_half_read_only, true },
	{ "second half not mapped", pop_half_mapped, true },
};

/* How much of the area's end can still be read */
static bool area_untouched(struct area *area, const struct refusal *refusal)
{
	size_t pages = AREA_PAGES;

	if (refusal->prepare == pop_not_mapped || refusal->prepare == pop_half_mapped)
		pages--;
	mprotect(area->memory, pages * area->page, PROT_READ | PROT_WRITE);
	return untouched(area->memory + sizeof(*area->word),
			 pages * area->page - sizeof(*area->word));
}

TEST_F(call_release, refused_pending_pointer)
{
	bool pi = variant->command == FUTEX_UNLOCK_PI;
	int flags = variant->private ? FUTEX_PRIVATE_FLAG : 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *refusal = &refusals[i];
		struct sleeper sleeper = {};
		struct area area;
		__u32 before;
		char *pop;
		long ret;

		TH_LOG("%s", refusal->name);
		ASSERT_TRUE(make_area(&area, variant->private ? MAP_PRIVATE : MAP_SHARED));
		*area.word = self->tid;
		/* Those of a PI futex would outlive it: one test has it, with its own */
		if (!pi) {
			*area.word |= FUTEX_WAITERS;
			ASSERT_TRUE(start_sleeper(&sleeper, area.word, flags, false));
		}
		before = *area.word;
		pop = refusal->prepare(&area);

		ret = unlock_call(area.word, self->op, 1, pop);
		EXPECT_TRUE(ret == -EFAULT || (refusal->may_be_misaligned && ret == -EINVAL));
		EXPECT_EQ(before, *area.word);
		EXPECT_TRUE(area_untouched(&area, refusal));
		if (!pi) {
			EXPECT_EQ(1, count_asleep(&sleeper));
			EXPECT_EQ(1, syscall(SYS_FUTEX_TIMED, area.word, FUTEX_WAKE | flags, 1,
					     NULL, NULL, 0));
			pthread_join(sleeper.thread, NULL);
		}
	}
}

/* A PI futex with a waiter stays with its owner. */
TEST_F(call_release, refused_with_waiter)
{
	bool pi = variant->command == FUTEX_UNLOCK_PI;
	int flags = variant->private ? FUTEX_PRIVATE_FLAG : 0;
	struct sleeper *sleeper = &self->sleepers[0];
	struct area *area = &self->area;
	__u32 before;

	if (!pi)
		*area->word |= FUTEX_WAITERS;
	ASSERT_TRUE(start_sleeper(sleeper, area->word, flags, pi));
	before = *area->word;

	EXPECT_EQ(-EFAULT, unlock_call(area->word, self->op, 1, pop_read_only(area)));
	EXPECT_EQ(before, *area->word);
	usleep(50000);
	EXPECT_EQ(0U, sleeper->ended);
	/* The same call with a good pointer does it then */
	EXPECT_EQ(pi ? 0 : 1, unlock_call(area->word, self->op, 1, area->pop));
	EXPECT_TRUE(happens(sleeper->ended));
}

/*
 * A pending pointer that is misaligned is cleared, to its last byte, or it is
 * refused before anything has changed.
 */
TEST_F(call_release, misaligned_pending_pointer)
{
	struct area *area = &self->area;
	size_t shift;
	char *pop;
	long ret;

	for (shift = 1; shift < self->pop_size; shift++) {
		/* Within a page, and across two */
		for (pop = area->pop + shift; pop; pop = pop < area->memory + 2 * area->page ?
		     area->memory + 3 * area->page - shift : NULL) {
			memset(area->memory, GUARD, AREA_PAGES * area->page);
			*area->word = self->tid;
			ret = unlock_call(area->word, self->op, 1, pop);
			if (!ret) {
				EXPECT_EQ(0U, *area->word);
				EXPECT_TRUE(all_zero(pop, self->pop_size));
				EXPECT_TRUE(rest_untouched(area, pop, self->pop_size));
			} else {
				EXPECT_TRUE(ret == -EFAULT || ret == -EINVAL);
				EXPECT_EQ(self->tid, *area->word);
				EXPECT_TRUE(rest_untouched(area, area->pop, 0));
			}
		}
	}
}

/* A word that cannot be written is refused; the pending pointer is as it was. */
TEST_F(call_release, read_only_word)
{
	struct area *area = &self->area;

	mprotect(area->memory, area->page, PROT_READ);
	EXPECT_EQ(-EFAULT, unlock_call(area->word, self->op, 1, area->pop));
	EXPECT_EQ(self->tid, *area->word);
	EXPECT_TRUE(rest_untouched(area, area->pop, 0));
}

TEST_F(call_release, word_not_mapped)
{
	struct area *area = &self->area;

	munmap(area->memory, area->page);
	EXPECT_EQ(-EFAULT, unlock_call(area->word, self->op, 1, area->pop));
	EXPECT_TRUE(untouched(area->memory + area->page, (AREA_PAGES - 1) * area->page));
}

TEST_F(call_release, null_word)
{
	struct area *area = &self->area;

	EXPECT_EQ(-EFAULT, unlock_call(NULL, self->op, 1, area->pop));
	EXPECT_TRUE(rest_untouched(area, area->pop, 0));
}

/* With FUTEX_UNLOCK_PI an architecture may find out when it reads the word. */
TEST_F(call_release, misaligned_word)
{
	struct area *area = &self->area;
	char *word = area->memory + 2;
	__u32 tid = self->tid;
	long ret;

	memset(area->memory, GUARD, AREA_PAGES * area->page);
	memcpy(word, &tid, sizeof(tid));
	ret = unlock_call(word, self->op, 1, area->pop);
	EXPECT_TRUE(ret == -EINVAL || (variant->command == FUTEX_UNLOCK_PI && ret == -EFAULT));
	EXPECT_EQ(0, memcmp(word, &tid, sizeof(tid)));
	EXPECT_TRUE(untouched(word + 4, AREA_PAGES * area->page - 6));
}

/* FUTEX_CLOCK_REALTIME is refused, as without FUTEX_ROBUST_UNLOCK. */
TEST_F(call_release, clock_flag)
{
	struct area *area = &self->area;

	EXPECT_EQ(-ENOSYS, unlock_call(area->word, self->op | FUTEX_CLOCK_REALTIME, 1, area->pop));
	EXPECT_EQ(self->tid, *area->word);
	EXPECT_TRUE(rest_untouched(area, area->pop, 0));
}

/* No command but these three has the flags. */
FIXTURE(call_other_command)
{
	struct area area;
};

FIXTURE_VARIANT(call_other_command)
{
	int flags;
};

FIXTURE_VARIANT_ADD(call_other_command, unlock) {
	.flags = FUTEX_ROBUST_UNLOCK,
};

FIXTURE_VARIANT_ADD(call_other_command, unlock_list32) {
	.flags = FUTEX_ROBUST_UNLOCK | FUTEX_ROBUST_LIST32,
};

FIXTURE_VARIANT_ADD(call_other_command, list32) {
	.flags = FUTEX_ROBUST_LIST32,
};

FIXTURE_SETUP(call_other_command)
{
	REQUIRE_UNLOCK_CALL();
	ASSERT_TRUE(make_area(&self->area, MAP_SHARED));
}

FIXTURE_TEARDOWN(call_other_command)
{
}

TEST_F(call_other_command, refused)
{
	/* FUTEX_LOCK_PI2 is the last one; the next numbers have no meaning */
	enum { COMMANDS = 16 };
	struct area *area = &self->area;
	__u32 tid = syscall(SYS_gettid);
	int command, private;
	long ret;

	for (command = 0; command < COMMANDS; command++) {
		if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET ||
		    command == FUTEX_UNLOCK_PI)
			continue;
		for (private = 0; private <= FUTEX_PRIVATE_FLAG; private += FUTEX_PRIVATE_FLAG) {
			*area->word = tid;
			errno = 0;
			/* The word is not what a FUTEX_WAIT expects: none can sleep */
			ret = syscall(SYS_FUTEX_TIMED, area->word,
				      command | private | variant->flags, tid + 1, NULL,
				      area->pop, FUTEX_BITSET_MATCH_ANY);
			EXPECT_TRUE(ret == -1 && errno == ENOSYS) {
				TH_LOG("command %d: returned %ld, errno %d", command, ret, errno);
			}
			EXPECT_EQ(tid, *area->word);
		}
	}
	EXPECT_TRUE(rest_untouched(area, area->pop, 0));
}

/* What FUTEX_WAKE and FUTEX_WAKE_BITSET wake. */
FIXTURE(call_wakeups)
{
	struct area area;
	struct sleeper sleepers[NR_WAITERS];
};

FIXTURE_VARIANT(call_wakeups)
{
	int command;
	int nr;
	__u32 bitset;
	int woken;
};

FIXTURE_VARIANT_ADD(call_wakeups, one) {
	.command = FUTEX_WAKE,
	.nr = 1,
	.bitset = FUTEX_BITSET_MATCH_ANY,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(call_wakeups, two) {
	.command = FUTEX_WAKE,
	.nr = 2,
	.bitset = FUTEX_BITSET_MATCH_ANY,
	.woken = 2,
};

FIXTURE_VARIANT_ADD(call_wakeups, all) {
	.command = FUTEX_WAKE,
	.nr = INT_MAX,
	.bitset = FUTEX_BITSET_MATCH_ANY,
	.woken = NR_WAITERS,
};

/* FUTEX_WAKE does not look at a bitset */
FIXTURE_VARIANT_ADD(call_wakeups, wake_without_bitset) {
	.command = FUTEX_WAKE,
	.nr = INT_MAX,
	.woken = NR_WAITERS,
};

FIXTURE_VARIANT_ADD(call_wakeups, bitset_all) {
	.command = FUTEX_WAKE_BITSET,
	.nr = INT_MAX,
	.bitset = FUTEX_BITSET_MATCH_ANY,
	.woken = NR_WAITERS,
};

FIXTURE_VARIANT_ADD(call_wakeups, bitset_one) {
	.command = FUTEX_WAKE_BITSET,
	.nr = INT_MAX,
	.bitset = 1 << 1,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(call_wakeups, bitset_none) {
	.command = FUTEX_WAKE_BITSET,
	.nr = INT_MAX,
	.bitset = 1 << NR_WAITERS,
	.woken = 0,
};

FIXTURE_SETUP(call_wakeups)
{
	int i;

	REQUIRE_UNLOCK_CALL();
	ASSERT_TRUE(make_area(&self->area, MAP_SHARED));
	*self->area.word = (__u32)syscall(SYS_gettid) | FUTEX_WAITERS;
	for (i = 0; i < NR_WAITERS; i++) {
		self->sleepers[i].bitset = 1 << i;
		ASSERT_TRUE(start_sleeper(&self->sleepers[i], self->area.word, 0, false));
	}
}

FIXTURE_TEARDOWN(call_wakeups)
{
}

TEST_F(call_wakeups, count)
{
	struct area *area = &self->area;

	EXPECT_EQ(variant->woken, unlock_by(SYS_FUTEX_TIMED, area->word, variant->command,
					    variant->nr, area->pop, variant->bitset));
	EXPECT_EQ(0U, *area->word);
	EXPECT_TRUE(all_zero(area->pop, sizeof(long)));
	EXPECT_TRUE(happens(count_ended(self->sleepers, NR_WAITERS) == variant->woken));
	EXPECT_EQ(NR_WAITERS - variant->woken, count_asleep(&self->sleepers[0]));
}

/* A bitset of 0 is refused, as without FUTEX_ROBUST_UNLOCK. */
TEST(call_bitset_zero)
{
	struct area area;

	REQUIRE_UNLOCK_CALL();
	ASSERT_TRUE(make_area(&area, MAP_SHARED));
	*area.word = syscall(SYS_gettid);
	EXPECT_EQ(-EINVAL, unlock_by(SYS_FUTEX_TIMED, area.word, FUTEX_WAKE_BITSET, 1, area.pop,
				     0));
	EXPECT_EQ((__u32)syscall(SYS_gettid), *area.word);
	EXPECT_TRUE(rest_untouched(&area, area.pop, 0));
}

/* A PI futex that the caller does not own keeps its owner, and stays pending. */
TEST(call_pi_not_owner)
{
	struct area area;

	REQUIRE_UNLOCK_CALL();
	ASSERT_TRUE(make_area(&area, MAP_SHARED));
	*area.word = OTHER_TID;
	EXPECT_EQ(-EPERM, unlock_call(area.word, FUTEX_UNLOCK_PI, 0, area.pop));
	EXPECT_EQ(OTHER_TID, *area.word);
	EXPECT_TRUE(rest_untouched(&area, area.pop, 0));
}

/*
 * The thread that gets the lock may unmap it at once. The wakeup of those that
 * wait in another mapping must not depend on this one.
 */
#define NR_UNMAPS	300

struct unmapper {
	futex_t *word;
	size_t size;
	/* The round that it may begin, and the last one that it has ended */
	futex_t begun, ended;
};

static void *unmap_when_released(void *arg)
{
	struct unmapper *unmapper = arg;
	__u32 round;

	for (round = 1; round <= NR_UNMAPS; round++) {
		while (unmapper->begun != round)
			sched_yield();
		while (__atomic_load_n(unmapper->word, __ATOMIC_ACQUIRE))
			;
		munmap((void *)unmapper->word, unmapper->size);
		unmapper->ended = round;
	}
	return NULL;
}

static bool has_two_cpus(void)
{
	cpu_set_t cpus;

	return !sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) > 1;
}

FIXTURE(call_unmapped)
{
	size_t size;
	int fd;
};

FIXTURE_VARIANT(call_unmapped)
{
	int op;
};

FIXTURE_VARIANT_ADD(call_unmapped, wake) {
	.op = FUTEX_WAKE,
};

FIXTURE_VARIANT_ADD(call_unmapped, wake_list32) {
	.op = FUTEX_WAKE | FUTEX_ROBUST_LIST32,
};

FIXTURE_VARIANT_ADD(call_unmapped, bitset) {
	.op = FUTEX_WAKE_BITSET,
};

FIXTURE_SETUP(call_unmapped)
{
	REQUIRE_UNLOCK_CALL();
	if (!has_two_cpus())
		SKIP_TEST("needs two CPUs");
	self->size = sysconf(_SC_PAGESIZE);
	self->fd = memfd_create("robust", MFD_CLOEXEC);
	ASSERT_TRUE(self->fd >= 0 && !ftruncate(self->fd, self->size));
}

FIXTURE_TEARDOWN(call_unmapped)
{
	close(self->fd);
}

static futex_t *map_word(int fd, size_t size)
{
	void *word = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return word == MAP_FAILED ? NULL : word;
}

TEST_F_TIMEOUT(call_unmapped, waiter_woken, 120)
{
	struct unmapper unmapper = { .size = self->size };
	futex_t *other = map_word(self->fd, self->size);
	__u32 tid = syscall(SYS_gettid);
	pthread_t thread;
	unsigned int round;

	ASSERT_TRUE(!!other);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unmap_when_released, &unmapper));
	for (round = 1; round <= NR_UNMAPS; round++) {
		futex_t *word = map_word(self->fd, self->size);
		struct sleeper sleeper = {};
		unsigned long pop = -1UL;

		ASSERT_TRUE(!!word);
		*word = tid | FUTEX_WAITERS;
		ASSERT_TRUE(start_sleeper(&sleeper, other, 0, false));
		unmapper.word = word;
		unmapper.begun = round;
		ASSERT_EQ(1, unlock_call(word, variant->op, 1, &pop));
		ASSERT_TRUE(all_zero((char *)&pop, variant->op & FUTEX_ROBUST_LIST32 ?
				     POP_SIZE(LIST32) : POP_SIZE(NATIVE)));
		pthread_join(sleeper.thread, NULL);
		ASSERT_TRUE(happens(unmapper.ended == round));
	}
	pthread_join(thread, NULL);
}

/*
 * What is left when the thread dies after the call: the walk has no pending lock,
 * so that what another thread stored to the same place since then stays.
 */
FIXTURE(call_death)
{
	struct victim *victim;
	struct robust_lock *lock;
	struct robust_lock *witness;
};

FIXTURE_VARIANT(call_death)
{
	int op;
};

FIXTURE_VARIANT_ADD(call_death, wake) {
	.op = FUTEX_WAKE,
};

FIXTURE_VARIANT_ADD(call_death, bitset) {
	.op = FUTEX_WAKE_BITSET,
};

FIXTURE_VARIANT_ADD(call_death, pi) {
	.op = FUTEX_UNLOCK_PI,
};

struct dying {
	int op;
	struct robust_lock *lock;
	long ret;
};

static void run_dying(struct victim *victim)
{
	struct dying *dying = victim->data;
	__u32 tid = syscall(SYS_gettid);

	dying->lock->word = tid;
	dying->ret = unlock_call(&dying->lock->word, dying->op, 1, &victim->head.list_op_pending);
	victim_hold(victim);
	kill(getpid(), SIGKILL);
}

FIXTURE_SETUP(call_death)
{
	struct dying *dying;

	REQUIRE_UNLOCK_CALL();
	self->victim = victim_alloc();
	self->lock = shared_memory(2 * sizeof(*self->lock));
	dying = shared_memory(sizeof(*dying));
	ASSERT_TRUE(self->victim && self->lock && dying);
	self->witness = self->lock + 1;
	dying->op = variant->op;
	dying->lock = self->lock;
	self->victim->data = dying;
	self->victim->run = run_dying;
	self->victim->head.list_op_pending = &self->lock->entry;
}

FIXTURE_TEARDOWN(call_death)
{
	victim_clean(self->victim);
}

TEST_F(call_death, nothing_pending)
{
	struct dying *dying = self->victim->data;
	__u32 tid;

	ASSERT_TRUE(victim_start(self->victim));
	tid = self->victim->tid;
	EXPECT_EQ(0, dying->ret);
	EXPECT_EQ(0U, self->lock->word);
	EXPECT_TRUE(!self->victim->head.list_op_pending);
	link_locks(&self->victim->head, self->witness, 1);
	self->witness->word = tid;
	/* No lock any more, and the same number by chance */
	self->lock->word = tid;

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, self->witness->word);
	EXPECT_EQ(tid, self->lock->word);
}

/*
 * The page of the pending pointer has to be waited for. Until it is there the
 * lock is held, so that a kill leaves a lock that the walk marks; a signal
 * only delays it.
 */
enum event {
	NO_EVENT,
	SIGNAL,
	KILL,
};

FIXTURE(call_late_page)
{
	struct victim *victim;
	struct held_page *held;
	struct robust_lock *lock;
};

FIXTURE_VARIANT(call_late_page)
{
	int op;
	bool writes;
	enum event event;
};

FIXTURE_VARIANT_ADD(call_late_page, wake) {
	.op = FUTEX_WAKE,
};

FIXTURE_VARIANT_ADD(call_late_page, wake_signal) {
	.op = FUTEX_WAKE,
	.event = SIGNAL,
};

FIXTURE_VARIANT_ADD(call_late_page, wake_kill) {
	.op = FUTEX_WAKE,
	.event = KILL,
};

FIXTURE_VARIANT_ADD(call_late_page, bitset_kill) {
	.op = FUTEX_WAKE_BITSET,
	.event = KILL,
};

FIXTURE_VARIANT_ADD(call_late_page, pi) {
	.op = FUTEX_UNLOCK_PI,
};

FIXTURE_VARIANT_ADD(call_late_page, pi_kill) {
	.op = FUTEX_UNLOCK_PI,
	.event = KILL,
};

FIXTURE_VARIANT_ADD(call_late_page, protected_wake) {
	.op = FUTEX_WAKE,
	.writes = true,
};

FIXTURE_VARIANT_ADD(call_late_page, protected_signal) {
	.op = FUTEX_WAKE,
	.writes = true,
	.event = SIGNAL,
};

FIXTURE_VARIANT_ADD(call_late_page, protected_kill) {
	.op = FUTEX_WAKE,
	.writes = true,
	.event = KILL,
};

FIXTURE_VARIANT_ADD(call_late_page, protected_pi_kill) {
	.op = FUTEX_UNLOCK_PI,
	.writes = true,
	.event = KILL,
};

struct late_call {
	struct held_page *held;
	/* Of the word, in the tests where that is held back, too */
	struct held_page *word_held;
	struct robust_lock *lock;
	int op;
	long ret;
	futex_t handled;
	futex_t ended;
};

static struct late_call *late_call;

static void count_signal(int number)
{
	late_call->handled++;
}

static void run_late_call(struct victim *victim)
{
	struct late_call *call = victim->data;

	late_call = call;
	signal(SIGUSR1, count_signal);
	if (!hold_back(call->held))
		_exit(KSFT_SKIP);
	victim_hold(victim);
	call->ret = unlock_call(&call->lock->word, call->op, 1, call->held->page);
	call->ended = 1;
	for (;;)
		pause();
}

FIXTURE_SETUP(call_late_page)
{
	struct late_call *call = shared_memory(sizeof(*call));

	REQUIRE_UNLOCK_CALL();
	self->victim = victim_alloc();
	self->lock = shared_memory(sizeof(*self->lock));
	self->held = held_alloc(variant->writes);
	ASSERT_TRUE(call && self->victim && self->lock && self->held);
	call->held = self->held;
	call->lock = self->lock;
	call->op = variant->op;
	self->victim->data = call;
	self->victim->run = run_late_call;
	if (!victim_start(self->victim)) {
		ASSERT_EQ(KSFT_SKIP, WEXITSTATUS(self->victim->status));
		SKIP_TEST("needs userfaultfd, for this kind of page, and root");
	}
	ASSERT_TRUE(take_descriptor(self->held, self->victim->pid));
	/* The lock is pending, and off the list, as in the middle of an unlock */
	self->lock->word = self->victim->tid;
	self->victim->head.list_op_pending = &self->lock->entry;
}

FIXTURE_TEARDOWN(call_late_page)
{
	victim_clean(self->victim);
}

TEST_F_TIMEOUT(call_late_page, released_when_present, 60)
{
	struct late_call *call = self->victim->data;
	__u32 tid = self->victim->tid;

	self->victim->go = 1;
	futex_wake(&self->victim->go, 1, 0);
	ASSERT_TRUE(page_asked(self->held));
	usleep(50000);
	EXPECT_EQ(tid, self->lock->word);

	if (variant->event == KILL) {
		ASSERT_EQ(0, kill(self->victim->pid, SIGKILL));
		ASSERT_TRUE(happens(victim_waited(self->victim)));
		EXPECT_EQ(MARKED, self->lock->word);
		return;
	}
	if (variant->event == SIGNAL) {
		ASSERT_EQ(0, kill(self->victim->pid, SIGUSR1));
		usleep(50000);
		EXPECT_EQ(tid, self->lock->word);
	}
	ASSERT_TRUE(bring_page(self->held, (uintptr_t)&self->lock->entry));
	ASSERT_TRUE(happens(call->ended));
	EXPECT_EQ(0, call->ret);
	EXPECT_EQ(0U, self->lock->word);
	EXPECT_TRUE(all_zero(self->held->page, sizeof(long)));
	if (variant->event == SIGNAL)
		EXPECT_TRUE(happens(call->handled == 1));
}

/*
 * The page of the pending pointer is taken away when the call has found that it
 * can be written, and before the lock is released. The word's own page is held back,
 * so that FUTEX_UNLOCK_PI waits in between. A thread that is killed then leaves the
 * pointer as it is, and the walk must not use it. A signal delays the call for one
 * second at most.
 */
FIXTURE(call_taken_page)
{
	struct victim *victim;
	struct held_page *held;
	struct held_page *word_held;
	struct robust_list_head *head;
	struct robust_lock *lock;
	struct robust_lock *witness;
};

FIXTURE_VARIANT(call_taken_page)
{
	enum event event;
	/* The page does not come back */
	bool withheld;
};

FIXTURE_VARIANT_ADD(call_taken_page, undisturbed) {
};

FIXTURE_VARIANT_ADD(call_taken_page, signal) {
	.event = SIGNAL,
};

FIXTURE_VARIANT_ADD(call_taken_page, signal_withheld) {
	.event = SIGNAL,
	.withheld = true,
};

FIXTURE_VARIANT_ADD(call_taken_page, kill) {
	.event = KILL,
	.withheld = true,
};

static void run_taken_call(struct victim *victim)
{
	struct late_call *call = victim->data;
	struct robust_list_head *head = (void *)call->held->page;

	late_call = call;
	signal(SIGUSR1, count_signal);
	if (!hold_back(call->held) || !hold_back(call->word_held))
		_exit(KSFT_SKIP);
	victim_hold(victim);
	call->ret = unlock_call(&call->lock->word, FUTEX_UNLOCK_PI, 0, &head->list_op_pending);
	call->ended = 1;
	for (;;)
		pause();
}

static bool take_page(struct held_page *held)
{
	struct uffdio_writeprotect protect = {
		.range = { .start = (uintptr_t)held->page, .len = held->size },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return !ioctl(held->uffd, UFFDIO_WRITEPROTECT, &protect);
}

FIXTURE_SETUP(call_taken_page)
{
	struct late_call *call = shared_memory(sizeof(*call));

	REQUIRE_UNLOCK_CALL();
	self->victim = victim_alloc();
	self->held = held_alloc(true);
	self->word_held = held_alloc(false);
	self->witness = shared_memory(sizeof(*self->witness));
	ASSERT_TRUE(call && self->victim && self->held && self->word_held && self->witness);
	self->head = (void *)self->held->page;
	self->lock = (void *)self->word_held->page;
	call->held = self->held;
	call->word_held = self->word_held;
	call->lock = self->lock;
	self->victim->registered = self->head;
	self->victim->data = call;
	self->victim->run = run_taken_call;
	init_head(self->head);
	if (!victim_start(self->victim)) {
		ASSERT_EQ(KSFT_SKIP, WEXITSTATUS(self->victim->status));
		SKIP_TEST("needs userfaultfd that protects shared memory, and root");
	}
	ASSERT_TRUE(take_descriptor(self->held, self->victim->pid));
	ASSERT_TRUE(take_descriptor(self->word_held, self->victim->pid));
	link_locks(self->head, self->witness, 1);
	self->witness->word = self->victim->tid;
	/* With the PI bit */
	self->head->list_op_pending = (void *)((uintptr_t)&self->lock->entry | 1);
	ASSERT_TRUE(bring_page(self->held, 0));
}

FIXTURE_TEARDOWN(call_taken_page)
{
	victim_clean(self->victim);
}

TEST_F_TIMEOUT(call_taken_page, not_used, 60)
{
	struct late_call *call = self->victim->data;
	__u32 tid = self->victim->tid;

	self->victim->go = 1;
	futex_wake(&self->victim->go, 1, 0);
	ASSERT_TRUE(page_asked(self->word_held));
	ASSERT_TRUE(take_page(self->held));
	/* The word is the first half of a long, or the second one */
	ASSERT_TRUE(bring_page(self->word_held, tid * (~0UL / 0xffffffffUL)));
	ASSERT_TRUE(page_asked(self->held));
	EXPECT_EQ(0U, self->lock->word);
	EXPECT_TRUE(!!self->head->list_op_pending);
	/* No lock any more, and the same number by chance */
	self->lock->word = tid;

	if (variant->event == KILL) {
		ASSERT_EQ(0, kill(self->victim->pid, SIGKILL));
		ASSERT_TRUE(happens(victim_waited(self->victim)));
		EXPECT_EQ(MARKED, self->witness->word);
		EXPECT_EQ(tid, self->lock->word);
		return;
	}
	if (variant->event == SIGNAL)
		ASSERT_EQ(0, kill(self->victim->pid, SIGUSR1));
	if (!variant->withheld)
		ASSERT_TRUE(bring_page(self->held, 0));
	ASSERT_TRUE(happens(call->ended));
	EXPECT_EQ(variant->withheld ? -EFAULT : 0, call->ret);
	EXPECT_EQ(variant->withheld, !!self->head->list_op_pending);
	EXPECT_EQ(tid, self->lock->word);
	if (variant->event == SIGNAL)
		EXPECT_TRUE(happens(call->handled == 1));
}

TEST_HARNESS_MAIN
