/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_GENERIC_FUTEX_INUSER_H
#define _ASM_GENERIC_FUTEX_INUSER_H

/*
 * For an architecture where futex_atomic_cmpxchg_inatomic() cannot take a page
 * fault halfway, because preemption or interrupts are off in it, or a lock is
 * held; and where it has not been tested with page faults enabled.
 * To be included after the definition of that function.
 */

#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <asm/errno.h>

/*
 * A page that was faulted in is rarely removed before it is used. This is the
 * upper bound if another thread removes it repeatedly.
 */
#define FUTEX_INUSER_TRIES	64

/*
 * Make the page of a user word readable and writable, and leave the word as it
 * is.
 *
 * The read is a fault like any other: it grows a stack, waits for the page, and
 * stops waiting if a fatal signal is pending. It does not break copy-on-write,
 * nor does it call page_mkwrite() of a file system. Both take a write
 * fault, which is made here as an architecture makes it: it is tried even when
 * a fatal signal is pending, and only its waits end then. fixup_user_fault()
 * would give up before the try, or wait uninterruptibly.
 */
static inline int futex_inuser_fault_in(u32 __user *uaddr)
{
	const unsigned int flags = FAULT_FLAG_WRITE | FAULT_FLAG_ALLOW_RETRY |
				   FAULT_FLAG_KILLABLE;
	unsigned long address = untagged_addr((unsigned long)uaddr);
	vm_fault_t fault = VM_FAULT_SIGSEGV;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	u32 value;

	/* Without an MMU there are no faults that could be handled. */
	if (!IS_ENABLED(CONFIG_MMU) || get_user(value, uaddr))
		return -EFAULT;
	(void)value;

	if (mmap_read_lock_killable(mm))
		return -EFAULT;
	vma = vma_lookup(mm, address);
	if (vma && vma->vm_flags & VM_WRITE)
		fault = handle_mm_fault(vma, address, flags, NULL);
	if (!(fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)))
		mmap_read_unlock(mm);

	if (fault & VM_FAULT_ERROR ||
	    (fault & VM_FAULT_RETRY && fatal_signal_pending(current)))
		return -EFAULT;
	return 0;
}

/**
 * futex_cmpxchg_inuser_retry() - Compare and exchange a user word with page
 *				  faults disabled, and fault it in between tries
 * @uval:	where the value found in the word is stored
 * @uaddr:	the word, aligned to its size; any user pointer is safe
 * @oldval:	the value that the word must hold to be written
 * @newval:	the value that is written then
 *
 * This is futex_atomic_cmpxchg_inuser() by means of
 * futex_atomic_cmpxchg_inatomic(), the atomicity and ordering of which it has.
 *
 * Context: Process context, page faults enabled, mmap lock not held. May sleep.
 *
 * Return:
 * 0 - the word was read: *@uval holds what was found, and the exchange was
 *     made if and only if that is @oldval
 * -EFAULT - the word cannot be read and written, or was never mapped for long
 *           enough
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

/* An architecture with its own defines a macro of this name. */
#ifndef futex_atomic_cmpxchg_inuser
static inline int
futex_atomic_cmpxchg_inuser(u32 *uval, u32 __user *uaddr,
			    u32 oldval, u32 newval)
{
	return futex_cmpxchg_inuser_retry(uval, uaddr, oldval, newval);
}
#endif

#endif
