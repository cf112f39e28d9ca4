// SPDX-License-Identifier: GPL-2.0
/*
 * Random lists of robust futexes, and what is promised about each of them.
 *
 * From a seed come a piece of memory, one or more lists in it, sound or broken,
 * waiters on some of their words, pages that are taken away, and a way to die.
 * The victim dies so. Before, all of it was written down in a copy that no
 * kernel has touched, and from this copy the program works out by itself what
 * the memory must hold now, to the last byte, and how many waiters of each word
 * must have been woken:
 *
 *  - An entry is where a pointer leads. Bit 0 of the pointer says that the lock
 *    is a PI futex. Its word is futex_offset bytes on, modulo the size of
 *    addresses.
 *  - A word with the TID of the dying thread keeps FUTEX_WAITERS, gets
 *    FUTEX_OWNER_DIED and loses the rest, if it is aligned and may be written.
 *    One waiter is woken if FUTEX_WAITERS was set, none of a PI futex. Nothing
 *    else in memory changes.
 *  - The list goes on as long as the next pointer can be read, to the list's
 *    head or until ROBUST_LIST_LIMIT entries were not to be marked.
 *  - The pending lock comes last. In the list it is passed over, and counts
 *    among the entries that are not to be marked. If its word can be read and
 *    has another TID or none, one waiter is woken, unless an owner has
 *    FUTEX_WAITERS and so will wake it, or it is a PI futex.
 *  - NULL is no lock.
 *  - If a thread has a native and a compat list, the native one comes first.
 *
 * That is the test fuzz.lists. In fuzz.under_fire other threads and another
 * process rewrite pointers, words and mappings while the victim dies. Then nothing
 * can be said about the list, but: the victim's exit ends, words that never
 * hold its TID keep what they have, and any other word has a value that the
 * test wrote, or that of a marked lock.
 *
 * How it is fast. The creator of the victim waits in clone() with CLONE_VFORK,
 * until the walk is over. Waiters are not started for a list but sleep at a
 * gate, and are requeued from there to a word and back. The requeue returns
 * how many it moved, and so how many still slept, without any waiting.
 *
 * The death number n of seed s is death number 0 of seed s + n. So whatever goes
 * wrong can be had again alone, and the program says how.
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/types.h>

/* No call here has a timeout, so both kinds are the same. */
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define HUGE_PAGE	(2UL << 20)
#define ARENA_SIZE	(4 * HUGE_PAGE)
#define LOCKS_MAX	100000
#define THREADS_MAX	3
#define STACK_SIZE	32768
#define TROUBLES_MAX	8
#define SPOTS_MAX	6
#define SPOT_WAITERS	3
#define POOL_SIZE	(SPOTS_MAX * SPOT_WAITERS)
#define EXPLICIT_MAX	4096
#define FAILURES_MAX	10
#define PROGRESS	10

/* The number of entries with nothing to mark that end a list */
#define TRIES		2048

/* A TID that no task has: they end at 2^22 */
#define OTHER_TID	(FUTEX_TID_MASK - 1)

/* Stands for the TID of the victim's thread n, plus n, until that is known */
#define TID_OF		0x3ffff000U

/* Exit statuses: of a victim that could not do its part, and after exec */
#define VICTIM_FAILED	99
#define AFTER_EXEC	42

#define MARKED_BITS(word) (((word) & FUTEX_WAITERS) | FUTEX_OWNER_DIED)

enum test { LISTS, UNDER_FIRE, TESTS };

/* scripts/list-tests finds the names here. */
static const char * const test_names[TESTS] = {
	"fuzz.lists",
	"fuzz.under_fire",
};

/* What the options set */
static unsigned long long first_seed = 1;
static unsigned long long wanted[TESTS] = { 1000, 100 };
static unsigned long long seconds_wanted;
static unsigned long long limit = 60;
static bool verbose;

/* Which test this process is for */
static enum test test;

static __u32 page_size;
static bool has_narrow;

/* Random numbers: the state is a counter, so equal seeds give equal numbers. */
static __u64 random_state;

static __u64 random_bits(void)
{
	__u64 mixed = random_state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
	return mixed ^ (mixed >> 31);
}

static __u32 below(__u32 end)
{
	return end ? (random_bits() >> 32) * end >> 32 : 0;
}

static __u32 between(__u32 first, __u32 last)
{
	return first + below(last - first + 1);
}

