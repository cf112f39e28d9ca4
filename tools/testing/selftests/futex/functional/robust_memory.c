// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks in all kinds of memory. A lock that the dying thread could have written is
 * marked, whether its page is present or has to be faulted in. A lock that the
 * thread could not have written is not changed, and the locks behind it are marked.
 *
 * The dying thread belongs to the process of the test, as only this process can
 * read its private memory afterwards.
 *
 * For each kind of memory there is an area of entries and an area of words, so
 * that a lock with an inaccessible word can have an entry that leads to the next
 * lock. The distance from an entry to its word is always the same.
 */
#include <poll.h>
#include <sys/stat.h>

#include "robust_memory.h"

#define note(format, ...)	fprintf(stderr, "# " format "\n", ##__VA_ARGS__)

#define NR_WAITERS	3

/* A lock: the k-th one of an area */
struct lock {
	struct area *area;
	unsigned int k;
};

/*
 * Where the locks of an area are: first one at the start of each page, then
 * one at the end of each, then one in the middle, then everywhere.
 */
static size_t place(struct area *area, unsigned int k)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	size_t slots = page_size / sizeof(struct robust_list);
	size_t page = k % NR_PAGES, slot = k / NR_PAGES;

	/* Of a huge page, the first and the last page are among them */
	page = page * (area->size / page_size - 1) / (NR_PAGES - 1);
	if (slot == 1)
		slot = slots - 1;
	else if (slot == 2)
		slot = slots / 2;
	else if (slot > 2)
		slot -= slot - 2 < slots / 2 ? 2 : 1;
	return page * page_size + slot * sizeof(struct robust_list);
}

/* The last word of a page ends where the page does */
#define WORD_IN_SLOT	(sizeof(struct robust_list) - sizeof(futex_t))

static futex_t *word_at(char *words, struct lock lock)
{
	return (futex_t *)(words + place(lock.area, lock.k) + WORD_IN_SLOT);
}

static struct robust_list *entry_at(char *entries, struct lock lock)
{
	return (void *)(entries + place(lock.area, lock.k));
}

/* Every other lock has FUTEX_WAITERS set */
static __u32 waiters_bit(unsigned int k)
{
	return k % 2 ? FUTEX_WAITERS : 0;
}

/* Keep a copy in another process, which checks at the end that it is unchanged */
static bool fork_copy(struct area *area, __u32 tid)
{
	unsigned int k;

	area->copy_done = shared_memory(sizeof(*area->copy_done));
	if (!area->copy_done)
		return false;
	area->copy = fork();
	if (area->copy)
		return area->copy > 0;

	prepare_child();
	while (!*area->copy_done)
		wait_on(area->copy_done, 0);
	for (k = 0; k < area->nr; k++)
		if (*word_at(area->words, (struct lock){ area, k }) !=
		    (tid | waiters_bit(k)))
			_exit(KSFT_FAIL);
	_exit(0);
}

static bool prepare_for_death(struct area *area, __u32 tid)
{
	return area->kind == FORKED ? fork_copy(area, tid) : area_prepare(area);
}

/*
 * After the death: check that nothing has changed that the thread could not have
 * changed, and make the words readable again.
 */
static bool look_after_death(struct area *area, __u32 tid)
{
	struct pollfd event = { .fd = area->fd, .events = POLLIN };
	struct stat stat;
	int status = -1;
	unsigned int k;

	switch (area->kind) {
	case PRIVATE_FILE:
		/* The thread's copy of a page is marked, and not the file */
		for (k = 0; k < area->nr; k++)
			if (*word_at(area->words_filled,
				     (struct lock){ area, k }) !=
			    (tid | waiters_bit(k)))
				return false;
		return true;
	case FORKED:
		tell(area->copy_done);
		if (!happens(waitpid(area->copy, &status, WNOHANG) ==
			     area->copy))
			return false;
		area->copy = 0;
		return !status;
	case READ_ONLY:
	case NO_ACCESS:
		return !mprotect(area->words, area->size,
				 PROT_READ | PROT_WRITE);
	case TRUNCATED:
		/* The file was not extended again */
		return !fstat(area->fd, &stat) && !stat.st_size &&
		       !ftruncate(area->fd, FILE_SIZE);
	case UFFD_MISSING:
		/* No fault of the dead thread was reported */
		if (poll(&event, 1, 0) > 0)
			return false;
		close(area->fd);
		area->fd = -1;
		return true;
	default:
		return true;
	}
}

