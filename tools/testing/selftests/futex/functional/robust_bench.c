// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmark: what robust futexes cost when a thread exits.
 *
 * How one exit is measured: the thread reads the clock, then calls exit(). Its
 * creator waits in clone() with CLONE_VFORK, which returns as soon as the dying
 * thread has released the memory, and reads the clock as well. The walk of the
 * robust list comes right before that point, and most of the rest of the exit
 * after it. No memory is unmapped, because the creator still uses it, and no
 * futex is needed to report the end of the thread. The cost of n locks is the
 * time of such an exit less the time of an exit by a thread that wrote to the
 * same memory, but registered no list.
 *
 * All threads share one CPU. If permitted, the program gives the creator the
 * highest priority and the dying thread the next, both real-time ones: a waiter
 * that the dying thread wakes runs after it is measured, and the creator takes
 * over at the next point where the kernel looks for that, which is very near
 * with CONFIG_PREEMPT_VOLUNTARY. Without any preemption in the kernel it is the
 * end of the exit, which takes longer and varies more.
 *
 * In a virtual machine with a clock that counts instructions, "ns" means
 * "instructions", and most runs take exactly the same number of them. A timer
 * interrupt makes a run longer, which is why the median is what counts.
 *
 * The program can measure two other kinds of kernels as well: those without
 * robust futexes, and one made for comparison, in which each lock is registered
 * by a system call, see FUTEX_REGISTER below.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/types.h>

#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

/*
 * Two futex operations of a kernel that is made for comparison only: register
 * one word, and unregister all words in the mapping of one.
 */
#define FUTEX_REGISTER	96
#define FUTEX_FORGET	97

#define LOCK_SIZE	40
#define SLEEPER_RATE	1000
#define SLEEPER_STACK	4096
#define SLEEPERS_MAX	1000
#define HOLDER_STACK	65536
#define LIST_LIMIT	2048
#define CALLS		10000
#define MANY_RUNS	101
#define SOME_RUNS	21
#define FILTERS_MAX	16

/* The kernel's names for these are not in the headers of every kernel. */
struct link {
	struct link *next;
};

struct robust_head {
	struct link list;
	long futex_offset;
	struct link *list_op_pending;
};

/* The word comes before the link, as in the mutexes of the C libraries. */
struct lock {
	__u32 word;
	char other[LOCK_SIZE - sizeof(__u32) - sizeof(struct link)];
	struct link link;
};

static_assert(sizeof(struct lock) == LOCK_SIZE, "size of a lock");

enum memory { SHARED, PRIVATE, MEMORIES };
enum order { ORDERED, SHUFFLED, ORDERS };

/*
 * Waiters: none; none, but FUTEX_WAITERS is set in all words; a thread at one
 * lock in a thousand, and it is set only in these words; the same, and it is
 * set in all words.
 */
enum waiters { NONE, BIT, ASLEEP, CROWDED, WAITERS };

static const char * const memory_names[] = { "shared", "private" };
static const char * const order_names[] = { "ordered", "shuffled" };
static const char * const waiters_names[] = { "none", "bit", "asleep", "crowded" };

static const long sizes[] = { 1, 2, 10, 1000, 100000, 1000000 };
static const long mappings[] = { 10, 1000, 30000 };

/* Addresses of a list of NR_PLACED locks, with bit 31 clear and set */
static const unsigned long places[] = {
	0x18000000, 0x20000000, 0x60000000, 0x90000000, 0xa0000000,
};

#define NR_PLACED	1000

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* What the kernel supports. */
static bool has_list;
static bool has_register;

/* What the options set. */
static bool unlimited;
static int runs_wanted = 3;
static const char *measure_filter[FILTERS_MAX];
static const char *variant_filter[FILTERS_MAX];
static long size_filter[FILTERS_MAX];
static int measure_filters, variant_filters, size_filters;

static bool realtime;
static long page_size;

/* The list that is measured; registered is how many of it FUTEX_REGISTER knows. */
static struct lock *locks;
static struct robust_head head;
static long registered;

/* Sleepers wait here until one is moved on to a lock. */
static __u32 gate;
static int sleepers;
/* Of each sleeper: cleared by the kernel when its stack is no longer in use. */
static pid_t alive[SLEEPERS_MAX];

/* The next thread to exit: what it does first, and when its exit began. */
static struct {
	long count;
	enum waiters waiters;
	bool with_list;
	__u32 tid;
	double began;
} job;

