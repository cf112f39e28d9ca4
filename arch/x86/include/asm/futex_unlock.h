/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release of robust futexes in the vDSO, see entry/vdso/vfutex.S and
 * entry/vdso/vdso32/vfutex.S.
 */
#ifndef _ASM_X86_FUTEX_UNLOCK_H
#define _ASM_X86_FUTEX_UNLOCK_H

#include <asm/processor-flags.h>
#include <asm/ptrace.h>
#include <asm/segment.h>
#include <asm/vdso.h>

/*
 * The function for 8 bytes is in images of 64-bit code, and only there. In code of the
 * other mode, in a segment of the LDT and in virtual 8086 mode the same address is
 * another instruction. Without the function, its start and its end are the same.
 */
static __always_inline bool
arch_futex_unlock_range(const struct pt_regs *regs, bool list32,
			struct futex_unlock_range *range)
{
	const struct vdso_image *image = current->mm->context.vdso_image;
	unsigned long base = (unsigned long)READ_ONCE(current->mm->context.vdso);

	if (!image || regs->cs & SEGMENT_TI_MASK || v8086_mode((struct pt_regs *)regs) ||
	    user_64bit_mode((struct pt_regs *)regs) != !!image->sym_vdso_futex_list64_start)
		return false;

	if (list32) {
		range->start = base + image->sym_vdso_futex_list32_start;
		range->success = base + image->sym_vdso_futex_list32_success;
		range->end = base + image->sym_vdso_futex_list32_end;
	} else {
		range->start = base + image->sym_vdso_futex_list64_start;
		range->success = base + image->sym_vdso_futex_list64_success;
		range->end = base + image->sym_vdso_futex_list64_end;
	}
	return true;
}

/*
 * CMPXCHG sets ZF if it has stored, and nothing changes it up to the end. The address
 * is the third argument, and in (E|R)DX in all of the functions.
 */
static __always_inline bool
arch_futex_unlock_state(const struct pt_regs *regs, unsigned long *pending)
{
	*pending = user_64bit_mode((struct pt_regs *)regs) ? regs->dx : (u32)regs->dx;
	return regs->flags & X86_EFLAGS_ZF;
}

#endif /* _ASM_X86_FUTEX_UNLOCK_H */