static bool percent(__u32 chance)
{
	return below(100) < chance;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Not every thread here has an errno of its own: none of them may look at it. */
static long futex_call(void *word, int operation, __u32 value, long value2,
		       void *word2)
{
	return syscall(SYS_futex, word, operation, value, value2, word2, 0);
}

/*
 * Memory. All of a kind is mapped three times: the victim's lists lead into two
 * of these views, the low one where 32-bit pointers reach it, and the control
 * view is where the test reads and writes whatever was done to the others.
 * Private memory has only one view, which is all three.
 */
enum view { LOW, HIGH, VIEWS };

struct memory {
	const char *name;
	/* -1 if it is not a file */
	int fd;
	char *control;
	char *view[VIEWS];
	bool shared;
	/* Pages of these can be taken away or protected one by one */
	bool small_pages;
	/* The file can be made shorter */
	bool shrinks;
	bool usable;
};

enum kind {
	MEMFD,
	ANONYMOUS_SHARED,
	ANONYMOUS_PRIVATE,
	FILE_SHARED,
	FILE_PRIVATE,
	SYSV_SHARED,
	HUGE_SHARED,
	HUGE_PRIVATE,
	KINDS
};

static struct memory memories[KINDS];

/* The low views, one after the other. Neither 2^30 nor its multiples are here. */
static uintptr_t next_low = 0x50000000;

/* A free range, with pages before and behind it that cannot be accessed */
static char *reserve(bool low)
{
	size_t size = ARENA_SIZE + HUGE_PAGE * 2;
	uintptr_t start;
	char *range;

	range = mmap(low ? (void *)next_low : NULL, size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (range == MAP_FAILED)
		return NULL;
	if (low)
		next_low += 0x1000000;
	if (low && (uintptr_t)range + size > 0xc0000000UL)
		return NULL;

	start = ((uintptr_t)range + HUGE_PAGE) & ~(HUGE_PAGE - 1);
	return (char *)start;
}

static char *map_at(char *place, int flags, int fd)
{
	char *view;

	if (!place)
		return NULL;
	view = mmap(place, ARENA_SIZE, PROT_READ | PROT_WRITE,
		    MAP_FIXED | flags, fd, 0);
	return view == MAP_FAILED ? NULL : view;
}

static bool map_file(struct memory *memory, int fd, size_t huge)
{
	int flags = memory->shared ? MAP_SHARED : MAP_PRIVATE;

	memory->fd = fd;
	if (fd < 0 || ftruncate(fd, ARENA_SIZE))
		return false;
	memory->small_pages = !huge;
	memory->shrinks = !huge && memory->shared;
	memory->view[LOW] = map_at(reserve(true), flags, fd);
	memory->control = memory->view[LOW];
	if (memory->shared) {
		memory->view[HIGH] = map_at(reserve(false), flags, fd);
		memory->control = map_at(reserve(false), flags, fd);
		return memory->view[LOW] && memory->view[HIGH] && memory->control;
	}
	return memory->view[LOW];
}

static bool map_anonymous(struct memory *memory)
{
	char *place;
	int view;

	memory->fd = -1;
	memory->small_pages = true;
	if (!memory->shared) {
		memory->view[LOW] = map_at(reserve(true),
					   MAP_PRIVATE | MAP_ANONYMOUS, -1);
		memory->control = memory->view[LOW];
		return memory->control;
	}

	memory->control = map_at(reserve(false), MAP_SHARED | MAP_ANONYMOUS, -1);
	if (!memory->control)
		return false;
	for (view = 0; view < VIEWS; view++) {
		place = reserve(view == LOW);
		if (!place)
			return false;
		/* An old size of 0 asks for one more mapping of shared memory. */
		memory->view[view] = mremap(memory->control, 0, ARENA_SIZE,
					    MREMAP_MAYMOVE | MREMAP_FIXED, place);
		if (memory->view[view] == MAP_FAILED)
			return false;
	}
	return true;
}

static bool map_sysv(struct memory *memory)
{
	int id = shmget(IPC_PRIVATE, ARENA_SIZE, IPC_CREAT | 0600);
	bool done = true;
	char *place;
	int view;

	memory->fd = -1;
	memory->small_pages = true;
	if (id < 0)
		return false;
	memory->control = shmat(id, NULL, 0);
	done = memory->control != (char *)-1;
	for (view = 0; done && view < VIEWS; view++) {
		place = reserve(view == LOW);
		memory->view[view] = place ? shmat(id, place, SHM_REMAP) :
					     (char *)-1;
		done = memory->view[view] != (char *)-1;
	}
	shmctl(id, IPC_RMID, NULL);
	return done;
}

static int unnamed_file(void)
{
	FILE *file = tmpfile();

	return file ? fileno(file) : -1;
}

static void create_memories(void)
{
	static const char * const names[KINDS] = {
		[MEMFD] = "memfd",
		[ANONYMOUS_SHARED] = "shared",
		[ANONYMOUS_PRIVATE] = "private",
		[FILE_SHARED] = "file",
		[FILE_PRIVATE] = "private-file",
		[SYSV_SHARED] = "sysv",
		[HUGE_SHARED] = "hugetlb",
		[HUGE_PRIVATE] = "thp",
	};
	struct memory *memory;
	int kind;

	for (kind = 0; kind < KINDS; kind++) {
		memory = &memories[kind];
		memory->name = names[kind];
		memory->shared = kind != ANONYMOUS_PRIVATE &&
				 kind != FILE_PRIVATE && kind != HUGE_PRIVATE;
		switch (kind) {
		case MEMFD:
			memory->usable = map_file(memory, memfd_create("fuzz", 0), 0);
			break;
		case ANONYMOUS_SHARED:
		case ANONYMOUS_PRIVATE:
			memory->usable = map_anonymous(memory);
			break;
		case FILE_SHARED:
		case FILE_PRIVATE:
			memory->usable = map_file(memory, unnamed_file(), 0);
			break;
		case SYSV_SHARED:
			memory->usable = map_sysv(memory);
			break;
		case HUGE_SHARED:
			memory->usable = map_file(memory,
						  memfd_create("fuzz", MFD_HUGETLB),
						  HUGE_PAGE);
			/* A mapping without pages behind it would end us. */
			if (memory->usable &&
			    madvise(memory->control, ARENA_SIZE,
				    23 /* MADV_POPULATE_WRITE */))
				memory->usable = false;
			break;
		case HUGE_PRIVATE:
			memory->usable = map_anonymous(memory) &&
					 !madvise(memory->control, ARENA_SIZE,
						  MADV_HUGEPAGE);
			break;
		}
	}
}

/*
 * Trouble: what happens to a page of one view. A file that is made shorter
 * loses its last pages in all views.
 */
enum trouble_kind { NO_TROUBLE, READ_ONLY, NO_ACCESS, UNMAPPED, CUT_OFF };

struct trouble {
	enum trouble_kind kind;
	enum view view;
	__u32 page;
};

enum death {
	/* One thread of our own process */
	THREAD_EXIT,
	/* Another process, that has its memory in common with us or not */
	PROCESS_EXIT,
	PROCESS_KILLED,
	PROCESS_EXEC,
	/* Another process of several threads, each with lists of its own */
	GROUP_EXIT,
	GROUP_KILLED,
	GROUP_EXEC,
	/* Its threads exit one after the other, the first one last */
	GROUP_IN_TURN,
	DEATHS
};

static const char * const death_names[DEATHS] = {
	"thread", "process exits", "process killed", "process execs",
	"group exits", "group killed", "group execs", "group in turn",
};

/* One list, as it was registered, and how its locks lie in memory */
struct list {
	bool narrow;
	int thread;
	__u64 registered;
	/* Distances from the start of the memory */
	__u32 head;
	__u32 base;
	__u32 length;
	/* Locks behind those of the list that only breaks lead to */
	__u32 spare;
	__u32 stride;
	__u32 entry;
	__u32 word;
	enum view entry_view;
	enum view word_view;
	bool both_views;
	__u64 offset;
	/* Per mille of pointers that say PI, and of words that are not the victim's */
	__u32 pi;
	__u32 foreign;
};

#define LISTS_MAX (THREADS_MAX * 2)

/* A word at which some of the pool wait */
struct spot {
	__u32 at;
	int waiters;
	/* How many of them must be woken, at least and at most */
	int least;
	int most;
};

/* A word that gets the TID of the victim, though it is not aligned */
struct explicit_word {
	__u32 at;
	__u32 word;
};

static struct scene {
	unsigned long long seed;
	struct memory *memory;
	enum death death;
	int signal;
	/* The victim has its memory in common with us */
	bool common;
	int threads;
	struct list lists[LISTS_MAX];
	int nr_lists;
	__u32 used;
	/* That, and what a wrong pointer may reach behind it: zeros */
	__u32 written;
	struct trouble troubles[TROUBLES_MAX];
	int nr_troubles;
	struct spot spots[SPOTS_MAX];
	int nr_spots;
	struct explicit_word explicits[EXPLICIT_MAX];
	int nr_explicits;
	int breaks;
} scene;

/* What the memory was to hold before the death, and what it must hold after it */
static char *before;
static char *image;
static __u32 *order;

/* The trouble of each page of each view */
static __u8 *page_trouble[VIEWS];

/* Shared by the victim and its creator */
static struct job {
	__u32 tids[THREADS_MAX];
	__u32 alive[THREADS_MAX];
	__u32 go[THREADS_MAX];
	__u32 ready;
	__u32 trouble_failed;
	/* For the process that watches */
	unsigned long long seed;
	unsigned long long done;
	unsigned long long failures;
	/* For the attackers */
	__u32 round;
	__u32 stop;
	__u32 idle;
	__u32 strikes;
	__u32 kind;
	__u32 locks;
	__u32 tid;
	__u32 stride;
	__u32 cuts;
	__u32 narrow;
	__u32 moves;
	__u64 list_end;
	__u64 random;
} *job;

static max_align_t stacks[THREADS_MAX][STACK_SIZE / sizeof(max_align_t)];

static char *stack_of(int thread)
{
#ifdef __hppa__
	return (char *)stacks[thread];
#else
	return (char *)&stacks[thread + 1];
#endif
}

/* Totals, for the end */
static struct {
	unsigned long long deaths[DEATHS], kinds[KINDS];
	unsigned long long lists, narrow, locks, marked, missed, pending;
	unsigned long long ended_by_limit, ended_by_pointer;
	unsigned long long troubles, waiters, woken, attacks;
	double longest;
} totals;

static void tell(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	printf("# %s\n", text);
}

#define fail(format, ...) tell("seed %llu: " format, scene.seed, ##__VA_ARGS__)

static void give_up(const char *why)
{
	tell("%s", why);
	exit(1);
}

/* The image in memory, by distance */
static __u32 get_word(const char *from, __u32 at)
{
	__u32 word;

	memcpy(&word, from + at, sizeof(word));
	return word;
}

static void put_word(char *to, __u32 at, __u32 word)
{
	memcpy(to + at, &word, sizeof(word));
}

static void put_pointer(bool narrow, __u32 at, __u64 pointer)
{
	__u32 short_pointer = pointer;

	if (narrow)
		memcpy(image + at, &short_pointer, sizeof(short_pointer));
	else
		memcpy(image + at, &pointer, sizeof(pointer));
}

static __u64 get_pointer(bool narrow, const char *from, __u32 at)
{
	__u64 pointer;

	if (narrow)
		return get_word(from, at);
	memcpy(&pointer, from + at, sizeof(pointer));
	return pointer;
}

static __u32 width(const struct list *list)
{
	return list->narrow ? 4 : 8;
}

static __u64 view_address(enum view view, __u32 at)
{
	return (uintptr_t)scene.memory->view[view] + at;
}

/* ---- What is promised ---- */

/*
 * Where in memory an address is, for an access of @size bytes; false if the
 * victim has no such right there.
 */
static bool reachable(__u64 address, __u32 size, bool write, __u32 *at)
{
	__u64 start, page;
	int view;

	for (view = 0; view < VIEWS; view++) {
		start = (uintptr_t)scene.memory->view[view];
		if (!start || address < start || address - start > ARENA_SIZE - size)
			continue;
		*at = address - start;
		for (page = *at / page_size;
		     page <= (*at + size - 1) / page_size; page++) {
			switch (page_trouble[view][page]) {
			case NO_TROUBLE:
				break;
			case READ_ONLY:
				if (write)
					return false;
				break;
			default:
				return false;
			}
		}
		return true;
	}
	return false;
}

static bool promise_read(const struct list *list, __u64 from, __u64 *value)
{
	__u32 at;

	if (list->narrow)
		from = (__u32)from;
	if (!reachable(from, width(list), false, &at))
		return false;
	*value = get_pointer(list->narrow, image, at);
	return true;
}

static void promise_wakeup(__u32 at, int least)
{
	int i;

	for (i = 0; i < scene.nr_spots; i++) {
		if (scene.spots[i].at != at)
			continue;
		scene.spots[i].least += least;
		scene.spots[i].most++;
	}
}

static bool together(void)
{
	return scene.threads > 1 && scene.death != GROUP_IN_TURN;
}

/* The word of a lock that is listed. Returns whether it was one to be marked. */
static bool promise_lock(__u64 address, bool pi, __u32 tid)
{
	__u32 at, word;

	if (address % 4 || !reachable(address, 4, true, &at))
		return false;
	word = get_word(image, at);
	if ((word & FUTEX_TID_MASK) != tid)
		return false;
	put_word(image, at, MARKED_BITS(word));
	if (word & FUTEX_WAITERS && !pi)
		promise_wakeup(at, 1);
	totals.marked++;
	return true;
}

static void promise_pending(__u64 address, bool pi, __u32 tid)
{
	__u32 at, word, owner;

	if (address % 4 || !reachable(address, 4, false, &at))
		return;
	totals.pending++;
	word = get_word(image, at);
	owner = word & FUTEX_TID_MASK;
	if (owner == tid) {
		promise_lock(address, pi, tid);
		return;
	}
	/* No futex operation finds private memory that cannot be written. */
	if (pi || (!scene.memory->shared && !reachable(address, 4, true, &at)))
		return;
	/*
	 * If the owner dies at the same time, either it wakes, or its word is
	 * marked already and has no owner any more.
	 */
	if (word & FUTEX_WAITERS && together() &&
	    (owner == job->tids[0] || owner == job->tids[1] ||
	     owner == job->tids[2] || word == MARKED_BITS(word)))
		promise_wakeup(at, 0);
	else if (!owner || !(word & FUTEX_WAITERS))
		promise_wakeup(at, 1);
}

static void promise_list(const struct list *list)
{
	__u64 mask = list->narrow ? UINT32_MAX : UINT64_MAX;
	__u64 head = list->registered & mask;
	__u64 offset, pending = 0, at = head, next;
	__u32 tid = job->tids[list->thread];
	int tries = TRIES;
	bool known;

	if (!head)
		return;
	if (!promise_read(list, head + 2 * width(list), &pending))
		pending = 0;
	known = promise_read(list, head, &at);
	if (!promise_read(list, head + width(list), &offset))
		return;

	while (known && (at & ~1ULL) != head && tries) {
		__u64 lock = at & ~1ULL;

		known = promise_read(list, lock, &next);
		if (!lock || lock == (pending & ~1ULL) ||
		    !promise_lock((lock + offset) & mask, at & 1, tid)) {
			totals.missed++;
			tries--;
		}
		at = next;
	}
	totals.ended_by_limit += !tries;
	totals.ended_by_pointer += !known;

	if (pending & ~1ULL)
		promise_pending(((pending & ~1ULL) + offset) & mask, pending & 1, tid);
}

/* ---- How a scene is made ---- */

static __u32 random_length(void)
{
	__u32 roll = below(1000);

	if (roll < 60)
		return 0;
	if (roll < 500)
		return between(1, 8);
	if (roll < 740)
		return between(9, 100);
	if (roll < 930)
		return between(101, 2000);
	if (roll < 985)
		return between(2001, 6000);
	if (roll < 996)
		return between(6001, 30000);
	return between(30001, LOCKS_MAX);
}

static __u32 some_bits(void)
{
	static const __u32 bits[] = {
		0, FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_WAITERS | FUTEX_OWNER_DIED,
	};

	return bits[below(4)];
}

/* A word that is not for the victim's thread to give away */
static __u32 foreign_word(const struct list *list)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return some_bits();
	case 2:
		return OTHER_TID;
	case 3:
		return UINT32_MAX;
	case 4:
		return random_bits();
	case 5:
		/* Another thread's, if there is one */
		return (TID_OF + (list->thread + 1) % scene.threads) | some_bits();
	case 6:
		/* Equal to the TID in all bits but one: found after it is known */
		return (TID_OF + THREADS_MAX + list->thread) | some_bits();
	default:
		return OTHER_TID | some_bits();
	}
}