static char *stacks;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static long futex(__u32 *word, int operation, __u32 value, long value2,
		  __u32 *word2, __u32 value3)
{
	return syscall(SYS_futex, word, operation, value, value2, word2, value3);
}

static long set_robust_list(struct robust_head *list)
{
	return syscall(SYS_set_robust_list, list, sizeof(*list));
}

static void pause_ns(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	nanosleep(&time, NULL);
}

static struct lock *lock_of(struct link *link)
{
	return (struct lock *)((char *)link - offsetof(struct lock, link));
}

static bool mark(struct lock *lock, __u32 tid)
{
	__u32 word = lock->word;

	if ((word & FUTEX_TID_MASK) != tid)
		return false;
	return __atomic_compare_exchange_n(&lock->word, &word,
					   (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
					   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Real-time priorities: 2 for the creator, 1 for the dying thread, else none. */
static bool set_priority(int priority)
{
	struct sched_param parameter = { .sched_priority = priority };

	return !sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &parameter);
}

static void set_up_threads(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "cannot stay on one CPU");
	realtime = set_priority(2);
}

/*
 * These threads, and the dying one, have no thread-local storage of their own
 * and share the creator's: they must not rely on errno.
 */
static int sleeper(void *unused)
{
	(void)unused;
	if (realtime)
		set_priority(0);
	while (!gate)
		futex(&gate, FUTEX_WAIT, 0, 0, NULL, 0);
	return 0;
}

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | \
		      CLONE_THREAD | CLONE_SYSVSEM)

/* The dying thread's stack, and above it those of the sleepers. */
static void map_stacks(void)
{
	stacks = mmap(NULL, HOLDER_STACK + SLEEPERS_MAX * SLEEPER_STACK,
		      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stacks == MAP_FAILED)
		err(1, "no memory for stacks");
}

static void start_sleepers(int wanted)
{
	char *bottom = stacks + HOLDER_STACK;

	for (; sleepers < wanted; sleepers++) {
		alive[sleepers] = 1;
		if (clone(sleeper, bottom + (sleepers + 1) * SLEEPER_STACK,
			  THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, NULL, NULL,
			  &alive[sleepers]) < 0)
			err(1, "cannot start %d threads, raise the limit (ulimit -u)",
			    wanted);
	}
}

/* At the gate they share a hash bucket, where each lookup would pass them all. */
static void end_sleepers(void)
{
	gate = 1;
	futex(&gate, FUTEX_WAKE, SLEEPERS_MAX, 0, NULL, 0);
	while (sleepers) {
		while (__atomic_load_n(&alive[sleepers - 1], __ATOMIC_ACQUIRE))
			pause_ns(100000);
		sleepers--;
	}
	gate = 0;
}

static bool has_sleepers(enum waiters waiters)
{
	return waiters == ASLEEP || waiters == CROWDED;
}

/* Write the words as the thread @tid, with its waiters, would have left them. */
static void fill(long count, enum waiters waiters, __u32 tid)
{
	__u32 word = tid;

	if (waiters == BIT || waiters == CROWDED)
		word |= FUTEX_WAITERS;
	for (long i = 0; i < count; i++)
		locks[i].word = word;

	if (!has_sleepers(waiters))
		return;
	for (long i = 0; i < count; i += SLEEPER_RATE) {
		locks[i].word |= FUTEX_WAITERS;
		/* One that was moved was asleep. */
		while (futex(&gate, FUTEX_CMP_REQUEUE, 0, 1, &locks[i].word, 0) != 1)
			pause_ns(100000);
	}
}

/* Wake what still sleeps at a lock. Returns the number of waiters woken. */
static long wake_sleepers(long count)
{
	long woken = 0;

	for (long i = 0; i < count; i += SLEEPER_RATE)
		woken += futex(&locks[i].word, FUTEX_WAKE, 1, 0, NULL, 0);
	return woken;
}

static int holder(void *unused)
{
	(void)unused;
	job.tid = syscall(SYS_gettid);
	fill(job.count, job.waiters, job.tid);
	if (job.with_list)
		set_robust_list(&head);
	if (realtime)
		set_priority(1);
	job.began = now();
	syscall(SYS_exit, 0);
	return 0;
}

