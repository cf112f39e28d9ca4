/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Common code of the robust futex tests: a victim that registers a list and
 * dies, waiters that sleep on a futex, and waits with a time limit.
 *
 * A victim is a forked process. What it and the test access is in shared memory, at
 * the same address in both. So a test starts a victim, which stores its TID and
 * goes to sleep, then writes the victim's list and words, and then lets the victim
 * die:
 *
 *	victim_start(victim);
 *	hold(locks, nr, victim->tid);
 *	link_locks(&victim->head, locks, nr);
 *	victim_die(victim);
 *
 * When victim_die() returns true, the walk of the list is complete: both the
 * exit status and the cleared TID come after it. So a test that expects no wakeup
 * does not have to wait for one: it counts the tasks that still sleep.
 *
 * Tests of robust lists are skipped if the kernel has no set_robust_list().
 */
#ifndef _ROBUST_H
#define _ROBUST_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/time_types.h>
#include <linux/userfaultfd.h>

#include "futextest.h"
#include "kselftest_harness.h"

/* Seconds that a step may take before it counts as failed */
#define TIME_LIMIT	10

static inline int set_robust_list(const void *head, size_t len)
{
	return syscall(SYS_set_robust_list, head, len);
}

static inline int get_robust_list(pid_t pid, void *head_ptr, size_t *len_ptr)
{
	return syscall(SYS_get_robust_list, pid, head_ptr, len_ptr);
}

/*
 * Skip a test, from its fixture's setup as well: after a plain SKIP there, the
 * harness would continue with the test. 255 is the exit status of a test that was
 * skipped.
 */
#define SKIP_TEST(reason)	SKIP(_exit(255), reason)

/*
 * Each test of robust lists, or its fixture's setup, has this. A wrong length
 * registers nothing: if the call exists, it fails with EINVAL.
 */
#define REQUIRE_ROBUST_LIST()						\
do {									\
	if (set_robust_list(NULL, 0) && errno != EINVAL)		\
		SKIP_TEST("the kernel has no robust futexes");		\
} while (0)

static inline long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Wait until @condition holds; false if it does not within the time limit */
#define happens(condition)						\
({									\
	long long __end = milliseconds() + TIME_LIMIT * 1000LL;		\
	bool __happened;						\
									\
	while (!(__happened = !!(condition)) && milliseconds() < __end)	\
		usleep(200);						\
	__happened;							\
})

/* Long enough for a task that is about to sleep, or to end, to do so */
static inline void settle(void)
{
	usleep(200000);
}

/*
 * On some 32-bit systems the timespec of the C library and that of the system
 * call differ in size. This structure and this number always match.
 */
#ifdef SYS_futex_time64
#define SYS_FUTEX_TIMED	SYS_futex_time64
#else
#define SYS_FUTEX_TIMED	SYS_futex
#endif

/* FUTEX_WAIT with a limit in seconds. Returns 0 or the error number. */
static inline int wait_so_long_on(futex_t *futex, __u32 value, int seconds)
{
	struct __kernel_timespec limit = { .tv_sec = seconds };

	if (!syscall(SYS_FUTEX_TIMED, futex, FUTEX_WAIT, value, &limit, NULL, 0))
		return 0;
	return errno;
}

/* FUTEX_WAIT with the time limit. Returns 0 or the error number. */
static inline int wait_on(futex_t *futex, __u32 value)
{
	return wait_so_long_on(futex, value, TIME_LIMIT);
}

/* FUTEX_LOCK_PI with the time limit. Returns 0 or the error number. */
static inline int lock_pi(futex_t *futex)
{
	struct __kernel_timespec limit;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	limit.tv_sec = now.tv_sec + TIME_LIMIT;
	limit.tv_nsec = now.tv_nsec;

	if (!syscall(SYS_FUTEX_TIMED, futex, FUTEX_LOCK_PI, 0, &limit, NULL, 0))
		return 0;
	return errno;
}

/*
 * The number of tasks that sleep on @futex: a requeue from the futex to itself
 * moves none of them, and returns their number.
 */
