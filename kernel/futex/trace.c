// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The trace events of robust futexes.
 *
 * While one of them is enabled, a robust list is walked entry by entry, and not
 * in user access windows: an event can be neither written in a window nor made
 * up for afterwards, as the word has lost the TID by then. While none is, a walk
 * pays for one static branch.
 */

#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "robust.h"

#define CREATE_TRACE_POINTS
#include <trace/events/futex.h>

/* Counts the enabled events. */
DEFINE_STATIC_KEY_FALSE(robust_trace_key);

/**
 * robust_trace_reg() - Let walks take the way that has trace events
 *
 * Called when the first user of one of the events comes. A walk that has begun
 * before goes on without events.
 *
 * Context: Process context. May sleep.
 *
 * Return: 0
 */
int robust_trace_reg(void)
{
	static_branch_inc(&robust_trace_key);
	return 0;
}

/**
 * robust_trace_unreg() - Undo robust_trace_reg()
 *
 * Context: Process context. May sleep.
 */
void robust_trace_unreg(void)
{
	static_branch_dec(&robust_trace_key);
}

/**
 * robust_trace_locate() - Find out which file the word of a lock is in
 * @lock:	its address; the result is stored in its @dev, @ino and @offset
 *
 * The address means something in one process only. What all that share the lock
 * have in common is the file that is mapped: shared anonymous memory, memfd and
 * SysV shared memory have one, too.
 *
 * Nothing is looked up if no event is enabled that would tell, nor while the mmap
 * lock is taken for writing, which may be for long: the waiter of the lock, perhaps in
 * another process, is still to be woken.
 *
 * Context: Process context, mmap lock not held. Does not sleep.
 */
void robust_trace_locate(struct robust_lock_record *lock)
{
	unsigned long address = untagged_addr(lock->address);
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct inode *inode;

	if (!trace_robust_mark_enabled() && !trace_robust_wake_enabled())
		return;
	if (!mmap_read_trylock(mm))
		return;

	lock->located = true;
	vma = vma_lookup(mm, address);
	if (vma && vma->vm_file && vma->vm_flags & VM_MAYSHARE) {
		inode = file_inode(vma->vm_file);
		lock->dev = inode->i_sb->s_dev;
		lock->ino = inode->i_ino;
		lock->offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) +
			       address - vma->vm_start;
	}
	mmap_read_unlock(mm);
}

/**
 * robust_trace_mark() - Tell that a lock was marked
 * @lock:	the lock
 *
 * Context: Process context.
 */
void robust_trace_mark(const struct robust_lock_record *lock)
{
	trace_robust_mark(lock);
}

/**
 * robust_trace_wake() - Tell that the wakeup was made which a lock may be owed
 * @lock:	the lock, which is pending and not the thread's
 *
 * Context: Process context.
 */
void robust_trace_wake(const struct robust_lock_record *lock)
{
	trace_robust_wake(lock);
}

/**
 * robust_trace_begin() - Note when a walk begins, and why
 * @walk:	the walk
 *
 * Context: Process context.
 */
void robust_trace_begin(struct robust_walk_record *walk)
{
	walk->exec = !(current->flags & PF_EXITING);
	walk->start = ktime_get_ns();
}

/**
 * robust_trace_end() - Tell that a walk is over
 * @walk:	the walk
 *
 * Context: Process context.
 */
void robust_trace_end(struct robust_walk_record *walk)
{
	walk->time = ktime_get_ns() - walk->start;
	trace_robust_walk(walk);
}