static __u32 lock_word(const struct list *list)
{
	__u32 word = TID_OF + list->thread;

	if (below(1000) < list->foreign)
		return foreign_word(list);
	switch (below(8)) {
	case 0:
		return word | FUTEX_OWNER_DIED;
	case 1:
	case 2:
		return word | some_bits();
	case 3:
	case 4:
		return word | FUTEX_WAITERS;
	default:
		return word;
	}
}

/* Where the entry, or the word, of a lock is in memory */
static __u32 entry_at(const struct list *list, __u32 index)
{
	return list->base + index * list->stride + list->entry;
}

static __u32 word_at(const struct list *list, __u32 index)
{
	return list->base + index * list->stride + list->word;
}

static __u64 entry_address(const struct list *list, __u32 index)
{
	enum view view = list->entry_view;

	if (list->both_views && percent(50))
		view = !view;
	return view_address(view, entry_at(list, index));
}

static __u64 pi_bit(const struct list *list)
{
	return below(1000) < list->pi;
}

static struct list *random_list(void)
{
	return &scene.lists[below(scene.nr_lists)];
}

static __u32 random_index(const struct list *list)
{
	return below(list->length + list->spare);
}

/* A pointer that should not be there, for @list */
static __u64 wrong_pointer(const struct list *list)
{
	const struct list *other = random_list();
	enum view view = scene.memory->view[HIGH] && !list->narrow && percent(30) ?
			 HIGH : LOW;

	switch (below(22)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return below(page_size);
	case 3:
		/* Where x86 maps all memory */
		return list->narrow ? 0xfffff000U : 0xffff888000001000ULL;
	case 4:
		/* Where x86 has its kernel's text */
		return list->narrow ? 0xffffe000U + below(8192) : 0xffffffff81000000ULL;
	case 5:
		return list->narrow ? 0xfffffffcU : 0x0123456789abcdefULL;
	case 6:
		return list->narrow ? 0xffffffffU : 0x0000800000000000ULL - 8 * below(4);
	case 7:
		return list->narrow ? 0xfffffffeU : 0x8000000000000000ULL | random_bits();
	case 8:
		return list->narrow ? 0xffffff00U : 0xffffffffffffffffULL - below(16);
	case 9:
		/* The page before */
		return view_address(view, 0) - 1 - below(64);
	case 10:
		/* The last bytes, and past the last */
		return view_address(view, ARENA_SIZE) - below(32);
	case 11:
		/* Anywhere */
		return view_address(view, below(scene.used));
	case 12:
		return view_address(view, below(scene.used) & ~7U);
	case 13:
		/* Across the border of two pages */
		return view_address(view, below(scene.used / page_size + 1) *
				    page_size + page_size - between(1, 8));
	case 14:
		/* The head: an end that comes too early, or is none */
		return view_address(view, list->head);
	case 15:
		return view_address(LOW, other->head);
	case 16:
		return entry_address(list, random_index(list)) + 2 * between(1, 3);
	case 17:
		return entry_address(list, random_index(list)) | 1;
	case 18:
	case 19:
		/* A list of the same kind grows together with this one */
		if (other->narrow == list->narrow)
			return view_address(LOW, entry_at(other, random_index(other)));
		return list->registered;
	default:
		/* A cycle, or a way past some of the locks */
		return entry_address(list, random_index(list));
	}
}

static __u64 wrong_offset(const struct list *list)
{
	static const __u64 far[] = {
		INT64_MAX, INT64_MAX - 7, INT64_MIN, INT32_MAX, INT32_MAX - 3,
		1ULL << 31, 1ULL << 32, 0, -1ULL, 4, 8, 1ULL << 47,
	};

	switch (below(4)) {
	case 0:
		return list->offset + between(1, 3);
	case 1:
		return list->offset - between(1, 3);
	case 2:
		/* As a lock at NULL would need it */
		return view_address(LOW, word_at(list, 0));
	default:
		return far[below(ARRAY_SIZE(far))] + 4 * below(2);
	}
}

/* How the locks of a list lie, and that there is room for them */
static void lay_out(struct list *list, __u32 room)
{
	__u32 size = width(list), slots, i;
	__u32 strides[] = {
		size + 4, size + 4, 16, 24, 40, 40, 64, 100, 256, page_size,
		page_size + 4, 2 * page_size - 4,
	};

	list->length = random_length();
	list->spare = between(1, 3);
	slots = list->length + list->spare;
	i = below(ARRAY_SIZE(strides));
	while ((__u64)slots * strides[i] > room / 2 && i)
		i--;
	list->stride = strides[i];
	if ((__u64)slots * list->stride > room / 2) {
		list->length = room / 2 / list->stride / 2;
		slots = list->length + list->spare;
	}

	/* Entry and word side by side, in either order */
	if (percent(50)) {
		list->entry = 4 * below((list->stride - size - 4) / 4 + 1);
		list->word = list->entry + size;
	} else {
		list->word = 4 * below((list->stride - size - 4) / 4 + 1);
		list->entry = list->word + 4;
	}
	/* The entries in one place and the words in another */
	if (percent(15))
		list->word += slots * list->stride;
	/* One lies on the other */
	else if (percent(3) && !together())
		list->word = list->entry + (list->narrow ? 0 : 4 * below(2));

	list->entry_view = LOW;
	list->word_view = LOW;
	if (scene.memory->view[HIGH] && !list->narrow) {
		list->entry_view = percent(40) ? HIGH : LOW;
		list->word_view = percent(80) ? list->entry_view : !list->entry_view;
		list->both_views = list->entry_view == list->word_view && percent(10);
	}
	list->offset = view_address(list->word_view, list->word) -
		       view_address(list->entry_view, list->entry);

	scene.used += 4 * below(4);
	if (percent(20))
		scene.used += page_size - scene.used % page_size -
			      4 * below(list->stride / 4 + 1) % page_size;
	list->base = scene.used;
	scene.used += list->stride * slots;
	if (list->word >= list->stride)
		scene.used += list->stride * slots;

	scene.used = (scene.used + 7) & ~7U;
	if (percent(10))
		scene.used += page_size - scene.used % page_size - size * between(1, 2);
	list->head = scene.used;
	scene.used += 3 * size;
	list->registered = view_address(list->narrow || percent(70) ||
					!scene.memory->view[HIGH] ? LOW : HIGH,
					list->head);
}

