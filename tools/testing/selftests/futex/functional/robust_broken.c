// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Broken lists. The kernel trusts nothing that it reads from user memory. So with
 * each of these lists the victim ends in time, no word is written that does not
 * hold its TID, and all locks that can be reached are marked.
 *
 * The test can access what the victim cannot: memory is shared, and is unmapped
 * or protected in the victim's process alone.
 */
#include <sys/stat.h>

#include "robust.h"

#define NR_LOCKS	5
#define NR_WAITERS	3

static bool died_by_sigkill(struct victim *victim)
{
	return victim_die(victim) && WIFSIGNALED(victim->status) &&
	       WTERMSIG(victim->status) == SIGKILL;
}

/* A page that is special in the victim's process */
enum trouble {
	NONE,
	UNMAPPED,
	NO_ACCESS,
	READ_ONLY,
	TRUNCATED,
};

struct trouble_spot {
	char *page;
	enum trouble trouble;
};

/* A victim that changes its page before it registers its list */
static void run_in_trouble(struct victim *victim)
{
	struct trouble_spot *spot = victim->data;
	size_t size = sysconf(_SC_PAGESIZE);
	int err = 0;

	switch (spot->trouble) {
	case UNMAPPED:
		err = munmap(spot->page, size);
		break;
	case NO_ACCESS:
		err = mprotect(spot->page, size, PROT_NONE);
		break;
	case READ_ONLY:
		err = mprotect(spot->page, size, PROT_READ);
		break;
	case NONE:
	case TRUNCATED:
		break;
	}
	if (err)
		_exit(KSFT_FAIL);

	victim_hold(victim);
	kill(getpid(), SIGKILL);
}

/* @size bytes of a file that has no name, mapped; -1 if that cannot be done */
static int shared_file(char **memory, size_t size)
{
	FILE *file;
	int fd;

	fd = memfd_create("robust", 0);
	if (fd < 0) {
		file = tmpfile();
		if (!file)
			return -1;
		fd = fileno(file);
	}
	if (ftruncate(fd, size))
		return -1;

	*memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *memory == MAP_FAILED ? -1 : fd;
}

/*
 * Bad pointers. Each may be any of the pointers that the kernel
 * follows: the registered one, the first one, one in a lock, the pending one.
 */
FIXTURE(pointer)
{
	struct victim *victim;
	struct robust_lock *locks;
	struct robust_list *bad;
	struct trouble_spot spot;
	/* The page before the special one, an ordinary one */
	char *page;
	size_t page_size;
	int fd;
};

FIXTURE_VARIANT(pointer)
{
	/* An address, or if there is trouble, the distance from that page */
	uintptr_t address;
	enum trouble trouble;
};

FIXTURE_VARIANT_ADD(pointer, null) {
	.address = 0,
};

FIXTURE_VARIANT_ADD(pointer, null_with_pi_bit) {
	.address = 1,
};

FIXTURE_VARIANT_ADD(pointer, low) {
	.address = 4 * sizeof(long),
};

FIXTURE_VARIANT_ADD(pointer, non_canonical) {
	.address = (uintptr_t)1 << (sizeof(long) * CHAR_BIT - 8),
};

FIXTURE_VARIANT_ADD(pointer, upper_half) {
	.address = ~((uintptr_t)-1 / 2),
};

/* Where x86 maps all memory, and many other architectures have kernel memory */
FIXTURE_VARIANT_ADD(pointer, kernel_memory) {
	.address = sizeof(long) == 8 ? (uintptr_t)0xffff888000001000ULL :
				       (uintptr_t)0xc0001000,
};

/* The kernel text of x86 */
FIXTURE_VARIANT_ADD(pointer, kernel_text) {
	.address = sizeof(long) == 8 ? (uintptr_t)0xffffffff81000000ULL :
				       (uintptr_t)0xc1000000,
};

FIXTURE_VARIANT_ADD(pointer, last_page) {
	.address = (uintptr_t)-4096,
};