/* What a word must hold after the death */
static __u32 word_expected(struct lock lock, __u32 tid)
{
	switch (lock.area->kind) {
	case TRUNCATED:
	case UFFD_MISSING:
		/* The page is zero: it was cut off, or never present */
		return 0;
	case READ_ONLY:
	case READ_ONLY_FILE:
	case NO_ACCESS:
		return tid | waiters_bit(lock.k);
	default:
		return MARKED | waiters_bit(lock.k);
	}
}

/* Make a list of @nr locks, in their order, all of them held */
static void make_list(struct memory *memory, struct victim *victim,
		      struct lock *locks, size_t nr)
{
	struct robust_list_head *head = &victim->head;
	struct robust_list *next;
	struct area *area;
	size_t i;

	head->futex_offset = memory->areas[0].words - memory->areas[0].entries +
			     WORD_IN_SLOT;
	head->list.next = entry_at(locks[0].area->entries, locks[0]);
	for (i = 0; i < nr; i++) {
		area = locks[i].area;
		next = &head->list;
		if (i + 1 < nr)
			next = entry_at(locks[i + 1].area->entries, locks[i + 1]);
		entry_at(area->entries_filled, locks[i])->next = next;
		if (area->kind != UFFD_MISSING)
			*word_at(area->words_filled, locks[i]) =
				victim->tid | waiters_bit(locks[i].k);
		if (locks[i].k >= area->nr)
			area->nr = locks[i].k + 1;
	}
}

static bool memory_prepare_for_death(struct memory *memory, __u32 tid)
{
	int i;

	for (i = 0; i < NR_KINDS; i++) {
		/* Pages that a process shares with its copy are not swapped */
		if (i == FORKED)
			continue;
		if (!memory->areas[i].missing &&
		    !prepare_for_death(&memory->areas[i], tid)) {
			note("%s: cannot be prepared", kinds[i].name);
			return false;
		}
	}
	return memory->areas[FORKED].missing ||
	       prepare_for_death(&memory->areas[FORKED], tid);
}

/* How many things are wrong; prints the kinds of memory they are in */
static size_t count_wrong(struct memory *memory, struct lock *locks, size_t nr,
			  __u32 tid)
{
	size_t wrong[NR_KINDS] = {}, all = 0, i;
	struct area *area;

	for (i = 0; i < NR_KINDS; i++) {
		area = &memory->areas[i];
		if (!area->missing && !look_after_death(area, tid)) {
			note("%s: changed where it must not", kinds[i].name);
			all++;
		}
	}
	for (i = 0; i < nr; i++) {
		area = locks[i].area;
		wrong[area->kind] += *word_at(area->words, locks[i]) !=
				     word_expected(locks[i], tid);
	}
	for (i = 0; i < NR_KINDS; i++) {
		all += wrong[i];
		if (wrong[i])
			note("%s: %zu of %zu words are wrong", kinds[i].name,
			     wrong[i], memory->areas[i].nr);
	}
	return all;
}

static bool start_thread(struct victim *victim)
{
	pthread_t thread;

	init_head(&victim->head);
	victim->registered = &victim->head;
	return !pthread_create(&thread, NULL, hold_and_exit_thread, victim) &&
	       happens(victim->tid);
}

static bool end_thread(struct victim *victim)
{
	tell(&victim->go);
	return happens(!victim->alive);
}

