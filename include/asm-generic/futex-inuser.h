/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_GENERIC_FUTEX_INUSER_H
#define _ASM_GENERIC_FUTEX_INUSER_H

/*
 * For an architecture whose futex_atomic_cmpxchg_inatomic() cannot take a page
 * fault halfway: because preemption or interrupts are off in it, or a lock is
 * held. Include this after the definition of that function.
 */

#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <asm/errno.h>

/*
 * A page that was just brought in is seldom gone before it is used. Nobody who
 * takes it away again and again may keep the caller here.
 */
#define FUTEX_INUSER_TRIES	64

/*
 * Make the page of a user word readable and writable, and leave the word as it
 * is.
 *
 * The read is a fault like any other: it grows a stack, waits for the page, and
 * stops to wait when the task is killed. What it cannot do is to break
 * copy-on-write, or to get leave to write from a file system; only a write
 * does, and fixup_user_fault() pretends one.
 *
 * If fixup_user_fault() may drop the mmap lock, it gives up for a task with a
 * fatal signal before it has done anything. A task that is exiting can have
 * such a signal, and must not lose its locks for it: then the lock is kept. By
 * now the page is there, and has to be copied or marked at most.
 */
static inline int futex_inuser_fault_in(u32 __user *uaddr)
{
	struct mm_struct *mm = current->mm;
	bool unlocked = false;
	u32 value;
	int ret;

	if (get_user(value, uaddr))
		return -EFAULT;
	(void)value;

	mmap_read_lock(mm);
	ret = fixup_user_fault(mm, (unsigned long)uaddr, FAULT_FLAG_WRITE,
			       fatal_signal_pending(current) ? NULL : &unlocked);
	mmap_read_unlock(mm);

	return ret ? -EFAULT : 0;
}

/**
 * futex_cmpxchg_inuser_retry() - Compare and exchange a user word with page
 *				  faults off, and fault it in between the tries
 * @uval:	where the value found in the word is stored
 * @uaddr:	the word, aligned to its size; any user pointer is safe
 * @oldval:	the value that the word must hold to be written
 * @newval:	the value that is written then
 *
 * This is futex_atomic_cmpxchg_inuser() for an architecture that has no more
 * than futex_atomic_cmpxchg_inatomic(). Atomicity and ordering are those of the
 * latter.
 *
 * Context: Process context, page faults enabled, mmap lock not held. May sleep.
 *
 * Return:
 * 0 - the word was read: *@uval holds what was found, and the exchange was
 *     made if and only if that is @oldval
 * -EFAULT - the word cannot be read and written, or never for long enough
 */
static inline int
futex_cmpxchg_inuser_retry(u32 *uval, u32 __user *uaddr,
			   u32 oldval, u32 newval)
{
	unsigned int tries = FUTEX_INUSER_TRIES;
	u32 found;
	int ret;

	might_fault();

	if (!access_ok(uaddr, sizeof(*uaddr)))
		return -EFAULT;

	do {
		pagefault_disable();
		ret = futex_atomic_cmpxchg_inatomic(&found, uaddr,
						    oldval, newval);
		pagefault_enable();
		if (!ret) {
			*uval = found;
			return 0;
		}
	} while (--tries && !futex_inuser_fault_in(uaddr));

	return -EFAULT;
}

#endif