FIXTURE_VARIANT_ADD(pointer, last_word) {
	.address = (uintptr_t)-sizeof(long),
};

FIXTURE_VARIANT_ADD(pointer, all_ones) {
	.address = (uintptr_t)-1,
};

FIXTURE_VARIANT_ADD(pointer, unmapped) {
	.address = 64,
	.trouble = UNMAPPED,
};

FIXTURE_VARIANT_ADD(pointer, no_access) {
	.address = 64,
	.trouble = NO_ACCESS,
};

FIXTURE_VARIANT_ADD(pointer, truncated_file) {
	.address = 64,
	.trouble = TRUNCATED,
};

/* Its first two bytes can be accessed, the others cannot */
FIXTURE_VARIANT_ADD(pointer, straddling) {
	.address = -2,
	.trouble = UNMAPPED,
};

/* All of it can be accessed, but the entry and its word are misaligned */
FIXTURE_VARIANT_ADD(pointer, misaligned) {
	.address = -62,
	.trouble = NO_ACCESS,
};

FIXTURE_SETUP(pointer)
{
	size_t size = sysconf(_SC_PAGESIZE);

	REQUIRE_ROBUST_LIST();

	self->page_size = size;
	self->fd = shared_file(&self->page, 2 * size);
	ASSERT_LE(0, self->fd);
	self->locks = shared_memory((NR_LOCKS + 1) * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);

	self->spot.page = self->page + size;
	self->spot.trouble = variant->trouble;
	self->bad = (struct robust_list *)variant->address;
	if (variant->trouble != NONE)
		self->bad = (void *)(self->spot.page + variant->address);

	self->victim->run = run_in_trouble;
	self->victim->data = &self->spot;
}

FIXTURE_TEARDOWN(pointer)
{
	victim_clean(self->victim);
	close(self->fd);
}

/*
 * A lock with a bad next pointer is the last one that can be reached: it and
 * those before it are marked.
 */
TEST_F(pointer, in_entry)
{
	ASSERT_TRUE(victim_start(self->victim));
	if (variant->trouble == TRUNCATED)
		ASSERT_EQ(0, ftruncate(self->fd, self->page_size));
	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	hold(self->locks, NR_LOCKS, self->victim->tid);
	self->locks[NR_LOCKS - 1].entry.next = self->bad;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ((size_t)NR_LOCKS, count(self->locks, NR_LOCKS, MARKED));
}

/* With a bad first pointer no lock is marked. */
TEST_F(pointer, in_head)
{
	ASSERT_TRUE(victim_start(self->victim));
	if (variant->trouble == TRUNCATED)
		ASSERT_EQ(0, ftruncate(self->fd, self->page_size));
	hold(self->locks, NR_LOCKS, self->victim->tid);
	self->victim->head.list.next = self->bad;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ((size_t)NR_LOCKS,
		  count(self->locks, NR_LOCKS, self->victim->tid));
}

/* With a bad pending pointer the locks of the list are marked. */
TEST_F(pointer, pending)
{
	ASSERT_TRUE(victim_start(self->victim));
	if (variant->trouble == TRUNCATED)
		ASSERT_EQ(0, ftruncate(self->fd, self->page_size));
	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	hold(self->locks, NR_LOCKS, self->victim->tid);
	self->victim->head.list_op_pending = self->bad;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ((size_t)NR_LOCKS, count(self->locks, NR_LOCKS, MARKED));
}

/* Any address can be registered, and the exit completes. */
TEST_F(pointer, registered)
{
	self->victim->registered = self->bad;
	ASSERT_TRUE(victim_start(self->victim));
	if (variant->trouble == TRUNCATED)
		ASSERT_EQ(0, ftruncate(self->fd, self->page_size));
	EXPECT_TRUE(died_by_sigkill(self->victim));
}

/*
 * Good locks, and a bad one that can be found but not written. Entries and words
 * are a page apart: the first two pages are the good locks' entries and
 * words, the third has the bad lock's entry, and the fourth its word.
 */