/* Locks in one kind of memory, and one in ordinary memory before and behind each */
#define NR_OF_KIND	(3 * NR_PAGES)
#define NR_LOCKS	(2 * NR_OF_KIND + 1)

FIXTURE(kind)
{
	struct memory memory;
	struct victim victim;
	struct lock locks[NR_LOCKS];
};

FIXTURE_VARIANT(kind)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(kind, private_anonymous) {
	.kind = PRIVATE_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(kind, shared_anonymous) {
	.kind = SHARED_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(kind, tmpfs_file) {
	.kind = TMPFS_FILE,
};

FIXTURE_VARIANT_ADD(kind, memfd) {
	.kind = MEMFD,
};

/* The words are in the file: the kernel has to make the thread's own copy */
FIXTURE_VARIANT_ADD(kind, private_file) {
	.kind = PRIVATE_FILE,
};

/* The words are in that copy already */
FIXTURE_VARIANT_ADD(kind, private_file_written) {
	.kind = PRIVATE_FILE_WRITTEN,
};

/* A file that was written through another mapping, and never through this */
FIXTURE_VARIANT_ADD(kind, not_faulted_in) {
	.kind = FRESH_MAPPING,
};

/* MADV_DONTNEED took the pages from the thread, and the file still has them */
FIXTURE_VARIANT_ADD(kind, discarded) {
	.kind = DISCARDED,
};

FIXTURE_VARIANT_ADD(kind, hugetlb_shared) {
	.kind = HUGETLB_SHARED,
};

FIXTURE_VARIANT_ADD(kind, hugetlb_private) {
	.kind = HUGETLB_PRIVATE,
};

FIXTURE_VARIANT_ADD(kind, swapped_private) {
	.kind = SWAPPED_PRIVATE,
};

FIXTURE_VARIANT_ADD(kind, swapped_shared) {
	.kind = SWAPPED_SHARED,
};

/* A userfaultfd is registered for missing pages, and none is missing */
FIXTURE_VARIANT_ADD(kind, userfaultfd_present) {
	.kind = UFFD_PRESENT,
};

/* Each page is shared with a child process until one of them writes it */
FIXTURE_VARIANT_ADD(kind, cow_after_fork) {
	.kind = FORKED,
};

FIXTURE_VARIANT_ADD(kind, read_only) {
	.kind = READ_ONLY,
};

FIXTURE_VARIANT_ADD(kind, read_only_file) {
	.kind = READ_ONLY_FILE,
};

FIXTURE_VARIANT_ADD(kind, no_access) {
	.kind = NO_ACCESS,
};

FIXTURE_VARIANT_ADD(kind, truncated_file) {
	.kind = TRUNCATED,
};

/*
 * A fault of a thread that exits does not wait for userfaultfd, so it cannot access
 * these pages. A fault of a thread that execs does wait: see robust_walk.
 */
FIXTURE_VARIANT_ADD(kind, userfaultfd_missing) {
	.kind = UFFD_MISSING,
};

FIXTURE_SETUP(kind)
{
	struct memory *memory = &self->memory;
	const char *missing;
	int i;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(memory_init(memory));
	ASSERT_TRUE(!memory_add(memory, SHARED_ANONYMOUS));
	if (variant->kind != SHARED_ANONYMOUS) {
		missing = memory_add(memory, variant->kind);
		if (missing) {
			memory_remove(memory);
			SKIP(_exit(255), "%s", missing);
		}
	}

	/* Every second lock is a neighbour */
	for (i = 0; i < NR_LOCKS; i++) {
		self->locks[i].area = &memory->areas[i % 2 ? variant->kind : 0];
		self->locks[i].k = i / 2;
		/* All locks are different ones */
		if (variant->kind == SHARED_ANONYMOUS)
			self->locks[i].k = i;
	}
	EXPECT_TRUE(start_thread(&self->victim));
	make_list(memory, &self->victim, self->locks, NR_LOCKS);
}

FIXTURE_TEARDOWN(kind)
{
	end_thread(&self->victim);
	memory_remove(&self->memory);
}

/*
 * Each lock that the thread could have written is marked, with FUTEX_WAITERS kept:
 * at the start of a page, at its end and in the middle. All others are unchanged,
 * and so are the file behind a private mapping and the copy of another process.
 * In each case the neighbours in ordinary memory are marked.
 */
TEST_F(kind, writable_marked)
{
	__u32 tid = self->victim.tid;

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(0U, count_wrong(&self->memory, self->locks, NR_LOCKS, tid));
}

/*
 * One waiter of a lock that is marked is woken, and none of a lock that is not.
 * The lock is the last one of its kind, and the neighbour behind it shows that
 * wakeups continue. A word in a missing page cannot have a waiter.
 */
TEST_F(kind, waiter_woken)
{
	struct lock lock = self->locks[NR_LOCKS - 2];
	struct lock neighbour = self->locks[NR_LOCKS - 1];
	struct waiters waiters = {}, neighbours = {};
	futex_t *word;

	if (variant->kind != UFFD_MISSING) {
		word = word_at(lock.area->words_filled, lock);
		*word = self->victim.tid | FUTEX_WAITERS;
		ASSERT_TRUE(start_waiters(&waiters,
					  word_at(lock.area->words_waited, lock),
					  NR_WAITERS));
	}
	word = word_at(neighbour.area->words, neighbour);
	*word = self->victim.tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&neighbours, word, NR_WAITERS));

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, self->victim.tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(1, woken(&neighbours));
	EXPECT_EQ(MARKED_WITH_WAITERS, neighbours.seen);

	EXPECT_EQ(0U, count_wrong(&self->memory, NULL, 0, self->victim.tid));
	if (variant->kind != UFFD_MISSING)
		EXPECT_EQ(writable(variant->kind), woken(&waiters));
	if (writable(variant->kind))
		EXPECT_EQ(MARKED_WITH_WAITERS, waiters.seen);
}