/* Fill what no list uses with words that must stay: the victim's TID for one */
static void fill_gaps(void)
{
	__u32 words = scene.used / 4, i;
	__u32 *word = (__u32 *)image;

	if (scene.used > 65536) {
		for (i = 0; i < words; i++)
			word[i] = OTHER_TID;
		return;
	}
	for (i = 0; i < words; i++) {
		switch (random_bits() >> 61) {
		case 0:
			word[i] = TID_OF + below(scene.threads);
			break;
		case 1:
			word[i] = TID_OF | FUTEX_WAITERS;
			break;
		case 2:
			word[i] = 0;
			break;
		default:
			word[i] = OTHER_TID;
		}
	}
}

static void put_explicit(__u32 at, __u32 word)
{
	struct explicit_word *explicit;

	put_word(image, at, word);
	if (at % 4 == 0 || scene.nr_explicits == EXPLICIT_MAX)
		return;
	explicit = &scene.explicits[scene.nr_explicits++];
	explicit->at = at;
	explicit->word = word;
}

static void fill_list(struct list *list)
{
	__u32 size = width(list), i, swap, with;
	__u64 offset = list->offset;
	__u64 next;

	for (i = 0; i < list->length + list->spare; i++) {
		put_word(image, word_at(list, i), lock_word(list));
		if (i >= list->length)
			put_pointer(list->narrow, entry_at(list, i), list->registered);
	}

	for (i = 0; i < list->length; i++)
		order[i] = i;
	if (percent(60)) {
		for (i = list->length; i > 1; i--) {
			with = below(i);
			swap = order[i - 1];
			order[i - 1] = order[with];
			order[with] = swap;
		}
	}
	/* The end is the end with bit 0 as well. */
	next = list->registered | percent(5);
	for (i = list->length; i > 0; i--) {
		put_pointer(list->narrow, entry_at(list, order[i - 1]), next);
		next = entry_address(list, order[i - 1]) | pi_bit(list);
	}

	if (percent(6)) {
		offset = wrong_offset(list);
		scene.breaks++;
		/* A TID where the offset leads to, though it is misaligned */
		if (offset - list->offset + 3 <= 6 && offset % 4)
			for (i = 0; i < list->length && i < EXPLICIT_MAX / 2; i++)
				put_explicit(word_at(list, i) + offset - list->offset,
					     TID_OF + list->thread);
	}
	put_pointer(list->narrow, list->head, next);
	put_pointer(list->narrow, list->head + size, offset);
	put_pointer(list->narrow, list->head + 2 * size, 0);
}

static void add_pending(struct list *list)
{
	__u64 pending = 0;
	__u32 index;

	switch (below(10)) {
	case 0:
	case 1:
		if (!list->length)
			break;
		index = below(list->length);
		pending = entry_address(list, index) | percent(15);
		break;
	case 2:
	case 3:
		/* Off the list, at any moment of locking and unlocking */
		index = list->length + below(list->spare);
		pending = entry_address(list, index) | percent(15);
		if (percent(60))
			put_word(image, word_at(list, index), foreign_word(list));
		break;
	case 4:
		pending = wrong_pointer(list);
		break;
	default:
		break;
	}
	put_pointer(list->narrow, list->head + 2 * width(list), pending);
}

static void break_list(struct list *list)
{
	__u32 at = percent(15) || !list->length ? list->head :
		      entry_at(list, random_index(list));

	put_pointer(list->narrow, at, wrong_pointer(list));
	scene.breaks++;
}

static void add_troubles(void)
{
	__u32 pages = scene.used / page_size + 1, page, i;
	struct trouble *trouble;

	scene.nr_troubles = 0;
	if (!scene.memory->small_pages)
		return;
	if (percent(40))
		scene.nr_troubles = between(1, TROUBLES_MAX - 1);
	for (i = 0; i < (__u32)scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		trouble->kind = between(READ_ONLY, UNMAPPED);
		trouble->view = scene.memory->view[HIGH] && percent(40) ? HIGH : LOW;
		trouble->page = below(pages);
		if (page_trouble[trouble->view][trouble->page]) {
			scene.nr_troubles = i;
			break;
		}
		page_trouble[trouble->view][trouble->page] = trouble->kind;
	}
	if (scene.memory->shrinks && percent(8)) {
		trouble = &scene.troubles[scene.nr_troubles++];
		trouble->kind = CUT_OFF;
		trouble->page = below(pages);
		for (page = trouble->page; page < ARENA_SIZE / page_size; page++) {
			page_trouble[LOW][page] = CUT_OFF;
			page_trouble[HIGH][page] = CUT_OFF;
		}
	}
	totals.troubles += scene.nr_troubles;
}

static void add_spots(void)
{
	int wanted = percent(50) ? 0 : between(1, SPOTS_MAX), i;
	const struct list *list;
	struct spot *spot;
	__u64 pending;
	__u32 at;

	scene.nr_spots = 0;
	while (wanted--) {
		list = random_list();
		at = word_at(list, random_index(list));
		if (percent(10))
			at = below(scene.used - 4);
		/* The pending one, of interest in particular */
		pending = get_pointer(list->narrow, image,
				      list->head + 2 * width(list));
		pending = (pending & ~1ULL) - view_address(list->entry_view, 0) -
			  list->entry + list->word;
		if (percent(40) && pending < scene.used - 4)
			at = pending;
		at &= ~3U;
		if (at + 4 > scene.used)
			continue;
		for (i = 0; i < scene.nr_spots; i++)
			if (scene.spots[i].at == at)
				break;
		if (i < scene.nr_spots)
			continue;
		spot = &scene.spots[scene.nr_spots++];
		spot->at = at;
		spot->waiters = between(1, SPOT_WAITERS);
		spot->least = 0;
		spot->most = 0;
		/* Mostly one that can be woken: by a lock of the thread */
		if (percent(50))
			put_word(image, at, (TID_OF + list->thread) | FUTEX_WAITERS);
	}
}

static void choose_death(void)
{
	static const enum death deaths[] = {
		THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, THREAD_EXIT,
		THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, PROCESS_EXIT, PROCESS_EXIT,
		PROCESS_KILLED, PROCESS_KILLED, PROCESS_KILLED, GROUP_EXIT,
		GROUP_KILLED, GROUP_KILLED, GROUP_IN_TURN, GROUP_IN_TURN,
	};
	static const int signals[] = { SIGKILL, SIGKILL, SIGTERM, SIGALRM };

	scene.death = deaths[below(ARRAY_SIZE(deaths))];
	/* It takes long, and so is not to happen often */
	if (percent(4))
		scene.death = percent(60) ? PROCESS_EXEC : GROUP_EXEC;
	scene.signal = signals[below(4)];
	scene.threads = scene.death < GROUP_EXIT ? 1 : between(2, THREADS_MAX);
	scene.common = !scene.memory->shared || scene.death == THREAD_EXIT ||
		       percent(40);
}

static void add_list(int thread, bool narrow, __u32 room)
{
	struct list *list = &scene.lists[scene.nr_lists++];
	static const __u32 rates[] = { 0, 0, 0, 1, 10, 100, 500, 1000 };

	memset(list, 0, sizeof(*list));
	list->thread = thread;
	list->narrow = narrow;
	list->pi = percent(70) ? 0 : rates[below(8)];
	list->foreign = rates[below(8)];
	lay_out(list, room);
}

static void make_scene(void)
{
	__u32 room, lists, i, breaks;
	int thread;

	random_state = scene.seed * 0x2545f4914f6cdd1dULL;
	random_bits();
	do {
		scene.memory = &memories[below(KINDS)];
	} while (!scene.memory->usable);
	choose_death();
	scene.nr_lists = 0;
	scene.nr_explicits = 0;
	scene.breaks = 0;
	scene.used = percent(50) ? 8 : 8 + 4 * below(2 * page_size / 4);
	memset(page_trouble[LOW], 0, ARENA_SIZE / page_size);
	memset(page_trouble[HIGH], 0, ARENA_SIZE / page_size);

	room = (ARENA_SIZE - LISTS_MAX * 8 * page_size) / LISTS_MAX;
	for (thread = 0; thread < scene.threads; thread++) {
		lists = between(1, 3);
		if (sizeof(long) == 4)
			lists = 2;
		if (!has_narrow)
			lists = 1;
		/* One list alone may be a long one. */
		if (scene.threads == 1 && lists != 3)
			room *= LISTS_MAX;
		if (lists & 1)
			add_list(thread, false, room);
		if (lists & 2)
			add_list(thread, true, room);
	}
	scene.used = (scene.used + 8 + 7) & ~7U;
	scene.written = scene.used / page_size * page_size + 2 * page_size;
	if (scene.written > ARENA_SIZE)
		scene.written = ARENA_SIZE;

	fill_gaps();
	memset(image + scene.used, 0, scene.written - scene.used);
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		fill_list(&scene.lists[i]);
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		add_pending(&scene.lists[i]);
	breaks = percent(45) ? 0 : between(1, 4);
	while (breaks--)
		break_list(random_list());
	add_troubles();
	add_spots();
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		if (percent(2))
			scene.lists[i].registered = wrong_pointer(&scene.lists[i]);
}

