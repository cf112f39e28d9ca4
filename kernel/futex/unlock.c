// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Release a robust futex and clear list_op_pending in one operation.
 *
 * In user space these are two stores. Between them another thread may take the
 * lock, destroy it and reuse its memory. If the first one is killed then, the walk
 * follows list_op_pending to memory that is not a lock any more:
 *
 *   CPU 0				CPU 1
 *
 *   list_op_pending = entry
 *   word: TID -> 0			lock, unlock, munmap()
 *					mmap() of a file; the TID is at that address
 *   killed
 *   walk: finds the TID, and writes
 *   FUTEX_OWNER_DIED into the file
 *
 * A system call cannot be killed between the two stores. What can come between
 * them is a fault on the second one, which may have to wait, and a kill can end
 * that wait. The order is therefore:
 *
 *   [1] look up the key. After [3] the memory of the word may be gone or be
 *       something else, and the key must be that of the lock that was released
 *   [2] bring in the page of list_op_pending, and make sure that it can be written.
 *       If it cannot, fail: nothing was changed
 *   [3] store 0 to the word; nothing that may wait. If the word cannot be written,
 *       bring in its page and repeat from [1], or fail
 *   [4] store NULL to list_op_pending; nothing that may wait
 *   [5] wake
 *   [6] only if [4] failed, because the page was taken away after [2]: wait for the
 *       page. That is after the wakeup, as no waiter has to wait for this page
 *
 * In [6] the task can be killed. The walk must not use list_op_pending then, and
 * current->futex_pending_done tells it so. A bit is set only for a task that is about
 * to die, so it never hides the pending lock of a later operation.
 *
 * Any other signal can end the waits in [2], which restarts the call, and may
 * delay [6] for a while only: the page may be one that userfaultfd holds back for
 * good. After that the call fails with -EFAULT, as it does if another thread unmaps
 * the page or makes it read-only after [2]. The lock is released then, a waiter was
 * woken, and list_op_pending is as it was.
 *
 * The number of faults is limited in any case. There is memory that a fault cannot
 * make writable though it reports success, such as a page that another thread keeps
 * taking away, or an address with a tag that does not match.
 *
 * Without a waiter no system call is needed: a function of the vDSO replaces the TID in
 * the word by 0, and then stores NULL to list_op_pending. The kernel knows where in the
 * vDSO the exchange has been made and the store has not. There it makes the store
 *
 *  - before a signal is handled, in any way: a stop for a tracer and a death by a
 *    signal are in get_signal(), and a frame is built after it. A handler may never
 *    return to the vDSO, and use list_op_pending for another lock. The SIGTRAP of a
 *    single step is a signal as well, so that a tracer never sees the middle, and
 *    cannot move the task out of it;
 *
 *  - before the walk of a task that dies there, if the page was not there before. It
 *    also dies there without a signal, if the kernel oopses in a fault of that store.
 *    The walk ignores list_op_pending then, whether or not it could be cleared.
 *
 * A task that returns to the vDSO after a signal repeats the store, which is harmless:
 * list_op_pending is NULL already, as the task cannot begin another operation before
 * this one is over. A child of a fork() in the handler has no list, and repeats the store
 * in its own copy of the memory.
 *
 * The address of the vDSO follows mremap(). It does not tell whether the vDSO is still
 * mapped there: the code at that address may be the program's own. If an address
 * matches, the mapping is looked at. When it is not a mapping of the kernel, nothing is
 * known and nothing is done.
 */

#include <linux/compat.h>
#include <linux/futex_unlock.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "futex.h"
#include "robust.h"

#include <trace/events/futex.h>

/* After so many faults that were handled in vain an address counts as bad. */
#define UNLOCK_FAULT_LIMIT	1024

/* How long a signal that does not kill may be delayed by [6] above. */
#define UNLOCK_SIGNAL_DELAY	HZ

/**
 * struct unlock_pending - list_op_pending, as the address of its memory tells
 * @address:	its user address; any value is safe
 * @size:	how wide it is, in bytes: 4 or 8
 */
struct unlock_pending {
	unsigned long address;
	unsigned int size;
};