/*
 * Words for which the futex key has to come from the page, as the mapping is not of
 * a regular file or a block device. The locks are in the ring buffer of an AIO
 * context, where no event has been written.
 */
#define RING_WORDS	2048
#define NR_RING_LOCKS	64

FIXTURE(page_has_key)
{
	struct robust_list entries[NR_RING_LOCKS];
	struct victim victim;
	/* The context is its address */
	unsigned long ring;
	char *words;
};

FIXTURE_VARIANT(page_has_key)
{
	int nr;
	bool pending;
};

FIXTURE_VARIANT_ADD(page_has_key, one_lock) {
	.nr = 1,
};

FIXTURE_VARIANT_ADD(page_has_key, few_locks) {
	.nr = 3,
};

FIXTURE_VARIANT_ADD(page_has_key, many_locks) {
	.nr = NR_RING_LOCKS,
};

FIXTURE_VARIANT_ADD(page_has_key, pending) {
	.nr = 1,
	.pending = true,
};

FIXTURE_SETUP(page_has_key)
{
	REQUIRE_ROBUST_LIST();

	self->ring = 0;
	if (syscall(SYS_io_setup, 1, &self->ring))
		SKIP_TEST("the kernel has no AIO, or no context is left");
	self->words = (char *)self->ring + RING_WORDS;
	ASSERT_TRUE(start_thread(&self->victim));
}

FIXTURE_TEARDOWN(page_has_key)
{
	end_thread(&self->victim);
	syscall(SYS_io_destroy, self->ring);
}