static inline int sleepers(futex_t *futex)
{
	return futex_cmp_requeue(futex, *futex, futex, 0, INT_MAX, 0);
}

/* The state of a task as /proc shows it, 0 if there is no such task */
static inline char task_state(pid_t pid, pid_t tid)
{
	char path[64], stat[128], *end;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	stat[len] = 0;
	end = strrchr(stat, ')');
	return end && end[1] ? end[2] : 0;
}

/* Memory that a forked child shares, zeroed; NULL if there is none */
static inline void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* As in glibc, the word lies below the entry: the futex offset is negative */
struct robust_lock {
	futex_t word;
	struct robust_list entry;
};

#define LOCK_OFFSET	((long)offsetof(struct robust_lock, word) - \
			 (long)offsetof(struct robust_lock, entry))

/* The word of a lock after its owner has died */
#define MARKED			((__u32)FUTEX_OWNER_DIED)
#define MARKED_WITH_WAITERS	((__u32)FUTEX_OWNER_DIED | FUTEX_WAITERS)

/* A TID that no task has: all are below 2^22 */
#define OTHER_TID	(FUTEX_TID_MASK - 1)

static inline void init_head(struct robust_list_head *head)
{
	head->list.next = &head->list;
	head->futex_offset = LOCK_OFFSET;
	head->list_op_pending = NULL;
}

/* Bit 0 of a pointer to an entry says that the lock is a PI futex */
static inline struct robust_list *pi_entry(struct robust_lock *lock)
{
	return (struct robust_list *)((uintptr_t)&lock->entry | 1);
}

/* Make a list of @nr locks, in their order */
static inline void link_locks(struct robust_list_head *head,
			      struct robust_lock *locks, size_t nr)
{
	size_t i;

	head->list.next = &locks[0].entry;
	for (i = 0; i < nr - 1; i++)
		locks[i].entry.next = &locks[i + 1].entry;
	locks[nr - 1].entry.next = &head->list;
}

#define HIGHEST_BIT	((uintptr_t)1 << (sizeof(void *) * CHAR_BIT - 1))

/*
 * In 31-bit programs on s390 the highest bit of a pointer is not part of the
 * address: the kernel clears it. Elsewhere it is, and a pointer with this bit
 * inverted is another address. Any system call that reads memory shows which.
 */
static inline bool highest_bit_counts(void)
{
	static char byte;
	bool counts = true;
	int ends[2];

	if (pipe(ends))
		return counts;
	counts = write(ends[1], (void *)((uintptr_t)&byte ^ HIGHEST_BIT), 1) != 1;
	close(ends[0]);
	close(ends[1]);
	return counts;
}

#ifdef __x86_64__
/* The head and a lock of a 32-bit program, and the number of its system call */
struct head_32 {
	__u32 next;
	__s32 futex_offset;
	__u32 list_op_pending;
};

struct lock_32 {
	futex_t word;
	__u32 next;
};

#define SYS_SET_ROBUST_LIST_32	311

/* The caller dies by SIGSEGV if the kernel has no 32-bit system calls */
static inline int set_robust_list_32(struct head_32 *head)
{
	long ret;

	/* The 32-bit entry leaves r8 to r11 undefined */
	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (SYS_SET_ROBUST_LIST_32), "b" (head),
		       "c" (sizeof(*head))
		     : "r8", "r9", "r10", "r11", "memory");
	return ret;
}
#endif

/* Give the same @word to @nr locks */
static inline void hold(struct robust_lock *locks, size_t nr, __u32 word)
{
	size_t i;

	for (i = 0; i < nr; i++)
		locks[i].word = word;
}

/* How many of @nr locks have @word */
static inline size_t count(struct robust_lock *locks, size_t nr, __u32 word)
{
	size_t i, found = 0;

	for (i = 0; i < nr; i++)
		found += locks[i].word == word;
	return found;
}

