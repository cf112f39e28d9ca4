// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel does with the locks of a thread that ends: for each way to
 * end, and for short and long lists.
 */
#include "robust.h"

#define NR_LOCKS	10
#define NR_WAITERS	3

static void run_sigsegv(struct victim *victim)
{
	char *no_access = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

	victim_hold(victim);
	__atomic_store_n(no_access, 0, __ATOMIC_RELAXED);
}

static void run_exit(struct victim *victim)
{
	victim_hold(victim);
	exit(0);
}

static void run__exit(struct victim *victim)
{
	victim_hold(victim);
	_exit(0);
}

static void run_exec(struct victim *victim)
{
	victim_hold(victim);
	victim_exec();
}

/*
 * Thread bodies: those of the victim, and for each way in which another thread
 * can end it, that of the other thread.
 */
static void *hold_and_return(void *arg)
{
	victim_hold(arg);
	return NULL;
}

static void *hold_and_exec(void *arg)
{
	victim_hold(arg);
	victim_exec();
	return NULL;
}

static void *wait_and_sigkill(void *arg)
{
	struct victim *victim = arg;

	while (!victim->go)
		wait_on(&victim->go, 0);
	kill(getpid(), SIGKILL);
	return NULL;
}

static void *wait_and_exit_group(void *arg)
{
	struct victim *victim = arg;

	while (!victim->go)
		wait_on(&victim->go, 0);
	_exit(0);
}

static void *wait_and_exec(void *arg)
{
	struct victim *victim = arg;

	while (!victim->go)
		wait_on(&victim->go, 0);
	victim_exec();
	return NULL;
}

static void *just_sleep(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void with_thread(struct victim *victim, void *(*body)(void *arg))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, victim))
		_exit(KSFT_FAIL);
}

static void run_thread_return(struct victim *victim)
{
	with_thread(victim, hold_and_return);
	just_sleep(NULL);
}

static void run_thread_exit(struct victim *victim)
{
	with_thread(victim, hold_and_exit_thread);
	just_sleep(NULL);
}

static void run_leader_exit(struct victim *victim)
{
	with_thread(victim, just_sleep);
	hold_and_exit_thread(victim);
}

/* A thread that another one ends in its sleep never returns from here */
static void hold_asleep(struct victim *victim)
{
	victim_hold(victim);
	just_sleep(NULL);
}

static void run_killed_asleep(struct victim *victim)
{
	with_thread(victim, wait_and_sigkill);
	hold_asleep(victim);
}

static void run_exit_group_by_sibling(struct victim *victim)
{
	with_thread(victim, wait_and_exit_group);
	hold_asleep(victim);
}

static void run_exec_by_sibling(struct victim *victim)
{
	victim->whole_process = true;
	with_thread(victim, wait_and_exec);
	hold_asleep(victim);
}

/* During the exec the kernel gives the thread the TID of the leader */
static void run_exec_by_thread(struct victim *victim)
{
	victim->whole_process = true;
	with_thread(victim, hold_and_exec);
	just_sleep(NULL);
}

FIXTURE(end)
{
	struct victim *victim;
	struct robust_lock *locks;
};

FIXTURE_VARIANT(end)
{
	void (*run)(struct victim *victim);
};

/* Without a run() the victim sends SIGKILL to itself */
FIXTURE_VARIANT_ADD(end, sigkill) {
	.run = NULL,
};

FIXTURE_VARIANT_ADD(end, sigkill_asleep) {
	.run = run_killed_asleep,
};

FIXTURE_VARIANT_ADD(end, sigsegv) {
	.run = run_sigsegv,
};

FIXTURE_VARIANT_ADD(end, exit) {
	.run = run_exit,
};

FIXTURE_VARIANT_ADD(end, _exit) {
	.run = run__exit,
};

FIXTURE_VARIANT_ADD(end, pthread_exit) {
	.run = run_thread_return,
};

FIXTURE_VARIANT_ADD(end, thread_exit) {
	.run = run_thread_exit,
};

FIXTURE_VARIANT_ADD(end, leader_exit) {
	.run = run_leader_exit,
};

FIXTURE_VARIANT_ADD(end, exit_group_by_sibling) {
	.run = run_exit_group_by_sibling,
};

