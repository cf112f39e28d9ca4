// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of system calls that every program makes, also one without robust futexes:
 * the implementation of robust futexes must not make them slower.
 *
 *   getppid          a call that has nothing to do with futexes, for comparison
 *   wake             FUTEX_WAKE of a word for which there is no waiter
 *   wait             FUTEX_WAIT of a word that has another value, which is EAGAIN
 *   set_robust_list  one call
 *   thread           clone() of a thread, which exits at once, without a list
 *   fork             a process, which exits at once, without a list, and waitpid()
 *   exec             a child of vfork() executes a program that exits at once, and
 *                    waitpid(); the child has no list ("none"), or registers an empty one
 *                    before ("empty"), which is one more call
 *
 * The words are shared (without FUTEX_PRIVATE_FLAG, in shared memory) or private (with the
 * flag, in private memory). "empty" means that no waiter is in the hash bucket: no
 * other program sleeps on a futex in the guest. For "waiter" a thread sleeps in the bucket
 * of the word, on the same word, so that no assumption is made on how the kernel hashes.
 * It waits by FUTEX_WAIT_BITSET with another bit than the one that FUTEX_WAKE_BITSET names,
 * so it is found, but not woken. Both operations are those of the plain FUTEX_WAKE and
 * FUTEX_WAIT, which take all bits. As for a waiter on another word of the bucket, the kernel
 * takes the lock of the bucket and looks at one entry of its list; it compares a few fields
 * more than it would there, which is the same on each kernel.
 *
 * With the argument "futex" only the futex operations, which any kernel has.
 *
 * Everything runs on one CPU with real-time priority. A figure is that of a loop, which is
 * short enough for most of its runs to be free of timer interrupts, minus that of a
 * loop that calls an empty function. Threads and processes that exit have the priority of
 * their creator: when it yields or waits, they run until they have exited.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/types.h>

#include "parts/measure.h"
#include "parts/util.h"

/* The bit that the waiter waits for, and the one that is woken */
#define BIT_ASLEEP	1
#define BIT_WOKEN	2

/* The value of a word, and one with which FUTEX_WAIT does not sleep */
#define VALUE		0
#define OTHER_VALUE	1

#define STACK_WORDS	8192

/* The number of calls in a run */
#define SHORT_CALLS	1000
#define THREADS		20
#define PROCESSES	10

static struct robust_list_head head = { .list = { &head.list } };

/* A waiter begins to sleep at the first word, and is moved to the second. */
static __u32 *words;
static int private_flag;

static __u64 stack[STACK_WORDS];
static char program[256];
static int last_tid;

static long futex(__u32 *word, int operation, __u32 value, long value2, __u32 *word2,
		  __u32 value3)
{
	return syscall(SYS_futex, word, operation | private_flag, value, value2, word2, value3);
}

static void nothing(void)
{
	__asm__ volatile("" : : : "memory");
}

static void get_parent(void)
{
	syscall(SYS_getppid);
}

static void wake(void)
{
	futex(&words[1], FUTEX_WAKE, 1, 0, NULL, 0);
}

static void wake_bit(void)
{
	futex(&words[1], FUTEX_WAKE_BITSET, 1, 0, NULL, BIT_WOKEN);
}

static void wait_other(void)
{
	futex(&words[1], FUTEX_WAIT, OTHER_VALUE, 0, NULL, 0);
}

static void set_list(void)
{
	syscall(SYS_set_robust_list, &head, sizeof(head));
}

/* A clone shares the thread-local storage of its creator, or is short-lived. */
static int exit_thread(void *unused)
{
	(void)unused;
	syscall(SYS_exit, 0);
	return 0;
}

static int exit_process(void *unused)
{
	(void)unused;
	syscall(SYS_exit_group, 0);
	return 0;
}

static int execute(void *list)
{
	static char * const arguments[] = { program, NULL };
	static char * const environment[] = { NULL };

	if (list)
		syscall(SYS_set_robust_list, list, sizeof(head));
	execve(program, arguments, environment);
	syscall(SYS_exit_group, 127);
	return 0;
}

static void run_thread(void)
{
	last_tid = clone(exit_thread, stack + STACK_WORDS, THREAD_FLAGS, NULL);
	if (last_tid < 0)
		err(1, "cannot start a thread");
	sched_yield();
}

static void reap(int pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		err(1, "cannot wait for a child");
	if (status)
		errx(1, "a child ended with status 0x%x%s%s", status,
		     status == 127 << 8 ? ", it cannot execute " : "",
		     status == 127 << 8 ? program : "");
}

static void run_process(void)
{
	int pid = clone(exit_process, stack + STACK_WORDS, SIGCHLD, NULL);

	if (pid < 0)
		err(1, "cannot start a process");
	reap(pid);
}

static void run_program(struct robust_list_head *list)
{
	int pid = clone(execute, stack + STACK_WORDS, CLONE_VM | CLONE_VFORK | SIGCHLD, list);

	if (pid < 0)
		err(1, "cannot start a process");
	reap(pid);
}

