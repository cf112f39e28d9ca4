/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Common code of the tests of the release of robust futexes by the kernel and the
 * vDSO: the numbers of the interface, the functions of the vDSO, victims that are
 * single-stepped through them, and a page that the test holds back.
 */
#ifndef _ROBUST_UNLOCK_H
#define _ROBUST_UNLOCK_H

#include <elf.h>
#include <link.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>

#include "robust.h"

#ifndef FUTEX_ROBUST_UNLOCK
#define FUTEX_ROBUST_UNLOCK	512
#endif
#ifndef FUTEX_ROBUST_LIST32
#define FUTEX_ROBUST_LIST32	1024
#endif

/* Width of a pending pointer: that of this program, or 4 bytes by LIST32 */
enum width {
	NATIVE,
	LIST32,
};

#define POP_SIZE(width)	((width) == LIST32 ? sizeof(__u32) : sizeof(long))

/* Returns the result of futex(), or the negative error number */
static inline long unlock_by(long number, volatile void *word, int op, long nr, volatile void *pop,
			     __u32 bitset)
{
	long ret = syscall(number, word, op | FUTEX_ROBUST_UNLOCK, nr, NULL, pop, bitset);

	return ret < 0 ? -errno : ret;
}

static inline long unlock_call(volatile void *word, int op, long nr, volatile void *pop)
{
	return unlock_by(SYS_FUTEX_TIMED, word, op, nr, pop, FUTEX_BITSET_MATCH_ANY);
}

static inline bool has_unlock_call(void)
{
	futex_t word = 0;
	unsigned long pop = 0;

	return unlock_call(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, &pop) != -ENOSYS;
}

#define REQUIRE_UNLOCK_CALL()						\
do {									\
	REQUIRE_ROBUST_LIST();						\
	if (!has_unlock_call())						\
		SKIP_TEST("the kernel has no FUTEX_ROBUST_UNLOCK");	\
} while (0)

/* The ELF types of this word size */
typedef ElfW(Addr) elf_addr;
typedef ElfW(Dyn) elf_dyn;
typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Sym) elf_symbol;

/*
 * The vDSO. The number of its symbols follows from its hash tables: DT_HASH has it
 * as a field, and from DT_GNU_HASH it is computed.
 */
struct vdso {
	elf_addr bias;
	const elf_symbol *symbols;
	const char *names;
	size_t nr_symbols;
};

static inline size_t count_gnu_symbols(const __u32 *hash)
{
	const __u32 *buckets = hash + 4 + hash[2] * (sizeof(elf_addr) / sizeof(__u32));
	const __u32 *chain = buckets + hash[0];
	__u32 i, last = 0;

	for (i = 0; i < hash[0]; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (!last)
		return hash[1];
	while (!(chain[last - hash[1]] & 1))
		last++;
	return last + 1;
}

/* False if the process has none */
static inline bool open_vdso(struct vdso *vdso)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	const elf_header *header = (void *)base;
	const elf_segment *segment = (void *)(base + (base ? header->e_phoff : 0));
	const elf_dyn *dynamic = NULL;
	const __u32 *gnu_hash = NULL;
	bool loaded = false;
	int i;

	memset(vdso, 0, sizeof(*vdso));
	if (!base)
		return false;
	for (i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_LOAD && !loaded) {
			vdso->bias = base + segment[i].p_offset - segment[i].p_vaddr;
			loaded = true;
		} else if (segment[i].p_type == PT_DYNAMIC) {
			dynamic = (void *)(base + segment[i].p_offset);
		}
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		uintptr_t at = vdso->bias + dynamic->d_un.d_ptr;

		if (dynamic->d_tag == DT_SYMTAB)
			vdso->symbols = (void *)at;
		else if (dynamic->d_tag == DT_STRTAB)
			vdso->names = (void *)at;
#if !defined(__s390x__) && !defined(__alpha__)
		/* Elsewhere its elements have 4 bytes */
		else if (dynamic->d_tag == DT_HASH)
			vdso->nr_symbols = ((const __u32 *)at)[1];
#else
		else if (dynamic->d_tag == DT_HASH)
			vdso->nr_symbols = ((const __u64 *)at)[1];
#endif
		else if (dynamic->d_tag == DT_GNU_HASH)
			gnu_hash = (void *)at;
	}
	if (!vdso->nr_symbols && gnu_hash)
		vdso->nr_symbols = count_gnu_symbols(gnu_hash);
	return vdso->symbols && vdso->names;
}