FIXTURE(word)
{
	struct victim *victim;
	struct robust_list *entries;
	futex_t *words;
	struct robust_list *bad_entry;
	futex_t *bad_word;
	struct trouble_spot spot;
	size_t page_size;
	int fd;
};

FIXTURE_VARIANT(word)
{
	enum trouble trouble;
};

FIXTURE_VARIANT_ADD(word, unmapped) {
	.trouble = UNMAPPED,
};

FIXTURE_VARIANT_ADD(word, no_access) {
	.trouble = NO_ACCESS,
};

FIXTURE_VARIANT_ADD(word, read_only) {
	.trouble = READ_ONLY,
};

FIXTURE_VARIANT_ADD(word, truncated_file) {
	.trouble = TRUNCATED,
};

/* Entry and word of a good lock each take the size of an entry */
#define WORD(i)	(self->words[(i) * sizeof(struct robust_list) / sizeof(futex_t)])

FIXTURE_SETUP(word)
{
	struct robust_list_head *head;
	size_t size = sysconf(_SC_PAGESIZE);
	char *pages;
	int i;

	REQUIRE_ROBUST_LIST();

	self->page_size = size;
	self->fd = shared_file(&pages, 4 * size);
	ASSERT_LE(0, self->fd);
	self->entries = (void *)pages;
	self->words = (void *)(pages + size);
	self->bad_entry = (void *)(pages + 2 * size);
	self->bad_word = (void *)(pages + 3 * size);
	self->spot.page = (char *)self->bad_word;
	self->spot.trouble = variant->trouble;

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->victim->run = run_in_trouble;
	self->victim->data = &self->spot;
	ASSERT_TRUE(victim_start(self->victim));

	head = &self->victim->head;
	head->futex_offset = size;
	head->list.next = &self->entries[0];
	for (i = 0; i < NR_LOCKS; i++) {
		self->entries[i].next = &self->entries[i + 1];
		WORD(i) = self->victim->tid;
	}
	self->entries[NR_LOCKS - 1].next = &head->list;
	*self->bad_word = self->victim->tid;
	if (variant->trouble == TRUNCATED)
		ASSERT_EQ(0, ftruncate(self->fd, 3 * size));
}

FIXTURE_TEARDOWN(word)
{
	victim_clean(self->victim);
	close(self->fd);
}

/* The locks before one that cannot be written are marked. */
TEST_F(word, earlier_locks_marked)
{
	int i;

	self->entries[NR_LOCKS - 1].next = self->bad_entry;
	self->bad_entry->next = &self->victim->head.list;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	for (i = 0; i < NR_LOCKS; i++)
		EXPECT_EQ(MARKED, WORD(i));
}

/*
 * The locks behind it are marked as well: its entry can be read, and leads to the
 * next one.
 */
TEST_F(word, later_locks_marked)
{
	int i;

	self->victim->head.list.next = self->bad_entry;
	self->bad_entry->next = &self->entries[0];

	ASSERT_TRUE(died_by_sigkill(self->victim));
	for (i = 0; i < NR_LOCKS; i++)
		EXPECT_EQ(MARKED, WORD(i));
}

/*
 * A wakeup that is still due when the walk reaches the bad lock is not lost: that
 * of the last good one.
 */
TEST_F(word, earlier_waiter_woken)
{
	struct waiters waiters = {};

	self->entries[NR_LOCKS - 1].next = self->bad_entry;
	self->bad_entry->next = &self->victim->head.list;
	WORD(NR_LOCKS - 1) |= FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, &WORD(NR_LOCKS - 1), NR_WAITERS));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, WORD(NR_LOCKS - 1));
	EXPECT_EQ(1, woken(&waiters));
}

/* The locks of the list are marked if the bad one is pending. */
TEST_F(word, pending_list_marked)
{
	int i;

	self->victim->head.list_op_pending = self->bad_entry;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	for (i = 0; i < NR_LOCKS; i++)
		EXPECT_EQ(MARKED, WORD(i));
}