static void describe(void)
{
	static const char * const troubles[] = {
		"none", "read-only", "no access", "unmapped", "file ends",
	};
	int i, k;

	fail("%s, %s memory%s, %d thread(s), %u bytes, %d break(s)",
	     death_names[scene.death], scene.memory->name,
	     scene.common ? " in common" : "", scene.threads, scene.used,
	     scene.breaks);
	for (i = 0; i < scene.nr_lists; i++) {
		const struct list *list = &scene.lists[i];
		unsigned long long field[4] = { list->registered };

		for (k = 0; k < 3; k++)
			field[k + 1] = get_pointer(list->narrow, before,
						   list->head + k * width(list));
		fail("list of thread %d, TID %u, %s: %u locks, stride %u, at +%#x",
		     list->thread, job->tids[list->thread],
		     list->narrow ? "32-bit" : "64-bit", list->length, list->stride,
		     list->base);
		fail("its head +%#x, registered as %#llx, is {%#llx, %#llx, %#llx}",
		     list->head, field[0], field[1], field[2], field[3]);
	}
	for (i = 0; i < scene.nr_troubles; i++)
		fail("trouble: %s view, page +%#x, %s",
		     scene.troubles[i].view == LOW ? "low" : "high",
		     scene.troubles[i].page * page_size,
		     troubles[scene.troubles[i].kind]);
	for (i = 0; i < scene.nr_spots; i++)
		fail("waiters: %d at +%#x, word %08x, %d to %d wakeup(s) promised",
		     scene.spots[i].waiters, scene.spots[i].at,
		     get_word(before, scene.spots[i].at), scene.spots[i].least,
		     scene.spots[i].most);
	fail("low view at %p, high view at %p", scene.memory->view[LOW],
	     scene.memory->view[HIGH]);
}

/* ---- The victim ---- */

/* Write the TIDs, now that they are known */
static void fill_in(char *memory)
{
	__u32 words = scene.used / 4, i, thread;
	__u32 *word = (__u32 *)memory;

	for (i = 0; i < words; i++) {
		thread = (word[i] & FUTEX_TID_MASK) - TID_OF;
		if (thread < (__u32)scene.threads)
			word[i] = (word[i] & ~FUTEX_TID_MASK) | job->tids[thread];
		else if (thread - THREADS_MAX < (__u32)scene.threads)
			word[i] = (word[i] & ~FUTEX_TID_MASK) |
				  (job->tids[thread - THREADS_MAX] ^ (1 << i % 30));
	}
	for (i = 0; i < (__u32)scene.nr_explicits; i++) {
		thread = scene.explicits[i].word - TID_OF;
		/* An aligned word may have been written over it later. */
		if (get_word(memory, scene.explicits[i].at) == scene.explicits[i].word)
			put_word(memory, scene.explicits[i].at, job->tids[thread]);
	}
}

static void make_trouble(void)
{
	struct trouble *trouble;
	char *page;
	int i, error = 0;

	for (i = 0; i < scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		page = scene.memory->view[trouble->view] + trouble->page * page_size;
		switch (trouble->kind) {
		case READ_ONLY:
			error |= mprotect(page, page_size, PROT_READ);
			break;
		case NO_ACCESS:
			error |= mprotect(page, page_size, PROT_NONE);
			break;
		case UNMAPPED:
			error |= munmap(page, page_size);
			break;
		case CUT_OFF:
			error |= ftruncate(scene.memory->fd,
					   trouble->page * page_size);
			break;
		case NO_TROUBLE:
			break;
		}
	}
	job->trouble_failed = error;
}

static long set_narrow_list(__u64 head)
{
#if defined(__x86_64__)
	long result;

	/* set_robust_list() of the 32-bit system call table */
	asm volatile("int $0x80" : "=a" (result)
		     : "a" (311L), "b" (head & UINT32_MAX), "c" (12L)
		     : "r8", "r9", "r10", "r11", "memory");
	return result;
#else
	return syscall(SYS_set_robust_list, (uintptr_t)head, 12);
#endif
}

static void register_lists(int thread)
{
	struct list *list;
	long error = 0;
	int i;

	for (i = 0; i < scene.nr_lists; i++) {
		list = &scene.lists[i];
		if (list->thread != thread)
			continue;
		if (list->narrow)
			error |= set_narrow_list(list->registered);
		else
			error |= syscall(SYS_set_robust_list,
					 (uintptr_t)list->registered, 24);
	}
	if (error)
		syscall(SYS_exit_group, VICTIM_FAILED);
}

static void exec_self(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char * const arguments[] = { path, "--after-exec", NULL };

	syscall(SYS_execve, path, arguments, &arguments[2]);
	syscall(SYS_exit_group, VICTIM_FAILED);
}

static void wait_until_set(__u32 *word)
{
	while (!__atomic_load_n(word, __ATOMIC_SEQ_CST))
		futex_call(word, FUTEX_WAIT, 0, 0, NULL);
}

static void set_word(__u32 *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	futex_call(word, FUTEX_WAKE, INT_MAX, 0, NULL);
}

static int member(void *argument)
{
	int thread = (intptr_t)argument;

	register_lists(thread);
	__atomic_add_fetch(&job->ready, 1, __ATOMIC_SEQ_CST);
	futex_call(&job->ready, FUTEX_WAKE, INT_MAX, 0, NULL);
	wait_until_set(&job->go[thread]);
	if (scene.death == GROUP_EXEC)
		exec_self();
	syscall(SYS_exit, 0);
	return 0;
}

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | \
		      CLONE_THREAD | CLONE_SYSVSEM)

static void start_members(void)
{
	__u32 ready;
	int thread;

	for (thread = 1; thread < scene.threads; thread++) {
		job->alive[thread] = 1;
		job->go[thread] = 0;
		if (clone(member, stack_of(thread),
			  THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
			  (void *)(intptr_t)thread, &job->tids[thread], NULL,
			  &job->alive[thread]) < 0)
			syscall(SYS_exit_group, VICTIM_FAILED);
	}
	while ((ready = __atomic_load_n(&job->ready, __ATOMIC_SEQ_CST)) <
	       (__u32)scene.threads - 1)
		futex_call(&job->ready, FUTEX_WAIT, ready, 0, NULL);
}

static int victim(void *unused)
{
	__u32 alive;
	int thread;

	(void)unused;
	job->tids[0] = syscall(SYS_gettid);
	start_members();
	fill_in(scene.memory->control);
	make_trouble();
	register_lists(0);

	switch (scene.death) {
	case GROUP_IN_TURN:
		for (thread = 1; thread < scene.threads; thread++) {
			set_word(&job->go[thread]);
			while ((alive = __atomic_load_n(&job->alive[thread],
							__ATOMIC_SEQ_CST)))
				futex_call(&job->alive[thread], FUTEX_WAIT, alive,
					   0, NULL);
		}
		break;
	case PROCESS_EXEC:
		exec_self();
		break;
	case GROUP_EXEC:
		set_word(&job->go[scene.threads - 1]);
		/* The exec ends this thread. */
		wait_until_set(&job->go[0]);
		break;
	case PROCESS_KILLED:
	case GROUP_KILLED:
		syscall(SYS_kill, syscall(SYS_getpid), scene.signal);
		syscall(SYS_exit_group, VICTIM_FAILED);
		break;
	case GROUP_EXIT:
		syscall(SYS_exit_group, 0);
		break;
	default:
		break;
	}
	syscall(SYS_exit, 0);
	return 0;
}

/* ---- Waiters ---- */

static __u32 gate;
static __u32 came_back;
static __u32 sent_back;

