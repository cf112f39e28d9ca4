// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec and the locks of the thread that execs. They are marked under the TID
 * that they carry, which is not the one that the thread has afterwards if it is
 * not the leader. And they are marked when every other thread of the process is
 * dead, not before: a thread that the exec is about to kill must not get one.
 *
 * The process under test has two threads, the one that execs and a sibling that
 * competes for its lock. One of them is the leader. A thread of the test, hence
 * of another process, waits for the lock behind the sibling, and gets it.
 *
 * Both processes share all data at one address. As in robust.h, the threads
 * store their TIDs, the test builds list and words, and lets the exec begin.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include "robust.h"

/*
 * The sibling is queued first, so its wakeup is the first one of the walk. The
 * locks behind it on the list keep the walk busy.
 */
#define NR_LOCKS	256

/* PI futexes that are released behind it, each with a waiter */
#define NR_MORE		16

/* What a race is given: execs, and milliseconds after which no more begin */
#define ROUNDS		100
#define BUDGET		2500

/* The new program is this one. It ends at once if this variable is set. */
#define ROLE		"ROBUST_EXEC"
#define EXEC_STATUS	42

static void __attribute__((constructor)) new_program(void)
{
	if (getenv(ROLE))
		_exit(EXEC_STATUS);
}

enum lock_type {
	ROBUST,
	ROBUST_PI,
	/* A PI futex that is on no list */
	PI,
};

enum sibling_type {
	BLOCKED,
	/* Looks at the word all the time */
	POLLING,
	/* Blocked, and preempts the other thread as soon as it is woken */
	FIFO,
	/* Blocked, and ends the process as soon as it is woken */
	EXIT,
};

struct process {
	struct robust_list_head head;
	enum lock_type lock;
	enum sibling_type sibling;
	/* The leader is the sibling */
	bool by_thread;
	const char *path;
	pid_t pid;
	int status;
	futex_t exec_tid;
	futex_t sibling_tid;
	/* Set to let the sibling begin, and the exec */
	futex_t start;
	futex_t go;
	/* The sibling makes no other system call than that which blocks it */
	futex_t competing;
	futex_t executing;
	/* The sibling saw a word that was still locked after executing was set */
	futex_t polled;
	/* The sibling found the lock released */
	futex_t got;
	/* errno of an exec that returned */
	futex_t error;
	/*
	 * All but the last are held by the thread that execs, and the first is
	 * competed for. The last is on the list with the TID of the sibling.
	 */
	struct robust_lock locks[NR_LOCKS];
	futex_t more[NR_MORE];
};

static bool is_pi(struct process *process)
{
	return process->lock != ROBUST;
}

static __u32 owner(struct process *process)
{
	return process->locks[0].word & FUTEX_TID_MASK;
}

static void wait_until_set(futex_t *flag)
{
	while (!*flag)
		wait_on(flag, 0);
}

static void set(futex_t *flag)
{
	*flag = 1;
	futex_wake(flag, INT_MAX, 0);
}

/* musl's sched_setscheduler() only fails */
static int set_scheduler(int policy, int priority)
{
	struct {
		int priority;
	} param = { priority };

	return syscall(SYS_sched_setscheduler, 0, policy, &param);
}

static int nr_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
}

static bool use_one_cpu(void)
{
	cpu_set_t cpus, one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return false;
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return !sched_setaffinity(0, sizeof(one), &one);
}

static void *exec_thread(void *arg)
{
	struct process *process = arg;
	char *const arguments[] = { (char *)process->path, NULL };
	char *const environment[] = { ROLE "=1", NULL };

	if (set_robust_list(&process->head, sizeof(process->head)))
		_exit(KSFT_FAIL);
	process->exec_tid = syscall(SYS_gettid);
	wait_until_set(&process->go);

	process->executing = 1;
	execve(process->path, arguments, environment);
	process->error = errno;
	for (;;)
		pause();
}

