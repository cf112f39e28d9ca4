// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The robust mutexes of the C library, shared between processes: what robust
 * futexes are for. No test depends on how the library uses them.
 */
#include "robust.h"

#define NR_WAITERS	4

/* More than the kernel visits if they are not the dying thread's */
#define MANY_MUTEXES	(ROBUST_LIST_LIMIT + 1000)

enum how {
	LOCK,
	TRYLOCK,
	TIMEDLOCK,
};

static int acquire(pthread_mutex_t *mutex, enum how how)
{
	struct timespec limit;
	int ret;

	switch (how) {
	case LOCK:
		/* If the lock hangs, the signal fails the test */
		alarm(TIME_LIMIT);
		ret = pthread_mutex_lock(mutex);
		alarm(0);
		return ret;
	case TRYLOCK:
		return pthread_mutex_trylock(mutex);
	case TIMEDLOCK:
	default:
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += TIME_LIMIT;
		return pthread_mutex_timedlock(mutex, &limit);
	}
}

/* An error number, or 0 */
static int init_mutex(pthread_mutex_t *mutex, int protocol)
{
	pthread_mutexattr_t attr;
	int err;

	err = pthread_mutexattr_init(&attr);
	if (!err)
		err = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (!err)
		err = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (!err)
		err = pthread_mutexattr_setprotocol(&attr, protocol);
	if (!err)
		err = pthread_mutex_init(mutex, &attr);
	return err;
}

/* What the processes of a test share */
struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t condition;
	/* What sleepers on the condition wait for; the mutex guards it */
	futex_t fulfilled;
	futex_t locked;
	futex_t go;
	/* How many waiters are about to sleep, and how many got the mutex */
	futex_t waiting;
	futex_t acquired;
	/* How many waiters found something else than they should */
	futex_t failed;
	pthread_mutex_t many[MANY_MUTEXES];
};

/* What a child does; it exits when this returns */
typedef void (*child_fn)(struct shared *shared);

static pid_t start_child(struct shared *shared, child_fn child)
{
	pid_t pid = fork();

	if (!pid) {
		prepare_child();
		child(shared);
		_exit(0);
	}
	return pid;
}

/* Wait for the end of @pid, or its stop in an exec; kill it if neither comes */
static bool ends(pid_t pid, int *status)
{
	if (happens(waitpid(pid, status, WNOHANG) == pid))
		return true;
	kill(pid, SIGKILL);
	return false;
}

static void wait_for_go(struct shared *shared)
{
	if (!happens(shared->go))
		_exit(KSFT_FAIL);
}

static void lock_and_die(struct shared *shared)
{
	if (!pthread_mutex_lock(&shared->mutex))
		shared->locked = 1;
	wait_for_go(shared);
	kill(getpid(), SIGKILL);
}

static void lock_and_exit(struct shared *shared)
{
	if (!pthread_mutex_lock(&shared->mutex))
		shared->locked = 1;
	wait_for_go(shared);
}

static void lock_and_exec(struct shared *shared)
{
	if (!pthread_mutex_lock(&shared->mutex))
		shared->locked = 1;
	wait_for_go(shared);
	victim_exec();
}

static void *lock_only(void *arg)
{
	struct shared *shared = arg;

	if (!pthread_mutex_lock(&shared->mutex))
		shared->locked = 1;
	wait_for_go(shared);
	return NULL;
}

/* The thread exits, and the process lives on until it is killed */
static void lock_in_a_thread(struct shared *shared)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, lock_only, shared))
		_exit(KSFT_FAIL);
	for (;;)
		pause();
}

/* Returns 0 or an error number: ENOMEM if there is no memory to share */
static int share_mutex(struct shared **shared, int protocol)
{
	*shared = shared_memory(sizeof(**shared));
	return *shared ? init_mutex(&(*shared)->mutex, protocol) : ENOMEM;
}

/* Not every library has robust mutexes with priority inheritance */
static bool is_without(int err, int protocol)
{
	return err && err != ENOMEM && protocol == PTHREAD_PRIO_INHERIT;
}

FIXTURE(mutex)
{
	struct shared *shared;
	pid_t owner;
};

FIXTURE_VARIANT(mutex)
{
	int protocol;
	enum how how;
};