/*
 * The kernel does not write what the victim could not write, and does not extend a
 * file that was truncated.
 */
TEST_F(word, unchanged)
{
	struct stat stat;

	self->entries[NR_LOCKS - 1].next = self->bad_entry;
	self->bad_entry->next = &self->victim->head.list;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	ASSERT_EQ(MARKED, WORD(NR_LOCKS - 1));
	if (variant->trouble == TRUNCATED) {
		ASSERT_EQ(0, fstat(self->fd, &stat));
		EXPECT_EQ((off_t)(3 * self->page_size), stat.st_size);
	} else {
		EXPECT_EQ((__u32)self->victim->tid, *self->bad_word);
	}
}

/*
 * Offsets that lead from a good entry to a bad word.
 */
FIXTURE(offset)
{
	struct victim *victim;
	struct robust_lock *locks;
};

FIXTURE_VARIANT(offset)
{
	long offset;
};

FIXTURE_VARIANT_ADD(offset, most_positive) {
	.offset = LONG_MAX,
};

FIXTURE_VARIANT_ADD(offset, most_positive_aligned) {
	.offset = LONG_MAX - 7,
};

FIXTURE_VARIANT_ADD(offset, most_negative) {
	.offset = LONG_MIN,
};

FIXTURE_VARIANT_ADD(offset, one_byte_more) {
	.offset = LOCK_OFFSET + 1,
};

FIXTURE_VARIANT_ADD(offset, two_bytes_more) {
	.offset = LOCK_OFFSET + 2,
};

FIXTURE_VARIANT_ADD(offset, one_byte_less) {
	.offset = LOCK_OFFSET - 1,
};

FIXTURE_SETUP(offset)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory((NR_LOCKS + 2) * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	ASSERT_TRUE(victim_start(self->victim));
	self->victim->head.futex_offset = variant->offset;
}

FIXTURE_TEARDOWN(offset)
{
	victim_clean(self->victim);
}

/*
 * A word that is out of reach or misaligned is not written. Where the offset leads
 * to a misaligned word in the locks, that word holds the victim's TID.
 */
TEST_F(offset, no_write)
{
	size_t size = (NR_LOCKS + 2) * sizeof(*self->locks);
	struct robust_lock *locks = self->locks + 1;
	long past = variant->offset - LOCK_OFFSET;
	__u32 tid = self->victim->tid;
	char before[(NR_LOCKS + 2) * sizeof(*self->locks)];
	int i;

	link_locks(&self->victim->head, locks, NR_LOCKS);
	for (i = 0; i < NR_LOCKS; i++) {
		if (past >= -1 && past <= 2)
			memcpy((char *)&locks[i].word + past, &tid, sizeof(tid));
		else
			locks[i].word = tid;
	}
	/* A TID that begins in the entry before it has overwritten the link there */
	if (past == -1)
		link_locks(&self->victim->head, locks, 1);
	memcpy(before, self->locks, size);

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(0, memcmp(before, self->locks, size));
}

/* The same for the word of the pending lock. */
TEST_F(offset, no_write_pending)
{
	struct robust_lock *lock = self->locks + 1;
	long past = variant->offset - LOCK_OFFSET;
	__u32 tid = self->victim->tid;
	struct robust_lock before;

	self->victim->head.list_op_pending = &lock->entry;
	if (past >= -1 && past <= 2)
		memcpy((char *)&lock->word + past, &tid, sizeof(tid));
	else
		lock->word = tid;
	memcpy(&before, lock, sizeof(before));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(0, memcmp(&before, lock, sizeof(before)));
}

/*
 * An offset may lead from one end of the address space to the other. In 32 bits
 * the sum of address and offset wraps, which is valid.
 */