/*
 * A 32-bit kernel has no wider pointers, and neither has a 32-bit system call: with
 * 8 bytes it would clear what is behind the head.
 */
static void unlock_pending_init(struct unlock_pending *pending,
				void __user *address, bool list32)
{
	pending->address = (unsigned long)address;
	pending->size = list32 || !IS_ENABLED(CONFIG_64BIT) ||
			in_compat_syscall() ? sizeof(u32) : sizeof(u64);
}

/*
 * Any address will do that the kernel can store to. Four bytes of alignment are always
 * sufficient, as 8 bytes can be two stores: only the thread itself reads them. With less
 * than that, a store of the kernel may fail even if the page is mapped.
 */
static bool unlock_aligned(const struct unlock_pending *pending)
{
	return IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS) ||
	       IS_ALIGNED(pending->address, sizeof(u32));
}

/* Store NULL without waiting for anything. Nonzero if that is not possible. */
static int unlock_clear_nowait(const struct unlock_pending *pending)
{
	u32 __user *half = (u32 __user *)pending->address;
	int failed;

	pagefault_disable();
	if (pending->size == sizeof(u32))
		failed = put_user(0, half);
#ifdef CONFIG_64BIT
	else if (IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS) ||
		 IS_ALIGNED(pending->address, sizeof(u64)))
		failed = put_user(0, (u64 __user *)half);
#endif
	else
		failed = put_user(0, half) || put_user(0, half + 1);
	pagefault_enable();
	return failed;
}

/*
 * Store to a word what it holds, which shows that it can be written. Nonzero if it
 * cannot, or not at once.
 *
 * It has to be an atomic exchange: the word is aligned down to its size and may have
 * bytes of something else that another thread writes.
 */
static int unlock_probe_word(unsigned long address)
{
	u32 __user *word = (u32 __user *)ALIGN_DOWN(address, sizeof(u32));
	u32 value, found;
	int failed;

	pagefault_disable();
	failed = get_user(value, word) ||
		 futex_atomic_cmpxchg_inatomic(&found, word, value, value) ||
		 found != value;
	pagefault_enable();
	return failed;
}

#ifdef CONFIG_MMU
/*
 * Handle a write fault without the retry of fixup_user_fault(), which does not return
 * before a page that userfaultfd holds back is there, whatever signal is pending.
 *
 * It is a fault of the kernel: one that is for a userfaultfd with UFFD_USER_MODE_ONLY
 * fails at once.
 *
 * Return: 0, -EAGAIN if the fault has to be repeated, -EINTR if the task was killed, or
 * another error if the address cannot be written
 */
static int unlock_fault_in(unsigned long address, unsigned int flags)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_fault_t fault;

	/* No fault helps if the accessors do not take the address, with its tag or at all. */
	if (!access_ok((void __user *)address, 1))
		return -EFAULT;

	address = untagged_addr(address);
	if (mmap_read_lock_killable(mm))
		return -EINTR;

	vma = vma_lookup(mm, address);
	if (!vma || !(vma->vm_flags & VM_WRITE) ||
	    !arch_vma_access_permitted(vma, true, false, false)) {
		mmap_read_unlock(mm);
		return -EFAULT;
	}

	fault = handle_mm_fault(vma, address, FAULT_FLAG_DEFAULT |
				FAULT_FLAG_WRITE | flags, NULL);
	if (fault & VM_FAULT_COMPLETED)
		return 0;
	if (fault & VM_FAULT_RETRY)
		return -EAGAIN;

	mmap_read_unlock(mm);
	return fault & VM_FAULT_ERROR ? vm_fault_to_errno(fault, 0) : 0;
}
#else
static int unlock_fault_in(unsigned long address, unsigned int flags)
{
	return -EFAULT;
}
#endif

/* The pages of list_op_pending: two if its bytes cross the end of one. */
static int unlock_fault_in_pending(const struct unlock_pending *pending,
				   unsigned int flags)
{
	unsigned long last = pending->address + pending->size - 1;
	int ret;

	ret = unlock_fault_in(pending->address, flags);
	if (!ret && (pending->address ^ last) & PAGE_MASK)
		ret = unlock_fault_in(last, flags);
	return ret;
}