FIXTURE_VARIANT_ADD(end, exec) {
	.run = run_exec,
};

FIXTURE_VARIANT_ADD(end, exec_by_sibling) {
	.run = run_exec_by_sibling,
};

FIXTURE_VARIANT_ADD(end, exec_by_thread) {
	.run = run_exec_by_thread,
};

FIXTURE_SETUP(end)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(NR_LOCKS * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	self->victim->run = variant->run;
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(end)
{
	victim_clean(self->victim);
}

/*
 * Each listed word with the dying thread's TID becomes FUTEX_OWNER_DIED, with
 * FUTEX_WAITERS kept and everything else dropped, in whatever way the thread
 * ends.
 */
TEST_F(end, held_marked)
{
	__u32 tid = self->victim->tid;
	int i;

	link_locks(&self->victim->head, self->locks, 4);
	self->locks[0].word = tid;
	self->locks[1].word = tid | FUTEX_WAITERS;
	self->locks[2].word = tid | FUTEX_OWNER_DIED;
	self->locks[3].word = tid | FUTEX_OWNER_DIED | FUTEX_WAITERS;

	ASSERT_TRUE(victim_die(self->victim));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(i % 2 ? MARKED_WITH_WAITERS : MARKED,
			  self->locks[i].word);
}

/*
 * Every other word is left as it is: one that is free, already marked or of
 * another owner, and one of a lock that is not on the list.
 */
TEST_F(end, other_words_unchanged)
{
	__u32 tid = self->victim->tid;
	__u32 words[NR_LOCKS] = {
		0,
		FUTEX_WAITERS,
		FUTEX_OWNER_DIED,
		FUTEX_OWNER_DIED | FUTEX_WAITERS,
		OTHER_TID,
		OTHER_TID | FUTEX_WAITERS,
		/* The victim's TID but for one bit, the lowest and the highest */
		tid ^ 1,
		tid ^ (FUTEX_OWNER_DIED >> 1),
		/* The last one on the list: the walk has visited all of them */
		tid,
		/* This one is not linked */
		tid,
	};
	int i;

	link_locks(&self->victim->head, self->locks, NR_LOCKS - 1);
	for (i = 0; i < NR_LOCKS; i++)
		self->locks[i].word = words[i];

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, self->locks[NR_LOCKS - 2].word);
	self->locks[NR_LOCKS - 2].word = tid;
	for (i = 0; i < NR_LOCKS; i++)
		EXPECT_EQ(words[i], self->locks[i].word);
}

/*
 * Exactly one waiter is woken where FUTEX_WAITERS is set, and it already finds
 * the word marked.
 */
TEST_F(end, wakes_one)
{
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	self->locks[NR_LOCKS / 2].word = self->victim->tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[NR_LOCKS / 2].word,
				  NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(MARKED_WITH_WAITERS, waiters.seen);
}

/*
 * A waiter that sleeps on a word without FUTEX_WAITERS has requested no wakeup
 * and gets none.
 */
TEST_F(end, no_waiters_bit_no_wakeup)
{
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	self->locks[NR_LOCKS / 2].word = self->victim->tid;
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[NR_LOCKS / 2].word,
				  NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, self->locks[NR_LOCKS / 2].word);
	EXPECT_EQ(0, woken(&waiters));
}

/*
 * The lock that the thread was taking or releasing when it ended is marked,
 * although it is not on the list.
 */
TEST_F(end, pending_marked)
{
	self->locks[0].word = self->victim->tid;
	self->victim->head.list_op_pending = &self->locks[0].entry;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED, self->locks[0].word);
}

FIXTURE(list)
{
	struct victim *victim;
	struct robust_lock *locks;
};

#define MAX_LOCKS	100000