TEST(large_offset)
{
	struct victim *victim = victim_alloc();
	size_t size = sizeof(struct robust_lock);
	struct robust_lock *low, *high;

	REQUIRE_ROBUST_LIST();

	/* A hint, so that the kernel takes another address if it has to */
	low = mmap((void *)0x10000000, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	high = shared_memory(size);
	ASSERT_TRUE(victim && low != MAP_FAILED && high);
	ASSERT_TRUE(victim_start(victim));

	link_locks(&victim->head, high, 1);
	victim->head.futex_offset = (uintptr_t)&low->word - (uintptr_t)&high->entry;
	low->word = victim->tid;

	ASSERT_TRUE(died_by_sigkill(victim));
	EXPECT_EQ(MARKED, low->word);
}

/* Lists with links to unexpected addresses. */
FIXTURE(list)
{
	struct victim *victim;
	struct robust_lock *locks;
};

#define MANY_LOCKS	1000

FIXTURE_SETUP(list)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(2 * MANY_LOCKS * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(list)
{
	victim_clean(self->victim);
}

/*
 * A misaligned lock has no word that could be exchanged atomically, and is not
 * changed. The locks before it are marked.
 */
TEST_F(list, misaligned_lock)
{
	struct robust_lock *locks = self->locks;
	char *misaligned = (char *)&locks[NR_LOCKS + 1] + 2;
	struct robust_list *end = &self->victim->head.list;
	__u32 tid = self->victim->tid, word;

	hold(locks, NR_LOCKS, tid);
	link_locks(&self->victim->head, locks, NR_LOCKS);
	locks[NR_LOCKS - 1].entry.next = (void *)(misaligned - LOCK_OFFSET);
	memcpy(misaligned - LOCK_OFFSET, &end, sizeof(end));
	memcpy(misaligned, &tid, sizeof(tid));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	memcpy(&word, misaligned, sizeof(word));
	EXPECT_EQ(tid, word);
	EXPECT_EQ((size_t)NR_LOCKS, count(locks, NR_LOCKS, MARKED));
}

/*
 * Nor is a word changed that the offset makes misaligned. Here the words are
 * behind all of the entries, one byte off.
 */
TEST_F(list, misaligned_offset)
{
	long offset = NR_LOCKS * sizeof(*self->locks) + 1;
	char before[(2 * NR_LOCKS + 1) * sizeof(*self->locks)];
	__u32 tid = self->victim->tid;
	int i;

	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	self->victim->head.futex_offset = offset;
	for (i = 0; i < NR_LOCKS; i++)
		memcpy((char *)&self->locks[i].entry + offset, &tid, sizeof(tid));
	memcpy(before, self->locks, sizeof(before));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(0, memcmp(before, self->locks, sizeof(before)));
}

static struct robust_list *with_another_highest_bit(struct robust_list *pointer)
{
	return (struct robust_list *)((uintptr_t)pointer ^ HIGHEST_BIT);
}

/*
 * Where the highest bit of a pointer is not part of the address, the pointer leads
 * to the same lock with this bit set. The pending lock is behind the others.
 */
TEST_F(list, link_top_bit_set)
{
	struct robust_list_head *head = &self->victim->head;
	struct robust_lock *locks = self->locks;
	size_t expected = highest_bit_counts() ? 1 : NR_LOCKS + 1;
	int i;

	hold(locks, NR_LOCKS + 1, self->victim->tid);
	link_locks(head, locks, NR_LOCKS);
	for (i = 0; i < NR_LOCKS; i++)
		locks[i].entry.next = with_another_highest_bit(locks[i].entry.next);
	head->list_op_pending = with_another_highest_bit(&locks[NR_LOCKS].entry);

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(expected, count(locks, NR_LOCKS + 1, MARKED));
	EXPECT_EQ(MARKED, locks[0].word);
}

/*
 * A NULL link leads to no lock. With this offset the lock at address 0 would have
 * a word that can be accessed. The pending lock shows that the walk took place:
 * its entry is not mapped, but its word is.
 */
TEST_F(list, null_link)
{
	struct robust_list_head *head = &self->victim->head;
	futex_t *words = &self->locks[0].word;

	head->futex_offset = (long)words;
	head->list.next = NULL;
	head->list_op_pending = (void *)sizeof(*words);
	words[0] = self->victim->tid;
	words[1] = self->victim->tid;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(self->victim->tid, words[0]);
	EXPECT_EQ(MARKED, words[1]);
}

/* A lock with a next pointer to itself is marked, and ends the walk. */
TEST_F(list, self_link)
{
	hold(self->locks, 1, self->victim->tid);
	self->victim->head.list.next = &self->locks[0].entry;
	self->locks[0].entry.next = &self->locks[0].entry;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(MARKED, self->locks[0].word);
}

/* When the walk visits it again, no other waiter is woken. */
TEST_F(list, self_link_wakes_once)
{
	struct waiters waiters = {};

	hold(self->locks, 1, self->victim->tid | FUTEX_WAITERS);
	self->victim->head.list.next = &self->locks[0].entry;
	self->locks[0].entry.next = &self->locks[0].entry;
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[0].word, NR_WAITERS));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(1, woken(&waiters));
}