static void *wait_at_gate(void *unused)
{
	(void)unused;
	for (;;)
		if (!syscall(SYS_futex, &gate, FUTEX_WAIT, 0, NULL, NULL, 0))
			__atomic_add_fetch(&came_back, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start_pool(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int i;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (i = 0; i < POOL_SIZE; i++)
		if (pthread_create(&thread, &attributes, wait_at_gate, NULL))
			give_up("cannot start the waiters: raise ulimit -u");
}

static bool place_waiters(void)
{
	double end = now() + limit / 2;
	struct spot *spot;
	long moved;
	int i;

	for (i = 0; i < scene.nr_spots; i++) {
		spot = &scene.spots[i];
		for (moved = 0; moved < spot->waiters;) {
			long more = futex_call(&gate, FUTEX_REQUEUE, 0,
					       spot->waiters - moved,
					       scene.memory->control + spot->at);

			if (more < 0 || now() > end) {
				fail("waiters do not come back to sleep");
				return false;
			}
			moved += more;
			if (!more)
				sched_yield();
		}
		totals.waiters += spot->waiters;
	}
	return true;
}

/* Requeue the waiters that still sleep. Is their number right for each word? */
static bool check_waiters(void)
{
	double end = now() + limit / 2;
	struct spot *spot;
	bool right = true;
	int least, most, woken, i;
	long asleep;

	for (i = 0; i < scene.nr_spots; i++) {
		spot = &scene.spots[i];
		asleep = futex_call(scene.memory->control + spot->at, FUTEX_REQUEUE,
				    0, INT_MAX, &gate);
		woken = spot->waiters - asleep;
		least = spot->least < spot->waiters ? spot->least : spot->waiters;
		most = spot->most < spot->waiters ? spot->most : spot->waiters;
		sent_back += woken;
		totals.woken += woken;
		if (woken < least || woken > most) {
			fail("word at +%#x: %d of %d waiters were woken, not %d%s",
			     spot->at, woken, spot->waiters, least,
			     most > least ? " or more" : "");
			right = false;
		}
	}
	while (__atomic_load_n(&came_back, __ATOMIC_SEQ_CST) != sent_back) {
		if (now() > end) {
			fail("a waiter that was taken off its word does not run");
			return false;
		}
		sched_yield();
	}
	return right;
}

/* ---- Death, and after ---- */

/* Give pages of a view back to it; those of private memory are empty then. */
static bool map_again(struct memory *memory, enum view view, size_t at, size_t size)
{
	char *place = memory->view[view] + at;

	if (memory->shared)
		return mremap(memory->control + at, 0, size,
			      MREMAP_MAYMOVE | MREMAP_FIXED, place) == place;
	return mmap(place, size, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | (memory->fd < 0 ? MAP_ANONYMOUS : 0),
		    memory->fd, memory->fd < 0 ? 0 : at) == place;
}

static bool end_troubles(void)
{
	struct memory *memory = scene.memory;
	struct trouble *trouble;
	struct stat stat;
	bool right = true;
	__u32 start;
	int i;

	for (i = 0; i < scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		start = trouble->page * page_size;
		if (trouble->kind == CUT_OFF) {
			if (fstat(memory->fd, &stat) || stat.st_size != start) {
				fail("the file is not as short any more");
				right = false;
			}
			if (ftruncate(memory->fd, ARENA_SIZE))
				right = false;
			memset(image + start, 0, ARENA_SIZE - start);
		} else if (trouble->kind == UNMAPPED) {
			if (!memory->shared)
				memset(image + start, 0, page_size);
			if (scene.common)
				right &= map_again(memory, trouble->view, start,
						   page_size);
			/* The page of a private file is ours once it is written. */
			if (!memory->shared && right)
				memset(memory->control + start, 0, page_size);
		} else if (scene.common) {
			right &= !mprotect(memory->view[trouble->view] + start,
					   page_size, PROT_READ | PROT_WRITE);
		}
	}
	return right;
}

static bool check_memory(void)
{
	char *memory = scene.memory->control;
	__u32 at, shown = 0;

	if (!memcmp(memory, image, scene.written))
		return true;
	for (at = 0; at < scene.written && shown < 4; at += 4) {
		__u32 found = get_word(memory, at), right = get_word(image, at);

		if (found == right)
			continue;
		fail("word at +%#x: %08x became %08x, not %08x", at,
		     get_word(before, at), found, right);
		shown++;
	}
	return false;
}

static bool victim_ended(pid_t pid)
{
	int expected = 0, status = 0;

	if (job->trouble_failed)
		fail("the memory could not be damaged as it should be");
	if (scene.death == THREAD_EXIT)
		return !job->trouble_failed;
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	if (scene.death == PROCESS_EXEC || scene.death == GROUP_EXEC)
		expected = AFTER_EXEC << 8;
	else if (scene.death == PROCESS_KILLED || scene.death == GROUP_KILLED)
		expected = scene.signal;
	if ((status & 0xff7f) != expected) {
		fail("the victim ended with status %#x, not %#x", status, expected);
		return false;
	}
	return !job->trouble_failed;
}

static int clone_flags(void)
{
	if (scene.death == THREAD_EXIT)
		return THREAD_FLAGS | CLONE_VFORK;
	return SIGCHLD | CLONE_VFORK | (scene.common ? CLONE_VM : 0);
}

static void judge(void)
{
	int i, turn;

	fill_in(image);
	memcpy(before, image, scene.written);
	/* The first thread comes last where there is an order at all. */
	for (turn = 1; turn <= scene.threads; turn++)
		for (i = 0; i < scene.nr_lists; i++)
			if (scene.lists[i].thread == turn % scene.threads)
				promise_list(&scene.lists[i]);
}

static bool fuzz_one(void)
{
	double began;
	bool right;
	pid_t pid;
	int i;

	make_scene();
	memcpy(scene.memory->control, image, scene.written);
	memset(job->tids, 0, sizeof(job->tids));
	job->ready = 0;
	job->trouble_failed = 0;
	if (!place_waiters())
		return false;

	began = now();
	pid = clone(victim, stack_of(0), clone_flags(), NULL);
	if (pid < 0) {
		fail("clone() fails");
		return false;
	}
	right = victim_ended(pid);
	if (now() - began > totals.longest)
		totals.longest = now() - began;

	judge();
	if (!end_troubles()) {
		fail("the memory could not be set right again");
		right = false;
	}
	right &= check_memory();
	right &= check_waiters();

	totals.deaths[scene.death]++;
	totals.kinds[scene.memory - memories]++;
	for (i = 0; i < scene.nr_lists; i++) {
		totals.lists++;
		totals.narrow += scene.lists[i].narrow;
		totals.locks += scene.lists[i].length;
	}
	if (!right || verbose)
		describe();
	return right;
}

/* ---- Under fire ---- */

/*
 * A lock under fire is 32 bytes. Attackers write its word, and its link. All the
 * rest is constant: some words without an owner, and one more entry, which has
 * such a word before it and a link that leads on.
 */
#define FIRE_STRIDE	32
#define FIRE_WORD	4
#define FIRE_ENTRY	8
#define FIRE_DETOUR	24
#define FIRE_OFFSET	(FIRE_WORD - FIRE_ENTRY)
#define FIRE_LOCKS	4000
#define FIRE_HEAD	(FIRE_LOCKS * FIRE_STRIDE)
#define FIRE_USED	(FIRE_HEAD + 64)
#define ATTACKERS	3

static const __u32 canary_places[] = { 0, 16, FIRE_DETOUR + FIRE_OFFSET };
static const __u32 constant_places[] = { 0, 16, 20, 24, 28 };

/* Opens what no protection of pages closes to ourselves */
static int own_memory = -1;

/* The state of the random numbers of one attacker */
struct dice {
	__u64 state;
};

static __u32 roll(struct dice *dice, __u32 end)
{
	dice->state = dice->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (dice->state >> 33) % end;
}

static __u32 canary(__u32 lock, __u32 place)
{
	static const __u32 values[] = {
		0, FUTEX_WAITERS, FUTEX_OWNER_DIED, OTHER_TID,
		OTHER_TID | FUTEX_WAITERS, UINT32_MAX, OTHER_TID | FUTEX_OWNER_DIED,
		FUTEX_WAITERS | FUTEX_OWNER_DIED,
	};

	return values[(lock * 5 + place / 4 * 3 + lock / 8) % 8];
}

/* Write from an attacker, which must survive what others do to the page. */
static void fire_write(const struct memory *memory, __u32 at,
		       const void *data, __u32 size)
{
	if (!memory->shared) {
		if (pwrite(own_memory, data, size,
			   (uintptr_t)memory->control + at) < 0)
			return;
	} else if (job->cuts) {
		if (pwrite(memory->fd, data, size, at) < 0)
			return;
	} else if (size == sizeof(long)) {
		__atomic_store_n((unsigned long *)(memory->control + at),
				 *(const unsigned long *)data, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n((__u32 *)(memory->control + at),
				 *(const __u32 *)data, __ATOMIC_RELAXED);
	}
}

static void fire_pointer(const struct memory *memory, __u32 at, __u64 pointer)
{
	__u32 narrow = pointer;

	if (job->narrow)
		fire_write(memory, at, &narrow, 4);
	else
		fire_write(memory, at, &pointer, 8);
}

static __u64 fire_target(const struct memory *memory, struct dice *dice)
{
	__u64 start = (uintptr_t)memory->view[LOW];
	__u32 lock = roll(dice, job->locks);

	switch (roll(dice, 40)) {
	case 0:
		return roll(dice, 4096);
	case 1:
		return job->narrow ? 0xfffff000U : 0xffff888000001000ULL;
	case 2:
		return start + FIRE_HEAD;
	case 3:
		return start + roll(dice, FIRE_USED);
	case 4:
	case 5:
	case 6:
	case 7:
		return start + lock * FIRE_STRIDE + FIRE_DETOUR;
	case 8:
		return start + lock * FIRE_STRIDE + canary_places[roll(dice, 3)] -
		       FIRE_OFFSET;
	case 9:
		return (start + lock * FIRE_STRIDE + FIRE_ENTRY) | 1;
	default:
		return start + lock * FIRE_STRIDE + FIRE_ENTRY;
	}
}

/* Never that of a marked lock: if one is found, the kernel wrote it. */
static __u32 fire_word(struct dice *dice)
{
	__u32 bits = roll(dice, 4) << 30;

	switch (roll(dice, 8)) {
	case 0:
		return bits & FUTEX_WAITERS;
	case 1:
		return OTHER_TID | bits;
	default:
		return job->tid | bits;
	}
}

/* Do something to a page of the low view. Any of these calls may well fail. */
static void attack_mapping(struct memory *memory, struct dice *dice)
{
	static const int protections[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	};
	__u32 pages = (job->locks * FIRE_STRIDE + page_size - 1) / page_size;
	__u32 at = roll(dice, pages) * page_size;
	char *page, *away;

	if (roll(dice, 20) == 0)
		at = FIRE_HEAD / page_size * page_size;
	page = memory->view[LOW] + at;
	switch (roll(dice, 8)) {
	case 0:
		munmap(page, page_size);
		map_again(memory, LOW, at, page_size);
		break;
	case 1:
		/* Growing it by a page makes it move. */
		away = mremap(page, page_size, 2 * page_size, MREMAP_MAYMOVE);
		if (away == MAP_FAILED || away == page)
			break;
		if (mremap(away, 2 * page_size, page_size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
			munmap(away, 2 * page_size);
			map_again(memory, LOW, at, page_size);
		}
		break;
	case 2:
	case 3:
		madvise(page, page_size, MADV_DONTNEED);
		break;
	case 4:
		madvise(page, 4 * page_size, 14 /* MADV_HUGEPAGE */);
		break;
	default:
		mprotect(page, page_size, protections[roll(dice, 4)]);
	}
}

static void attack_once(struct memory *memory, struct dice *dice, bool mappings)
{
	__u32 word;

	switch (roll(dice, 16)) {
	case 0:
		fire_pointer(memory, FIRE_HEAD + (roll(dice, 2) ? 0 :
			     job->narrow ? 8 : 16), fire_target(memory, dice));
		break;
	case 1:
	case 2:
		if (mappings && job->moves) {
			attack_mapping(memory, dice);
			break;
		}
		if (job->cuts && roll(dice, 4) == 0 &&
		    !ftruncate(memory->fd, roll(dice, FIRE_HEAD) & ~3U))
			if (ftruncate(memory->fd, ARENA_SIZE))
				break;
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		fire_pointer(memory, roll(dice, job->locks) * FIRE_STRIDE + FIRE_ENTRY,
			     fire_target(memory, dice));
		break;
	default:
		word = fire_word(dice);
		fire_write(memory, roll(dice, job->locks) * FIRE_STRIDE + FIRE_WORD,
			   &word, 4);
	}
}

/* One round of an attacker. Returns how often it struck. */
static __u32 attack(__u32 number, bool mappings)
{
	struct memory *memory = &memories[job->kind];
	struct dice dice = { job->random + number * 0x9e3779b97f4a7c15ULL };
	__u32 strikes = 0;

	while (!__atomic_load_n(&job->stop, __ATOMIC_ACQUIRE)) {
		attack_once(memory, &dice, mappings);
		strikes++;
		/* With few CPUs the victim needs one. */
		if (strikes % 256 == 0)
			sched_yield();
	}
	return strikes;
}

static void *attacker(void *argument)
{
	__u32 number = (uintptr_t)argument, round = 0;
	bool outside = number == 0;

	for (;;) {
		while (__atomic_load_n(&job->round, __ATOMIC_SEQ_CST) == round)
			futex_call(&job->round, FUTEX_WAIT, round, 0, NULL);
		round++;
		/* Private memory of ours is not that of the process outside. */
		if (!outside || memories[job->kind].shared)
			__atomic_add_fetch(&job->strikes, attack(number, !outside),
					   __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&job->idle, 1, __ATOMIC_SEQ_CST);
		futex_call(&job->idle, FUTEX_WAKE, INT_MAX, 0, NULL);
	}
	return NULL;
}

static bool start_attackers(void)
{
	pthread_t thread;
	uintptr_t number;
	pid_t pid;

	own_memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	pid = fork();
	if (pid < 0)
		return false;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attacker(NULL);
	}
	for (number = 1; number < ATTACKERS; number++)
		if (pthread_create(&thread, NULL, attacker, (void *)number))
			return false;
	return true;
}

static int attacking_member(void *argument)
{
	attack(ATTACKERS + (uintptr_t)argument, true);
	syscall(SYS_exit_group, 0);
	return 0;
}

static void fire_tids(void)
{
	char *memory = scene.memory->control;
	__u32 i;

	for (i = 0; i < job->locks; i++)
		put_word(memory, i * FIRE_STRIDE + FIRE_WORD,
			 (i % 16 ? job->tid : OTHER_TID) | (i % 3 ? 0 : FUTEX_WAITERS));
}

static int fire_victim(void *unused)
{
	__u64 head = (uintptr_t)scene.memory->view[LOW] + FIRE_HEAD;
	uintptr_t thread;
	long error;

	(void)unused;
	job->tid = syscall(SYS_gettid);
	fire_tids();
	if (job->narrow)
		error = set_narrow_list(head);
	else
		error = syscall(SYS_set_robust_list, (uintptr_t)head,
				3 * sizeof(long));
	if (error)
		syscall(SYS_exit_group, VICTIM_FAILED);

	/* Now the others may begin. */
	__atomic_add_fetch(&job->round, 1, __ATOMIC_SEQ_CST);
	futex_call(&job->round, FUTEX_WAKE, INT_MAX, 0, NULL);
	if (!scene.common)
		for (thread = 1; thread < THREADS_MAX; thread++)
			if (clone(attacking_member, stack_of(thread),
				  THREAD_FLAGS, (void *)thread) < 0)
				syscall(SYS_exit_group, VICTIM_FAILED);
	sched_yield();
	if (scene.death == PROCESS_KILLED)
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	syscall(SYS_exit, 0);
	return 0;
}

static void make_fire(void)
{
	struct memory *memory;
	__u64 start, next;
	__u32 i, k, size;

	random_state = scene.seed * 0x2545f4914f6cdd1dULL + 1;
	random_bits();
	do {
		memory = &memories[below(SYSV_SHARED + 1)];
	} while (!memory->usable || (!memory->shared && own_memory < 0));
	scene.memory = memory;
	scene.death = percent(40) ? THREAD_EXIT : percent(50) ? PROCESS_EXIT :
		      PROCESS_KILLED;
	scene.common = !memory->shared || scene.death == THREAD_EXIT || percent(30);
	scene.nr_spots = 0;
	job->kind = memory - memories;
	job->narrow = has_narrow && (sizeof(long) == 4 || percent(40));
	job->locks = percent(10) ? 2 : percent(50) ? between(3, 100) :
		     between(100, FIRE_LOCKS);
	job->moves = percent(70);
	job->cuts = memory->shrinks && percent(30);
	job->random = random_bits();
	job->tid = OTHER_TID;
	job->stop = 0;
	job->idle = 0;
	job->strikes = 0;

	size = job->narrow ? 4 : 8;
	start = (uintptr_t)memory->view[LOW];
	memset(image, 0, FIRE_USED);
	for (i = 0; i < job->locks; i++) {
		for (k = 0; k < ARRAY_SIZE(canary_places); k++)
			put_word(image, i * FIRE_STRIDE + canary_places[k],
				 canary(i, canary_places[k]));
		next = i + 1 < job->locks ?
		       start + (i + 1) * FIRE_STRIDE + FIRE_ENTRY :
		       percent(50) ? start + FIRE_HEAD : start + FIRE_ENTRY;
		put_pointer(job->narrow, i * FIRE_STRIDE + FIRE_ENTRY, next);
		put_pointer(job->narrow, i * FIRE_STRIDE + FIRE_DETOUR,
			    start + below(job->locks) * FIRE_STRIDE + FIRE_ENTRY);
	}
	put_pointer(job->narrow, FIRE_HEAD, start + FIRE_ENTRY);
	put_pointer(job->narrow, FIRE_HEAD + size, (__s64)FIRE_OFFSET);
	put_pointer(job->narrow, FIRE_HEAD + 2 * size, percent(50) ? 0 :
		    start + below(job->locks) * FIRE_STRIDE + FIRE_ENTRY);
	memcpy(memory->control, image, FIRE_USED);
}

/* What was lost with its page is 0 now, and else nothing but what it was. */
static bool check_constants(void)
{
	bool lost = job->cuts || !scene.memory->shared, right = true;
	__u32 i, k, at, found;

	for (i = 0; i < job->locks && right; i++) {
		for (k = 0; k < ARRAY_SIZE(constant_places); k++) {
			at = i * FIRE_STRIDE + constant_places[k];
			found = get_word(scene.memory->control, at);
			if (found == get_word(image, at) || (lost && !found))
				continue;
			fail("word at +%#x: %08x became %08x, the TID is %u", at,
			     get_word(image, at), found, job->tid);
			right = false;
		}
	}
	return right;
}

/* A word that was written during the walk is as an attacker or the walk made it. */
static bool check_fire_words(void)
{
	bool right = true;
	__u32 i, at, found, owner;

	for (i = 0; i < job->locks && right; i++) {
		at = i * FIRE_STRIDE + FIRE_WORD;
		found = get_word(scene.memory->control, at);
		owner = found & FUTEX_TID_MASK;
		if (found == MARKED_BITS(found)) {
			totals.marked++;
		} else if (owner != job->tid && owner != OTHER_TID &&
			   found != (found & FUTEX_WAITERS)) {
			fail("word at +%#x is %08x, the TID is %u", at, found, job->tid);
			right = false;
		}
	}
	return right;
}

static bool fire_one(void)
{
	struct memory *memory;
	double began, time;
	bool right = true;
	__u32 idle;
	int status;
	pid_t pid;

	make_fire();
	memory = scene.memory;
	began = now();
	pid = clone(fire_victim, stack_of(0), clone_flags(), NULL);
	time = now() - began;
	if (pid < 0) {
		fail("clone() fails");
		return false;
	}
	if (time > totals.longest)
		totals.longest = time;

	__atomic_store_n(&job->stop, 1, __ATOMIC_RELEASE);
	while ((idle = __atomic_load_n(&job->idle, __ATOMIC_SEQ_CST)) < ATTACKERS)
		futex_call(&job->idle, FUTEX_WAIT, idle, 0, NULL);
	if (scene.death != THREAD_EXIT) {
		while (waitpid(pid, &status, __WALL) < 0)
			if (errno != EINTR)
				break;
		if (WIFEXITED(status) && WEXITSTATUS(status)) {
			fail("the victim ended with status %#x", status);
			right = false;
		}
	}

	if (memory->fd >= 0 && ftruncate(memory->fd, ARENA_SIZE))
		right = false;
	if (memory->shared)
		right &= map_again(memory, LOW, 0, ARENA_SIZE);
	else
		right &= !mprotect(memory->control, ARENA_SIZE, PROT_READ | PROT_WRITE);
	right &= check_constants() && check_fire_words();
	totals.deaths[scene.death]++;
	totals.kinds[job->kind]++;
	totals.attacks += job->strikes;
	totals.lists++;
	totals.narrow += job->narrow;
	totals.locks += job->locks;
	if (!right || verbose)
		fail("%s, %s memory%s, %s-bit, %u locks, %s%s",
		     death_names[scene.death], memory->name,
		     scene.common ? " in common" : "", job->narrow ? "32" : "64",
		     job->locks, job->moves ? "mappings change " : "",
		     job->cuts ? "the file's size changes" : "");
	return right;
}

/* ---- The whole ---- */

/* How to have the death of a seed once more */
static void tell_replay(unsigned long long seed)
{
	tell("replay: make fuzz SEED=%llu LISTS=%d FIRE=%d", seed, test == LISTS,
	     test == UNDER_FIRE);
}

static void report(double time, unsigned long long done)
{
	int i;

	tell("%llu deaths in %.1f s, the longest took %.3f s", done, time, totals.longest);
	tell("%llu lists, of which %llu 32-bit, of %llu locks", totals.lists,
	     totals.narrow, totals.locks);
	if (test == LISTS) {
		tell("%llu words marked, %llu entries not, %llu pending locks",
		     totals.marked, totals.missed, totals.pending);
		tell("%llu lists ended by the limit, %llu by a pointer",
		     totals.ended_by_limit, totals.ended_by_pointer);
		tell("%llu waiters, of which %llu woken; %llu pages in trouble",
		     totals.waiters, totals.woken, totals.troubles);
	} else {
		tell("%llu strikes of the attackers, %llu words found marked",
		     totals.attacks, totals.marked);
	}
	for (i = 0; i < DEATHS; i++)
		if (totals.deaths[i])
			tell("death: %s: %llu", death_names[i], totals.deaths[i]);
	for (i = 0; i < KINDS; i++)
		if (test == LISTS || totals.kinds[i])
			tell("memory: %s: %llu%s", memories[i].name, totals.kinds[i],
			     memories[i].usable ? "" : ", not to be had here");
}

/* Many deaths, of which none left a mark, have tested nothing. */
static bool nothing_tested(unsigned long long done)
{
	if (done < 100)
		return false;
	return !totals.marked || !(test == LISTS ? totals.woken : totals.attacks);
}

static void work(void)
{
	double began = now(), told = began;
	unsigned long long done;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	create_memories();
	if (test == LISTS)
		start_pool();
	else if (!start_attackers())
		give_up("cannot start the attackers: raise ulimit -u");

	for (done = 0; done < wanted[test] && job->failures < FAILURES_MAX; done++) {
		if (seconds_wanted && now() - began >= seconds_wanted)
			break;
		if (now() - told >= PROGRESS) {
			told = now();
			tell("%s: %llu of %llu deaths after %.0f s, %llu wrong",
			     test_names[test], done, wanted[test], told - began,
			     job->failures);
		}
		scene.seed = first_seed + done;
		job->seed = scene.seed;
		if (!(test == LISTS ? fuzz_one() : fire_one())) {
			job->failures++;
			tell_replay(scene.seed);
		}
		job->done++;
	}
	report(now() - began, done);
	if (nothing_tested(done)) {
		tell("no lock was marked, or no waiter woken or attacked: nothing was tested");
		job->failures++;
	}
	fflush(stdout);
	_exit(0);
}

/* The worker cannot watch its own time: it sleeps until its victim is dead. */
static bool watch(pid_t worker)
{
	struct timespec pause = { .tv_nsec = 20000000 };
	unsigned long long done = 0;
	double changed = now();
	bool right = true;
	int status = 0;

	while (right && waitpid(worker, &status, WNOHANG) != worker) {
		if (job->done != done) {
			done = job->done;
			changed = now();
		}
		if (now() - changed > limit) {
			tell("seed %llu: not over after %llu s", job->seed, limit);
			right = false;
		}
		nanosleep(&pause, NULL);
	}
	kill(-worker, SIGKILL);
	if (status) {
		tell("seed %llu: the worker ended with status %#x", job->seed, status);
		right = false;
	}
	if (!right)
		tell_replay(job->seed);
	return right && !job->failures;
}

/* One test, in a process of its own: it may hang, and memory is mapped anew. */
static bool run_test(void)
{
	pid_t worker;
	bool right;

	memset(job, 0, sizeof(*job));
	tell("%s: %llu deaths from seed %llu%s", test_names[test], wanted[test],
	     first_seed, has_narrow ? "" : ", no 32-bit lists here");
	worker = fork();
	if (!worker) {
		setpgid(0, 0);
		work();
	}
	setpgid(worker, worker);
	right = worker > 0 && watch(worker);
	tell("%s: %llu deaths, %llu wrong", test_names[test], job->done, job->failures);
	return right;
}

/* Huge pages for one memory. Without root there are none, which is no error. */
static long set_huge_pages(long count)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "r+");
	long old = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &old) == 1 && count >= 0) {
		rewind(file);
		fprintf(file, "%ld\n", count);
	}
	fclose(file);
	return old;
}