/*
 * Make sure that list_op_pending can be written. The only evidence is a store that
 * succeeds, after as many faults as it takes.
 *
 * Nothing has been changed yet, so a signal can interrupt the wait for a page, and
 * the call is restarted after it.
 */
static int unlock_prepare(const struct unlock_pending *pending)
{
	unsigned long last = pending->address + pending->size - 1;
	unsigned int flags = 0, i;
	int ret;

	if (!unlock_aligned(pending))
		return -EFAULT;

	for (i = 0; i < UNLOCK_FAULT_LIMIT; i++) {
		if (likely(!unlock_probe_word(pending->address) &&
			   (!((pending->address ^ last) & PAGE_MASK) ||
			    !unlock_probe_word(last))))
			return 0;

		ret = unlock_fault_in_pending(pending, flags);
		if (ret && ret != -EAGAIN)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (ret == -EAGAIN) {
			if (signal_pending(current))
				return -ERESTARTNOINTR;
			flags = FAULT_FLAG_TRIED;
		}
		cond_resched();
	}
	return -EFAULT;
}

/*
 * Store NULL to list_op_pending after the release, and wait for its page. See [6] above:
 * a fatal signal ends the wait at once, any other one after UNLOCK_SIGNAL_DELAY.
 *
 * While a signal is pending, a fault that userfaultfd handles returns at once, and is
 * repeated each tick. Waits that are not for userfaultfd end by themselves.
 */
static int unlock_clear(const struct unlock_pending *pending)
{
	unsigned int flags = 0, faults = 0;
	unsigned long end = 0;
	int ret;

	if (!unlock_aligned(pending))
		return -EFAULT;

	while (unlikely(unlock_clear_nowait(pending))) {
		if (fatal_signal_pending(current) || faults == UNLOCK_FAULT_LIMIT)
			return -EFAULT;

		ret = unlock_fault_in_pending(pending, flags);
		if (!ret) {
			faults++;
			cond_resched();
			continue;
		}
		if (ret != -EAGAIN)
			return ret;

		flags = FAULT_FLAG_TRIED;
		if (!signal_pending(current))
			continue;
		if (!end)
			end = jiffies + UNLOCK_SIGNAL_DELAY;
		else if (time_after(jiffies, end))
			return -EFAULT;
		schedule_timeout_killable(1);
	}
	return 0;
}

static void unlock_trace(const struct unlock_pending *pending, enum robust_clear_by by)
{
	trace_robust_clear(pending->address, pending->size, by);
}

/* Whether @pending is the address of list_op_pending in a list that is registered. */
static bool unlock_is_native(const struct unlock_pending *pending)
{
	struct robust_list_head __user *head = current->robust_list;

	return head && pending->size == sizeof(head->list_op_pending) &&
	       untagged_addr(pending->address) ==
	       untagged_addr((unsigned long)&head->list_op_pending);
}

static bool unlock_is_compat(const struct unlock_pending *pending)
{
#ifdef CONFIG_COMPAT
	struct compat_robust_list_head __user *head = current->compat_robust_list;

	return head && pending->size == sizeof(head->list_op_pending) &&
	       untagged_addr(pending->address) ==
	       untagged_addr((unsigned long)&head->list_op_pending);
#else
	return false;
#endif
}

/*
 * The lock is released and its waiter is woken: finish, and wait if need be.
 *
 * A task with a fatal signal does not return to user space, and nothing but the walk
 * comes after this. One with any other error does, and may lock and unlock again: for
 * it the bits stay clear. So they do for a signal that is not known to be fatal before
 * it is handled, as one that dumps core, or one of a task that is traced: this is left
 * open.
 */
static int unlock_finish(const struct unlock_pending *pending)
{
	if (!unlock_clear(pending)) {
		unlock_trace(pending, ROBUST_CLEAR_CALL);
		return 0;
	}

	if (fatal_signal_pending(current)) {
		current->futex_pending_done = unlock_is_native(pending);
		current->futex_pending_done_compat = unlock_is_compat(pending);
	}
	return -EFAULT;
}

