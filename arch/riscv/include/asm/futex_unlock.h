/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release of robust futexes in the vDSO, see kernel/vdso/vfutex.S.
 */
#ifndef _ASM_RISCV_FUTEX_UNLOCK_H
#define _ASM_RISCV_FUTEX_UNLOCK_H

#include <linux/compat.h>
#include <asm/ptrace.h>
#include <asm/vdso.h>

static __always_inline bool
arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
			struct futex_unlock_range *range)
{
	unsigned long base = (unsigned long)READ_ONCE(current->mm->context.vdso);

	if (!base)
		return false;

#ifdef CONFIG_COMPAT
	if (is_compat_task()) {
		if (!list32)
			return false;
		futex_unlock_set_range(range, base, compat__vdso_futex_list32_start_offset,
				       compat__vdso_futex_list32_success_offset,
				       compat__vdso_futex_list32_end_offset);
		return true;
	}
#endif

	if (list32) {
		futex_unlock_set_range(range, base, __vdso_futex_list32_start_offset,
				       __vdso_futex_list32_success_offset,
				       __vdso_futex_list32_end_offset);
		return true;
	}
#ifdef CONFIG_64BIT
	futex_unlock_set_range(range, base, __vdso_futex_list64_start_offset,
			       __vdso_futex_list64_success_offset,
			       __vdso_futex_list64_end_offset);
	return true;
#else
	return false;
#endif
}

/* A4 has the result of SC, 0 if it has stored, and A2 the third argument. */
static __always_inline bool
arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
{
	*pending = is_compat_task() ? (u32)regs->a2 : regs->a2;
	return !regs->a4;
}

#endif /* _ASM_RISCV_FUTEX_UNLOCK_H */