FIXTURE_SETUP(list)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(MAX_LOCKS * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(list)
{
	victim_clean(self->victim);
}

/* An empty list is one that points to itself: the head is no lock. */
TEST_F(list, empty_list)
{
	struct robust_list_head *head = &self->victim->head;
	struct robust_lock *locks = self->locks;

	/* If the head were a lock, this would be its word */
	head->futex_offset = (uintptr_t)&locks[0].word - (uintptr_t)head;
	/* The pending lock, which has the next word, shows that the head was read */
	head->list_op_pending = (void *)((char *)head + sizeof(*locks));
	hold(locks, 2, self->victim->tid);

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_EQ(MARKED, locks[1].word);
	EXPECT_EQ((__u32)self->victim->tid, locks[0].word);
}

/* The head is no lock at the end of a list either. */
TEST_F(list, head_with_word)
{
	struct {
		futex_t word;
		struct robust_list_head head;
	} *own = shared_memory(sizeof(*own));
	struct victim *victim = victim_alloc();

	ASSERT_TRUE(own && victim);
	ASSERT_EQ((uintptr_t)&own->word,
		  (uintptr_t)&own->head.list + LOCK_OFFSET);
	init_head(&own->head);
	victim->registered = &own->head;
	ASSERT_TRUE(victim_start(victim));
	link_locks(&own->head, self->locks, NR_LOCKS);
	hold(self->locks, NR_LOCKS, victim->tid);
	own->word = victim->tid;

	ASSERT_TRUE(victim_die(victim));
	ASSERT_EQ((size_t)NR_LOCKS, count(self->locks, NR_LOCKS, MARKED));
	EXPECT_EQ((__u32)victim->tid, own->word);
	victim_clean(victim);
}

/* One waiter of each lock is woken, not one in all. */
TEST_F(list, wakes_each)
{
	struct waiters waiters[NR_LOCKS] = {};
	int i;

	hold(self->locks, NR_LOCKS, self->victim->tid | FUTEX_WAITERS);
	link_locks(&self->victim->head, self->locks, NR_LOCKS);
	for (i = 0; i < NR_LOCKS; i++)
		ASSERT_TRUE(start_waiters(&waiters[i], &self->locks[i].word, 2));

	ASSERT_TRUE(victim_die(self->victim));
	for (i = 0; i < NR_LOCKS; i++)
		EXPECT_EQ(1, woken(&waiters[i]));
}

/* Where the word lies in relation to the entry is for user space to choose. */
TEST_F(list, words_after_entries)
{
	int i;

	/* The word after an entry is that of the next lock in memory */
	self->victim->head.futex_offset = LOCK_OFFSET + sizeof(*self->locks);
	hold(self->locks, NR_LOCKS + 1, self->victim->tid);
	link_locks(&self->victim->head, self->locks, NR_LOCKS);

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ((__u32)self->victim->tid, self->locks[0].word);
	for (i = 1; i <= NR_LOCKS; i++)
		EXPECT_EQ(MARKED, self->locks[i].word);
}

/*
 * Exactly one waiter is woken in a process's private memory, too, where the
 * victim is one thread and the waiters are others.
 */
TEST(private_memory_waiter)
{
	static struct robust_lock lock;
	struct victim victim = {};
	struct waiters waiters = {};
	pthread_t thread;

	REQUIRE_ROBUST_LIST();

	init_head(&victim.head);
	victim.registered = &victim.head;
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold_and_exit_thread, &victim));
	ASSERT_TRUE(happens(victim.tid));
	link_locks(&victim.head, &lock, 1);
	lock.word = victim.tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, &lock.word, NR_WAITERS));

	victim.go = 1;
	futex_wake(&victim.go, 1, 0);
	ASSERT_TRUE(happens(!victim.alive));
	EXPECT_EQ(MARKED_WITH_WAITERS, lock.word);
	EXPECT_EQ(1, woken(&waiters));
}

/*
 * A thread with locks in pages that are mapped: the other threads have just
 * written to them.
 */
FIXTURE(at_hand)
{
	struct victim victim;
	struct robust_lock locks[4];
	struct waiters waiters[4];
};

FIXTURE_SETUP(at_hand)
{
	pthread_t thread;

	REQUIRE_ROBUST_LIST();

	init_head(&self->victim.head);
	self->victim.registered = &self->victim.head;
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold_and_exit_thread,
				    &self->victim));
	ASSERT_TRUE(happens(self->victim.tid));
	hold(self->locks, 4, self->victim.tid | FUTEX_WAITERS);
}

FIXTURE_TEARDOWN(at_hand)
{
}