#ifdef CONFIG_FUTEX_VDSO_UNLOCK
/*
 * Whether the code at @ip is from the kernel. That and the address of the vDSO make it
 * the vDSO. If a kill ends the wait for the lock, the walk asks again.
 */
static bool unlock_is_vdso(unsigned long ip)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool special;

	if (current->flags & PF_EXITING)
		mmap_read_lock(mm);
	else if (mmap_read_lock_killable(mm))
		return false;

	vma = vma_lookup(mm, ip);
	special = vma && vma_is_special_mapping(vma, vma->vm_private_data);
	mmap_read_unlock(mm);
	return special;
}

/*
 * Whether @regs are those of a release in the vDSO that is half done. If they are,
 * @pending is the list_op_pending that is to be cleared.
 */
static bool unlock_interrupted(struct pt_regs *regs, struct unlock_pending *pending)
{
	unsigned long ip = instruction_pointer(regs);
	struct futex_unlock_range range;

	if (futex_unlock_in_range(regs, false, &range))
		pending->size = sizeof(u64);
	else if (futex_unlock_in_range(regs, true, &range))
		pending->size = sizeof(u32);
	else
		return false;

	if (!arch_futex_unlock_state(regs, &pending->address) && ip < range.success)
		return false;

	/* User space can store through a tag that the accessors of the kernel refuse. */
	if (!access_ok((void __user *)pending->address, pending->size))
		pending->address = untagged_addr(pending->address);
	return unlock_is_vdso(ip);
}

/**
 * __futex_signal_unlock() - The slow path of futex_signal_unlock()
 * @regs:	as for futex_signal_unlock()
 *
 * If the page of list_op_pending cannot be had in time, the signal is handled
 * nevertheless. The task makes the store itself when it returns to the vDSO. If the
 * signal kills, the registers are still the same when the task exits.
 *
 * Context: Process context. May sleep.
 */
void __futex_signal_unlock(struct pt_regs *regs)
{
	struct unlock_pending pending;

	if (unlock_interrupted(regs, &pending) && !unlock_clear(&pending))
		unlock_trace(&pending, ROBUST_CLEAR_SIGNAL);
}

/*
 * Whether the task died in the vDSO, in the middle of a release that was to clear the
 * list_op_pending of @size bytes at @address. In an exec the registers are those of a
 * system call.
 */
static bool unlock_died(unsigned long address, unsigned int size)
{
	struct pt_regs *regs = task_pt_regs(current);
	struct unlock_pending pending;

	if (!(current->flags & PF_EXITING) || !user_mode(regs))
		return false;
	if (!unlock_interrupted(regs, &pending) || pending.size != size ||
	    untagged_addr(pending.address) != untagged_addr(address))
		return false;

	/* Other threads may still read it. The walk does not depend on it. */
	if (!unlock_clear_nowait(&pending))
		unlock_trace(&pending, ROBUST_CLEAR_EXIT);
	return true;
}
#else
static bool unlock_died(unsigned long address, unsigned int size)
{
	return false;
}
#endif

/**
 * futex_pending_done() - Whether a pending lock is known to be released
 * @address:	user address of list_op_pending
 * @compat:	whether it is that of the compat list
 *
 * For the walk, which calls it only if list_op_pending leads to a lock or cannot be
 * read at once. What list_op_pending leads to is not a lock of the thread if this
 * returns true, and may be anything.
 *
 * Context: Process context, of a task that walks its robust lists. May sleep.
 *
 * Return: true if it is, and the walk must not use the lock
 */
bool futex_pending_done(unsigned long address, bool compat)
{
	if (compat)
		return current->futex_pending_done_compat ||
		       unlock_died(address, sizeof(compat_uptr_t));
	return current->futex_pending_done || unlock_died(address, sizeof(long));
}

/*
 * Store 0 to a futex word without waiting for anything, with release semantics: what
 * the thread did under the lock comes before it. To the next owner the store looks like
 * one of user space.
 *
 * A plain store is sufficient. No bit of the word has to be kept: a waiter that sets
 * FUTEX_WAITERS at the same time either is queued before the bucket is looked at or
 * finds that the word has changed. It needs neither an exclusive access nor a
 * repetition when another thread changes the word. An architecture that makes the
 * exchange under a lock has an operation of its own.
 */
