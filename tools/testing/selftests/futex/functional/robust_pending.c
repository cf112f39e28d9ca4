// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * list_op_pending: the lock that a thread was taking or releasing when it
 * died. Three facts alone tell how far it had come: whether the lock is on the
 * list, what its word holds, and whether it is a PI futex. Each variant is one
 * moment.
 */
#include "robust.h"

#define NR_WAITERS	3

enum owner {
	NO_TID,
	VICTIM,
	OTHER,
};

FIXTURE(moment)
{
	struct victim *victim;
	struct robust_lock *lock;
	__u32 word;
	/* Another lock, on the list, that shows that the walk took place */
	struct robust_lock *witness;
};

FIXTURE_VARIANT(moment)
{
	/* The word is the TID of this one and these bits */
	enum owner owner;
	__u32 bits;
	bool listed;
	bool pi;
	/* What must follow. A word that is not marked stays what it was. */
	bool marked;
	int woken;
};

/* The thread was about to take the lock, and may have slept for it */
FIXTURE_VARIANT_ADD(moment, before_lock_free) {
	.owner = NO_TID,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, before_lock_owned) {
	.owner = OTHER,
	.bits = FUTEX_WAITERS,
	.woken = 0,
};

/* It has taken the lock, and not put it on the list */
FIXTURE_VARIANT_ADD(moment, taken) {
	.owner = VICTIM,
	.marked = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, taken_with_waiters) {
	.owner = VICTIM,
	.bits = FUTEX_WAITERS,
	.marked = true,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, taken_from_dead) {
	.owner = VICTIM,
	.bits = FUTEX_OWNER_DIED | FUTEX_WAITERS,
	.marked = true,
	.woken = 1,
};

/*
 * It has put the lock on the list, or not taken it off again. Two pointers lead
 * to one lock, so one waiter is woken.
 */
FIXTURE_VARIANT_ADD(moment, listed) {
	.owner = VICTIM,
	.listed = true,
	.marked = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, listed_with_waiters) {
	.owner = VICTIM,
	.bits = FUTEX_WAITERS,
	.listed = true,
	.marked = true,
	.woken = 1,
};

/* It has unlocked, and not made the wakeup */
FIXTURE_VARIANT_ADD(moment, unlocked) {
	.owner = NO_TID,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, unlocked_while_listed) {
	.owner = NO_TID,
	.listed = true,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, unlocked_waiters_bit_left) {
	.owner = NO_TID,
	.bits = FUTEX_WAITERS,
	.woken = 1,
};

/* A death woke the thread, and it has not taken the lock: wake another one */
FIXTURE_VARIANT_ADD(moment, woken_by_exit) {
	.owner = NO_TID,
	.bits = FUTEX_OWNER_DIED,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, woken_by_exit_more_waiters) {
	.owner = NO_TID,
	.bits = FUTEX_OWNER_DIED | FUTEX_WAITERS,
	.woken = 1,
};

/* A third thread was faster. Without FUTEX_WAITERS its unlock wakes no waiter. */
FIXTURE_VARIANT_ADD(moment, woken_lock_lost) {
	.owner = OTHER,
	.woken = 1,
};

FIXTURE_VARIANT_ADD(moment, woken_by_exit_lock_lost) {
	.owner = OTHER,
	.bits = FUTEX_OWNER_DIED,
	.woken = 1,
};

/* A third thread was faster. With FUTEX_WAITERS its unlock wakes a waiter. */
FIXTURE_VARIANT_ADD(moment, woken_lock_lost_waiters_bit) {
	.owner = OTHER,
	.bits = FUTEX_OWNER_DIED | FUTEX_WAITERS,
	.woken = 0,
};

/* A PI futex is never woken; the word is marked by the same rule */
FIXTURE_VARIANT_ADD(moment, pi_taken) {
	.owner = VICTIM,
	.bits = FUTEX_WAITERS,
	.pi = true,
	.marked = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, pi_listed) {
	.owner = VICTIM,
	.bits = FUTEX_WAITERS,
	.listed = true,
	.pi = true,
	.marked = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, pi_unlocked) {
	.owner = NO_TID,
	.pi = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, pi_woken_by_exit) {
	.owner = NO_TID,
	.bits = FUTEX_OWNER_DIED | FUTEX_WAITERS,
	.pi = true,
	.woken = 0,
};

FIXTURE_VARIANT_ADD(moment, pi_lost) {
	.owner = OTHER,
	.pi = true,
	.woken = 0,
};

