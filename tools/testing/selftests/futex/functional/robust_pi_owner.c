// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PI futexes that carry the TID of a task which does not have the memory of
 * the futex, or is about to give it up in an exec: FUTEX_LOCK_PI must not wait
 * for that task.
 */
#include <sched.h>

#include "robust.h"

/* The new program is this one. It sleeps if this variable is set. */
#define ROLE		"ROBUST_PI_OWNER"

/* Limits of a race: execs, and milliseconds after which no more begin */
#define ROUNDS		100
#define BUDGET		10000

/* In milliseconds: a wait that takes so long is one for the wrong task */
#define LOCK_LIMIT	500

#define OWNER_STACK	(64 * 1024)

static void __attribute__((constructor)) new_program(void)
{
	if (!getenv(ROLE))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* Returns 0 or the error number */
static int lock_pi_for(futex_t *futex, int operation, long limit_ms)
{
	struct __kernel_timespec limit;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	limit_ms += now.tv_nsec / 1000000;
	limit.tv_sec = now.tv_sec + limit_ms / 1000;
	limit.tv_nsec = limit_ms % 1000 * 1000000;

	if (!syscall(SYS_FUTEX_TIMED, futex, operation, 0, &limit, NULL, 0))
		return 0;
	return errno;
}

static bool has_pi(void)
{
	futex_t free_word = 0;

	return !futex_unlock_pi(&free_word, 0) || errno == EPERM;
}

#define REQUIRE_PI()							\
do {									\
	if (!has_pi())							\
		SKIP_TEST("the kernel has no PI futexes");		\
} while (0)

/* The TID of a process that has a copy of the memory */
FIXTURE(copy)
{
	futex_t *futex;
	pid_t pid;
};

FIXTURE_SETUP(copy)
{
	REQUIRE_PI();
	self->futex = shared_memory(sizeof(*self->futex));
	ASSERT_TRUE(!!self->futex);
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		prepare_child();
		for (;;)
			pause();
	}
	*self->futex = self->pid;
}

FIXTURE_TEARDOWN(copy)
{
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
}

TEST_F(copy, private_eperm)
{
	EXPECT_EQ(EPERM, lock_pi_for(self->futex, FUTEX_LOCK_PI |
				     FUTEX_PRIVATE_FLAG, LOCK_LIMIT));
}

TEST_F(copy, private_trylock_eperm)
{
	EXPECT_EQ(EPERM, lock_pi_for(self->futex, FUTEX_TRYLOCK_PI |
				     FUTEX_PRIVATE_FLAG, LOCK_LIMIT));
}

/* The control: the other process could release it */
TEST_F(copy, shared_waits)
{
	EXPECT_EQ(ETIMEDOUT, lock_pi_for(self->futex, FUTEX_LOCK_PI,
					 LOCK_LIMIT));
}

/*
 * A process that shares the memory, owns two futexes, and execs. Only one is
 * on its robust list: when that one is marked, the exec is at work. The exec
 * then has to wait for the mmap lock, which a thread of the test holds most of
 * the time.
 */
struct owner {
	struct robust_list_head head;
	struct robust_lock listed;
	futex_t futex;
	futex_t tid;
	futex_t go;
	futex_t stop;
	char *stack;
	char *pages;
	size_t size;
	pid_t pid;
	pthread_t protector;
};

FIXTURE(exec)
{
	struct owner owner;
};

/* Without the C library, as the test is using its data at the same time */
static int run_owner(void *arg)
{
	struct owner *owner = arg;
	char *const arguments[] = { "/proc/self/exe", NULL };
	char *const environment[] = { ROLE "=1", NULL };
	struct __kernel_timespec limit = { .tv_sec = TIME_LIMIT };

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	syscall(SYS_set_robust_list, &owner->head, sizeof(owner->head));
	owner->tid = syscall(SYS_gettid);
	while (!owner->go)
		syscall(SYS_FUTEX_TIMED, &owner->go, FUTEX_WAIT, 0, &limit, NULL, 0);
	syscall(SYS_execve, arguments[0], arguments, environment);
	syscall(SYS_exit, KSFT_FAIL);
	return 0;
}

