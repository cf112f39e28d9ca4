/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of memory that locks can be in, for the tests that try all of them.
 *
 * For each kind there is an area of entries and an area of words. The distance
 * from an entry to its word is the same in all kinds. memory_init() reserves the
 * areas, and memory_add() makes the memory of one kind. Then the test writes the
 * locks, through entries_filled and words_filled. Finally area_prepare() brings
 * the memory into the state of its kind: for example, it swaps the memory out.
 */
#ifndef _ROBUST_MEMORY_H
#define _ROBUST_MEMORY_H

#include <sched.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/swap.h>
#include <sys/vfs.h>

#include "robust.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

/* Pages of an area in which there are locks */
#define NR_PAGES	32

enum kind {
	SHARED_ANONYMOUS,
	PRIVATE_ANONYMOUS,
	TMPFS_FILE,
	MEMFD,
	PRIVATE_FILE,
	PRIVATE_FILE_WRITTEN,
	FRESH_MAPPING,
	DISCARDED,
	HUGETLB_SHARED,
	HUGETLB_PRIVATE,
	SWAPPED_PRIVATE,
	SWAPPED_SHARED,
	UFFD_PRESENT,
	/* The last one that can be written. It is prepared after all others. */
	FORKED,
	READ_ONLY,
	READ_ONLY_FILE,
	NO_ACCESS,
	TRUNCATED,
	UFFD_MISSING,
	NR_KINDS,
};

/*
 * How the pages of the words are taken from a task that has written them, so that
 * the kernel does not find them mapped for writing: a page of a shared object is
 * unmapped, and a page of private memory stays mapped, but not for writing.
 */
enum loss {
	/* Not at all, or by area_prepare() */
	NO_LOSS,
	/* They are discarded, and can be read again from the file */
	DISCARD,
	/* Another mapping of the same file replaces theirs */
	REMAP,
	/* They were shared with a child, which has ended */
	FORK_AND_END,
};

struct kind_info {
	const char *name;
	enum loss loss;
};

static const struct kind_info kinds[NR_KINDS] = {
	[SHARED_ANONYMOUS] = { "shared anonymous", DISCARD },
	[PRIVATE_ANONYMOUS] = { "private anonymous", FORK_AND_END },
	[TMPFS_FILE] = { "tmpfs file", DISCARD },
	[MEMFD] = { "memfd", REMAP },
	[PRIVATE_FILE] = { "private file", DISCARD },
	[PRIVATE_FILE_WRITTEN] = { "private file, written", FORK_AND_END },
	[FRESH_MAPPING] = { "fresh mapping", NO_LOSS },
	[DISCARDED] = { "discarded", NO_LOSS },
	[HUGETLB_SHARED] = { "hugetlb, shared", DISCARD },
	[HUGETLB_PRIVATE] = { "hugetlb, private", FORK_AND_END },
	[SWAPPED_PRIVATE] = { "swapped, private", NO_LOSS },
	[SWAPPED_SHARED] = { "swapped, shared", NO_LOSS },
	[UFFD_PRESENT] = { "userfaultfd, present", FORK_AND_END },
	[FORKED] = { "forked", NO_LOSS },
	[READ_ONLY] = { "read-only", DISCARD },
	[READ_ONLY_FILE] = { "read-only file", NO_LOSS },
	[NO_ACCESS] = { "no access", DISCARD },
	[TRUNCATED] = { "truncated", NO_LOSS },
	[UFFD_MISSING] = { "userfaultfd, missing", NO_LOSS },
};

static inline bool writable(enum kind kind)
{
	return kind <= FORKED;
}

struct area {
	enum kind kind;
	/* Why there is no such memory here */
	const char *missing;
	char *entries;
	char *words;
	size_t size;
	uintptr_t colour;
	/* Where the test writes them, and the words that waiters wait on */
	char *entries_filled;
	char *words_filled;
	char *words_waited;
	/* A file, or a userfaultfd */
	int fd;
	/* The process that has a copy */
	pid_t copy;
	futex_t *copy_done;
	/* How many locks there are */
	size_t nr;
};

