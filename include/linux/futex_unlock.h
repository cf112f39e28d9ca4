/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finish the release of a robust futex that was interrupted in the vDSO.
 */
#ifndef _LINUX_FUTEX_UNLOCK_H
#define _LINUX_FUTEX_UNLOCK_H

#include <linux/mm_types.h>
#include <linux/ptrace.h>
#include <linux/sched.h>

/**
 * struct futex_unlock_range - Where in the vDSO a release may be half done
 * @start:	address of the instruction behind the exchange of the word. At it, and up
 *		to @success, the registers tell whether the exchange was made.
 * @success:	from here on it was, whatever the registers are
 * @end:	address of the instruction behind the store to list_op_pending
 */
struct futex_unlock_range {
	unsigned long start;
	unsigned long success;
	unsigned long end;
};

/**
 * futex_unlock_set_range() - Set a range by offsets from the beginning of the vDSO
 * @range:	the range
 * @base:	address of the vDSO
 * @start:	offset of @range->start, and so on
 * @success:	the same for @range->success
 * @end:	the same for @range->end
 */
static __always_inline void
futex_unlock_set_range(struct futex_unlock_range *range, unsigned long base,
		       unsigned long start, unsigned long success, unsigned long end)
{
	range->start = base + start;
	range->success = base + success;
	range->end = base + end;
}

#ifdef CONFIG_FUTEX_VDSO_UNLOCK
/*
 * An architecture that selects HAVE_FUTEX_VDSO_UNLOCK has two functions in
 * asm/futex_unlock.h, both for registers of user mode of a task with an mm:
 *
 * bool arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
 *				struct futex_unlock_range *range)
 *
 *	Where the function that clears a list_op_pending of 4 bytes, or if @list32 is
 *	false of 8 bytes, is in this task. It returns false if the vDSO of this task,
 *	or the mode that it executes in, has no such function. Any address will do if
 *	the vDSO is not mapped there any more.
 *
 * bool arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
 *
 *	Whether the exchange was made, from the registers as they are from start on
 *	and before success. *@pending is set in the entire range: it is the address
 *	of list_op_pending, from the register that has it there.
 */
#include <asm/futex_unlock.h>

static __always_inline bool futex_unlock_in_range(const struct pt_regs *regs,
						  bool list32,
						  struct futex_unlock_range *range)
{
	return arch_futex_unlock_range(regs, list32, range) &&
	       instruction_pointer((struct pt_regs *)regs) - range->start <
	       range->end - range->start;
}

void __futex_signal_unlock(struct pt_regs *regs);

/**
 * futex_signal_unlock() - Finish a release before a signal is handled
 * @regs:	registers of user mode of the current task
 *
 * If the task was interrupted in the vDSO between the exchange that released a
 * robust futex and the store to list_op_pending, make that store. The handler may
 * not return to the vDSO, and the signal may kill.
 *
 * Context: Process context. May sleep.
 */
static __always_inline void futex_signal_unlock(struct pt_regs *regs)
{
	struct futex_unlock_range range;

	/* The registers of these tasks are not those of user mode, even if they look so. */
	if (current->flags & (PF_KTHREAD | PF_IO_WORKER) || !user_mode(regs))
		return;
	if (unlikely(futex_unlock_in_range(regs, false, &range) ||
		     futex_unlock_in_range(regs, true, &range)))
		__futex_signal_unlock(regs);
}
#else
static inline void futex_signal_unlock(struct pt_regs *regs) { }
#endif

#endif /* _LINUX_FUTEX_UNLOCK_H */