/* The time that the exit of one thread takes. */
static double time_of_exit(void)
{
	double ended;
	long tid;

	tid = clone(holder, stacks + HOLDER_STACK,
		    THREAD_FLAGS | CLONE_VFORK, NULL);
	ended = now();
	if (tid < 0)
		err(1, "cannot start a thread");

	/* Wait for the very end of the thread before the next one starts. */
	while (!syscall(SYS_tgkill, getpid(), tid, 0))
		pause_ns(20000);
	return ended - job.began;
}

/* Check that the kernel did what is measured here. */
static void check_exit(void)
{
	bool expected = job.with_list || registered;
	long marked = 0, left = 0, unwoken = 0;

	for (long i = 0; i < job.count; i++) {
		if ((locks[i].word & FUTEX_TID_MASK) == job.tid)
			left++;
		else if (locks[i].word & FUTEX_OWNER_DIED)
			marked++;
	}
	if (has_sleepers(job.waiters))
		unwoken = wake_sleepers(job.count);

	if (!expected)
		return;
	if (marked != job.count)
		errx(1, "%ld of %ld locks were marked, %ld were not: is there a limit?",
		     marked, job.count, left);
	if (unwoken)
		errx(1, "%ld waiters were not woken", unwoken);
}

/* The quarters are where the middle half of the runs begins and ends. */
struct result {
	double median, min, max, quarter, three_quarters;
	int runs;
};

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

static struct result summary(double *values, int count)
{
	struct result result = { .runs = count };

	qsort(values, count, sizeof(*values), compare);
	result.median = (values[(count - 1) / 2] + values[count / 2]) / 2;
	result.min = values[0];
	result.max = values[count - 1];
	result.quarter = values[(count - 1) / 4];
	result.three_quarters = values[count - 1 - (count - 1) / 4];
	return result;
}

/* What takes little time is measured more often. */
static int runs_for(long count)
{
	int runs = count <= 10 ? MANY_RUNS : count <= LIST_LIMIT ? SOME_RUNS : 1;

	return runs > runs_wanted ? runs : runs_wanted;
}

/* The exits that job describes. With few locks, two more precede them. */
static struct result exits(int runs)
{
	double values[runs];

	for (int i = job.count > LIST_LIMIT ? 0 : -2; i < runs; i++) {
		double value = time_of_exit();

		check_exit();
		if (i >= 0)
			values[i] = value;
	}
	return summary(values, runs);
}

static struct result reduce(struct result result, double less, double divisor)
{
	result.median = (result.median - less) / divisor;
	result.min = (result.min - less) / divisor;
	result.max = (result.max - less) / divisor;
	result.quarter = (result.quarter - less) / divisor;
	result.three_quarters = (result.three_quarters - less) / divisor;
	return result;
}

static void print(const char *measurement, const char *variant, long count,
		  const char *unit, struct result result)
{
	printf("%s\t%s\t%ld\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\n",
	       measurement, variant, count, unit, result.median, result.min, result.max,
	       result.quarter, result.three_quarters, result.runs);
	fflush(stdout);
}

static bool wanted(const char *measurement)
{
	for (int i = 0; i < measure_filters; i++)
		if (!strcmp(measurement, measure_filter[i]))
			return true;
	return !measure_filters;
}

static bool variant_wanted(const char *variant)
{
	for (int i = 0; i < variant_filters; i++)
		if (!strncmp(variant, variant_filter[i], strlen(variant_filter[i])))
			return true;
	return !variant_filters;
}

/* Whether anything of this kind of memory is to be measured. */
static bool memory_wanted(const char *memory)
{
	for (int i = 0; i < variant_filters; i++)
		if (!strncmp(memory, variant_filter[i], strlen(memory)))
			return true;
	return !variant_filters;
}

static bool size_wanted(long count)
{
	if (count > LIST_LIMIT && !unlimited)
		return false;
	for (int i = 0; i < size_filters; i++)
		if (size_filter[i] == count)
			return true;
	return !size_filters;
}

static size_t locks_size(void)
{
	long most = 1;

	for (int i = 0; i < COUNT(sizes); i++)
		if (size_wanted(sizes[i]))
			most = sizes[i];
	return most * sizeof(struct lock);
}