struct memory {
	struct area areas[NR_KINDS];
	/* The size of a huge page, 0 if there are none */
	size_t huge_page;
	/* Whether swap was added; how many huge pages there were, -1 if enough */
	bool swap_added;
	long hugepages;
};

static inline bool map_at(char *at, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	return mmap(at, size, prot, flags | MAP_FIXED, fd, offset) == at;
}

/*
 * On some architectures a page can be mapped at several addresses only if they
 * are equal modulo a number of megabytes, because of the cache. There a file can
 * be mapped at a fixed address only if the difference of the address and the
 * offset in the file has, modulo that number, a value that depends on the file.
 * An address that the kernel chooses shows it. The offsets of the areas fit it.
 */
#define COLOURS		(16 * 1024 * 1024)
#define FILE_SIZE	(4 * COLOURS)

static inline bool find_colour(struct area *area, int fd)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);

	area->colour = (uintptr_t)page;
	return page != MAP_FAILED && !munmap(page, page_size);
}

static inline off_t entries_offset(struct area *area)
{
	return ((uintptr_t)area->entries - area->colour) % COLOURS;
}

static inline off_t words_offset(struct area *area)
{
	return 2 * COLOURS + ((uintptr_t)area->words - area->colour) % COLOURS;
}

static inline bool map_both(struct area *area, int prot, int flags, int fd)
{
	if (fd < 0)
		return map_at(area->entries, area->size, prot, flags, fd, 0) &&
		       map_at(area->words, area->size, prot, flags, fd, 0);
	return find_colour(area, fd) &&
	       map_at(area->entries, area->size, prot, flags, fd,
		      entries_offset(area)) &&
	       map_at(area->words, area->size, prot, flags, fd,
		      words_offset(area));
}

/* Map the file of both areas again, to write it through another mapping */
static inline bool map_mirror(struct area *area)
{
	const int rw = PROT_READ | PROT_WRITE;

	area->entries_filled = mmap(NULL, area->size, rw, MAP_SHARED, area->fd,
				    entries_offset(area));
	area->words_filled = mmap(NULL, area->size, rw, MAP_SHARED, area->fd,
				  words_offset(area));
	return area->entries_filled != MAP_FAILED &&
	       area->words_filled != MAP_FAILED;
}