/* Let the thread die */
static bool thread_dies(struct victim *victim)
{
	victim->go = 1;
	futex_wake(&victim->go, 1, 0);
	return happens(!victim->alive);
}

/* One waiter of each of a few locks is woken, and one of the pending lock. */
TEST_F(at_hand, many_with_waiters_and_pending)
{
	int i;

	link_locks(&self->victim.head, self->locks, 3);
	self->victim.head.list_op_pending = &self->locks[3].entry;
	for (i = 0; i < 4; i++)
		ASSERT_TRUE(start_waiters(&self->waiters[i], &self->locks[i].word, 2));

	ASSERT_TRUE(thread_dies(&self->victim));
	EXPECT_EQ(4U, count(self->locks, 4, MARKED_WITH_WAITERS));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(1, woken(&self->waiters[i]));
}

/* One lock with a waiter, and a pending one */
TEST_F(at_hand, one_with_waiters_and_pending)
{
	link_locks(&self->victim.head, self->locks, 1);
	self->victim.head.list_op_pending = &self->locks[1].entry;
	ASSERT_TRUE(start_waiters(&self->waiters[0], &self->locks[0].word, 2));
	ASSERT_TRUE(start_waiters(&self->waiters[1], &self->locks[1].word, 2));

	ASSERT_TRUE(thread_dies(&self->victim));
	EXPECT_EQ(2U, count(self->locks, 2, MARKED_WITH_WAITERS));
	EXPECT_EQ(1, woken(&self->waiters[0]));
	EXPECT_EQ(1, woken(&self->waiters[1]));
}

/* No waiter of a PI lock is woken, but one of the lock behind it is. */
TEST_F(at_hand, pi_first)
{
	link_locks(&self->victim.head, self->locks, 2);
	self->victim.head.list.next = pi_entry(&self->locks[0]);
	ASSERT_TRUE(start_waiters(&self->waiters[0], &self->locks[0].word, 2));
	ASSERT_TRUE(start_waiters(&self->waiters[1], &self->locks[1].word, 2));

	ASSERT_TRUE(thread_dies(&self->victim));
	EXPECT_EQ(2U, count(self->locks, 2, MARKED_WITH_WAITERS));
	EXPECT_EQ(0, woken(&self->waiters[0]));
	EXPECT_EQ(1, woken(&self->waiters[1]));
}

#define NR_WAITED	100
/* So far apart that the locks of one batch of wakeups take several pages of 4 KiB */
#define APART		16

/*
 * The kernel makes the wakeups in batches. None is lost where a batch ends, or
 * where a page does. The locks are in private memory that is mapped: only their
 * number ends a batch.
 */
TEST_F(list, wakes_each_of_many)
{
	static struct robust_lock locks[NR_WAITED * APART];
	static struct waiters waiters[NR_WAITED];
	struct victim victim = {};
	struct robust_lock *lock;
	int i, nr_woken = 0;
	pthread_t thread;

	init_head(&victim.head);
	victim.registered = &victim.head;
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold_and_exit_thread, &victim));
	ASSERT_TRUE(happens(victim.tid));
	victim.head.list.next = &locks[0].entry;
	for (i = 0; i < NR_WAITED; i++) {
		lock = &locks[i * APART];
		lock->word = victim.tid | FUTEX_WAITERS;
		lock->entry.next = i + 1 < NR_WAITED ? &lock[APART].entry :
						       &victim.head.list;
		ASSERT_TRUE(start_waiters(&waiters[i], &lock->word, 1));
	}

	victim.go = 1;
	futex_wake(&victim.go, 1, 0);
	ASSERT_TRUE(happens(!victim.alive));
	for (i = 0; i < NR_WAITED; i++)
		nr_woken += woken(&waiters[i]) == 1;
	EXPECT_EQ(NR_WAITED, nr_woken);
}

#define NR_CONTENDED	1000

struct contender {
	struct robust_lock *locks;
	__u32 tid;
	bool announced[NR_CONTENDED];
};

static void *announce_a_waiter_everywhere(void *arg)
{
	struct contender *contender = arg;
	__u32 tid = contender->tid;
	int i;

	/* Against the direction of the walk, so as to meet it */
	for (i = NR_CONTENDED - 1; i >= 0; i--)
		contender->announced[i] =
			futex_cmpxchg(&contender->locks[i].word, tid,
				      tid | FUTEX_WAITERS) == tid;
	return NULL;
}