TEST_F(page_has_key, waiter_woken)
{
	struct robust_list_head *head = &self->victim.head;
	struct waiters waiters = {};
	futex_t *word = NULL;
	int i;

	for (i = 0; i < variant->nr; i++) {
		word = (futex_t *)(self->words + i * sizeof(self->entries[0]));
		*word = self->victim.tid | FUTEX_WAITERS;
		self->entries[i].next = &self->entries[i + 1];
	}
	self->entries[i - 1].next = &head->list;
	head->futex_offset = self->words - (char *)self->entries;
	if (variant->pending)
		head->list_op_pending = &self->entries[0];
	else
		head->list.next = &self->entries[0];

	ASSERT_TRUE(start_waiters(&waiters, word, NR_WAITERS));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(MARKED_WITH_WAITERS, waiters.seen);
}

/*
 * The page of a private mapping can be the file's, or the thread's own. A pending
 * word that holds no TID may mean that a wakeup is missing, and the word need not be
 * writable for that.
 */
TEST(pending_in_private_read_only_file)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	struct robust_list entry = {};
	struct victim victim = {};
	struct waiters waiters = {};
	futex_t *word, *file;
	int fd;

	REQUIRE_ROBUST_LIST();

	fd = open_memfd(page_size);
	if (fd < 0)
		SKIP(return, "the kernel has no memfd_create()");
	file = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	word = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, word);

	ASSERT_TRUE(start_thread(&victim));
	victim.head.futex_offset = (char *)word - (char *)&entry;
	victim.head.list_op_pending = &entry;
	ASSERT_TRUE(start_waiters(&waiters, file, NR_WAITERS));
	ASSERT_TRUE(end_thread(&victim));
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(0U, waiters.seen);

	munmap((void *)word, page_size);
	munmap((void *)file, page_size);
	close(fd);
}

/* All kinds at once */
FIXTURE(all)
{
	struct memory memory;
	struct victim victim;
	struct lock *locks;
};

#define NR_ALL		100000
/* Of each kind of memory that cannot be written: in all below ROBUST_LIST_LIMIT */
#define NR_BAD_EACH	300

FIXTURE_SETUP(all)
{
	struct memory *memory = &self->memory;
	size_t nr_good = 0, nr_bad = 0, i, good_seen = 0, bad_seen = 0;
	struct area *good[NR_KINDS], *bad[NR_KINDS], *area;
	size_t every;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(memory_init(memory));
	for (i = 0; i < NR_KINDS; i++) {
		area = &memory->areas[i];
		if (memory_add(memory, i)) {
			note("without %s: %s", kinds[i].name, area->missing);
			continue;
		}
		if (writable(i))
			good[nr_good++] = area;
		else
			bad[nr_bad++] = area;
	}
	/* So many exist on every system */
	ASSERT_LE(7U, nr_good);
	ASSERT_LE(3U, nr_bad);

	self->locks = calloc(NR_ALL, sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	every = NR_ALL / (nr_bad * NR_BAD_EACH);
	for (i = 0; i < NR_ALL; i++) {
		struct lock *lock = &self->locks[i];

		if (i % every == every / 2 && bad_seen < nr_bad * NR_BAD_EACH) {
			lock->area = bad[bad_seen % nr_bad];
			lock->k = bad_seen++ / nr_bad;
		} else {
			lock->area = good[good_seen % nr_good];
			lock->k = good_seen++ / nr_good;
		}
	}
	ASSERT_EQ(nr_bad * NR_BAD_EACH, bad_seen);
	EXPECT_TRUE(start_thread(&self->victim));
	make_list(memory, &self->victim, self->locks, NR_ALL);
}

FIXTURE_TEARDOWN(all)
{
	end_thread(&self->victim);
	memory_remove(&self->memory);
}

/*
 * One list of 100,000 locks, each in another kind of memory than the one before:
 * those that can be written are marked, those that cannot be are unchanged, and
 * none is missed because of its neighbours.
 */
TEST_F_TIMEOUT(all, writable_marked, 120)
{
	__u32 tid = self->victim.tid;

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(0U, count_wrong(&self->memory, self->locks, NR_ALL, tid));
}

TEST_HARNESS_MAIN