/* The address of a function, 0 if there is none, and how many bytes it has */
static inline uintptr_t vdso_symbol(const char *name, size_t *size)
{
	struct vdso vdso;
	size_t i;

	if (!open_vdso(&vdso))
		return 0;
	for (i = 0; i < vdso.nr_symbols; i++) {
		const elf_symbol *symbol = &vdso.symbols[i];

		if (symbol->st_shndx == SHN_UNDEF || strcmp(vdso.names + symbol->st_name, name))
			continue;
		*size = symbol->st_size;
		return vdso.bias + symbol->st_value;
	}
	return 0;
}

#ifdef __aarch64__
/* A tag in the highest byte of an address, and a variant that needs tags */
#define TAG				((uintptr_t)0x5a << 56)
#define VARIANT_WITH_TAG(fixture, name)	FIXTURE_VARIANT_ADD(fixture, name)
#endif

typedef __u32 (*try_unlock_fn)(futex_t *word, __u32 tid, volatile void *pop);

/* To call a function at an address: a descriptor where the ABI needs one, as ELFv1 */
struct try_unlock {
	uintptr_t address;
#if defined(__powerpc64__) && (!defined(_CALL_ELF) || _CALL_ELF == 1)
	unsigned long toc, environment;
#endif
	size_t size;
};

static inline __u32 try_unlock(struct try_unlock *function, futex_t *word, __u32 tid,
			       volatile void *pop)
{
#if defined(__powerpc64__) && (!defined(_CALL_ELF) || _CALL_ELF == 1)
	return ((try_unlock_fn)function)(word, tid, pop);
#else
	return ((try_unlock_fn)function->address)(word, tid, pop);
#endif
}

/* A 32-bit program only has the function for pending pointers of 4 bytes. */
static inline bool find_try_unlock(struct try_unlock *function, enum width width)
{
	char name[64];

	memset(function, 0, sizeof(*function));
	snprintf(name, sizeof(name), "__vdso_futex_robust_list%d_try_unlock",
		 (int)POP_SIZE(width) * CHAR_BIT);
	function->address = vdso_symbol(name, &function->size);
	return function->address;
}

/* Where the vDSO is now, as /proc shows; false if it is not mapped */
static inline bool find_vdso(uintptr_t *start, size_t *size)
{
	unsigned long from, to;
	bool found = false;
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &from, &to) == 2;
	if (maps)
		fclose(maps);
	if (found) {
		*start = from;
		*size = to - from;
	}
	return found;
}

/* mremap() without the C library: its system calls may use the vDSO */
static inline long move_memory(void *from, size_t size, void *to)
{
#ifdef __i386__
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (SYS_mremap), "b" (from), "c" (size), "d" (size),
		       "S" (MREMAP_MAYMOVE | MREMAP_FIXED), "D" (to)
		     : "memory");
	return ret;
#else
	return syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
#endif
}

/*
 * Move the vDSO, and leave a copy at the old place: the C library may use it
 * for its system calls and its clock. @function is moved with it.
 */
static inline bool move_vdso(struct try_unlock *function)
{
	const int rwx = PROT_READ | PROT_WRITE | PROT_EXEC;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uintptr_t start;
	char *copy, *new;
	size_t size;

	if (!find_vdso(&start, &size) || function->address - start >= size)
		return false;
	copy = mmap(NULL, size, rwx, flags, -1, 0);
	new = mmap(NULL, size, PROT_NONE, flags, -1, 0);
	if (copy == MAP_FAILED || new == MAP_FAILED)
		return false;
	memcpy(copy, (void *)start, size);
	__builtin___clear_cache(copy, copy + size);
	if (move_memory((void *)start, size, new) != (long)new ||
	    move_memory(copy, size, (void *)start) != (long)start)
		return false;
	function->address += (uintptr_t)new - start;
	return true;
}