static void run_program_none(void)
{
	run_program(NULL);
}

static void run_program_empty(void)
{
	run_program(&head);
}

/* The runs of @count calls; each run, and the calls before it, start after a sleep. */
static struct result time_of(void (*call)(void), int count)
{
	double values[MANY_RUNS];

	for (int run = -2; run < MANY_RUNS; run++) {
		double time;

		sleep_ns(2000000);
		call();
		time = now_ns();
		for (int i = 0; i < count; i++)
			call();
		time = now_ns() - time;
		if (run >= 0)
			values[run] = time;
	}
	return summary(values, MANY_RUNS);
}

static void measure(const char *measurement, const char *variant, const char *unit,
		    void (*call)(void), int count)
{
	double without = time_of(nothing, count).median;

	print_result(measurement, variant, 0, unit, reduce(time_of(call, count), without, count));
}

static void *sleep_at_first(void *unused)
{
	(void)unused;
	futex(&words[0], FUTEX_WAIT_BITSET, VALUE, 0, NULL, BIT_ASLEEP);
	return NULL;
}

/* If it can be moved to the second word, it sleeps. */
static pthread_t start_waiter(void)
{
	pthread_t waiter;

	errno = pthread_create(&waiter, NULL, sleep_at_first, NULL);
	if (errno)
		err(1, "cannot start the waiter");
	while (futex(&words[0], FUTEX_CMP_REQUEUE, 0, 1, &words[1], VALUE) != 1)
		sleep_ns(100000);
	return waiter;
}

static void end_waiter(pthread_t waiter)
{
	if (futex(&words[1], FUTEX_WAKE_BITSET, 1, 0, NULL, BIT_ASLEEP) != 1)
		errx(1, "the waiter did not sleep at the end");
	pthread_join(waiter, NULL);
}

static void check_futex(const char *what, long found, int error, int expected)
{
	if (expected ? found != -1 || error != expected : found != 0)
		errx(1, "%s: found %ld (%s)", what, found, found < 0 ? strerror(error) : "success");
}

/* The calls have the described effect on this word. */
static void check_word(void)
{
	long found;

	found = futex(&words[1], FUTEX_WAKE_BITSET, 1, 0, NULL, BIT_WOKEN);
	check_futex("FUTEX_WAKE_BITSET", found, errno, 0);
	found = futex(&words[1], FUTEX_WAIT, OTHER_VALUE, 0, NULL, 0);
	check_futex("FUTEX_WAIT", found, errno, EAGAIN);
}

static void measure_words(const char *memory, int map_flags, int flag)
{
	char variant[32];
	pthread_t waiter;

	words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, map_flags | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		err(1, "no memory for a word");
	words[0] = VALUE;
	words[1] = VALUE;
	private_flag = flag;

	check_word();
	snprintf(variant, sizeof(variant), "%s/empty", memory);
	measure("wake", variant, "ns/call", wake, SHORT_CALLS);
	measure("wait", variant, "ns/call", wait_other, SHORT_CALLS);

	waiter = start_waiter();
	check_word();
	snprintf(variant, sizeof(variant), "%s/waiter", memory);
	measure("wake", variant, "ns/call", wake_bit, SHORT_CALLS);
	measure("wait", variant, "ns/call", wait_other, SHORT_CALLS);
	end_waiter(waiter);

	munmap(words, 4096);
}

static void measure_list(void)
{
	if (syscall(SYS_set_robust_list, &head, sizeof(head)))
		return;
	measure("set_robust_list", "-", "ns/call", set_list, SHORT_CALLS);
	syscall(SYS_set_robust_list, NULL, sizeof(head));
}

static void measure_threads(void)
{
	measure("thread", "none", "ns/thread", run_thread, THREADS);
	/* The whole lifetime was measured: when the creator continues, the thread has exited. */
	run_thread();
	if (!syscall(SYS_tgkill, getpid(), last_tid, 0))
		errx(1, "a thread was still alive when it had been measured");
}

static void measure_programs(void)
{
	if (access(program, X_OK)) {
		printf("# exec is not measured: there is no %s\n", program);
		return;
	}
	measure("exec", "none", "ns/process", run_program_none, PROCESSES);
	measure("exec", "empty", "ns/process", run_program_empty, PROCESSES);
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

	if (argc > 2 || (argc == 2 && strcmp(argv[1], "futex")) || !slash)
		errx(2,
		     "takes no argument but \"futex\", and needs its path as its name: quit is beside it");
	snprintf(program, sizeof(program), "%.*s/quit", (int)(slash - argv[0]), argv[0]);
	measure_begin("calls without a robust list");
	measure("getppid", "-", "ns/call", get_parent, SHORT_CALLS);
	measure_words("shared", MAP_SHARED, 0);
	measure_words("private", MAP_PRIVATE, FUTEX_PRIVATE_FLAG);
	if (argc == 2)
		return 0;
	measure_list();
	measure_threads();
	measure("fork", "none", "ns/process", run_process, PROCESSES);
	measure_programs();
	return 0;
}
