// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec and the locks of the thread that execs. They are marked under the TID
 * that they carry, which is not the one that the thread has afterwards if it is
 * not the leader. They are released, PI futexes as well, when every other
 * thread of the process is dead, not before: a thread that the exec is about to
 * kill must not get one.
 *
 * The process under test has two threads, the one that execs and a sibling that
 * competes for its lock. One of them is the leader. A thread of the test, hence
 * of another process, waits for the lock behind the sibling, and gets it.
 *
 * Both processes share all data at one address. As in robust.h, the threads
 * store their TIDs, the test builds list and words, and lets the exec begin.
 *
 * The tests of a sibling are races. They are repeated until a budget of time is
 * spent, or as often as ROBUST_EXEC_ROUNDS in the environment says:
 *
 *	ROBUST_EXEC_ROUNDS=300 ./robust_exec
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

/* By default: execs, and milliseconds after which no more of them begin */
#define ROUNDS		100
#define BUDGET		2500

/* In the environment: execs, without a budget, and how many there can be */
#define ROUNDS_VARIABLE	"ROBUST_EXEC_ROUNDS"
#define MAX_ROUNDS	100000

/* Seconds, for 300 rounds and more. One takes 50 ms on an emulated CPU. */
#define RACE_TIME_LIMIT	600

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
	/* Looks all the time whether the lock is released */
	POLLING,
	/*
	 * Blocked, on the CPU of the thread that execs and with a higher
	 * priority, so that it preempts this thread when it is woken
	 */
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
	/* The new program */
	const char *path;
	pid_t pid;
	int status;
	futex_t exec_tid;
	futex_t sibling_tid;
	/* Set to let the sibling begin, and the exec */
	futex_t start;
	futex_t go;
	/* From here on the sibling makes no system calls but on the lock */
	futex_t competing;
	futex_t executing;
	/* After executing was set, a polling sibling found the lock held */
	futex_t polled;
	/* The sibling got the lock, or found it released */
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
	/* Else the sibling could be killed before it polls again */
	if (process->sibling == POLLING)
		happens(process->polled);
	execve(process->path, arguments, environment);
	process->error = errno;
	for (;;)
		pause();
}

/* FUTEX_TRYLOCK_PI. Returns 0 or the error number. */
static int try_lock_pi(futex_t *word)
{
	if (!futex(word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0, 0))
		return 0;
	return errno;
}

/*
 * For a polling sibling: is the lock still held by the thread that execs?
 *
 * A lock on the list is free for any thread that finds the mark in the word. A
 * PI futex that is on no list is not marked: as long as a live thread owns it,
 * FUTEX_TRYLOCK_PI fails with EAGAIN. The sibling never gets this lock, and
 * never finds another TID in the word either, that of the thread of the test to
 * which the lock was handed over: a release waits until the sibling is dead.
 */
static bool is_held(struct process *process)
{
	if (process->lock == PI &&
	    try_lock_pi(&process->locks[0].word) != EAGAIN)
		return false;
	return owner(process) == process->exec_tid;
}

static void poll_lock(struct process *process)
{
	__u32 executing;

	for (;;) {
		executing = process->executing;
		if (!is_held(process))
			break;
		if (executing)
			process->polled = 1;
	}
}