FIXTURE_VARIANT_ADD(mutex, lock) {
	.protocol = PTHREAD_PRIO_NONE,
	.how = LOCK,
};

FIXTURE_VARIANT_ADD(mutex, trylock) {
	.protocol = PTHREAD_PRIO_NONE,
	.how = TRYLOCK,
};

FIXTURE_VARIANT_ADD(mutex, timedlock) {
	.protocol = PTHREAD_PRIO_NONE,
	.how = TIMEDLOCK,
};

FIXTURE_VARIANT_ADD(mutex, pi_lock) {
	.protocol = PTHREAD_PRIO_INHERIT,
	.how = LOCK,
};

FIXTURE_VARIANT_ADD(mutex, pi_trylock) {
	.protocol = PTHREAD_PRIO_INHERIT,
	.how = TRYLOCK,
};

FIXTURE_VARIANT_ADD(mutex, pi_timedlock) {
	.protocol = PTHREAD_PRIO_INHERIT,
	.how = TIMEDLOCK,
};

FIXTURE_SETUP(mutex)
{
	int err;

	REQUIRE_ROBUST_LIST();

	err = share_mutex(&self->shared, variant->protocol);
	if (is_without(err, variant->protocol))
		SKIP_TEST("no robust mutexes of this kind");
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(mutex)
{
	end_task(self->owner);
}

/* Have an owner that locks the mutex and dies; false if it does not */
static bool owner_dies(struct shared *shared, child_fn child, pid_t *owner)
{
	int status;
	pid_t pid;

	pid = start_child(shared, child);
	*owner = pid;
	if (pid < 0 || !happens(shared->locked))
		return false;
	shared->go = 1;
	if (child == lock_in_a_thread)
		return true;
	if (!ends(pid, &status))
		return false;
	if (!WIFSTOPPED(status))
		*owner = 0;
	return true;
}

/* A lock of a mutex with a killed owner succeeds and returns EOWNERDEAD. */
TEST_F(mutex, process_killed)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_die, &self->owner));
	EXPECT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
}

/* The same if the owner exits. */
TEST_F(mutex, process_exited)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_exit, &self->owner));
	EXPECT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
}

/* The same if the owner execs another program. */
TEST_F(mutex, exec)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_exec, &self->owner));
	EXPECT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
}

/*
 * The same if the owner was one thread of a process that lives on. A trylock can
 * come too early then, since nothing shows from outside when the thread has ended.
 */
TEST_F(mutex, thread_exited)
{
	int ret;

	ASSERT_TRUE(owner_dies(self->shared, lock_in_a_thread, &self->owner));
	ASSERT_TRUE(happens((ret = acquire(&self->shared->mutex,
					   variant->how)) != EBUSY));
	EXPECT_EQ(EOWNERDEAD, ret);
}

/* Once it was made consistent it is a mutex like any other. */
TEST_F(mutex, consistent)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_die, &self->owner));
	ASSERT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
	ASSERT_EQ(0, pthread_mutex_consistent(&self->shared->mutex));
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_EQ(0, acquire(&self->shared->mutex, variant->how));
	EXPECT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
}

/* An unlock without pthread_mutex_consistent() makes it unusable for all. */
TEST_F(mutex, not_recoverable)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_die, &self->owner));
	ASSERT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_EQ(ENOTRECOVERABLE, acquire(&self->shared->mutex, variant->how));
}

/* A second owner of the same mutex may die as well. */
TEST_F(mutex, second_owner_dies)
{
	ASSERT_TRUE(owner_dies(self->shared, lock_and_die, &self->owner));
	ASSERT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
	ASSERT_EQ(0, pthread_mutex_consistent(&self->shared->mutex));
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));

	self->shared->locked = 0;
	ASSERT_TRUE(owner_dies(self->shared, lock_and_die, &self->owner));
	EXPECT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, variant->how));
}

/*
 * Waiters of a mutex. What they sleep on depends on the library, so they are given
 * some time to go to sleep; if that is not enough, they find the mutex in the same
 * state.
 */
FIXTURE(waiters)
{
	struct shared *shared;
	pid_t pids[NR_WAITERS];
	pid_t owner;
};

FIXTURE_VARIANT(waiters)
{
	int protocol;
};