/* Returns when the thread that execs has released its lock */
static void compete(struct process *process)
{
	futex_t *word = &process->locks[0].word;
	__u32 executing = 0;

	process->competing = 1;
	if (process->sibling == POLLING) {
		do {
			if (executing)
				process->polled = 1;
			executing = process->executing;
		} while (owner(process) == process->exec_tid);
	} else if (is_pi(process)) {
		while (lock_pi(word))
			;
	} else {
		while (owner(process) == process->exec_tid)
			wait_on(word, process->exec_tid | FUTEX_WAITERS);
	}
}

static void *competing_thread(void *arg)
{
	struct process *process = arg;
	futex_t *word = &process->locks[0].word;
	__u32 seen;

	if (process->sibling == FIFO && set_scheduler(SCHED_FIFO, 1))
		_exit(KSFT_FAIL);
	process->sibling_tid = syscall(SYS_gettid);
	wait_until_set(&process->start);

	compete(process);
	process->got = 1;
	if (process->sibling == EXIT)
		_exit(KSFT_FAIL);
	seen = *word;
	if (!(seen & FUTEX_TID_MASK))
		__sync_bool_compare_and_swap(word, seen,
					     seen | process->sibling_tid);
	for (;;)
		pause();
}

static void run_process(struct process *process)
{
	prepare_child();
	if (process->sibling == FIFO && !use_one_cpu())
		_exit(KSFT_FAIL);
	if (process->by_thread) {
		if (!start_small_thread(exec_thread, process))
			_exit(KSFT_FAIL);
		competing_thread(process);
	} else {
		if (!start_small_thread(competing_thread, process))
			_exit(KSFT_FAIL);
		exec_thread(process);
	}
}

/* A waiter of another process: a thread of the test */
struct other {
	futex_t *word;
	__u32 owner;
	bool pi;
	pthread_t thread;
	futex_t tid;
	futex_t done;
	int ret;
	__u32 seen;
};

static void *other_thread(void *arg)
{
	struct other *other = arg;

	other->tid = syscall(SYS_gettid);
	if (other->pi)
		other->ret = lock_pi(other->word);
	else
		other->ret = wait_on(other->word, other->owner | FUTEX_WAITERS);
	other->seen = *other->word;
	if (other->pi)
		futex_unlock_pi(other->word, 0);
	other->done = 1;
	return NULL;
}

/* Is the sibling one of @nr that wait for the lock? */
static bool sibling_is_blocked(struct process *process, int nr)
{
	if (!process->competing ||
	    task_state(process->pid, process->sibling_tid) != 'S')
		return false;
	if (is_pi(process))
		return process->locks[0].word & FUTEX_WAITERS;
	return sleepers(&process->locks[0].word) == nr;
}

static bool other_is_blocked(struct other *other)
{
	return other->tid && !other->done &&
	       task_state(getpid(), other->tid) == 'S';
}

/* Begin anew, with what the test has chosen */
static void process_reset(struct process *process)
{
	struct process choice = {
		.lock = process->lock,
		.sibling = process->sibling,
		.by_thread = process->by_thread,
		.path = process->path,
	};

	*process = choice;
	init_head(&process->head);
	process->status = -1;
}

static bool wait_in_other(struct other *other, struct process *process,
			  futex_t *word)
{
	memset(other, 0, sizeof(*other));
	other->word = word;
	other->owner = process->exec_tid;
	other->pi = is_pi(process);
	return !pthread_create(&other->thread, NULL, other_thread, other) &&
	       happens(other_is_blocked(other));
}

static bool other_start(struct other *other, struct process *process)
{
	return wait_in_other(other, process, &process->locks[0].word);
}

/*
 * Has the waiter got the lock? All is over when this is asked: where a wakeup is
 * missing it does not come any more, and is made here to end the thread.
 */