/* mprotect() holds the mmap lock while it changes all the pages */
static void *protect(void *arg)
{
	struct owner *owner = arg;

	while (!owner->stop) {
		mprotect(owner->pages, owner->size, PROT_READ);
		mprotect(owner->pages, owner->size, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

FIXTURE_SETUP(exec)
{
	struct owner *owner = &self->owner;

	REQUIRE_PI();
	REQUIRE_ROBUST_LIST();

	if (access("/proc/self/exe", X_OK))
		SKIP_TEST("needs /proc");

	owner->pid = 0;
	owner->stop = 0;
	owner->size = 32 * 1024 * 1024;
	owner->pages = mmap(NULL, owner->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)owner->pages);
	memset(owner->pages, 1, owner->size);
	owner->stack = malloc(OWNER_STACK);
	ASSERT_TRUE(!!owner->stack);
	ASSERT_EQ(0, pthread_create(&owner->protector, NULL, protect, owner));
}

static void owner_end(struct owner *owner)
{
	if (owner->pid <= 0)
		return;
	kill(owner->pid, SIGKILL);
	waitpid(owner->pid, NULL, __WALL);
	owner->pid = 0;
}

FIXTURE_TEARDOWN(exec)
{
	owner_end(&self->owner);
	self->owner.stop = 1;
	pthread_join(self->owner.protector, NULL);
}

/* Start it, and give it both futexes */
static bool owner_start(struct owner *owner)
{
	char *stack = owner->stack;

#ifndef __hppa__
	stack += OWNER_STACK;
#endif
	init_head(&owner->head);
	owner->tid = 0;
	owner->go = 0;
	owner->pid = clone(run_owner, stack,
			   CLONE_VM | SIGCHLD, owner);
	if (owner->pid < 0 || !happens(owner->tid))
		return false;
	owner->listed.word = owner->tid;
	owner->futex = owner->tid;
	link_locks(&owner->head, &owner->listed, 1);
	return true;
}

/* Let the exec begin, and return when its cleanup of the list has begun */
static bool owner_execs(struct owner *owner)
{
	long long end = milliseconds() + TIME_LIMIT * 1000LL;
	futex_t *word = &owner->listed.word;

	owner->go = 1;
	futex_wake(&owner->go, INT_MAX, 0);
	while (*word == owner->tid && milliseconds() < end)
		;
	return *word == MARKED;
}

/*
 * A call that comes before the exec hands its PI futexes over gets the futex.
 * From then on the task has left the memory as far as futexes are concerned
 * (ESRCH), and later it has another one (EPERM).
 */
TEST_F_TIMEOUT(exec, private_never_waits, 60)
{
	unsigned int rounds = 0, before = 0, during = 0, after = 0, waited = 0;
	struct owner *owner = &self->owner;
	long long end = milliseconds() + BUDGET;
	unsigned int i;
	int error;

	while (rounds < ROUNDS && milliseconds() < end) {
		ASSERT_TRUE(owner_start(owner));
		ASSERT_TRUE(owner_execs(owner));
		/* At different distances from the mark */
		for (i = 0; i < rounds % 16; i++)
			syscall(SYS_gettid);
		error = lock_pi_for(&owner->futex, FUTEX_LOCK_PI |
				    FUTEX_PRIVATE_FLAG, LOCK_LIMIT);
		rounds++;
		before += !error;
		during += error == ESRCH;
		after += error == EPERM;
		waited += error == ETIMEDOUT;
		if (!error) {
			EXPECT_TRUE(owner->futex & FUTEX_OWNER_DIED);
			EXPECT_EQ(0, futex_unlock_pi(&owner->futex,
						     FUTEX_PRIVATE_FLAG));
		}
		owner_end(owner);
	}

	TH_LOG("%u rounds: %u before the handover, %u during the exec, %u after it, waited in %u",
	       rounds, before, during, after, waited);
	EXPECT_EQ(0U, waited);
	EXPECT_EQ(rounds, before + during + after + waited);
	if (!during && _metadata->passed)
		SKIP(return, "no call came during an exec");
}

/*
 * A shared PI futex that is on the list: a call that comes before the exec marks
 * it waits for the mark, and gets the futex. It must not attach to the task once
 * the mark is there, as the task's new program would have to release it.
 */
TEST_F_TIMEOUT(exec, shared_never_waits, 60)
{
	unsigned int rounds = 0, before = 0, marked = 0, waited = 0;
	struct owner *owner = &self->owner;
	long long end = milliseconds() + BUDGET;
	unsigned int i;
	int error;

	while (rounds < ROUNDS && milliseconds() < end) {
		ASSERT_TRUE(owner_start(owner));
		owner->head.list.next = pi_entry(&owner->listed);
		owner->go = 1;
		futex_wake(&owner->go, INT_MAX, 0);
		/* At different distances from the start of the exec */
		for (i = 0; i < rounds % 16 * 16; i++)
			syscall(SYS_gettid);
		before += owner->listed.word == (futex_t)owner->tid;
		error = lock_pi_for(&owner->listed.word, FUTEX_LOCK_PI,
				    LOCK_LIMIT);
		rounds++;
		waited += error == ETIMEDOUT;
		if (!error) {
			marked += !!(owner->listed.word & FUTEX_OWNER_DIED);
			EXPECT_EQ(0, futex_unlock_pi(&owner->listed.word, 0));
		}
		owner_end(owner);
	}

	TH_LOG("%u rounds: %u calls before the mark, waited in %u",
	       rounds, before, waited);
	EXPECT_EQ(0U, waited);
	EXPECT_EQ(rounds, marked + waited);
	if (!before && _metadata->passed)
		SKIP(return, "no call came before the mark");
}

TEST_HARNESS_MAIN