FIXTURE_VARIANT_ADD(waiters, plain) {
	.protocol = PTHREAD_PRIO_NONE,
};

FIXTURE_VARIANT_ADD(waiters, pi) {
	.protocol = PTHREAD_PRIO_INHERIT,
};

FIXTURE_SETUP(waiters)
{
	int err;

	REQUIRE_ROBUST_LIST();

	err = share_mutex(&self->shared, variant->protocol);
	if (is_without(err, variant->protocol))
		SKIP_TEST("no robust mutexes of this kind");
	ASSERT_EQ(0, err);

	self->owner = start_child(self->shared, lock_and_die);
	ASSERT_LT(0, self->owner);
	ASSERT_TRUE(happens(self->shared->locked));
}

FIXTURE_TEARDOWN(waiters)
{
	int i;

	for (i = 0; i < NR_WAITERS; i++)
		end_task(self->pids[i]);
}

static bool start_children(struct shared *shared, pid_t *pids, child_fn child)
{
	int i;

	for (i = 0; i < NR_WAITERS; i++) {
		pids[i] = start_child(shared, child);
		if (pids[i] < 0)
			return false;
	}
	if (!happens(shared->waiting == NR_WAITERS))
		return false;
	usleep(100 * 1000);
	return true;
}

/* The first one finds the owner dead and repairs, the others find it repaired */
static void recover(struct shared *shared)
{
	int ret;

	__atomic_add_fetch(&shared->waiting, 1, __ATOMIC_SEQ_CST);
	ret = pthread_mutex_lock(&shared->mutex);
	if (ret == EOWNERDEAD)
		ret = pthread_mutex_consistent(&shared->mutex) ? EINVAL :
								 EOWNERDEAD;
	/* The mutex is held, so that this needs no atomic */
	if (ret != (shared->acquired ? 0 : EOWNERDEAD))
		shared->failed++;
	shared->acquired++;
	pthread_mutex_unlock(&shared->mutex);
}

/* Each one finds the owner dead, and is the next owner to die */
static void follow(struct shared *shared)
{
	__atomic_add_fetch(&shared->waiting, 1, __ATOMIC_SEQ_CST);
	if (pthread_mutex_lock(&shared->mutex) != EOWNERDEAD)
		shared->failed++;
	if (pthread_mutex_consistent(&shared->mutex))
		shared->failed++;
	shared->acquired++;
	kill(getpid(), SIGKILL);
}

/* Each one finds the owner dead, and dies before it repairs anything */
static void follow_at_once(struct shared *shared)
{
	__atomic_add_fetch(&shared->waiting, 1, __ATOMIC_SEQ_CST);
	if (pthread_mutex_lock(&shared->mutex) != EOWNERDEAD)
		shared->failed++;
	shared->acquired++;
	kill(getpid(), SIGKILL);
}

static bool all_got_it(struct shared *shared, pid_t owner)
{
	int status;

	shared->go = 1;
	return ends(owner, &status) && happens(shared->acquired == NR_WAITERS);
}

/*
 * Those that sleep when the owner is killed all get the mutex in turn. The
 * first one gets EOWNERDEAD and repairs what it finds.
 */
TEST_F(waiters, recover)
{
	ASSERT_TRUE(start_children(self->shared, self->pids, recover));
	EXPECT_TRUE(all_got_it(self->shared, self->owner));
	EXPECT_EQ(0U, self->shared->failed);
}

/* Each death wakes the next one, also if every owner dies. */
TEST_F(waiters, die_in_turn)
{
	ASSERT_TRUE(start_children(self->shared, self->pids, follow));
	EXPECT_TRUE(all_got_it(self->shared, self->owner));
	EXPECT_EQ(0U, self->shared->failed);
}

/* And also if none of them repairs anything before it dies. */
TEST_F(waiters, die_at_once)
{
	ASSERT_TRUE(start_children(self->shared, self->pids, follow_at_once));
	EXPECT_TRUE(all_got_it(self->shared, self->owner));
	EXPECT_EQ(0U, self->shared->failed);
}

/*
 * Threads that sleep on a condition variable do not hold its mutex, but have to
 * get it back before they return. They count themselves with the mutex held:
 * once it is acquired after all are counted, all of them are asleep.
 */