/* Returns when the thread that execs has released its lock */
static void compete(struct process *process)
{
	futex_t *word = &process->locks[0].word;
	int error;

	process->competing = 1;
	if (process->sibling == POLLING) {
		poll_lock(process);
	} else if (is_pi(process)) {
		do {
			error = lock_pi(word);
		} while (error == ETIMEDOUT);
		if (error)
			_exit(KSFT_FAIL);
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

/* The waiter outside the process: a thread of the test */
struct outer {
	futex_t *word;
	__u32 owner;
	bool pi;
	pthread_t thread;
	futex_t tid;
	futex_t done;
	int ret;
	__u32 seen;
};

static void *outer_thread(void *arg)
{
	struct outer *outer = arg;

	outer->tid = syscall(SYS_gettid);
	if (outer->pi)
		outer->ret = lock_pi(outer->word);
	else
		outer->ret = wait_on(outer->word, outer->owner | FUTEX_WAITERS);
	outer->seen = *outer->word;
	if (outer->pi)
		futex_unlock_pi(outer->word, 0);
	outer->done = 1;
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

static bool outer_is_blocked(struct outer *outer)
{
	return outer->tid && !outer->done &&
	       task_state(getpid(), outer->tid) == 'S';
}

/* Clear all but what the test has chosen */
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

/* Start it, and return when it is blocked on a lock of the process */
static bool outer_start_on(struct outer *outer, struct process *process,
			   futex_t *word)
{
	memset(outer, 0, sizeof(*outer));
	outer->word = word;
	outer->owner = process->exec_tid;
	outer->pi = is_pi(process);
	return !pthread_create(&outer->thread, NULL, outer_thread, outer) &&
	       happens(outer_is_blocked(outer));
}

static bool outer_start(struct outer *outer, struct process *process)
{
	return outer_start_on(outer, process, &process->locks[0].word);
}

/*
 * Has it got the lock? The exec is over when this is called: a wakeup that is
 * missing does not come any more, and is made here to end the thread.
 */
static bool outer_got_lock(struct outer *outer)
{
	bool woken = true;

	if (!outer->pi)
		woken = !futex_wake(outer->word, INT_MAX, 0);
	pthread_join(outer->thread, NULL);
	if (!woken || outer->ret)
		return false;
	if (outer->pi)
		return (outer->seen & FUTEX_TID_MASK) == outer->tid &&
		       (outer->seen & FUTEX_OWNER_DIED);
	return outer->seen == MARKED_WITH_WAITERS;
}

/* Start it, and return when it has both threads and one holds the lock */
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

/* All that the thread holds and no other thread waits for */
static bool held_words_are(struct process *process, __u32 word)
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
	       held_words_are(process, process->exec_tid) &&
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
 * A sibling that competes for the lock until it is dead. Siblings of all types
 * compete for locks of all types.
 *
 * The chance that a release which comes too early is detected depends on both.
 * For example, if the kernel is not preemptible, a FIFO sibling only runs where
 * the exec can sleep. A traced sibling detects each such release.
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

FIXTURE_VARIANT_ADD(sibling, polling_pi) {
	.sibling = POLLING,
	.lock = PI,
};

FIXTURE_VARIANT_ADD(sibling, fifo_robust) {
	.sibling = FIFO,
	.lock = ROBUST,
};

FIXTURE_VARIANT_ADD(sibling, fifo_robust_pi) {
	.sibling = FIFO,
	.lock = ROBUST_PI,
};

FIXTURE_VARIANT_ADD(sibling, fifo_pi) {
	.sibling = FIFO,
	.lock = PI,
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

/* The number of rounds that is set, 0 if none is, -1 if it is not valid */
static int rounds_in_environment(void)
{
	const char *value = getenv(ROUNDS_VARIABLE);
	unsigned long rounds;
	char *end;

	if (!value)
		return 0;
	/* strtoul() accepts blanks and a sign */
	if (value[0] < '0' || value[0] > '9')
		return -1;
	rounds = strtoul(value, &end, 10);
	if (*end || rounds < 1 || rounds > MAX_ROUNDS)
		return -1;
	return rounds;
}

/* Numbers of rounds: of all, and of those in which this was found */
struct score {
	unsigned int rounds;
	/* The sibling was alive and competed when the exec began */
	unsigned int competed;
	/* And got the lock */
	unsigned int got;
	unsigned int not_executed;
	unsigned int not_marked;
	unsigned int foreign_changed;
	unsigned int not_woken;
	/* Not of rounds, but of waiters for the PI futexes behind the lock */
	unsigned int more_not_woken;
};

/* Start the process and let it exec. False if that did not come to its end. */
static bool run_round(struct process *process, struct score *score)
{
	/* After a failure they are still in use by their threads */
	static struct outer outer, more[NR_MORE];
	int nr = is_pi(process) ? NR_MORE : 0, i;

	if (!process_start(process))
		return false;
	/* The PI futex that gets its first waiter last is released first */
	for (i = 0; i < nr; i++)
		if (!outer_start_on(&more[i], process, &process->more[i]))
			return false;
	if (!sibling_start(process) || !outer_start(&outer, process))
		return false;
	if (process->sibling != POLLING)
		score->competed += sibling_is_blocked(process, 2);

	set(&process->go);
	if (!happens(process_ended(process)))
		return false;
	if (process->sibling == POLLING)
		score->competed += process->polled;
	score->got += process->got;
	score->not_woken += !outer_got_lock(&outer);
	for (i = 0; i < nr; i++)
		score->more_not_woken += !outer_got_lock(&more[i]);
	score->not_executed += !new_program_ran(process);
	score->not_marked += !held_words_are(process, MARKED);
	score->foreign_changed += !foreign_is_unchanged(process);
	return true;
}

/* @asked rounds; if 0, as many as the budget allows. False as run_round(). */
static bool run_rounds(struct process *process, struct score *score, int asked)
{
	unsigned int rounds = asked ? asked : ROUNDS;
	long long end = milliseconds() + BUDGET;

	while (score->rounds < rounds && (asked || milliseconds() < end)) {
		score->rounds++;
		if (!run_round(process, score))
			return false;
	}
	return true;
}

static void check_rounds(struct __test_metadata *_metadata,
			 struct process *process)
{
	int asked = rounds_in_environment();
	struct score score = {};
	bool ended;

	ASSERT_NE(-1, asked) {
		TH_LOG("%s=%s: set it to a number from 1 to %d",
		       ROUNDS_VARIABLE, getenv(ROUNDS_VARIABLE), MAX_ROUNDS);
	}
	ended = run_rounds(process, &score, asked);
	TH_LOG("%u rounds: sibling %s at exec in %u, got the lock in %u",
	       score.rounds,
	       process->sibling == POLLING ? "polling" : "blocked",
	       score.competed, score.got);
	TH_LOG("no exec in %u, no mark in %u, no wakeup in %u and for %u more",
	       score.not_executed, score.not_marked, score.not_woken,
	       score.more_not_woken);
	ASSERT_TRUE(ended);
	ASSERT_LT(0U, score.competed);

	EXPECT_EQ(score.rounds, score.competed);
	EXPECT_EQ(0U, score.got);
	EXPECT_EQ(0U, score.not_executed);
	EXPECT_EQ(0U, score.not_marked);
	EXPECT_EQ(0U, score.foreign_changed);
	EXPECT_EQ(0U, score.not_woken);
	EXPECT_EQ(0U, score.more_not_woken);
}

TEST_F_TIMEOUT(sibling, leader, RACE_TIME_LIMIT)
{
	check_rounds(_metadata, self->process);
}

TEST_F_TIMEOUT(sibling, thread, RACE_TIME_LIMIT)
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
	struct outer outer;
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
			 struct process *process, struct outer *outer)
{
	ASSERT_TRUE(process_start(process));
	ASSERT_TRUE(sibling_start(process));
	if (ptrace(PTRACE_SEIZE, process->sibling_tid, NULL,
		   PTRACE_O_TRACEEXIT)) {
		ASSERT_EQ(EPERM, errno);
		process_kill(process);
		SKIP_TEST("needs the right to trace a child");
	}
	ASSERT_TRUE(outer_start(outer, process));

	ASSERT_TRUE(exec_waits(process));
	EXPECT_TRUE(nothing_has_changed(process));
	EXPECT_TRUE(outer_is_blocked(outer));
}

/* Let the sibling die, and thereby end the wait */
static void end_wait(struct __test_metadata *_metadata,
		     struct process *process, struct outer *outer)
{
	ASSERT_TRUE(sibling_dies(process));
	ASSERT_TRUE(happens(process_ended(process)));
	EXPECT_EQ(0U, process->got);
	EXPECT_TRUE(outer_got_lock(outer));
	EXPECT_TRUE(held_words_are(process, MARKED));
	EXPECT_TRUE(foreign_is_unchanged(process));
}

static void check_exec(struct __test_metadata *_metadata,
		       struct process *process, struct outer *outer)
{
	wait_in_exec(_metadata, process, outer);
	end_wait(_metadata, process, outer);
	EXPECT_TRUE(new_program_ran(process));
}

/* The exec becomes an exit, and it is the exit that marks the locks */
static void check_killed_exec(struct __test_metadata *_metadata,
			      struct process *process, struct outer *outer)
{
	wait_in_exec(_metadata, process, outer);
	ASSERT_EQ(0, kill(process->pid, SIGKILL));
	end_wait(_metadata, process, outer);
	EXPECT_TRUE(WIFSIGNALED(process->status));
	EXPECT_EQ(SIGKILL, WTERMSIG(process->status));
}

TEST_F(traced, leader)
{
	check_exec(_metadata, self->process, &self->outer);
}

TEST_F(traced, thread)
{
	self->process->by_thread = true;
	check_exec(_metadata, self->process, &self->outer);
}

TEST_F(traced, leader_killed)
{
	check_killed_exec(_metadata, self->process, &self->outer);
}

TEST_F(traced, thread_killed)
{
	self->process->by_thread = true;
	check_killed_exec(_metadata, self->process, &self->outer);
}

/* An exec that fails returns to a program that has all its locks */
FIXTURE(failed)
{
	struct process *process;
	struct outer outer;
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
			      struct process *process, struct outer *outer,
			      __u32 error)
{
	futex_t *word = &process->locks[0].word;
	struct robust_list_head *head = NULL;
	size_t len = 0;

	ASSERT_TRUE(process_start(process));
	ASSERT_TRUE(sibling_start(process));
	ASSERT_TRUE(outer_start(outer, process));
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
	EXPECT_TRUE(held_words_are(process, MARKED));
	EXPECT_TRUE(foreign_is_unchanged(process));
	futex_wake(word, INT_MAX, 0);
	pthread_join(outer->thread, NULL);
}

TEST_F(failed, leader)
{
	check_failed_exec(_metadata, self->process, &self->outer,
			  variant->error);
}

TEST_F(failed, thread)
{
	self->process->by_thread = true;
	check_failed_exec(_metadata, self->process, &self->outer,
			  variant->error);
}

TEST_HARNESS_MAIN