FIXTURE_SETUP(moment)
{
	struct robust_list_head *head;
	struct robust_list *entry;

	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->lock = shared_memory(2 * sizeof(*self->lock));
	ASSERT_TRUE(!!self->lock);
	self->witness = self->lock + 1;
	ASSERT_TRUE(victim_start(self->victim));

	self->word = variant->bits;
	if (variant->owner == VICTIM)
		self->word |= self->victim->tid;
	else if (variant->owner == OTHER)
		self->word |= OTHER_TID;
	self->lock->word = self->word;

	head = &self->victim->head;
	entry = variant->pi ? pi_entry(self->lock) : &self->lock->entry;
	head->list_op_pending = entry;
	if (variant->listed) {
		link_locks(head, self->lock, 2);
		head->list.next = entry;
	} else {
		link_locks(head, self->witness, 1);
	}
	self->witness->word = self->victim->tid;
}

FIXTURE_TEARDOWN(moment)
{
	victim_clean(self->victim);
}

/*
 * A pending lock is marked if its word has the dying thread's TID, and keeps
 * its word, without FUTEX_OWNER_DIED, if not.
 */
TEST_F(moment, final_word)
{
	__u32 marked = (self->word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, self->witness->word);
	EXPECT_EQ(variant->marked ? marked : self->word, self->lock->word);
}

/*
 * For a pending lock one wakeup is made if the dying thread may have left one
 * undone that no other thread will make, and none if not. Two are never made,
 * even if the lock is on the list as well.
 */
TEST_F(moment, wakeups)
{
	struct waiters waiters = {};

	ASSERT_TRUE(start_waiters(&waiters, &self->lock->word, NR_WAITERS));
	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, self->witness->word);
	EXPECT_EQ(variant->woken, woken(&waiters));
}

FIXTURE(pending)
{
	struct victim *victim;
	struct robust_lock *locks;
};

#define NR_LOCKS	2000
#define MANY_LOCKS	5000

FIXTURE_SETUP(pending)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(MANY_LOCKS * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(pending)
{
	victim_clean(self->victim);
}

/*
 * NULL means that nothing is pending, and not that the lock at address 0 is.
 * With this offset such a lock would have a word that can be accessed.
 */
TEST_F(pending, null_address)
{
	futex_t *word = &self->locks[0].word;
	struct waiters waiters = {};

	self->victim->head.futex_offset = (long)word;
	*word = self->victim->tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(self->victim->tid | FUTEX_WAITERS, *word);
	EXPECT_EQ(0, woken(&waiters));
}

/*
 * The same with a list. Its only lock has an entry that is not mapped, but a word
 * that is: the mark shows that the walk took place.
 */
TEST_F(pending, null_address_with_list)
{
	struct robust_list_head *head = &self->victim->head;
	futex_t *words = &self->locks[0].word;

	head->futex_offset = (long)words;
	head->list.next = (struct robust_list *)sizeof(*words);
	words[0] = self->victim->tid;
	words[1] = self->victim->tid;

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, words[1]);
	EXPECT_EQ((__u32)self->victim->tid, words[0]);
}

/* A thread that the death wakes, and that then writes the head of the victim */
struct successor {
	struct victim *victim;
	struct robust_lock *locks;
	struct robust_list *bait;
};

static void *change_pending_when_woken(void *arg)
{
	struct successor *successor = arg;

	if (!wait_on(&successor->locks[0].word, successor->locks[0].word))
		successor->victim->head.list_op_pending = successor->bait;
	return NULL;
}

#define LONG_LIST	100000

/*
 * list_op_pending is read before the first wakeup: once a lock is marked, other
 * threads can tell that its owner is dead, and may reuse the memory of the head.
 * The list is long enough to give them time to do so.
 */
TEST(pending_read_before_wakeups)
{
	struct robust_lock *locks;
	struct successor successor;
	struct victim *victim;
	pthread_t thread;

	REQUIRE_ROBUST_LIST();

	victim = victim_alloc();
	locks = shared_memory((LONG_LIST + 1) * sizeof(*locks));
	ASSERT_TRUE(victim && locks);
	ASSERT_TRUE(victim_start(victim));
	link_locks(&victim->head, locks, LONG_LIST);
	hold(locks, LONG_LIST + 1, victim->tid);
	locks[0].word |= FUTEX_WAITERS;
	successor.victim = victim;
	successor.locks = locks;
	successor.bait = &locks[LONG_LIST].entry;
	ASSERT_EQ(0, pthread_create(&thread, NULL, change_pending_when_woken,
				    &successor));
	ASSERT_TRUE(happens(sleepers(&locks[0].word) == 1));

	ASSERT_TRUE(victim_die(victim));
	pthread_join(thread, NULL);
	ASSERT_EQ(MARKED, locks[LONG_LIST - 1].word);
	EXPECT_EQ((__u32)victim->tid, locks[LONG_LIST].word);
}

/* If a lock of the list is pending, the others are still marked. */
TEST_F(pending, in_list)
{
	link_locks(&self->victim->head, self->locks, 5);
	hold(self->locks, 5, self->victim->tid);
	self->victim->head.list_op_pending = &self->locks[2].entry;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(5U, count(self->locks, 5, MARKED));
}

/*
 * The pending lock is handled once, and one waiter woken, also where the locks
 * before it on the list have brought in its page, so that its word is accessible
 * when the walk passes it.
 */