FIXTURE(condition)
{
	struct shared *shared;
	pid_t pids[NR_WAITERS];
	pid_t owner;
};

FIXTURE_VARIANT(condition)
{
	int protocol;
};

FIXTURE_VARIANT_ADD(condition, plain) {
	.protocol = PTHREAD_PRIO_NONE,
};

FIXTURE_VARIANT_ADD(condition, pi) {
	.protocol = PTHREAD_PRIO_INHERIT,
};

FIXTURE_SETUP(condition)
{
	pthread_condattr_t attr;
	int err;

	REQUIRE_ROBUST_LIST();

	err = share_mutex(&self->shared, variant->protocol);
	if (is_without(err, variant->protocol))
		SKIP_TEST("no robust mutexes of this kind");
	ASSERT_EQ(0, err);

	ASSERT_EQ(0, pthread_condattr_init(&attr));
	ASSERT_EQ(0, pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	ASSERT_EQ(0, pthread_cond_init(&self->shared->condition, &attr));
}

FIXTURE_TEARDOWN(condition)
{
	int i;

	for (i = 0; i < NR_WAITERS; i++)
		end_task(self->pids[i]);
	end_task(self->owner);
}

/* Sleep until it is fulfilled. Returns the result of taking the mutex again. */
static int await_condition(struct shared *shared)
{
	int ret = pthread_mutex_lock(&shared->mutex);

	shared->waiting++;
	while (!ret && !shared->fulfilled)
		ret = pthread_cond_wait(&shared->condition, &shared->mutex);
	return ret;
}

/* The first one gets EOWNERDEAD and repairs, the others go on */
static void await_and_recover(struct shared *shared)
{
	int ret = await_condition(shared);

	if (ret == EOWNERDEAD)
		ret = pthread_mutex_consistent(&shared->mutex) ? EINVAL :
								 EOWNERDEAD;
	if (ret != (shared->acquired ? 0 : EOWNERDEAD))
		shared->failed++;
	shared->acquired++;
	pthread_mutex_unlock(&shared->mutex);
}

/* No owner of the mutex dies */
static void await_and_go_on(struct shared *shared)
{
	if (await_condition(shared))
		shared->failed++;
	shared->acquired++;
	pthread_mutex_unlock(&shared->mutex);
}

/* The first waiter gets the mutex by an unlock, each other one by EOWNERDEAD */
static void await_and_die(struct shared *shared)
{
	if (await_condition(shared) != (shared->acquired ? EOWNERDEAD : 0))
		shared->failed++;
	shared->acquired++;
	kill(getpid(), SIGKILL);
}

/* The time is up while another process holds the mutex, which then dies */
static void await_for_a_moment(struct shared *shared)
{
	struct timespec limit;
	int ret;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec++;
	ret = pthread_mutex_lock(&shared->mutex);
	shared->waiting++;
	while (!ret)
		ret = pthread_cond_timedwait(&shared->condition,
					     &shared->mutex, &limit);
	if (ret != EOWNERDEAD)
		shared->failed++;
	shared->acquired++;
	pthread_mutex_unlock(&shared->mutex);
}

static void fulfil(struct shared *shared)
{
	shared->fulfilled = 1;
	pthread_cond_broadcast(&shared->condition);
	/* They wake up, and have to wait for the mutex */
	usleep(100 * 1000);
}

static void lock_and_fulfil_and_die(struct shared *shared)
{
	if (!pthread_mutex_lock(&shared->mutex))
		fulfil(shared);
	kill(getpid(), SIGKILL);
}

static void lock_and_die_when_time_is_up(struct shared *shared)
{
	if (!pthread_mutex_lock(&shared->mutex))
		usleep(1500 * 1000);
	kill(getpid(), SIGKILL);
}

/* Have @nr of them asleep on the condition; false if that takes too long */
static bool start_sleepers(struct shared *shared, pid_t *pids, int nr,
			   child_fn child)
{
	int i;

	for (i = 0; i < nr; i++) {
		pids[i] = start_child(shared, child);
		if (pids[i] < 0)
			return false;
	}
	return happens(shared->waiting == (futex_t)nr);
}

/* Kill one that was started, and wait for its end; false if it does not die */
static bool kill_child(pid_t *pid)
{
	int status;

	kill(*pid, SIGKILL);
	if (!ends(*pid, &status))
		return false;
	*pid = 0;
	return true;
}

/*
 * Those that were woken from the condition get the mutex back from an owner
 * that died: pthread_cond_wait() returns EOWNERDEAD in one of them.
 */
TEST_F(condition, eownerdead)
{
	ASSERT_TRUE(start_sleepers(self->shared, self->pids, NR_WAITERS,
				   await_and_recover));
	self->owner = start_child(self->shared, lock_and_fulfil_and_die);
	ASSERT_LT(0, self->owner);
	EXPECT_TRUE(happens(self->shared->acquired == NR_WAITERS));
	EXPECT_EQ(0U, self->shared->failed);
}

/* EOWNERDEAD takes precedence over ETIMEDOUT. */
TEST_F(condition, eownerdead_timeout)
{
	ASSERT_TRUE(start_sleepers(self->shared, self->pids, 1,
				   await_for_a_moment));
	self->owner = start_child(self->shared, lock_and_die_when_time_is_up);
	ASSERT_LT(0, self->owner);
	EXPECT_TRUE(happens(self->shared->acquired == 1));
	EXPECT_EQ(0U, self->shared->failed);
}

/* After the kill of a sleeper on the condition the mutex is free. */
TEST_F(condition, killed_waiter_mutex_free)
{
	ASSERT_TRUE(start_sleepers(self->shared, self->pids, 1,
				   await_and_go_on));
	/* It released the mutex when it went to sleep: wait for that before the kill */
	ASSERT_EQ(0, acquire(&self->shared->mutex, TIMEDLOCK));
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	ASSERT_TRUE(kill_child(&self->pids[0]));
	EXPECT_EQ(0, acquire(&self->shared->mutex, TRYLOCK));
}

/*
 * If a waiter is killed after its wakeup from the condition, while it waits for
 * the mutex, the others get the mutex.
 */
TEST_F(condition, waiter_killed_relocking)
{
	ASSERT_TRUE(start_sleepers(self->shared, self->pids, NR_WAITERS,
				   await_and_go_on));
	ASSERT_EQ(0, acquire(&self->shared->mutex, TIMEDLOCK));
	fulfil(self->shared);
	ASSERT_TRUE(kill_child(&self->pids[0]));
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_TRUE(happens(self->shared->acquired == NR_WAITERS - 1));
	EXPECT_EQ(0U, self->shared->failed);
	EXPECT_EQ(0, acquire(&self->shared->mutex, TIMEDLOCK));
}

/* A waiter that has reacquired the mutex is its owner: its death is reported. */
TEST_F(condition, owners_die_in_turn)
{
	ASSERT_TRUE(start_sleepers(self->shared, self->pids, NR_WAITERS,
				   await_and_die));
	ASSERT_EQ(0, acquire(&self->shared->mutex, TIMEDLOCK));
	fulfil(self->shared);
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_TRUE(happens(self->shared->acquired == NR_WAITERS));
	EXPECT_EQ(0U, self->shared->failed);
	EXPECT_EQ(EOWNERDEAD, acquire(&self->shared->mutex, TIMEDLOCK));
}

static void lock_many_and_die(struct shared *shared)
{
	int i;

	for (i = 0; i < MANY_MUTEXES; i++)
		if (pthread_mutex_lock(&shared->many[i]))
			_exit(KSFT_FAIL);
	lock_and_die(shared);
}

/* A process may hold any number of mutexes: each reports the death. */
TEST(many_mutexes)
{
	struct shared *shared = shared_memory(sizeof(*shared));
	int i, dead = 0;
	pid_t owner;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(!!shared);
	ASSERT_EQ(0, init_mutex(&shared->mutex, PTHREAD_PRIO_NONE));
	for (i = 0; i < MANY_MUTEXES; i++)
		ASSERT_EQ(0, init_mutex(&shared->many[i], PTHREAD_PRIO_NONE));

	ASSERT_TRUE(owner_dies(shared, lock_many_and_die, &owner));
	for (i = 0; i < MANY_MUTEXES; i++)
		dead += acquire(&shared->many[i], TRYLOCK) == EOWNERDEAD;
	EXPECT_EQ(MANY_MUTEXES, dead);
}

TEST_HARNESS_MAIN