static inline int open_memfd(size_t size)
{
	int fd = memfd_create("robust", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int open_tmpfs(size_t size)
{
	static const char * const places[] = {
		"/dev/shm", "/tmp", "/run", NULL,
	};
	const char * const *directory;
	struct statfs info;
	char path[64];
	int fd;

	for (directory = places; *directory; directory++) {
		if (statfs(*directory, &info) || info.f_type != TMPFS_MAGIC)
			continue;
		snprintf(path, sizeof(path), "%s/robust.XXXXXX", *directory);
		fd = mkstemp(path);
		if (fd < 0)
			continue;
		unlink(path);
		if (!ftruncate(fd, size))
			return fd;
		close(fd);
	}
	return -1;
}

/* The number in a file that says "Name: number"; -1 if it is not there */
static inline long read_number(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	long number = -1;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			number = strtol(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return number;
}

static inline bool write_number(const char *path, long number)
{
	FILE *file = fopen(path, "w");
	bool written = file && fprintf(file, "%ld\n", number) > 0;

	return file && !fclose(file) && written;
}

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define MEMINFO		"/proc/meminfo"

/* Two kinds of memory are made of huge pages, and have two areas each */
static inline void add_hugepages(struct memory *memory)
{
	long lacking = 4 - read_number(MEMINFO, "HugePages_Free:");
	long now = read_number(NR_HUGEPAGES, "");

	if (lacking > 0 && now >= 0 &&
	    write_number(NR_HUGEPAGES, now + lacking))
		memory->hugepages = now;
}

static inline bool has_swap(void)
{
	FILE *file = fopen("/proc/swaps", "r");
	int lines = 0, c;

	while (file && (c = getc(file)) != EOF)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines > 1;
}

#define SWAP_DEVICE	"/dev/ram0"

/* What the kernel expects in the first page of a swap device */
struct swap_header {
	char boot_block[1024];
	__u32 version;
	__u32 last_page;
	__u32 nr_bad_pages;
};

/*
 * Swap to a RAM disk during the test, if the system has no swap.
 * A RAM disk that is in use, or has anything in it, is left alone.
 */
static inline bool add_swap(void)
{
	size_t page_size = sysconf(_SC_PAGESIZE), i;
	struct swap_header *header;
	__u64 size = 0;
	bool written;
	char *page;
	int fd;

	fd = open(SWAP_DEVICE, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return false;
	page = calloc(1, page_size);
	if (!page || ioctl(fd, BLKGETSIZE64, &size) || size < 2 * page_size ||
	    pread(fd, page, page_size, 0) != (ssize_t)page_size) {
		close(fd);
		return false;
	}
	for (i = 0; i < page_size; i++) {
		if (page[i]) {
			close(fd);
			return false;
		}
	}
	header = (void *)page;
	header->version = 1;
	header->last_page = size / page_size - 1;
	memcpy(page + page_size - 10, "SWAPSPACE2", 10);
	written = pwrite(fd, page, page_size, 0) == (ssize_t)page_size &&
		  !fsync(fd);
	close(fd);
	return written && !swapon(SWAP_DEVICE, 0);
}

static inline void remove_swap(void)
{
	char *page = calloc(1, sysconf(_SC_PAGESIZE));
	int fd;

	swapoff(SWAP_DEVICE);
	/* Clear the header: the disk was empty */
	fd = open(SWAP_DEVICE, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd >= 0 && page && pwrite(fd, page, sysconf(_SC_PAGESIZE), 0) < 0)
		perror(SWAP_DEVICE);
	close(fd);
}

/* Returns NULL, or why there is no such memory */
static inline const char *map_area(struct memory *memory, struct area *area)
{
	const int rw = PROT_READ | PROT_WRITE;
	size_t size = area->size;
	char path[32];
	int fd;

	switch (area->kind) {
	case PRIVATE_ANONYMOUS:
	case FORKED:
		if (!map_both(area, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1))
			return "mmap() failed";
		return NULL;

	case SHARED_ANONYMOUS:
	case READ_ONLY:
	case NO_ACCESS:
		if (!map_both(area, rw, MAP_SHARED | MAP_ANONYMOUS, -1))
			return "mmap() failed";
		return NULL;

	case TMPFS_FILE:
		area->fd = open_tmpfs(FILE_SIZE);
		if (area->fd < 0)
			return "no tmpfs is mounted";
		if (!map_both(area, rw, MAP_SHARED, area->fd))
			return "mmap() failed";
		return NULL;

	case MEMFD:
	case DISCARDED:
	case PRIVATE_FILE_WRITTEN:
		area->fd = open_memfd(FILE_SIZE);
		if (area->fd < 0)
			return "the kernel has no memfd_create()";
		if (!map_both(area, rw, area->kind == PRIVATE_FILE_WRITTEN ?
			      MAP_PRIVATE : MAP_SHARED, area->fd))
			return "mmap() failed";
		return NULL;

	case PRIVATE_FILE:
	case FRESH_MAPPING:
		area->fd = open_memfd(FILE_SIZE);
		if (area->fd < 0)
			return "the kernel has no memfd_create()";
		if (!map_both(area, rw, area->kind == PRIVATE_FILE ?
			      MAP_PRIVATE : MAP_SHARED, area->fd) ||
		    !map_mirror(area))
			return "mmap() failed";
		if (area->kind == FRESH_MAPPING)
			area->words_waited = area->words_filled;
		return NULL;

	case HUGETLB_SHARED:
	case HUGETLB_PRIVATE:
		if (!memory->huge_page)
			return "the kernel has no hugetlb pages";
		if (!map_both(area, rw, MAP_ANONYMOUS | MAP_HUGETLB |
			      (area->kind == HUGETLB_PRIVATE ? MAP_PRIVATE :
							       MAP_SHARED), -1))
			return "too few hugetlb pages, and not root";
		/* A copy in the child of FORKED would take more of them */
		madvise(area->entries, size, MADV_DONTFORK);
		madvise(area->words, size, MADV_DONTFORK);
		return NULL;

	case SWAPPED_PRIVATE:
	case SWAPPED_SHARED:
		if (!has_swap())
			return "no swap, and no empty " SWAP_DEVICE;
		if (!map_both(area, rw, MAP_ANONYMOUS |
			      (area->kind == SWAPPED_PRIVATE ? MAP_PRIVATE :
							       MAP_SHARED), -1))
			return "mmap() failed";
		return NULL;

	case UFFD_PRESENT:
	case UFFD_MISSING:
		if (!map_both(area, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1))
			return "mmap() failed";
		fd = watch_range(area->words, size, false);
		if (fd < 0)
			return "no userfaultfd, or not root";
		/* Pages that are present are registered later: see area_prepare() */
		if (area->kind == UFFD_PRESENT)
			close(fd);
		else
			area->fd = fd;
		return NULL;

	case READ_ONLY_FILE:
		area->fd = open_memfd(FILE_SIZE);
		if (area->fd < 0)
			return "the kernel has no memfd_create()";
		snprintf(path, sizeof(path), "/proc/self/fd/%d", area->fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return "no /proc";
		if (!map_both(area, PROT_READ, MAP_SHARED, fd) ||
		    !map_mirror(area))
			return "mmap() failed";
		close(fd);
		area->words_waited = area->words_filled;
		return NULL;

	case TRUNCATED:
		area->fd = open_memfd(FILE_SIZE);
		if (area->fd < 0)
			return "the kernel has no memfd_create()";
		if (!map_at(area->entries, size, rw,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0) ||
		    !find_colour(area, area->fd) ||
		    !map_at(area->words, size, rw, MAP_SHARED, area->fd,
			    words_offset(area)))
			return "mmap() failed";
		return NULL;

	case NR_KINDS:
		break;
	}
	return "no such kind";
}

static inline bool is_swapped(char *address, size_t size)
{
	size_t nr = size / sysconf(_SC_PAGESIZE), i;
	unsigned char resident[NR_PAGES];

	if (nr > NR_PAGES || mincore(address, size, resident))
		return false;
	for (i = 0; i < nr; i++)
		if (resident[i] & 1)
			return false;
	return true;
}

/*
 * A page cannot be swapped out while it is in the batch of pages that a CPU has
 * yet to add to the LRU lists. MADV_PAGEOUT adds the batch of its CPU first.
 */
static inline bool swap_out_on_each_cpu(char *address, size_t size)
{
	cpu_set_t all, one;
	bool done = true;
	int cpu;

	if (sched_getaffinity(0, sizeof(all), &all))
		return false;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		done = !sched_setaffinity(0, sizeof(one), &one) && done;
		done = !madvise(address, size, MADV_PAGEOUT) && done;
	}
	return !sched_setaffinity(0, sizeof(all), &all) && done;
}

static inline bool swap_out(char *address, size_t size)
{
	return happens(swap_out_on_each_cpu(address, size) &&
		       is_swapped(address, size));
}

/*
 * Bring the memory into its state once the locks are in it. The copy of FORKED
 * memory is made by the test.
 */
static inline bool area_prepare(struct area *area)
{
	switch (area->kind) {
	case DISCARDED:
		return !madvise(area->entries, area->size, MADV_DONTNEED) &&
		       !madvise(area->words, area->size, MADV_DONTNEED);
	case SWAPPED_PRIVATE:
	case SWAPPED_SHARED:
		return swap_out(area->entries, area->size) &&
		       swap_out(area->words, area->size);
	case UFFD_PRESENT:
		area->fd = watch_range(area->words, area->size, false);
		return area->fd >= 0;
	case READ_ONLY:
		return !mprotect(area->words, area->size, PROT_READ);
	case NO_ACCESS:
		return !mprotect(area->words, area->size, PROT_NONE);
	case TRUNCATED:
		return !ftruncate(area->fd, 0);
	default:
		return true;
	}
}

/* In a process that is going to die: see enum loss */
static inline bool area_lose(struct area *area)
{
	pid_t child;

	switch (kinds[area->kind].loss) {
	case NO_LOSS:
		return true;
	case DISCARD:
		/* Not possible with huge pages on all kernels */
		return !madvise(area->words, area->size, MADV_DONTNEED) ||
		       area->kind == HUGETLB_SHARED;
	case REMAP:
		return map_at(area->words, area->size, PROT_READ | PROT_WRITE,
			      MAP_SHARED, area->fd, words_offset(area));
	case FORK_AND_END:
		/* See HUGETLB_PRIVATE: this child takes no page */
		madvise(area->words, area->size, MADV_DOFORK);
		child = fork();
		if (!child)
			_exit(0);
		return child > 0 && waitpid(child, NULL, 0) == child;
	}
	return false;
}

/* Reserve the areas; false if there is no room for them */
static inline bool memory_init(struct memory *memory)
{
	size_t page_size = sysconf(_SC_PAGESIZE), small = NR_PAGES * page_size;
	long kilobytes = read_number(MEMINFO, "Hugepagesize:");
	size_t span = small, align;
	char *entries, *words;
	int i;

	memset(memory, 0, sizeof(*memory));
	memory->hugepages = -1;
	/* Huge pages may be too large for a test */
	if (kilobytes > 0 && kilobytes <= 8192 &&
	    (size_t)kilobytes * 1024 >= small) {
		memory->huge_page = kilobytes * 1024;
		span = memory->huge_page;
	}

	entries = mmap(NULL, (2 * NR_KINDS + 1) * span, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (entries == MAP_FAILED)
		return false;
	align = (uintptr_t)entries % span;
	entries += align ? span - align : 0;
	words = entries + NR_KINDS * span;

	for (i = 0; i < NR_KINDS; i++) {
		struct area *area = &memory->areas[i];

		area->kind = i;
		area->entries = entries + i * span;
		area->words = words + i * span;
		area->size = i == HUGETLB_SHARED || i == HUGETLB_PRIVATE ?
			     span : small;
		area->entries_filled = area->entries;
		area->words_filled = area->words;
		area->words_waited = area->words;
		area->fd = -1;
		area->missing = "not added";
	}
	return true;
}

/* Make the memory of this kind; returns NULL, or why that is not possible */
static inline const char *memory_add(struct memory *memory, enum kind kind)
{
	struct area *area = &memory->areas[kind];

	if (kind == HUGETLB_SHARED || kind == HUGETLB_PRIVATE) {
		if (memory->hugepages < 0)
			add_hugepages(memory);
	} else if (kind == SWAPPED_PRIVATE || kind == SWAPPED_SHARED) {
		if (!has_swap())
			memory->swap_added = add_swap();
	}
	area->missing = map_area(memory, area);
	return area->missing;
}

/* Undo the changes to the huge pages and the swap of the system */
static inline void memory_restore(struct memory *memory)
{
	if (memory->hugepages >= 0)
		write_number(NR_HUGEPAGES, memory->hugepages);
	if (memory->swap_added)
		remove_swap();
}

static inline void memory_remove(struct memory *memory)
{
	int i;

	for (i = 0; i < NR_KINDS; i++) {
		struct area *area = &memory->areas[i];

		if (area->copy > 0) {
			kill(area->copy, SIGKILL);
			waitpid(area->copy, NULL, 0);
		}
		if (area->fd >= 0)
			close(area->fd);
		munmap(area->entries, area->size);
		munmap(area->words, area->size);
	}
	memory_restore(memory);
}

#endif /* _ROBUST_MEMORY_H */