TEST_F(pending, in_list_once)
{
	futex_t *word = &self->locks[2].word;
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, 5);
	hold(self->locks, 5, self->victim->tid);
	*word |= FUTEX_WAITERS;
	self->victim->head.list_op_pending = &self->locks[2].entry;
	ASSERT_TRUE(start_waiters(&waiters, word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, *word);
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(4U, count(self->locks, 5, MARKED));
}

/*
 * The pending lock and that on the list are the same one if their addresses
 * are, whatever the PI bits of the two pointers say: one waiter is woken.
 */
TEST_F(pending, other_pi_bit)
{
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, 1);
	self->victim->head.list.next = pi_entry(&self->locks[0]);
	self->victim->head.list_op_pending = &self->locks[0].entry;
	self->locks[0].word = self->victim->tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[0].word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, self->locks[0].word);
	EXPECT_EQ(1, woken(&waiters));
}

/*
 * A pending lock is handled last: once it is marked, all locks of the list are
 * marked. Seen from another CPU; with one CPU this proves nothing.
 */
TEST_F(pending, handled_last)
{
	struct robust_lock *pending = &self->locks[NR_LOCKS];
	struct victim *victim = self->victim;

	link_locks(&victim->head, self->locks, NR_LOCKS);
	hold(self->locks, NR_LOCKS + 1, victim->tid);
	victim->head.list_op_pending = &pending->entry;

	victim->go = 1;
	futex_wake(&victim->go, 1, 0);
	/* No sleep between the reads: what counts is the first one with the mark */
	ASSERT_TRUE(happens(({
		int spins = 100000;

		while (pending->word != MARKED && --spins)
			;
		spins;
	})));
	EXPECT_EQ(MARKED, self->locks[NR_LOCKS - 1].word);
	ASSERT_TRUE(victim_die(victim));
}

FIXTURE(broken_list)
{
	struct victim *victim;
	struct robust_lock *locks;
	struct robust_lock *pending;
};

FIXTURE_VARIANT(broken_list)
{
	/* Breaks a list of five good locks */
	void (*break_it)(struct robust_list_head *head,
			 struct robust_lock *locks);
};

static void break_null(struct robust_list_head *head, struct robust_lock *locks)
{
	locks[2].entry.next = NULL;
}

static void break_at_once(struct robust_list_head *head,
			  struct robust_lock *locks)
{
	head->list.next = NULL;
}

static void break_unmapped(struct robust_list_head *head,
			   struct robust_lock *locks)
{
	locks[2].entry.next = (struct robust_list *)(2 * sizeof(long));
}

static void break_high(struct robust_list_head *head, struct robust_lock *locks)
{
	locks[2].entry.next = (struct robust_list *)(uintptr_t)-4096;
}

static void break_loop(struct robust_list_head *head, struct robust_lock *locks)
{
	locks[2].entry.next = &locks[2].entry;
}

static void break_endless(struct robust_list_head *head,
			  struct robust_lock *locks)
{
	link_locks(head, locks, MANY_LOCKS);
	hold(locks, MANY_LOCKS, OTHER_TID);
}

FIXTURE_VARIANT_ADD(broken_list, null) {
	.break_it = break_null,
};

FIXTURE_VARIANT_ADD(broken_list, null_at_once) {
	.break_it = break_at_once,
};

FIXTURE_VARIANT_ADD(broken_list, unmapped) {
	.break_it = break_unmapped,
};

FIXTURE_VARIANT_ADD(broken_list, kernel_address) {
	.break_it = break_high,
};

FIXTURE_VARIANT_ADD(broken_list, loop) {
	.break_it = break_loop,
};

FIXTURE_VARIANT_ADD(broken_list, too_many_foreign_locks) {
	.break_it = break_endless,
};

FIXTURE_SETUP(broken_list)
{
	struct robust_list_head *head;

	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory((MANY_LOCKS + 1) * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	self->pending = &self->locks[MANY_LOCKS];
	ASSERT_TRUE(victim_start(self->victim));

	head = &self->victim->head;
	link_locks(head, self->locks, 5);
	hold(self->locks, 5, self->victim->tid);
	variant->break_it(head, self->locks);
	self->pending->word = self->victim->tid | FUTEX_WAITERS;
	head->list_op_pending = &self->pending->entry;
}

FIXTURE_TEARDOWN(broken_list)
{
	victim_clean(self->victim);
}

/*
 * The pending lock is handled even if the list is broken: its address is in the
 * head, and does not depend on the list.
 */
TEST_F(broken_list, pending_marked)
{
	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, self->pending->word);
}

/* The same, for the wakeup. */
TEST_F(broken_list, pending_waiter_woken)
{
	struct waiters waiters = {};

	ASSERT_TRUE(start_waiters(&waiters, &self->pending->word, NR_WAITERS));
	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(1, woken(&waiters));
}

TEST_HARNESS_MAIN
