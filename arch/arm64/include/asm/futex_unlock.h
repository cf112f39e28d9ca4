/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release of robust futexes in the vDSO, see kernel/vdso/vfutex.S and
 * kernel/vdso32/vfutex.S.
 */
#ifndef __ASM_FUTEX_UNLOCK_H
#define __ASM_FUTEX_UNLOCK_H

#include <asm/ptrace.h>
#include <asm/vdso.h>

static __always_inline bool
arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
			struct futex_unlock_range *range)
{
	unsigned long base = (unsigned long)READ_ONCE(current->mm->context.vdso);

	if (!base)
		return false;

	if (compat_user_mode(regs)) {
#ifdef CONFIG_COMPAT_VDSO
		/* The function is ARM code. */
		if (!list32 || compat_thumb_mode(regs))
			return false;
		futex_unlock_set_range(range, base, vdso_offset_compat_futex_list32_start,
				       vdso_offset_compat_futex_list32_success,
				       vdso_offset_compat_futex_list32_end);
		return true;
#else
		return false;
#endif
	}

	if (list32)
		futex_unlock_set_range(range, base, vdso_offset_futex_list32_start,
				       vdso_offset_futex_list32_success,
				       vdso_offset_futex_list32_end);
	else
		futex_unlock_set_range(range, base, vdso_offset_futex_list64_start,
				       vdso_offset_futex_list64_success,
				       vdso_offset_futex_list64_end);
	return true;
}

/*
 * The address is the third argument, which stays where it is. The result of the
 * exclusive store is in R12, or in W4, which is 0 if CASL was used: the word was
 * exchanged if what it was, in W3, is the TID in W1.
 */
static __always_inline bool
arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
{
	if (compat_user_mode(regs)) {
		*pending = (u32)regs->regs[2];
		return !(u32)regs->regs[12];
	}

	*pending = regs->regs[2];
	return !(u32)regs->regs[4] && (u32)regs->regs[3] == (u32)regs->regs[1];
}

#endif /* __ASM_FUTEX_UNLOCK_H */
