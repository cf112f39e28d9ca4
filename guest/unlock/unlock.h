/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the program unlock have in common: main.c describes it. */
#ifndef UNLOCK_H
#define UNLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "parts/util.h"
#include "parts/vdso.h"

/* How the victim releases its lock */
enum way {
	PLAIN,
	CALL,
	VDSO,
	MOVED,
	LIST32,
	WAYS,
};

extern const char *const way_names[WAYS];

/* Addresses at which 32-bit pointers lead to the same as the others */
#define SCENE_AT	0x20000000UL
#define LOCK_AT		0x21000000UL

/* A lock as the kernel sees it: the word is this far from the entry. */
struct lock {
	volatile unsigned int word;
	unsigned int unused;
	union {
		unsigned long next;
		uint32_t next32;
	};
};

#define WORD_OFFSET	(-(long)__builtin_offsetof(struct lock, next))

struct head {
	unsigned long next;
	long offset;
	volatile unsigned long pending;
};

struct head32 {
	uint32_t next;
	int32_t offset;
	volatile uint32_t pending;
};

/* What all processes share, at one address */
struct scene {
	enum way way;
	struct head head;
	struct head32 head32;
	/* On the list: shows that the walk took place */
	struct lock witness;
	/* Of the victim. The kernel has it in the words. */
	volatile unsigned int tid;
	volatile int begun, done;
	/* The other thread of the victim: to map the file, and that it has */
	volatile int replace, replaced;
	/* What a handler found */
	volatile int handled, middle, early;
	/* The waiter: about to sleep, and back */
	volatile int sleeps, back;
	/* See random.c */
	volatile int phase, stop, stopped;
	volatile unsigned long rounds, signals, wrong;
};

extern struct scene *scene;

/* Where the victim has its lock, and where this process has it */
#define victim_lock	((struct lock *)LOCK_AT)
extern struct lock *lock;
extern size_t page_size;

/* scene.c */
void make_scene(void);

/* NULL, or why this kernel or this program cannot do it */
const char *missing(enum way way);

/* For a victim that is about to start. @bits are in the word besides the TID. */
void set_scene(enum way way);
void hand_lock(unsigned int tid, unsigned int bits);

/* In the victim: its lock, its list, and what it releases with */
void enter_scene(void);
bool start_replacer(void);
void release(void);

/* Whether list_op_pending of the victim's list is not NULL */
bool is_pending(void);

/*
 * Take the lock, if it is free, destroy it, and let the victim's other thread map
 * a file with the victim's TID there. False if it is held.
 */
bool take_and_replace(void);
unsigned int file_word(void);

/* walk.c: one test each; they return what is counted. */
struct tally {
	long points;		/* kills, or signals */
	long walks;		/* that the witness proves */
	long replaced;		/* kills after which the file was there */
	long changed;		/* files that are not what they were */
	long lost;		/* locks not marked, or waiters not woken */
	long middle;		/* handlers that found a free word and a pending lock */
	long early;		/* handlers that found a held word and none pending */
	long stuck;		/* anything that did not go on */
	unsigned int found;	/* in the last file that was changed */
	unsigned int expected;
};

void kill_each(enum way way, bool awaited, struct tally *tally);
void jump_each(enum way way, struct tally *tally);

/* NULL, or why the release cannot be stepped through */
const char *cannot_step(enum way way);

/* One kill in the middle; false if no such point was found. */
bool kill_in_middle(enum way way, struct tally *tally);

/* random.c */
void kill_at_random(enum way way, double seconds, struct tally *tally);
void signal_at_random(enum way way, double seconds, struct tally *tally);

#endif /* UNLOCK_H */