static void map_locks_at(void *place, size_t size, enum memory memory)
{
	locks = mmap(place, size, PROT_READ | PROT_WRITE,
		     MAP_ANONYMOUS | (place ? MAP_FIXED_NOREPLACE : 0) |
		     (memory == SHARED ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	if (locks == MAP_FAILED || (place && locks != place))
		err(1, "no memory for %zu bytes of locks at %p", size, place);
	/* No huge pages, which only one of the two kinds of memory might get. */
	madvise(locks, size, MADV_NOHUGEPAGE);
	memset(locks, 0, size);
}

static void map_locks(enum memory memory)
{
	map_locks_at(NULL, locks_size(), memory);
}

static void unmap_locks(void)
{
	if (registered)
		futex(&locks[0].word, FUTEX_FORGET, 0, 0, NULL, 0);
	registered = 0;
	munmap(locks, locks_size());
}

static __u32 random_below(__u32 limit)
{
	static __u64 state = 1;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 32) % limit;
}

static void make_list(long count, enum order order)
{
	__u32 *positions = malloc((count + 1) * sizeof(*positions));
	struct link *link = &head.list;

	if (!positions)
		errx(1, "no memory for the order of %ld locks", count);
	for (long i = 0; i < count; i++) {
		long other = order == SHUFFLED ? (long)random_below(i + 1) : i;

		positions[i] = positions[other];
		positions[other] = i;
	}
	for (long i = 0; i < count; i++) {
		link->next = &locks[positions[i]].link;
		link = link->next;
	}
	link->next = &head.list;
	head.futex_offset = (long)offsetof(struct lock, word) -
			    (long)offsetof(struct lock, link);
	head.list_op_pending = NULL;
	free(positions);
}

static void register_locks(const char *memory, long count)
{
	long fresh = count - registered;
	double time;

	if (fresh <= 0)
		return;
	time = now();
	for (; registered < count; registered++)
		if (futex(&locks[registered].word, FUTEX_REGISTER, 0, 0, NULL, 0))
			err(1, "cannot register lock %ld", registered);
	time = (now() - time) / fresh;
	print("register", memory, count, "ns/lock", summary(&time, 1));
}

static void set_job(long count, enum waiters waiters, bool with_list)
{
	job.count = count;
	job.waiters = waiters;
	job.with_list = with_list;
}

/* Exits that leave locks behind, less those that do not. */
static void measure_exit(const char *variant, long count, enum waiters waiters,
			 double without)
{
	int runs = runs_for(count);

	if (!has_register) {
		set_job(count, waiters, false);
		without = exits(runs).median;
	}
	set_job(count, waiters, has_list);
	print("exit", variant, count, "ns/lock", reduce(exits(runs), without, count));
}

/* The walk in user space: the least that has to be done for each lock. */
static void measure_floor(const char *variant, long count)
{
	__u32 tid = syscall(SYS_gettid);
	int runs = runs_for(count);
	double values[runs];

	for (int i = 0; i < runs; i++) {
		struct link *link, *next;
		double time;

		fill(count, NONE, tid);
		time = now();
		for (link = head.list.next; link != &head.list; link = next) {
			next = link->next;
			if (!mark(lock_of(link), tid))
				errx(1, "a lock was changed");
		}
		values[i] = (now() - time) / count;
	}
	print("floor", variant, count, "ns/lock", summary(values, runs));
}

/* What another process could do after a death: mark and wake, lock by lock. */
static void measure_notify(const char *variant, long count, enum waiters waiters)
{
	__u32 tid = syscall(SYS_gettid);
	int runs = runs_for(count);
	double values[runs];

	for (int i = 0; i < runs; i++) {
		struct link *link, *next;
		double time;

		fill(count, waiters, tid);
		time = now();
		for (link = head.list.next; link != &head.list; link = next) {
			next = link->next;
			if (!mark(lock_of(link), tid))
				errx(1, "a lock was changed");
			futex(&lock_of(link)->word, FUTEX_WAKE, 1, 0, NULL, 0);
		}
		values[i] = (now() - time) / count;
		if (has_sleepers(waiters) && wake_sleepers(count))
			errx(1, "FUTEX_WAKE did not wake all waiters");
	}
	print("notify", variant, count, "ns/lock", summary(values, runs));
}

static void measure_variant(enum memory memory, enum order order, enum waiters waiters,
			    long count, double without)
{
	char variant[64];

	snprintf(variant, sizeof(variant), "%s/%s/%s", memory_names[memory],
		 order_names[order], waiters_names[waiters]);
	if (!variant_wanted(variant))
		return;
	if (has_sleepers(waiters)) {
		if (count < SLEEPER_RATE)
			return;
		start_sleepers(count / SLEEPER_RATE);
	} else {
		end_sleepers();
	}

	/* Where each lock is registered by itself there is no order. */
	if (wanted("exit") && (has_list || (has_register && order == ORDERED)))
		measure_exit(variant, count, waiters, without);
	if (wanted("floor") && waiters == NONE)
		measure_floor(variant, count);
	/* Without a waiter there is no wakeup to make. */
	if (wanted("notify") && waiters != NONE && waiters != ASLEEP && order == ORDERED)
		measure_notify(variant, count, waiters);
}

static void measure_locks(enum memory memory)
{
	double without = 0;

	map_locks(memory);
	if (has_register) {
		set_job(sizes[0], NONE, false);
		without = exits(MANY_RUNS).median;
	}
	for (int i = 0; i < COUNT(sizes); i++) {
		if (!size_wanted(sizes[i]))
			continue;
		if (has_register && wanted("exit"))
			register_locks(memory_names[memory], sizes[i]);
		for (int order = 0; order < ORDERS; order++) {
			make_list(sizes[i], order);
			for (int waiters = 0; waiters < WAITERS; waiters++)
				measure_variant(memory, order, waiters, sizes[i], without);
		}
	}
	unmap_locks();
}

static void measure_nothing(void)
{
	map_locks(SHARED);
	set_job(0, NONE, false);
	print("exit-nothing", "-", 0, "ns/exit", exits(MANY_RUNS));
	if (has_list) {
		make_list(0, ORDERED);
		set_job(0, NONE, true);
		print("exit-empty", "-", 0, "ns/exit", exits(MANY_RUNS));
	}
	unmap_locks();
}

static void measure_call(void)
{
	double values[MANY_RUNS];

	for (int i = 0; i < MANY_RUNS; i++) {
		double time = now();

		for (int call = 0; call < CALLS; call++)
			set_robust_list(&head);
		values[i] = (now() - time) / CALLS;
	}
	set_robust_list(NULL);
	print("set_robust_list", "-", 0, "ns/call", summary(values, MANY_RUNS));
}

/* Exits in a process with many mappings, of alternating protection. */
static void measure_mappings(long count)
{
	size_t size = count * page_size;
	char *area = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		err(1, "no room for %ld mappings", count);
	for (long i = 0; i < count; i += 2)
		if (mprotect(area + i * page_size, page_size, PROT_READ))
			err(1, "cannot have %ld mappings, raise vm.max_map_count", count);

	map_locks(SHARED);
	set_job(0, NONE, false);
	print("mappings", "nothing", count, "ns/exit", exits(MANY_RUNS));
	if (has_list || has_register) {
		make_list(1, ORDERED);
		if (has_register && !futex(&locks[0].word, FUTEX_REGISTER, 0, 0, NULL, 0))
			registered = 1;
		set_job(1, NONE, has_list);
		print("mappings", "one-lock", count, "ns/exit", exits(MANY_RUNS));
	}
	unmap_locks();
	munmap(area, size);
}

/* The same list at different addresses: all should cost the same. */
static void measure_places(void)
{
	const size_t size = NR_PLACED * sizeof(struct lock);
	char variant[32];
	double without;

	for (int i = 0; i < COUNT(places); i++) {
		map_locks_at((void *)places[i], size, SHARED);
		make_list(NR_PLACED, ORDERED);
		set_job(NR_PLACED, NONE, false);
		without = exits(SOME_RUNS).median;
		set_job(NR_PLACED, NONE, true);
		snprintf(variant, sizeof(variant), "0x%lx", places[i]);
		print("places", variant, NR_PLACED, "ns/lock",
		      reduce(exits(SOME_RUNS), without, NR_PLACED));
		munmap(locks, size);
	}
}

static void probe_kernel(void)
{
	static __u32 word;

	has_list = !set_robust_list(NULL);
	has_register = !futex(&word, FUTEX_REGISTER, 0, 0, NULL, 0);
	if (has_register)
		futex(&word, FUTEX_FORGET, 0, 0, NULL, 0);
}

static void print_help(void)
{
	puts("robust_bench - measure what robust futexes cost when a thread dies\n"
	     "\n"
	     "usage: robust_bench [OPTION...]\n"
	     "\n"
	     "  -u, --unlimited     lists of 100000 and 1000000 locks too: for kernels that\n"
	     "                      do not stop after 2048\n"
	     "  -r, --runs K        measure everything at least K times (3)\n"
	     "  -n, --locks N       only lists of N locks: 1, 2, 10, 1000, 100000, 1000000\n"
	     "  -m, --measure NAME  only this:\n"
	     "      exit             exit with locks held, less the same without, per lock\n"
	     "      floor            the walk done by a loop in user space, per lock\n"
	     "      notify           mark and FUTEX_WAKE by user space, per lock\n"
	     "      exit-nothing     exit of a thread that registered nothing\n"
	     "      exit-empty       exit of a thread with an empty list\n"
	     "      set_robust_list  one call\n"
	     "      mappings         exit in a process with many mappings\n"
	     "      places           exit with 1000 locks at different addresses\n"
	     "  -v, --variant TEXT  only the variants MEMORY/ORDER/WAITERS that begin so:\n"
	     "      MEMORY           shared, private (both anonymous)\n"
	     "      ORDER            ordered by address, shuffled\n"
	     "      WAITERS          none; bit: FUTEX_WAITERS is set in all words;\n"
	     "                       asleep: a thread waits at one lock in 1000;\n"
	     "                       crowded: both\n"
	     "\n"
	     "-n, -m and -v may be given more than once. The output is a table with tabs:\n"
	     "median, smallest, largest, and where the middle half begins and ends.\n"
	     "Times are by CLOCK_MONOTONIC in nanoseconds. Run as root, which allows\n"
	     "real-time priorities, and on an idle CPU: the results vary much less.");
}

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "unlimited", no_argument, NULL, 'u' },
	{ "runs", required_argument, NULL, 'r' },
	{ "locks", required_argument, NULL, 'n' },
	{ "measure", required_argument, NULL, 'm' },
	{ "variant", required_argument, NULL, 'v' },
	{ }
};