static bool other_got_lock(struct other *other)
{
	bool woken = true;

	if (!other->pi)
		woken = !futex_wake(other->word, INT_MAX, 0);
	pthread_join(other->thread, NULL);
	if (!woken || other->ret)
		return false;
	if (other->pi)
		return (other->seen & FUTEX_TID_MASK) == other->tid &&
		       (other->seen & FUTEX_OWNER_DIED);
	return other->seen == MARKED_WITH_WAITERS;
}

/* Start it, and return when its threads are there and one holds the lock */
static bool process_start(struct process *process)
{
	struct robust_lock *locks = process->locks;
	pid_t pid;
	int i;

	process_reset(process);
	pid = fork();
	if (!pid) {
		run_process(process);
		_exit(KSFT_FAIL);
	}
	process->pid = pid;
	if (pid < 0 || !happens(process->exec_tid && process->sibling_tid))
		return false;

	hold(locks, NR_LOCKS - 1, process->exec_tid);
	locks[NR_LOCKS - 1].word = process->sibling_tid;
	for (i = 0; i < NR_MORE; i++)
		process->more[i] = process->exec_tid;
	if (process->lock != PI)
		link_locks(&process->head, locks, NR_LOCKS);
	if (process->lock == ROBUST_PI)
		process->head.list.next = pi_entry(&locks[0]);
	if (process->lock == ROBUST)
		locks[0].word |= FUTEX_WAITERS;
	return true;
}

/* Let the sibling compete for the lock, and return when it does */
static bool sibling_start(struct process *process)
{
	set(&process->start);
	if (process->sibling == POLLING)
		return happens(process->competing);
	return happens(sibling_is_blocked(process, 1));
}

static bool process_ended(struct process *process)
{
	if (waitpid(process->pid, &process->status, WNOHANG | __WALL) !=
	    process->pid || WIFSTOPPED(process->status))
		return false;
	process->pid = 0;
	return true;
}

static void process_kill(struct process *process)
{
	if (!process || process->pid <= 0)
		return;
	kill(process->pid, SIGKILL);
	happens(process_ended(process));
}

static bool new_program_ran(struct process *process)
{
	return WIFEXITED(process->status) &&
	       WEXITSTATUS(process->status) == EXEC_STATUS;
}

/* All held locks but the first, which is left to the test's waiter. */
static bool others_have(struct process *process, __u32 word)
{
	return process->lock == PI ||
	       count(&process->locks[1], NR_LOCKS - 2, word) == NR_LOCKS - 2;
}

static bool foreign_is_unchanged(struct process *process)
{
	return process->locks[NR_LOCKS - 1].word == process->sibling_tid;
}

static bool nothing_has_changed(struct process *process)
{
	return process->locks[0].word == (process->exec_tid | FUTEX_WAITERS) &&
	       others_have(process, process->exec_tid) &&
	       foreign_is_unchanged(process);
}

static bool has_pi(void)
{
	futex_t free_word = 0;

	return !futex_unlock_pi(&free_word, 0) || errno == EPERM;
}

#define REQUIRE(lock_type)						\
do {									\
	REQUIRE_ROBUST_LIST();						\
	if ((lock_type) != ROBUST && !has_pi())				\
		SKIP_TEST("the kernel has no PI futexes");		\
	if (!task_state(getpid(), getpid()))				\
		SKIP_TEST("needs /proc");				\
} while (0)

static struct process *process_alloc(enum lock_type lock)
{
	struct process *process = shared_memory(sizeof(*process));

	if (process) {
		process->lock = lock;
		process->path = "/proc/self/exe";
	}
	return process;
}

/*
 * A sibling that competes for the lock until it is dead.
 *
 * Not all combinations can show a lock that is released too early: a PI futex
 * is handed over without anything to poll for, and without kernel preemption a
 * sibling on the same CPU does not run before it is killed. For these there are
 * the traced siblings.
 */
FIXTURE(sibling)
{
	struct process *process;
};

FIXTURE_VARIANT(sibling)
{
	enum sibling_type sibling;
	enum lock_type lock;
};

