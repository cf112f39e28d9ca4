/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface between robust futexes and their trace events.
 */
#ifndef _KERNEL_FUTEX_ROBUST_H
#define _KERNEL_FUTEX_ROBUST_H

#include <linux/jump_label.h>
#include <linux/types.h>

/* Why the walk of a list ended. */
enum robust_end {
	ROBUST_END_LIST,	/* at the end of the list */
	ROBUST_END_NULL,	/* at a link that is NULL */
	ROBUST_END_LINK,	/* a link, or a field of the head, cannot be read */
	ROBUST_END_TRIES,	/* ROBUST_LIST_LIMIT entries had nothing to mark */
	ROBUST_END_VISITS,	/* the limit on visits of any kind */
	ROBUST_END_TIME,	/* as ROBUST_END_LINK, after the limit on time */
};

/* On which occasion the kernel cleared list_op_pending. */
enum robust_clear_by {
	ROBUST_CLEAR_CALL,	/* FUTEX_ROBUST_UNLOCK */
	ROBUST_CLEAR_SIGNAL,	/* a signal interrupted the release in the vDSO */
	ROBUST_CLEAR_EXIT,	/* the thread died there */
};

/**
 * struct robust_walk_record - What trace events report about a walk
 * @start:	when it began, in nanoseconds
 * @time:	how long it took
 * @head:	user address of the head of the list
 * @tid:	the thread's TID, as its futex words carry it
 * @marked:	locks that were marked
 * @woken:	waiters that were woken
 * @not_held:	locks that were not the thread's, the pending one included
 * @faults:	words that could not be read or written
 * @visits:	steps of the walk of any kind
 * @exec:	whether the thread execs and does not exit
 * @compat:	whether the list is a 32-bit one
 * @unreadable:	whether a link or a field of the head could not be read
 * @reason:	one of enum robust_end
 */
struct robust_walk_record {
	u64 start;
	u64 time;
	unsigned long head;
	u32 tid;
	u32 marked;
	u32 woken;
	u32 not_held;
	u32 faults;
	u32 visits;
	bool exec;
	bool compat;
	bool unreadable;
	u8 reason;
};

/**
 * struct robust_lock_record - What trace events report about a lock
 * @walk:	the walk that visits it
 * @address:	user address of its futex word
 * @value:	what the word held before
 * @woken:	how many waiters were woken
 * @pending:	whether it is the lock of list_op_pending
 * @pi:		whether it is a PI futex
 * @located:	whether the file was looked up: not while the mmap lock is taken for
 *		writing
 * @dev:	in shared memory the device of the file, as in /proc/PID/maps
 * @ino:	and its inode; 0 for memory that is private
 * @offset:	and the offset of the word in the file, in bytes
 */
struct robust_lock_record {
	const struct robust_walk_record *walk;
	unsigned long address;
	u32 value;
	u32 woken;
	bool pending;
	bool pi;
	bool located;
	u32 dev;
	u64 ino;
	u64 offset;
};

#ifdef CONFIG_TRACEPOINTS
DECLARE_STATIC_KEY_FALSE(robust_trace_key);

/* Whether one of the events is enabled. */
#define robust_tracing()	static_branch_unlikely(&robust_trace_key)

void robust_trace_locate(struct robust_lock_record *lock);
void robust_trace_mark(const struct robust_lock_record *lock);
void robust_trace_wake(const struct robust_lock_record *lock);
void robust_trace_begin(struct robust_walk_record *walk);
void robust_trace_end(struct robust_walk_record *walk);
#else
#define robust_tracing()	false

static inline void robust_trace_locate(struct robust_lock_record *lock) { }
static inline void robust_trace_mark(const struct robust_lock_record *lock) { }
static inline void robust_trace_wake(const struct robust_lock_record *lock) { }
static inline void robust_trace_begin(struct robust_walk_record *walk) { }
static inline void robust_trace_end(struct robust_walk_record *walk) { }
#endif

#endif /* _KERNEL_FUTEX_ROBUST_H */