static int unlock_release_nowait(u32 __user *word)
{
	int ret;

	/* The release. A user access has no form that is one. */
	smp_mb();

	pagefault_disable();
#ifdef arch_futex_store_inatomic
	ret = arch_futex_store_inatomic(0, word);
#else
	ret = put_user(0, word);
#endif
	pagefault_enable();
	return ret;
}

/* Bring in the page of the word. As unlock_prepare(), nothing has been changed yet. */
static int unlock_fault_in_word(u32 __user *word)
{
	int ret = unlock_fault_in((unsigned long)word, 0);

	if (fatal_signal_pending(current))
		return -EINTR;
	if (ret == -EAGAIN)
		return signal_pending(current) ? -ERESTARTNOINTR : 0;
	return ret;
}

/**
 * futex_unlock_wake() - Release a robust futex and wake waiters
 * @uaddr:	the futex word, which becomes 0
 * @flags:	FLAGS_SHARED or 0
 * @nr_wake:	how many waiters to wake at most
 * @bitset:	a waiter is woken if its own bitset has a bit in common with it
 * @address:	user address of list_op_pending, which becomes NULL
 * @list32:	whether that is 4 bytes wide, whatever is usual
 *
 * Context: Process context. May sleep.
 *
 * Return: the number of waiters that were woken, or
 * -EFAULT - the word or list_op_pending cannot be written. The word tells whether it
 *	     was released; it was only if @address became bad during the call
 * -EINVAL - @uaddr is not aligned or @bitset is 0. After the release: the futex has
 *	     waiters of a PI futex
 * -ENOMEM - no memory for a page, before the release
 * -EINTR, -ERESTARTNOINTR - a signal ended a wait before the release
 */
int futex_unlock_wake(u32 __user *uaddr, unsigned int flags, int nr_wake,
		      u32 bitset, void __user *address, bool list32)
{
	union futex_key key = FUTEX_KEY_INIT;
	struct unlock_pending pending;
	int ret, woken, i;
	bool cleared;

	if (!bitset)
		return -EINVAL;

	unlock_pending_init(&pending, address, list32);
	for (i = 0; i < UNLOCK_FAULT_LIMIT; i++) {
		ret = get_futex_key(uaddr, flags & FLAGS_SHARED, &key, FUTEX_WRITE);
		if (unlikely(ret))
			return ret;
		ret = unlock_prepare(&pending);
		if (unlikely(ret))
			return ret;

		if (likely(!unlock_release_nowait(uaddr)))
			goto released;

		ret = unlock_fault_in_word(uaddr);
		if (ret)
			return ret;
		cond_resched();
	}
	return -EFAULT;

released:
	cleared = !unlock_clear_nowait(&pending);
	/* From here on @uaddr is only an address. */
	woken = futex_wake_key(&key, nr_wake, bitset);
	if (likely(cleared)) {
		unlock_trace(&pending, ROBUST_CLEAR_CALL);
		return woken;
	}

	ret = unlock_finish(&pending);
	return ret ? ret : woken;
}

/**
 * futex_unlock_pi_robust() - Release a PI futex that is robust
 * @uaddr:	the futex word
 * @flags:	FLAGS_SHARED or 0
 * @address:	user address of list_op_pending, which becomes NULL
 * @list32:	whether that is 4 bytes wide, whatever is usual
 *
 * Context: Process context. May sleep.
 *
 * Return: as futex_unlock_pi(), and -EFAULT as futex_unlock_wake()
 */
int futex_unlock_pi_robust(u32 __user *uaddr, unsigned int flags,
			   void __user *address, bool list32)
{
	struct unlock_pending pending;
	int ret;

	if (!IS_ENABLED(CONFIG_FUTEX_PI))
		return -ENOSYS;

	unlock_pending_init(&pending, address, list32);
	ret = unlock_prepare(&pending);
	if (ret)
		return ret;

	/* On an error the lock is still held, and list_op_pending is needed. */
	ret = futex_unlock_pi(uaddr, flags);
	if (ret)
		return ret;
	return unlock_finish(&pending);
}
