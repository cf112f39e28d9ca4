/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release of robust futexes in the vDSO, see kernel/vdso/vfutex.S.
 */
#ifndef _ASM_POWERPC_FUTEX_UNLOCK_H
#define _ASM_POWERPC_FUTEX_UNLOCK_H

#include <linux/thread_info.h>
#include <asm/ptrace.h>
#include <asm/reg.h>
#include <asm/vdso.h>

static __always_inline bool
arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
			struct futex_unlock_range *range)
{
	unsigned long base = (unsigned long)READ_ONCE(current->mm->context.vdso);

	if (!base)
		return false;

#ifdef CONFIG_PPC_TRANSACTIONAL_MEM
	/* The signal aborts the transaction, and with it the exchange. */
	if (MSR_TM_TRANSACTIONAL(regs->msr))
		return false;
#endif

	if (is_32bit_task()) {
#ifdef CONFIG_VDSO32
		if (!list32)
			return false;
		futex_unlock_set_range(range, base, vdso32_offset_futex_list32_start,
				       vdso32_offset_futex_list32_success,
				       vdso32_offset_futex_list32_end);
		return true;
#else
		return false;
#endif
	}

#ifdef CONFIG_PPC64
	if (list32)
		futex_unlock_set_range(range, base, vdso64_offset_futex_list32_start,
				       vdso64_offset_futex_list32_success,
				       vdso64_offset_futex_list32_end);
	else
		futex_unlock_set_range(range, base, vdso64_offset_futex_list64_start,
				       vdso64_offset_futex_list64_success,
				       vdso64_offset_futex_list64_end);
	return true;
#else
	return false;
#endif
}

/*
 * STWCX. sets EQ of CR0 if it has stored, and nothing changes it up to the end. R5 has
 * the third argument.
 */
static __always_inline bool
arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
{
	*pending = is_32bit_task() ? (u32)regs->gpr[5] : regs->gpr[5];
	return regs->ccr & 0x20000000;
}

#endif /* _ASM_POWERPC_FUTEX_UNLOCK_H */