struct victim {
	struct robust_list_head head;
	/* What it registers; &head unless a test changes it */
	const void *registered;
	/* What its process does; sleep and die by SIGKILL if NULL */
	void (*run)(struct victim *victim);
	/* For the test's own run() */
	void *data;
	/* victim_die() waits for the end of the process, or of its exec */
	bool whole_process;
	pid_t pid;
	int status;
	/* 0 until it has registered its list */
	futex_t tid;
	/* Set to let it die */
	futex_t go;
	/* Cleared by the kernel when a thread ends before its process does */
	futex_t alive;
};

/* For the dying thread: register, store the TID, sleep until victim->go */
static inline void victim_hold(struct victim *victim)
{
	victim->alive = 1;
	syscall(SYS_set_tid_address, &victim->alive);
	if (set_robust_list(victim->registered, sizeof(victim->head)))
		_exit(KSFT_FAIL);

	victim->tid = syscall(SYS_gettid);
	if (!happens(wait_on(&victim->go, 0) != ETIMEDOUT && victim->go))
		_exit(KSFT_FAIL);
}

/*
 * Exec this same program. It stops before its first instruction, as the test
 * traces it.
 */
static inline void victim_exec(void)
{
	char *path = (char *)getauxval(AT_EXECFN);

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	execl(path, path, NULL);
	_exit(KSFT_FAIL);
}

/*
 * This program exits before main() if the variable is set.
 */
#define END_AT_ONCE	"ROBUST_END_AT_ONCE"

static void __attribute__((constructor)) end_at_once(void)
{
	if (getenv(END_AT_ONCE))
		_exit(0);
}

static inline void exec_and_end(void)
{
	char *path = (char *)getauxval(AT_EXECFN);

	execle(path, path, NULL, (char *[]){ END_AT_ONCE "=1", NULL });
	_exit(KSFT_FAIL);
}

/* Thread bodies: a victim that exits alone, and one that ends the process */
static inline void *hold_and_exit_thread(void *arg)
{
	victim_hold(arg);
	syscall(SYS_exit, 0);
	return NULL;
}

static inline void *end_process_when_told(void *arg)
{
	futex_t *told = arg;

	while (!*told)
		wait_on(told, 0);
	_exit(0);
}

static inline void tell(futex_t *futex)
{
	*futex = 1;
	futex_wake(futex, INT_MAX, 0);
}

/* A child does not outlive the test and leaves no core file behind */
static inline void prepare_child(void)
{
	struct rlimit no_core = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
}

static inline struct victim *victim_alloc(void)
{
	struct victim *victim = shared_memory(sizeof(*victim));

	if (victim) {
		init_head(&victim->head);
		victim->registered = &victim->head;
	}
	return victim;
}

/* Has the process changed its state? A stop is that of victim_exec() */
static inline bool victim_waited(struct victim *victim)
{
	if (waitpid(victim->pid, &victim->status, WNOHANG | __WALL) != victim->pid)
		return false;
	if (!WIFSTOPPED(victim->status))
		victim->pid = 0;
	return true;
}

/* Start it, and return when it has registered its list; false if it has not */
static inline bool victim_start(struct victim *victim)
{
	pid_t pid;

	victim->tid = 0;
	victim->go = 0;
	pid = fork();
	if (!pid) {
		prepare_child();
		if (victim->run) {
			victim->run(victim);
		} else {
			victim_hold(victim);
			kill(getpid(), SIGKILL);
		}
		_exit(KSFT_FAIL);
	}
	victim->pid = pid;
	return pid > 0 && happens(victim->tid || victim_waited(victim)) &&
	       victim->tid;
}

/* Whether it did not start because this system lacks something */
static inline bool victim_skipped(struct victim *victim)
{
	return !victim->pid && WIFEXITED(victim->status) &&
	       WEXITSTATUS(victim->status) == KSFT_SKIP;
}

/* Let it die; false if it does not */
static inline bool victim_die(struct victim *victim)
{
	tell(&victim->go);
	return happens((!victim->whole_process && !victim->alive) ||
		       victim_waited(victim));
}

/* Kill what is left of it */
static inline void victim_clean(struct victim *victim)
{
	if (!victim || victim->pid <= 0)
		return;
	kill(victim->pid, SIGKILL);
	happens(victim_waited(victim) && !victim->pid);
}