static void print_usage(FILE *to, const char *program)
{
	fprintf(to,
		"usage: %s [OPTION...]\n"
		"  --lists N     so many deaths with random lists (1000)\n"
		"  --fire N      so many with lists that others rewrite (100)\n"
		"  --seed N      of the first death of each kind (1)\n"
		"  --seconds N   stop each kind after so many seconds\n"
		"  --limit N     seconds that one death may take (60)\n"
		"  --verbose     describe every list\n", program);
}

static unsigned long long to_number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (*end || *text < '0' || *text > '9') {
		fprintf(stderr, "fuzz: '%s' is no number: see --help\n", text);
		exit(2);
	}
	return value;
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "lists", required_argument, NULL, 'l' },
		{ "fire", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "limit", required_argument, NULL, 'm' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			wanted[LISTS] = to_number(optarg);
			break;
		case 'f':
			wanted[UNDER_FIRE] = to_number(optarg);
			break;
		case 's':
			first_seed = to_number(optarg);
			break;
		case 't':
			seconds_wanted = to_number(optarg);
			break;
		case 'm':
			limit = to_number(optarg);
			break;
		case 'v':
			verbose = true;
			break;
		case 'h':
			print_usage(stdout, argv[0]);
			exit(0);
		default:
			print_usage(stderr, argv[0]);
			exit(2);
		}
	}
}