/* Victims that the test traces. More steps than a function and its caller take: */
#define MAX_STEPS	2000

enum progress {
	STOPPED,
	HAS_ENDED,
	CANNOT_STEP,
};

static inline enum progress step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
		return CANNOT_STEP;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return HAS_ENDED;
	return STOPPED;
}

static inline void end_steps(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	/* There may be a stop before the end */
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
		;
}

/*
 * A page that is registered with a userfaultfd of the victim's process: faults
 * wait until the test handles them. It is shared with the test. Either the page is
 * missing, and then the test must not touch it, or only writes have to wait.
 */
struct held_page {
	char *page;
	size_t size;
	bool writes;
	/* The victim's descriptor, and the test's */
	int victim_uffd;
	int uffd;
};

/* In the victim. False if the kernel has no such userfaultfd, or not for this user. */
static inline bool hold_back(struct held_page *held)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = held->writes ? UFFD_FEATURE_WP_HUGETLBFS_SHMEM : 0,
	};
	struct uffdio_register range = {
		.range = {
			.start = (uintptr_t)held->page,
			.len = held->size,
		},
		.mode = held->writes ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect protect = {
		.range = range.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	/* It is mapped here before its writes are watched */
	if (held->writes)
		__atomic_fetch_or(held->page, 0, __ATOMIC_RELAXED);
	held->victim_uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return held->victim_uffd >= 0 && !ioctl(held->victim_uffd, UFFDIO_API, &api) &&
	       !ioctl(held->victim_uffd, UFFDIO_REGISTER, &range) &&
	       (!held->writes || !ioctl(held->victim_uffd, UFFDIO_WRITEPROTECT, &protect));
}

/* In the test, once the victim has called hold_back() */
static inline bool take_descriptor(struct held_page *held, pid_t pid)
{
	int process = syscall(SYS_pidfd_open, pid, 0);

	held->uffd = -1;
	if (process < 0)
		return false;
	held->uffd = syscall(SYS_pidfd_getfd, process, held->victim_uffd, 0);
	close(process);
	return held->uffd >= 0;
}

/* Wait until a thread of the victim waits for the page; false if none does */
static inline bool page_asked(struct held_page *held)
{
	struct pollfd event = { .fd = held->uffd, .events = POLLIN };
	struct uffd_msg message;

	return poll(&event, 1, TIME_LIMIT * 1000) == 1 &&
	       read(held->uffd, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

/* End the wait: permit writes, or supply the page with @value in its first word */
static inline bool bring_page(struct held_page *held, unsigned long value)
{
	struct uffdio_writeprotect protect = {
		.range = { .start = (uintptr_t)held->page, .len = held->size },
	};
	unsigned long *content;
	bool brought;

	if (held->writes)
		return !ioctl(held->uffd, UFFDIO_WRITEPROTECT, &protect);
	content = calloc(1, held->size);
	if (!content)
		return false;
	*content = value;
	brought = !ioctl(held->uffd, UFFDIO_COPY, &((struct uffdio_copy) {
		.dst = (uintptr_t)held->page,
		.src = (uintptr_t)content,
		.len = held->size,
	}));
	free(content);
	return brought;
}

static inline struct held_page *held_alloc(bool writes)
{
	struct held_page *held = shared_memory(sizeof(*held));

	if (!held)
		return NULL;
	held->size = sysconf(_SC_PAGESIZE);
	held->page = shared_memory(held->size);
	held->writes = writes;
	held->uffd = -1;
	return held->page ? held : NULL;
}

#endif /* _ROBUST_UNLOCK_H */