/* A cycle that does not contain the head, entered by a tail: a rho. */
TEST_F(list, endless)
{
	hold(self->locks, MANY_LOCKS, self->victim->tid);
	link_locks(&self->victim->head, self->locks, MANY_LOCKS);
	self->locks[MANY_LOCKS - 1].entry.next = &self->locks[7].entry;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ((size_t)MANY_LOCKS, count(self->locks, MANY_LOCKS, MARKED));
}

/* The walk passes the pending lock in every round, and it is handled once. */
TEST_F(list, endless_pending_wakes_once)
{
	struct waiters waiters = {};

	hold(self->locks, 3, self->victim->tid | FUTEX_WAITERS);
	link_locks(&self->victim->head, self->locks, 3);
	self->locks[2].entry.next = &self->locks[0].entry;
	self->victim->head.list_op_pending = &self->locks[1].entry;
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[1].word, NR_WAITERS));

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(3U, count(self->locks, 3, MARKED_WITH_WAITERS));
	EXPECT_EQ(1, woken(&waiters));
}

/*
 * Two joined lists: that of the first victim leads into that of the second one,
 * and so to a head that is not its own. Each death marks the locks of its victim.
 * It does not change those of the other, nor the word that the foreign head would
 * have as a lock.
 */
TEST_F(list, joins_other_list)
{
	struct {
		futex_t bait;
		struct robust_list_head head;
	} *second_head = shared_memory(sizeof(*second_head));
	struct robust_lock *first = self->locks, *second = self->locks + 3;
	struct victim *other = victim_alloc();

	ASSERT_TRUE(second_head && other);
	init_head(&second_head->head);
	other->registered = &second_head->head;
	ASSERT_TRUE(victim_start(other));
	ASSERT_EQ((uintptr_t)&second_head->bait,
		  (uintptr_t)&second_head->head.list + LOCK_OFFSET);
	second_head->bait = OTHER_TID;
	link_locks(&second_head->head, second, 3);
	link_locks(&self->victim->head, first, 3);
	hold(first, 3, self->victim->tid);
	hold(second, 3, other->tid);
	first[2].entry.next = &second[1].entry;

	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(3U, count(first, 3, MARKED));
	EXPECT_EQ(3U, count(second, 3, other->tid));
	EXPECT_EQ((__u32)OTHER_TID, second_head->bait);

	ASSERT_TRUE(died_by_sigkill(other));
	EXPECT_EQ(3U, count(second, 3, MARKED));
}

/* What threads that rewrite a list need */
struct rewriter {
	struct robust_lock *locks;
	futex_t stop;
	__u32 word;
	pthread_t thread;
};

