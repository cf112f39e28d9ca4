// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "vdso.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

/* What an ELF hash table of System V consists of: here 8 bytes, elsewhere 4. */
#ifdef __s390x__
typedef uint64_t hash_word;
#else
typedef uint32_t hash_word;
#endif

/* What the machine calls its things. */
typedef ElfW(Addr) elf_addr;
typedef ElfW(Dyn) elf_dyn;
typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Sym) elf_symbol;

struct image {
	uintptr_t bias;
	const elf_symbol *symbols;
	const char *names;
	size_t count;
};

static size_t count_by_gnu_hash(const uint32_t *hash)
{
	const uint32_t *buckets = hash + 4 + hash[2] * (sizeof(elf_addr) / 4);
	const uint32_t *chain = buckets + hash[0];
	uint32_t last = 0;

	for (uint32_t i = 0; i < hash[0]; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (!last)
		return hash[1];
	while (!(chain[last - hash[1]] & 1))
		last++;
	return last + 1;
}

static void read_dynamic(struct image *image, const elf_dyn *dynamic)
{
	const uint32_t *gnu_hash = NULL;

	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		void *at = (void *)(image->bias + dynamic->d_un.d_ptr);

		switch (dynamic->d_tag) {
		case DT_SYMTAB:
			image->symbols = at;
			break;
		case DT_STRTAB:
			image->names = at;
			break;
		case DT_HASH:
			image->count = ((hash_word *)at)[1];
			break;
		case DT_GNU_HASH:
			gnu_hash = at;
			break;
		}
	}
	if (!image->count && gnu_hash)
		image->count = count_by_gnu_hash(gnu_hash);
	if (!image->symbols || !image->names)
		image->count = 0;
}

static uintptr_t symbol_address(const char *name)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	const elf_header *header = (void *)base;
	const elf_dyn *dynamic = NULL;
	const elf_segment *segment;
	struct image image = {};
	bool loaded = false;

	if (!base)
		return 0;
	segment = (void *)(base + header->e_phoff);
	for (int i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_LOAD && !loaded) {
			image.bias = base + segment[i].p_offset - segment[i].p_vaddr;
			loaded = true;
		} else if (segment[i].p_type == PT_DYNAMIC) {
			dynamic = (void *)(base + segment[i].p_offset);
		}
	}
	read_dynamic(&image, dynamic);
	for (size_t i = 0; i < image.count; i++) {
		const elf_symbol *symbol = &image.symbols[i];

		if (symbol->st_shndx != SHN_UNDEF && !strcmp(image.names + symbol->st_name, name))
			return image.bias + symbol->st_value;
	}
	return 0;
}

struct try_unlock find_try_unlock(bool list32)
{
	int bits = list32 ? 32 : 8 * sizeof(long);
	struct try_unlock function = {};
	char name[64];

	snprintf(name, sizeof(name), "__vdso_futex_robust_list%d_try_unlock", bits);
	function.address = symbol_address(name);
	return function;
}

typedef unsigned int (*try_unlock_fn)(volatile unsigned int *word, unsigned int tid,
				      volatile void *pending);

unsigned int try_unlock(const struct try_unlock *function, volatile unsigned int *word,
			unsigned int tid, volatile void *pending)
{
#if defined(__powerpc64__) && (!defined(_CALL_ELF) || _CALL_ELF == 1)
	return ((try_unlock_fn)function)(word, tid, pending);
#else
	return ((try_unlock_fn)function->address)(word, tid, pending);
#endif
}

/* Where the vDSO is; false if /proc does not say so. */
static bool find_vdso(uintptr_t *start, size_t *size)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	bool found = false;
	char line[256];

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

/* mremap(), which on i386 must not go by the vDSO that is being moved */
static bool move_memory(void *from, size_t size, void *to)
{
#ifdef __i386__
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a" (ret)
			 : "a" (SYS_mremap), "b" (from), "c" (size), "d" (size),
			   "S" (MREMAP_MAYMOVE | MREMAP_FIXED), "D" (to)
			 : "memory");
	return ret == (long)to;
#else
	return syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == (long)to;
#endif
}

bool move_vdso(struct try_unlock *function)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uintptr_t start;
	char *copy, *new;
	size_t size;

	if (!find_vdso(&start, &size) || function->address - start >= size)
		return false;
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
	new = mmap(NULL, size, PROT_NONE, flags, -1, 0);
	if (copy == MAP_FAILED || new == MAP_FAILED)
		return false;
	memcpy(copy, (void *)start, size);
	__builtin___clear_cache(copy, copy + size);
	if (!move_memory((void *)start, size, new) || !move_memory(copy, size, (void *)start))
		return false;
	function->address += (uintptr_t)new - start;
	return true;
}

long unlock_call(volatile unsigned int *word, int flags, volatile void *pending)
{
	long ret = syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_ROBUST_UNLOCK | flags, 1L, NULL,
			   pending, 0L);

	return ret < 0 ? -errno : ret;
}

bool has_unlock_call(void)
{
	unsigned int word = 0;
	unsigned long pending = 0;

	return unlock_call(&word, 0, &pending) != -ENOSYS;
}