/*
 * Words are marked atomically: a thread that sets FUTEX_WAITERS before it sleeps
 * either fails to do so, as the word is marked already, or the bit is kept.
 */
TEST_F(list, concurrent_waiters_bit)
{
	struct contender contender = { .locks = self->locks };
	struct victim *victim = self->victim;
	pthread_t thread;
	int i, round, lost = 0;

	for (round = 0; round < 20; round++) {
		contender.tid = victim->tid;
		link_locks(&victim->head, self->locks, NR_CONTENDED);
		hold(self->locks, NR_CONTENDED, victim->tid);
		victim->go = 1;
		futex_wake(&victim->go, 1, 0);
		ASSERT_EQ(0, pthread_create(&thread, NULL,
					    announce_a_waiter_everywhere,
					    &contender));
		ASSERT_TRUE(victim_die(victim));
		pthread_join(thread, NULL);

		for (i = 0; i < NR_CONTENDED; i++)
			lost += self->locks[i].word != (contender.announced[i] ?
				MARKED_WITH_WAITERS : MARKED);
		ASSERT_EQ(0, lost);
		ASSERT_TRUE(victim_start(victim));
	}
}

/*
 * The TID in a word is the one that the thread has in its own PID namespace,
 * and not the one that it has outside.
 */
TEST(tid_of_own_pid_namespace)
{
	struct victim *victim = victim_alloc();
	struct robust_lock *locks = shared_memory(2 * sizeof(*locks));

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(victim && locks);
	if (unshare(CLONE_NEWPID))
		SKIP(return, "needs root and PID namespaces");

	victim->run = run__exit;
	ASSERT_TRUE(victim_start(victim));
	ASSERT_NE((__u32)victim->pid, victim->tid);
	link_locks(&victim->head, locks, 2);
	locks[0].word = victim->tid;
	locks[1].word = victim->pid;

	ASSERT_TRUE(victim_die(victim));
	EXPECT_EQ(MARKED, locks[0].word);
	EXPECT_NE(MARKED, locks[1].word);
}

static bool in_pid_namespace(struct victim *victim)
{
	victim->run = run_in_pid_namespace;
	return victim_start(victim) && victim->tid == 1;
}

/* Sleeps on the word of the lock at data instead of holding it */
static void run_waiter_in_pid_namespace(struct victim *victim)
{
	struct robust_lock *lock = victim->data;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		_exit(KSFT_SKIP);
	pid = fork();
	if (!pid) {
		prepare_child();
		victim->tid = syscall(SYS_gettid);
		_exit(wait_on(&lock->word, lock->word));
	}
	waitpid(pid, &victim->status, 0);
	_exit(WIFEXITED(victim->status) ? WEXITSTATUS(victim->status) : 1);
}

/*
 * A lock may be shared between PID namespaces: a waiter in another one than the
 * owner is woken as well, from inside to outside and the other way round.
 */
TEST(waiter_outside_pid_namespace)
{
	struct victim *victim = victim_alloc();
	struct robust_lock *lock = shared_memory(sizeof(*lock));
	struct waiters waiters = { };
	bool started;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(victim && lock);
	started = in_pid_namespace(victim);
	if (victim_skipped(victim))
		SKIP(return, "needs root and PID namespaces");
	ASSERT_TRUE(started);
	link_locks(&victim->head, lock, 1);
	lock->word = victim->tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, &lock->word, NR_WAITERS));

	ASSERT_TRUE(victim_die(victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, lock->word);
	EXPECT_EQ(1, woken(&waiters));
}