static void *rewrite_pointers(void *arg)
{
	struct rewriter *rewriter = arg;
	struct robust_lock *locks = rewriter->locks;
	unsigned int random = 1, from, to;
	struct robust_list *next;

	while (!rewriter->stop) {
		random = random * 1103515245 + 12345;
		from = random / 65536 % (2 * MANY_LOCKS);
		random = random * 1103515245 + 12345;
		to = random / 65536 % (2 * MANY_LOCKS + 2);

		if (to < 2 * MANY_LOCKS)
			next = &locks[to].entry;
		else if (to == 2 * MANY_LOCKS)
			next = NULL;
		else
			next = (struct robust_list *)(uintptr_t)-4096;
		__atomic_store_n(&locks[from].entry.next, next, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *rewrite_word(void *arg)
{
	struct rewriter *rewriter = arg;

	while (!rewriter->stop)
		rewriter->locks[1].word = rewriter->word;
	return NULL;
}

/*
 * A list may change in every way during the walk. The walk ends in time, and no
 * word is written that does not hold the victim's TID.
 */
TEST_F(list, concurrent_changes)
{
	struct rewriter rewriters[2] = {};
	struct victim *victim = self->victim;
	int i, round;

	for (round = 0; round < 20; round++) {
		hold(self->locks, MANY_LOCKS, victim->tid);
		hold(self->locks + MANY_LOCKS, MANY_LOCKS, OTHER_TID);
		link_locks(&victim->head, self->locks, 2 * MANY_LOCKS);
		for (i = 0; i < 2; i++) {
			rewriters[i].locks = self->locks;
			rewriters[i].stop = 0;
			ASSERT_EQ(0, pthread_create(&rewriters[i].thread, NULL,
						    rewrite_pointers,
						    &rewriters[i]));
		}
		usleep(1000);

		ASSERT_TRUE(died_by_sigkill(victim));
		for (i = 0; i < 2; i++) {
			rewriters[i].stop = 1;
			pthread_join(rewriters[i].thread, NULL);
		}
		/* The head is not changed, and leads to this one */
		ASSERT_EQ(MARKED, self->locks[0].word);
		ASSERT_EQ((size_t)MANY_LOCKS,
			  count(self->locks + MANY_LOCKS, MANY_LOCKS, OTHER_TID));
		ASSERT_EQ((size_t)MANY_LOCKS,
			  count(self->locks, MANY_LOCKS, victim->tid) +
			  count(self->locks, MANY_LOCKS, MARKED));
		ASSERT_TRUE(victim_start(victim));
	}
}

/*
 * A thread that writes the victim's TID back into a word as soon as it was marked
 * cannot prevent the end of the walk, even on a list that has no end.
 */
TEST_F(list, lock_retaken)
{
	struct rewriter rewriter = {
		.locks = self->locks,
		.word = self->victim->tid,
	};

	hold(self->locks, 2, self->victim->tid);
	link_locks(&self->victim->head, self->locks, 2);
	self->locks[1].entry.next = &self->locks[1].entry;
	ASSERT_EQ(0, pthread_create(&rewriter.thread, NULL, rewrite_word,
				    &rewriter));
	EXPECT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(MARKED, self->locks[0].word);
	rewriter.stop = 1;
	pthread_join(rewriter.thread, NULL);
}

#define RING_LOCKS	(2 * 1024 * 1024)

static void *rewrite_all_words(void *arg)
{
	struct rewriter *rewriter = arg;
	int i;

	while (!rewriter->stop)
		for (i = 0; i < RING_LOCKS && !rewriter->stop; i++)
			rewriter->locks[i].word = rewriter->word;
	return NULL;
}

/* A long cycle that does not contain the head, and a pending lock beside it */
FIXTURE(ring)
{
	struct victim *victim;
	struct robust_lock *locks;
};

FIXTURE_SETUP(ring)
{
	REQUIRE_ROBUST_LIST();

	self->locks = shared_memory((RING_LOCKS + 1) * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(ring)
{
	victim_clean(self->victim);
}

/*
 * If a thread writes the TID back into all words, the walk finds them held in each
 * round. Then only the limit on visits of any kind ends it, which may take a
 * while. The pending lock is handled nevertheless.
 */
TEST_F_TIMEOUT(ring, locks_retaken, 360)
{
	struct victim *victim = self->victim;
	struct robust_lock *locks = self->locks;
	struct rewriter rewriter = { .locks = locks, .word = victim->tid };
	long long begin = milliseconds();
	bool dead = false;
	int i;

	hold(locks, RING_LOCKS + 1, victim->tid);
	link_locks(&victim->head, locks, RING_LOCKS);
	locks[RING_LOCKS - 1].entry.next = &locks[0].entry;
	victim->head.list_op_pending = &locks[RING_LOCKS].entry;
	ASSERT_EQ(0, pthread_create(&rewriter.thread, NULL, rewrite_all_words,
				    &rewriter));
	for (i = 0; i < 30 && !dead; i++)
		dead = victim_die(victim);
	EXPECT_TRUE(dead);
	rewriter.stop = 1;
	pthread_join(rewriter.thread, NULL);
	TH_LOG("the walk took %lld ms", milliseconds() - begin);
	EXPECT_EQ(MARKED, locks[RING_LOCKS].word);
}

#define NR_DEATHS	20

/* There is no wait for what is not mapped: such a death takes no longer than others. */
TEST(time_bound)
{
	struct victim *victim = victim_alloc();
	long long begin = milliseconds();
	int i;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(!!victim);
	for (i = 0; i < NR_DEATHS; i++) {
		ASSERT_TRUE(victim_start(victim));
		victim->head.list.next = (void *)(2 * sizeof(long));
		ASSERT_TRUE(died_by_sigkill(victim));
	}
	/* Half a second for each is plenty for the slowest of machines */
	EXPECT_GT(500LL * NR_DEATHS, milliseconds() - begin);
}

/*
 * Heads that lie across the border of two pages, one of which the victim cannot
 * access. The head's three words are: list, offset, pending.
 */
FIXTURE(head)
{
	struct victim *victim;
	struct robust_list_head *head;
	struct robust_lock *locks;
	struct trouble_spot spot;
};

FIXTURE_VARIANT(head)
{
	/* How many words are in the first page */
	int words;
	/* The first page is the inaccessible one, not the second */
	bool first_missing;
	bool list_marked;
	bool pending_marked;
};

FIXTURE_VARIANT_ADD(head, no_list) {
	.words = 1,
	.first_missing = true,
	.pending_marked = true,
};

FIXTURE_VARIANT_ADD(head, no_list_and_offset) {
	.words = 2,
	.first_missing = true,
};

FIXTURE_VARIANT_ADD(head, no_offset_and_pending) {
	.words = 1,
};

FIXTURE_VARIANT_ADD(head, no_pending) {
	.words = 2,
	.list_marked = true,
};

FIXTURE_SETUP(head)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char *pages = shared_memory(2 * size);

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(!!pages);
	self->locks = shared_memory((NR_LOCKS + 1) * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);

	self->head = (void *)(pages + size - variant->words * sizeof(long));
	self->spot.page = variant->first_missing ? pages : pages + size;
	self->spot.trouble = NO_ACCESS;
	self->victim->run = run_in_trouble;
	self->victim->data = &self->spot;
	self->victim->registered = self->head;
	ASSERT_TRUE(victim_start(self->victim));

	init_head(self->head);
	link_locks(self->head, self->locks, NR_LOCKS);
	hold(self->locks, NR_LOCKS + 1, self->victim->tid);
	self->head->list_op_pending = &self->locks[NR_LOCKS].entry;
}

FIXTURE_TEARDOWN(head)
{
	victim_clean(self->victim);
}

/*
 * Without the offset no word can be found. Without the pending pointer the list
 * is still walked.
 */
TEST_F(head, list_marked)
{
	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ((size_t)NR_LOCKS,
		  count(self->locks, NR_LOCKS, variant->list_marked ?
				     MARKED : (__u32)self->victim->tid));
}

/* Without the list, the pending lock is still handled. */
TEST_F(head, pending_marked)
{
	ASSERT_TRUE(died_by_sigkill(self->victim));
	EXPECT_EQ(variant->pending_marked ? MARKED : (__u32)self->victim->tid,
		  self->locks[NR_LOCKS].word);
}

TEST_HARNESS_MAIN