static bool known_size(long count)
{
	for (int i = 0; i < COUNT(sizes); i++)
		if (sizes[i] == count)
			return true;
	return false;
}

static void add_filter(const char **filter, int *count, const char *value)
{
	if (*count == FILTERS_MAX)
		errx(1, "too many options, see --help");
	filter[(*count)++] = value;
}

static void read_options(int argc, char **argv)
{
	long count;
	int option;

	while ((option = getopt_long(argc, argv, "hur:n:m:v:", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			print_help();
			exit(0);
		case 'u':
			unlimited = true;
			break;
		case 'r':
			runs_wanted = atoi(optarg);
			if (runs_wanted < 1 || runs_wanted > 1000)
				errx(1, "--runs takes a number from 1 to 1000");
			break;
		case 'n':
			count = atol(optarg);
			if (!known_size(count) || size_filters == FILTERS_MAX)
				errx(1, "--locks takes one of 1, 2, 10, 1000, 100000, 1000000");
			if (count > LIST_LIMIT && !unlimited)
				errx(1, "--locks %ld needs --unlimited before it", count);
			size_filter[size_filters++] = count;
			break;
		case 'm':
			add_filter(measure_filter, &measure_filters, optarg);
			break;
		case 'v':
			add_filter(variant_filter, &variant_filters, optarg);
			break;
		default:
			errx(1, "unknown option, see --help");
		}
	}
	if (optind < argc)
		errx(1, "unknown argument '%s', see --help", argv[optind]);
}

static void introduce(void)
{
	struct utsname name;

	uname(&name);
	printf("# Linux %s %s, %d-bit program, %s priorities, %s\n", name.release,
	       name.machine, (int)sizeof(long) * 8, realtime ? "real-time" : "ordinary",
	       has_register ? "locks are registered one by one" :
	       has_list ? "locks are on a robust list" : "no robust futexes");
	puts("measurement\tvariant\tn\tunit\tmedian\tmin\tmax\tquarter\tthree-quarters\truns");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	page_size = sysconf(_SC_PAGESIZE);
	probe_kernel();
	set_up_threads();
	map_stacks();
	introduce();

	if (wanted("exit-nothing") || wanted("exit-empty"))
		measure_nothing();
	if (wanted("set_robust_list") && has_list)
		measure_call();
	for (int i = 0; i < COUNT(mappings) && wanted("mappings"); i++)
		measure_mappings(mappings[i]);
	if (wanted("places") && has_list)
		measure_places();
	if (wanted("exit") || wanted("floor") || wanted("notify"))
		for (int memory = 0; memory < MEMORIES; memory++)
			if (memory_wanted(memory_names[memory]))
				measure_locks(memory);
	return 0;
}