TEST(waiter_in_pid_namespace)
{
	struct victim *victim = victim_alloc(), *waiter = victim_alloc();
	struct robust_lock *lock = shared_memory(sizeof(*lock));
	bool started;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(victim && waiter && lock);
	ASSERT_TRUE(victim_start(victim));
	link_locks(&victim->head, lock, 1);
	lock->word = victim->tid | FUTEX_WAITERS;

	waiter->run = run_waiter_in_pid_namespace;
	waiter->data = lock;
	started = victim_start(waiter);
	if (victim_skipped(waiter))
		SKIP(return, "needs root and PID namespaces");
	ASSERT_TRUE(started);
	ASSERT_TRUE(happens(sleepers(&lock->word) == 1));

	ASSERT_TRUE(victim_die(victim));
	EXPECT_EQ(MARKED_WITH_WAITERS, lock->word);
	ASSERT_TRUE(happens(victim_waited(waiter)));
	EXPECT_TRUE(WIFEXITED(waiter->status));
	EXPECT_EQ(0, WEXITSTATUS(waiter->status));
}

/*
 * A limit of the interface: a word does not distinguish two threads with the same
 * TID in two PID namespaces. So the lock of one is marked when the other dies, but
 * only if the list of the dying one leads to that lock: list_op_pending does so
 * while the thread waits for the lock.
 */
TEST(equal_tids_in_two_pid_namespaces)
{
	struct victim *owner = victim_alloc(), *victim = victim_alloc();
	struct robust_lock *locks = shared_memory(2 * sizeof(*locks));
	bool started;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(owner && victim && locks);
	started = in_pid_namespace(owner);
	if (victim_skipped(owner))
		SKIP(return, "needs root and PID namespaces");
	ASSERT_TRUE(started);
	ASSERT_TRUE(in_pid_namespace(victim));
	ASSERT_EQ(owner->tid, victim->tid);
	link_locks(&owner->head, locks, 2);
	hold(locks, 2, owner->tid);
	victim->head.list_op_pending = &locks[1].entry;

	ASSERT_TRUE(victim_die(victim));
	EXPECT_EQ(owner->tid, locks[0].word);
	EXPECT_EQ(MARKED, locks[1].word);

	ASSERT_TRUE(victim_die(owner));
	EXPECT_EQ(MARKED, locks[0].word);
}

#ifdef __x86_64__
/* Dies by SIGSEGV if the kernel has no 32-bit system calls */
static void run_with_both(struct victim *victim)
{
	if (set_robust_list_32(victim->data))
		_exit(KSFT_FAIL);
	victim_hold(victim);
	kill(getpid(), SIGKILL);
}

/*
 * A 64-bit program can make 32-bit system calls, and so register a list of
 * each kind. They are two lists, and both are walked.
 */
TEST(native_and_compat)
{
	struct victim *victim = victim_alloc();
	struct {
		struct head_32 head;
		struct lock_32 lock;
	} *compat = mmap(NULL, sizeof(*compat), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct robust_lock *native = shared_memory(sizeof(*native));

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(victim && native && compat != MAP_FAILED);
	compat->head.next = (uintptr_t)&compat->lock.next;
	compat->head.futex_offset = -(int)offsetof(struct lock_32, next);
	compat->lock.next = (uintptr_t)&compat->head;
	victim->run = run_with_both;
	victim->data = &compat->head;
	if (!victim_start(victim) && WIFSIGNALED(victim->status))
		SKIP(return, "the kernel has no 32-bit system calls");

	ASSERT_NE(0U, victim->tid);
	link_locks(&victim->head, native, 1);
	native->word = victim->tid;
	compat->lock.word = victim->tid;

	ASSERT_TRUE(victim_die(victim));
	EXPECT_EQ(MARKED, native->word);
	EXPECT_EQ(MARKED, compat->lock.word);
}
#else
TEST(native_and_compat)
{
	SKIP(return, "needs a 64-bit program that can make 32-bit calls");
}
#endif

/* The data of each thread of run_many() */
struct member {
	struct robust_list_head head;
	struct robust_lock lock;
	futex_t ready;
};

#define NR_MEMBERS	8

static void *hold_one_lock(void *arg)
{
	struct member *member = arg;

	init_head(&member->head);
	link_locks(&member->head, &member->lock, 1);
	member->lock.word = syscall(SYS_gettid);
	if (!set_robust_list(&member->head, sizeof(member->head)))
		member->ready = 1;
	return just_sleep(NULL);
}

static void run_many(struct victim *victim)
{
	struct member *members = victim->data;
	pthread_t thread;
	int i;

	for (i = 0; i < NR_MEMBERS; i++) {
		if (pthread_create(&thread, NULL, hold_one_lock, &members[i]) ||
		    !happens(members[i].ready))
			_exit(KSFT_FAIL);
	}
	victim_hold(victim);
	kill(getpid(), SIGKILL);
}

/*
 * Each thread has its own list: when a process is killed, the locks of all its
 * threads are marked.
 */
TEST(each_thread_walked)
{
	struct victim *victim = victim_alloc();
	struct member *members = shared_memory(NR_MEMBERS * sizeof(*members));
	int i;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(victim && members);
	victim->run = run_many;
	victim->data = members;
	victim->whole_process = true;
	ASSERT_TRUE(victim_start(victim));
	ASSERT_TRUE(victim_die(victim));
	for (i = 0; i < NR_MEMBERS; i++)
		EXPECT_EQ(MARKED, members[i].lock.word);
}

/*
 * No waiter in FUTEX_WAIT is woken if the pointer to the entry says that the lock
 * is a PI futex: the kernel hands such a lock over in another way. The word is
 * marked like any other.
 */
TEST_F(list, pi_marked_no_wakeup)
{
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, 3);
	hold(self->locks, 3, self->victim->tid | FUTEX_WAITERS);
	self->locks[0].entry.next = pi_entry(&self->locks[1]);
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[1].word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(3U, count(self->locks, 3, MARKED_WITH_WAITERS));
	EXPECT_EQ(0, woken(&waiters));
}