FIXTURE_VARIANT_ADD(sibling, blocked_robust) {
	.sibling = BLOCKED,
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(sibling, blocked_robust_pi) {
	.sibling = BLOCKED,
	.lock = ROBUST_PI,
};

FIXTURE_VARIANT_ADD(sibling, blocked_pi) {
	.sibling = BLOCKED,
	.lock = PI,
};

FIXTURE_VARIANT_ADD(sibling, polling_robust) {
	.sibling = POLLING,
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(sibling, polling_robust_pi) {
	.sibling = POLLING,
	.lock = ROBUST_PI,
};

FIXTURE_VARIANT_ADD(sibling, fifo_robust) {
	.sibling = FIFO,
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(sibling, exit_robust) {
	.sibling = EXIT,
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(sibling, exit_robust_pi) {
	.sibling = EXIT,
	.lock = ROBUST_PI,
};

FIXTURE_VARIANT_ADD(sibling, exit_pi) {
	.sibling = EXIT,
	.lock = PI,
};

FIXTURE_SETUP(sibling)
{
	REQUIRE(variant->lock);
	if (variant->sibling == POLLING && nr_cpus() < 2)
		SKIP_TEST("needs two CPUs");
	if (variant->sibling == FIFO &&
	    (set_scheduler(SCHED_FIFO, 1) || set_scheduler(SCHED_OTHER, 0)))
		SKIP_TEST("needs root for SCHED_FIFO");

	self->process = process_alloc(variant->lock);
	ASSERT_TRUE(!!self->process);
	self->process->sibling = variant->sibling;
}

FIXTURE_TEARDOWN(sibling)
{
	process_kill(self->process);
}

/* In how many rounds something was so */
struct score {
	unsigned int rounds;
	unsigned int ready;
	unsigned int got;
	unsigned int not_executed;
	unsigned int not_marked;
	unsigned int foreign_changed;
	unsigned int not_woken;
	/* This one counts waiters */
	unsigned int more_not_woken;
};

/* False if a round did not come to its end */
static bool run_rounds(struct process *process, struct score *score)
{
	long long end = milliseconds() + BUDGET;
	int nr = is_pi(process) ? NR_MORE : 0, i;
	struct other other, more[NR_MORE];

	while (score->rounds < ROUNDS && milliseconds() < end) {
		score->rounds++;
		if (!process_start(process))
			return false;
		/* The PI futex that gets its first waiter last is released first */
		for (i = 0; i < nr; i++)
			if (!wait_in_other(&more[i], process,
					   &process->more[i]))
				return false;
		if (!sibling_start(process) || !other_start(&other, process))
			return false;
		if (process->sibling != POLLING)
			score->ready += sibling_is_blocked(process, 2);

		set(&process->go);
		if (!happens(process_ended(process)))
			return false;
		if (process->sibling == POLLING)
			score->ready += process->polled;
		score->got += process->got;
		score->not_woken += !other_got_lock(&other);
		for (i = 0; i < nr; i++)
			score->more_not_woken += !other_got_lock(&more[i]);
		score->not_executed += !new_program_ran(process);
		score->not_marked += !others_have(process, MARKED);
		score->foreign_changed += !foreign_is_unchanged(process);
	}
	return true;
}

static void check_rounds(struct __test_metadata *_metadata,
			 struct process *process)
{
	bool polling = process->sibling == POLLING;
	struct score score = {};
	bool ended = run_rounds(process, &score);

	TH_LOG("%u rounds, sibling %s in %u, got the lock in %u",
	       score.rounds, polling ? "polling" : "blocked", score.ready,
	       score.got);
	TH_LOG("not executed in %u, not marked in %u, not woken in %u",
	       score.not_executed, score.not_marked, score.not_woken);
	ASSERT_TRUE(ended);
	ASSERT_NE(0U, score.rounds);

	/* A blocked thread is waited for. A polling one may miss an exec. */
	if (!polling)
		EXPECT_EQ(score.rounds, score.ready);
	EXPECT_EQ(0U, score.got);
	EXPECT_EQ(0U, score.not_executed);
	EXPECT_EQ(0U, score.not_marked);
	EXPECT_EQ(0U, score.foreign_changed);
	EXPECT_EQ(0U, score.not_woken);
	EXPECT_EQ(0U, score.more_not_woken);
	if (!score.ready && _metadata->passed)
		SKIP(return, "the sibling missed every exec");
}

TEST_F_TIMEOUT(sibling, leader, 60)
{
	check_rounds(_metadata, self->process);
}

TEST_F_TIMEOUT(sibling, thread, 60)
{
	self->process->by_thread = true;
	check_rounds(_metadata, self->process);
}

/*
 * A sibling that takes long to die: its tracer holds it when it begins to exit.
 * The exec waits for it, and can be killed while it does.
 */
FIXTURE(traced)
{
	struct process *process;
	struct other other;
};

FIXTURE_VARIANT(traced)
{
	enum lock_type lock;
};

FIXTURE_VARIANT_ADD(traced, robust) {
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(traced, robust_pi) {
	.lock = ROBUST_PI,
};

FIXTURE_VARIANT_ADD(traced, pi) {
	.lock = PI,
};

FIXTURE_SETUP(traced)
{
	REQUIRE(variant->lock);
	self->process = process_alloc(variant->lock);
	ASSERT_TRUE(!!self->process);
}

FIXTURE_TEARDOWN(traced)
{
	process_kill(self->process);
}

static bool sibling_exits(struct process *process)
{
	int status;

	return waitpid(process->sibling_tid, &status, WNOHANG | __WALL) ==
		       (pid_t)process->sibling_tid &&
	       WIFSTOPPED(status) &&
	       status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8);
}

/* Let the exec begin, and return when it waits for the sibling */
static bool exec_waits(struct process *process)
{
	set(&process->go);
	return happens(sibling_exits(process)) &&
	       happens(task_state(process->pid, process->exec_tid) == 'D');
}

/* A thread that is not the leader leaves its exit status to its tracer */
static bool sibling_dies(struct process *process)
{
	pid_t tid = process->sibling_tid;

	/* After a kill it may run already */
	ptrace(PTRACE_CONT, tid, NULL, NULL);
	return process->by_thread ||
	       happens(waitpid(tid, NULL, WNOHANG | __WALL) == tid);
}

/* Trace the sibling and let the exec begin, which then waits for it */
static void wait_in_exec(struct __test_metadata *_metadata,
			 struct process *process, struct other *other)
{
	ASSERT_TRUE(process_start(process));
	ASSERT_TRUE(sibling_start(process));
	if (ptrace(PTRACE_SEIZE, process->sibling_tid, NULL,
		   PTRACE_O_TRACEEXIT)) {
		ASSERT_EQ(EPERM, errno);
		process_kill(process);
		SKIP_TEST("needs the right to trace a child");
	}
	ASSERT_TRUE(other_start(other, process));

	ASSERT_TRUE(exec_waits(process));
	EXPECT_TRUE(nothing_has_changed(process));
	EXPECT_TRUE(other_is_blocked(other));
}

/* Let the sibling die, and thereby end the wait */
static void end_wait(struct __test_metadata *_metadata,
		     struct process *process, struct other *other)
{
	ASSERT_TRUE(sibling_dies(process));
	ASSERT_TRUE(happens(process_ended(process)));
	EXPECT_EQ(0U, process->got);
	EXPECT_TRUE(other_got_lock(other));
	EXPECT_TRUE(others_have(process, MARKED));
	EXPECT_TRUE(foreign_is_unchanged(process));
}

static void check_exec(struct __test_metadata *_metadata,
		       struct process *process, struct other *other)
{
	wait_in_exec(_metadata, process, other);
	end_wait(_metadata, process, other);
	EXPECT_TRUE(new_program_ran(process));
}

/* The exec becomes an exit, and it is the exit that marks the locks */
static void check_killed_exec(struct __test_metadata *_metadata,
			      struct process *process, struct other *other)
{
	wait_in_exec(_metadata, process, other);
	ASSERT_EQ(0, kill(process->pid, SIGKILL));
	end_wait(_metadata, process, other);
	EXPECT_TRUE(WIFSIGNALED(process->status));
	EXPECT_EQ(SIGKILL, WTERMSIG(process->status));
}

TEST_F(traced, leader)
{
	check_exec(_metadata, self->process, &self->other);
}

TEST_F(traced, thread)
{
	self->process->by_thread = true;
	check_exec(_metadata, self->process, &self->other);
}

TEST_F(traced, leader_killed)
{
	check_killed_exec(_metadata, self->process, &self->other);
}

TEST_F(traced, thread_killed)
{
	self->process->by_thread = true;
	check_killed_exec(_metadata, self->process, &self->other);
}

/* An exec that fails returns to a program that has all its locks */
FIXTURE(failed)
{
	struct process *process;
	struct other other;
	char path[32];
	int fd;
};

FIXTURE_VARIANT(failed)
{
	/* None if 0 */
	mode_t mode;
	__u32 error;
};

FIXTURE_VARIANT_ADD(failed, enoent) {
	.error = ENOENT,
};

FIXTURE_VARIANT_ADD(failed, eacces) {
	.mode = 0600,
	.error = EACCES,
};

FIXTURE_VARIANT_ADD(failed, enoexec) {
	.mode = 0700,
	.error = ENOEXEC,
};

FIXTURE_SETUP(failed)
{
	REQUIRE(ROBUST);
	self->process = process_alloc(ROBUST);
	ASSERT_TRUE(!!self->process);

	/* Empty, hence of no known format */
	self->fd = memfd_create("robust_exec", 0);
	if (self->fd < 0)
		SKIP_TEST("the kernel has no memfd_create()");
	ASSERT_EQ(0, fchmod(self->fd, variant->mode));
	snprintf(self->path, sizeof(self->path), "/proc/self/fd/%d", self->fd);
	if (!variant->mode)
		close(self->fd);
	self->process->path = self->path;
}

FIXTURE_TEARDOWN(failed)
{
	process_kill(self->process);
}

static void check_failed_exec(struct __test_metadata *_metadata,
			      struct process *process, struct other *other,
			      __u32 error)
{
	futex_t *word = &process->locks[0].word;
	struct robust_list_head *head = NULL;
	size_t len = 0;

	ASSERT_TRUE(process_start(process));
	ASSERT_TRUE(sibling_start(process));
	ASSERT_TRUE(other_start(other, process));
	set(&process->go);
	ASSERT_TRUE(happens(process->error));
	EXPECT_EQ(error, process->error);
	EXPECT_TRUE(nothing_has_changed(process));
	EXPECT_EQ(2, sleepers(word));
	EXPECT_EQ(0, get_robust_list(process->exec_tid, &head, &len));
	EXPECT_TRUE(head == &process->head);
	EXPECT_EQ(sizeof(*head), len);

	/* The list is still in use. The sibling, dying too, may be woken. */
	process_kill(process);
	EXPECT_EQ(MARKED_WITH_WAITERS, *word);
	EXPECT_TRUE(others_have(process, MARKED));
	EXPECT_TRUE(foreign_is_unchanged(process));
	futex_wake(word, INT_MAX, 0);
	pthread_join(other->thread, NULL);
}

TEST_F(failed, leader)
{
	check_failed_exec(_metadata, self->process, &self->other,
			  variant->error);
}

TEST_F(failed, thread)
{
	self->process->by_thread = true;
	check_failed_exec(_metadata, self->process, &self->other,
			  variant->error);
}

TEST_HARNESS_MAIN