/*
 * Be the first process of a new PID namespace: its TID is 1 there. If the victim
 * has data, the PID outside is stored there.
 */
static inline void run_in_pid_namespace(struct victim *victim)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		_exit(KSFT_SKIP);
	pid = fork();
	if (!pid) {
		prepare_child();
		victim_hold(victim);
		_exit(0);
	}
	if (victim->data)
		*(pid_t *)victim->data = pid;
	waitpid(pid, NULL, 0);
	_exit(0);
}

/*
 * Tasks that are no threads of their creator. If they share its memory, they use
 * only the system calls of the C library.
 */
#define TASK_STACK	(64 * 1024)

static inline pid_t start_task(int (*body)(void *arg), void *arg, int flags)
{
	char *stack = shared_memory(TASK_STACK);

	if (!stack)
		return -1;
#ifndef __hppa__
	stack += TASK_STACK;
#endif
	/* A victim calls this: the test is to be the parent, and waits for the task */
	return clone(body, stack, flags | CLONE_PARENT | SIGCHLD, arg);
}

static inline void end_task(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	happens(waitpid(pid, NULL, WNOHANG | __WALL) == pid);
}

/*
 * Have faults of this process in a range reported by userfaultfd: those on
 * missing pages, or those of writes, for which the range is write-protected.
 * Returns the descriptor, or -1.
 */
static inline int watch_range(void *start, size_t size, bool writes)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = writes ? UFFD_FEATURE_WP_HUGETLBFS_SHMEM : 0,
	};
	struct uffdio_register range = {
		.range = {
			.start = (uintptr_t)start,
			.len = size,
		},
		.mode = writes ? UFFDIO_REGISTER_MODE_WP :
				 UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect protect = {
		.range = range.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range) ||
	    (writes && ioctl(fd, UFFDIO_WRITEPROTECT, &protect))) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Start a thread that is not joined, with a small stack: there may be hundreds of
 * them, and 32-bit architectures have no room for as many stacks of 8 MiB. Some
 * architectures require more than 64 KiB.
 */
static inline bool start_small_thread(void *(*body)(void *arg), void *arg)
{
	size_t size = 64 * 1024;
	pthread_attr_t attributes;
	pthread_t thread;
	bool started;

	if (size < (size_t)PTHREAD_STACK_MIN)
		size = PTHREAD_STACK_MIN;
	if (pthread_attr_init(&attributes) ||
	    pthread_attr_setstacksize(&attributes, size))
		return false;
	started = !pthread_create(&thread, &attributes, body, arg);
	pthread_attr_destroy(&attributes);
	return started;
}

/* Threads of the test that sleep in FUTEX_WAIT on one futex */
struct waiters {
	futex_t *futex;
	__u32 value;
	int nr;
	/* How many have returned, and what the last of these found in the word */
	int back;
	__u32 seen;
};

static inline void *waiter(void *arg)
{
	struct waiters *waiters = arg;

	/*
	 * A waiter that was removed from the queue and not woken returns at its
	 * limit, without an error. That must be too late to be counted.
	 */
	if (!wait_so_long_on(waiters->futex, waiters->value, 6 * TIME_LIMIT)) {
		waiters->seen = *waiters->futex;
		__atomic_add_fetch(&waiters->back, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Returns when all of them are asleep; false if that takes too long */
static inline bool start_waiters(struct waiters *waiters, futex_t *futex, int nr)
{
	int i;

	waiters->futex = futex;
	waiters->value = *futex;
	waiters->nr = nr;
	for (i = 0; i < nr; i++)
		if (!start_small_thread(waiter, waiters))
			return false;
	return happens(sleepers(futex) == nr);
}

/* How many of them were woken; -1 if those do not return */
static inline int woken(struct waiters *waiters)
{
	int nr = waiters->nr - sleepers(waiters->futex);

	if (!happens(__atomic_load_n(&waiters->back, __ATOMIC_SEQ_CST) == nr))
		return -1;
	return nr;
}

#endif /* _ROBUST_H */