/* Whether this program can register a 32-bit list: the attempt may be fatal. */
static bool probe_narrow(void)
{
	int status = -1;
	pid_t pid;

	if (sizeof(long) == 4)
		return true;
	pid = fork();
	if (!pid)
#ifdef __x86_64__
		_exit(set_narrow_list(0) != 0);
#else
		_exit(1);
#endif
	return waitpid(pid, &status, 0) == pid && !status;
}

int main(int argc, char **argv)
{
	struct rlimit no_core = { 0, 0 };
	const char *why = "none asked for";
	bool supported, failed = false;
	long huge_pages;

	if (argc > 1 && !strcmp(argv[1], "--after-exec"))
		_exit(AFTER_EXEC);
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv);

	page_size = sysconf(_SC_PAGESIZE);
	setrlimit(RLIMIT_CORE, &no_core);
	has_narrow = probe_narrow();
	job = mmap(NULL, sizeof(*job), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	before = malloc(ARENA_SIZE);
	image = aligned_alloc(64, ARENA_SIZE);
	order = malloc(LOCKS_MAX * sizeof(*order));
	page_trouble[LOW] = calloc(ARENA_SIZE / page_size, 1);
	page_trouble[HIGH] = calloc(ARENA_SIZE / page_size, 1);
	if (job == MAP_FAILED || !before || !image || !order ||
	    !page_trouble[LOW] || !page_trouble[HIGH])
		give_up("not enough memory");
	supported = !syscall(SYS_set_robust_list, NULL, 3 * sizeof(long));
	if (!supported)
		why = "the kernel has no robust futexes";

	huge_pages = set_huge_pages(ARENA_SIZE / HUGE_PAGE);
	printf("TAP version 14\n1..%d\n", TESTS);
	for (test = 0; test < TESTS; test++) {
		bool run = supported && wanted[test];
		bool right = !run || run_test();

		printf("%sok %d %s%s%s\n", right ? "" : "not ", test + 1,
		       test_names[test], run ? "" : " # SKIP ", run ? "" : why);
		failed |= !right;
	}
	set_huge_pages(huge_pages);
	return failed;
}