/* The pointer in the head has such a bit as well. */
TEST_F(list, pi_first)
{
	struct waiters waiters = {};

	link_locks(&self->victim->head, self->locks, 3);
	hold(self->locks, 3, self->victim->tid | FUTEX_WAITERS);
	self->victim->head.list.next = pi_entry(&self->locks[0]);
	ASSERT_TRUE(start_waiters(&waiters, &self->locks[0].word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(3U, count(self->locks, 3, MARKED_WITH_WAITERS));
	EXPECT_EQ(0, woken(&waiters));
}

/*
 * The bit in a pointer is about the lock that the pointer leads to, and not about
 * the one that contains it: waiters of the neighbours of a PI lock are woken.
 */
TEST_F(list, wakes_around_pi)
{
	struct waiters before = {}, after = {};

	link_locks(&self->victim->head, self->locks, 3);
	hold(self->locks, 3, self->victim->tid | FUTEX_WAITERS);
	self->locks[0].entry.next = pi_entry(&self->locks[1]);
	ASSERT_TRUE(start_waiters(&before, &self->locks[0].word, NR_WAITERS));
	ASSERT_TRUE(start_waiters(&after, &self->locks[2].word, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(1, woken(&before));
	EXPECT_EQ(1, woken(&after));
}

struct pi_waiter {
	futex_t *futex;
	futex_t done;
	int ret;
	pid_t tid;
	__u32 seen;
};

static void *wait_for_pi_lock(void *arg)
{
	struct pi_waiter *waiter = arg;

	waiter->tid = syscall(SYS_gettid);
	waiter->ret = lock_pi(waiter->futex);
	waiter->seen = *waiter->futex;
	futex_unlock_pi(waiter->futex, 0);
	waiter->done = 1;
	return NULL;
}

/*
 * A task that sleeps in FUTEX_LOCK_PI becomes the owner, and finds
 * FUTEX_OWNER_DIED beside its own TID.
 */
TEST_F(list, pi_handover)
{
	struct pi_waiter waiter = { .futex = &self->locks[0].word };
	futex_t free_word = 0;
	pthread_t thread;

	if (futex_unlock_pi(&free_word, 0) && errno != EPERM)
		SKIP(return, "the kernel has no PI futexes");

	link_locks(&self->victim->head, self->locks, 1);
	self->victim->head.list.next = pi_entry(&self->locks[0]);
	self->locks[0].word = self->victim->tid;
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_pi_lock, &waiter));
	/* FUTEX_WAITERS shows that it waits */
	ASSERT_TRUE(happens(self->locks[0].word & FUTEX_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_TRUE(happens(waiter.done));
	EXPECT_EQ(0, waiter.ret);
	EXPECT_EQ((__u32)waiter.tid, waiter.seen & FUTEX_TID_MASK);
	EXPECT_EQ(MARKED, waiter.seen & FUTEX_OWNER_DIED);
}

FIXTURE(locks)
{
	struct victim *victim;
	struct robust_lock *locks;
};

FIXTURE_VARIANT(locks)
{
	size_t nr;
};

FIXTURE_VARIANT_ADD(locks, 1) {
	.nr = 1,
};

FIXTURE_VARIANT_ADD(locks, 10) {
	.nr = 10,
};

FIXTURE_VARIANT_ADD(locks, 2047) {
	.nr = ROBUST_LIST_LIMIT - 1,
};

FIXTURE_VARIANT_ADD(locks, 2049) {
	.nr = ROBUST_LIST_LIMIT + 1,
};

FIXTURE_VARIANT_ADD(locks, 10000) {
	.nr = 10000,
};

FIXTURE_VARIANT_ADD(locks, 100000) {
	.nr = MAX_LOCKS,
};

FIXTURE_SETUP(locks)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(variant->nr * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	ASSERT_TRUE(victim_start(self->victim));
}

FIXTURE_TEARDOWN(locks)
{
	victim_clean(self->victim);
}

/* ROBUST_LIST_LIMIT does not limit the locks of a thread: all are marked. */
TEST_F(locks, all_marked)
{
	link_locks(&self->victim->head, self->locks, variant->nr);
	hold(self->locks, variant->nr, self->victim->tid);

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(variant->nr,
		  count(self->locks, variant->nr, MARKED));
}

/*
 * The last lock on the list is no exception: one of its waiters is woken.
 */
TEST_F(locks, last_waiter_woken)
{
	struct waiters waiters = {};
	futex_t *last = &self->locks[variant->nr - 1].word;

	link_locks(&self->victim->head, self->locks, variant->nr);
	hold(self->locks, variant->nr, self->victim->tid);
	*last |= FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&waiters, last, NR_WAITERS));

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(1, woken(&waiters));
}

/*
 * The walk ends after ROBUST_LIST_LIMIT entries that are no locks of the thread.
 * A lock behind fewer of them is marked.
 */
TEST_F(list, below_miss_limit)
{
	link_locks(&self->victim->head, self->locks, ROBUST_LIST_LIMIT);
	hold(self->locks, ROBUST_LIST_LIMIT - 1, OTHER_TID);
	self->locks[ROBUST_LIST_LIMIT - 1].word = self->victim->tid;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED, self->locks[ROBUST_LIST_LIMIT - 1].word);
}

/* A lock behind more of them is not: the walk has ended before. */
TEST_F(list, miss_limit)
{
	size_t nr = 4000;

	link_locks(&self->victim->head, self->locks, nr);
	hold(self->locks, nr, OTHER_TID);
	self->locks[0].word = self->victim->tid;
	self->locks[nr - 1].word = self->victim->tid;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED, self->locks[0].word);
	EXPECT_EQ((__u32)self->victim->tid, self->locks[nr - 1].word);
}

/* Locks that are marked do not count: here the walk visits 7000 entries. */
TEST_F(list, locks_among_misses)
{
	size_t own = 5000, foreign = 2000, i;

	link_locks(&self->victim->head, self->locks, own + foreign);
	hold(self->locks, own + foreign, self->victim->tid);
	for (i = 0; i < foreign; i++)
		self->locks[3 * i].word = OTHER_TID;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(own, count(self->locks, own + foreign, MARKED));
	EXPECT_EQ(foreign, count(self->locks, own + foreign, OTHER_TID));
}

/*
 * Nor does a lock that is marked reset the count: 3000 foreign entries are too
 * many even with a lock of the thread among them.
 */
TEST_F(list, miss_limit_after_lock)
{
	size_t half = 1500, nr = 2 * half + 2;

	link_locks(&self->victim->head, self->locks, nr);
	hold(self->locks, nr, OTHER_TID);
	self->locks[half].word = self->victim->tid;
	self->locks[nr - 1].word = self->victim->tid;

	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(MARKED, self->locks[half].word);
	EXPECT_EQ((__u32)self->victim->tid, self->locks[nr - 1].word);
}

TEST_HARNESS_MAIN
