/* SPDX-License-Identifier: GPL-2.0 */
/* Declarations for the parts of the program fuzz: main.c describes it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/futex.h>
#include <linux/types.h>

#include "parts/machine.h"
#include "parts/util.h"

#define HUGE_PAGE	(2UL << 20)
#define ARENA_SIZE	(4 * HUGE_PAGE)
#define LOCKS_MAX	100000
#define THREADS_MAX	3
#define TROUBLES_MAX	8
#define SPOTS_MAX	6
#define SPOT_WAITERS	3
#define EXPLICIT_MAX	4096
#define FIRE_LOCKS	4000

/* A TID that no task has: they end at 2^22 */
#define OTHER_TID	(FUTEX_TID_MASK - 1)

/* Stands for the TID of the victim's thread n, plus n, until that is known */
#define TID_OF		0x3ffff000U

/* Exit statuses: of a victim that failed, and after exec */
#define VICTIM_FAILED	99
#define AFTER_EXEC	42

/* A 32-bit pointer, or an address of a 32-bit program, as the kernel uses it */
#ifdef MACHINE_POINTER_MASK
#define POINTER_MASK	MACHINE_POINTER_MASK
#else
#define POINTER_MASK	UINT32_MAX
#endif

#define MARKED_BITS(word) (((word) & FUTEX_WAITERS) | FUTEX_OWNER_DIED)

/* main.c: the options, and properties of this machine */
extern unsigned long long limit;
extern bool verbose;
extern __u32 page_size;
extern bool has_compat;
extern bool misaligned_links;

void __noreturn fatal(const char *why);

/* random.c: numbers that depend on @seed alone */
void seed_random(__u64 seed);
__u64 random_bits(void);
__u32 below(__u32 end);
__u32 between(__u32 first, __u32 last);
bool percent(__u32 chance);

/*
 * memory.c. Each kind of memory is mapped three times: the victim's lists lead into two
 * of these views, the low one within reach of 32-bit pointers, and the test reads and
 * writes through the control view, independent of changes to the others. Private memory
 * has only one view, which is all three.
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

extern struct memory memories[KINDS];

void create_memories(void);

/* Give pages of a view back to it; those of private memory are empty then. */
bool map_again(struct memory *memory, enum view view, size_t at, size_t size);

/* The image in memory, by distance */
__u32 get_word(const char *from, __u32 at);
void put_word(char *to, __u32 at, __u32 word);
__u64 get_pointer(bool compat, const char *from, __u32 at);
void put_pointer(bool compat, __u32 at, __u64 pointer);

/*
 * scene.c: a scene.
 *
 * A trouble is a change to a page of one view. A file that is truncated loses its last
 * pages in all views.
 */
enum trouble_kind { NO_TROUBLE, READ_ONLY, NO_ACCESS, UNMAPPED, CUT_OFF };

struct trouble {
	enum trouble_kind kind;
	enum view view;
	__u32 page;
};

enum death {
	/* One thread of this process */
	THREAD_EXIT,
	/* Another process, which shares the memory of this one or not */
	PROCESS_EXIT,
	PROCESS_KILLED,
	PROCESS_EXEC,
	/* Another process of several threads, each with its own lists */
	GROUP_EXIT,
	GROUP_KILLED,
	GROUP_EXEC,
	/* Its threads exit one after the other, the first one last */
	GROUP_IN_TURN,
	DEATHS
};

extern const char * const death_names[DEATHS];

/* One list, as it was registered, and the places of its locks in memory */
struct list {
	bool compat;
	int thread;
	__u64 registered;
	/* Distances from the start of the memory */
	__u32 head;
	__u32 base;
	__u32 length;
	/* Locks behind those of the list, reached only by broken links */
	__u32 spare;
	__u32 stride;
	__u32 entry;
	__u32 word;
	enum view entry_view;
	enum view word_view;
	bool both_views;
	__u64 offset;
	/* Per mille of pointers with the PI bit, and of words that the victim does not own */
	__u32 pi;
	__u32 foreign;
};

#define LISTS_MAX (THREADS_MAX * 2)

/* A word at which some of the pool wait */
struct spot {
	__u32 at;
	int waiters;
	/* The minimum and maximum number of them that must be woken */
	int least;
	int most;
};

/* A word that gets the TID of the victim, though it is not aligned */
struct explicit_word {
	__u32 at;
	__u32 word;
};

struct scene {
	unsigned long long seed;
	struct memory *memory;
	enum death death;
	int signal;
	/* The victim shares the memory of this process */
	bool common;
	int threads;
	struct list lists[LISTS_MAX];
	int nr_lists;
	__u32 used;
	/* That, and the zeros behind it that a wrong pointer may reach */
	__u32 written;
	struct trouble troubles[TROUBLES_MAX];
	int nr_troubles;
	struct spot spots[SPOTS_MAX];
	int nr_spots;
	struct explicit_word explicits[EXPLICIT_MAX];
	int nr_explicits;
	int breaks;
};

extern struct scene scene;

/* The intended contents of the memory before the death, and the required ones after it */
extern char *before;
extern char *image;

/* The trouble of each page of each view */
extern __u8 *page_trouble[VIEWS];

void make_scene(void);
__u32 width(const struct list *list);
__u64 view_address(enum view view, __u32 at);

/* Whether several threads may die at the same time */
bool together(void);

/* Shared by the victim and its creator */
struct job {
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
	__u32 compat;
	__u32 moves;
	__u64 list_end;
	__u64 random;
	/* Words that an attacker gave the TID back when it had found the walk begun */
	__u32 rewritten[FIRE_LOCKS];
	/* And those of them that the walk has marked: each was written during a walk */
	unsigned long long during;
};

extern struct job *job;

/* Totals, for the end */
struct totals {
	unsigned long long deaths[DEATHS], kinds[KINDS];
	unsigned long long lists, compat, locks, marked, missed, pending;
	unsigned long long ended_by_limit, ended_by_pointer;
	unsigned long long troubles, waiters, woken, attacks;
	double longest;
};

extern struct totals totals;

#define fail(format, ...) diag("seed %llu: " format, scene.seed, ##__VA_ARGS__)

/* model.c: compute the effect of one list on the image and the spots. */
void promise_list(const struct list *list);

/* victims.c */
long futex_call(void *word, int operation, __u32 value, long value2, void *word2);
long set_compat_list(__u64 head);
void fill_in(char *memory);
char *stack_of(int thread);
int clone_flags(void);
int victim(void *unused);

/* waiters.c */
void start_pool(void);
bool place_waiters(void);
bool check_waiters(void);

/* death.c: one death with random lists; false if a result is wrong */
bool fuzz_one(void);

/* fire.c: one death under fire */
bool start_attackers(void);
bool fire_one(void);

#endif /* FUZZ_H */
