// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The memory that locks live in. A lock that the dying thread could write is
 * marked in whatever memory it lies, be it there or still to be fetched; one
 * that the thread could not write stays as it is, and costs no other.
 *
 * The dying thread is one of the test itself: what becomes of private memory
 * can be seen from within alone.
 *
 * Entries and words lie apart, at one distance throughout. So a lock with a
 * word out of reach can have an entry that leads on to the next one. For each
 * kind of memory there is an area of entries and an area of words.
 */
#include <sched.h>
#include <fcntl.h>
#include <poll.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/vfs.h>

#include "robust.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define NR_WAITERS	3

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
	/* The last one that can be written: it is made after all others */
	FORKED,
	READ_ONLY,
	READ_ONLY_FILE,
	NO_ACCESS,
	TRUNCATED,
	UFFD_MISSING,
	NR_KINDS,
};

static const char * const kind_names[NR_KINDS] = {
	[SHARED_ANONYMOUS] = "shared anonymous",
	[PRIVATE_ANONYMOUS] = "private anonymous",
	[TMPFS_FILE] = "tmpfs file",
	[MEMFD] = "memfd",
	[PRIVATE_FILE] = "private file",
	[PRIVATE_FILE_WRITTEN] = "private file, written",
	[FRESH_MAPPING] = "fresh mapping",
	[DISCARDED] = "discarded",
	[HUGETLB_SHARED] = "hugetlb, shared",
	[HUGETLB_PRIVATE] = "hugetlb, private",
	[SWAPPED_PRIVATE] = "swapped, private",
	[SWAPPED_SHARED] = "swapped, shared",
	[UFFD_PRESENT] = "userfaultfd, present",
	[FORKED] = "forked",
	[READ_ONLY] = "read-only",
	[READ_ONLY_FILE] = "read-only file",
	[NO_ACCESS] = "no access",
	[TRUNCATED] = "truncated",
	[UFFD_MISSING] = "userfaultfd, missing",
};

#define note(format, ...)	fprintf(stderr, "# " format "\n", ##__VA_ARGS__)

static bool writable(enum kind kind)
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
	/* Whether there was no swap, and how many huge pages, -1 if enough */
	bool swap_added;
	long hugepages;
};

/* A lock: the k-th one of an area */
struct lock {
	struct area *area;
	unsigned int k;
};

/*
 * Where the locks of an area are: first one at the start of each page, then
 * one at the end of each, then one in the middle, then everywhere.
 */
static size_t place(struct area *area, unsigned int k)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	size_t slots = page_size / sizeof(struct robust_list);
	size_t page = k % NR_PAGES, slot = k / NR_PAGES;

	/* Of a huge page, the first and the last page are among them */
	page = page * (area->size / page_size - 1) / (NR_PAGES - 1);
	if (slot == 1)
		slot = slots - 1;
	else if (slot == 2)
		slot = slots / 2;
	else if (slot > 2)
		slot -= slot - 2 < slots / 2 ? 2 : 1;
	return page * page_size + slot * sizeof(struct robust_list);
}

/* The last word of a page ends where the page does */
#define WORD_IN_SLOT	(sizeof(struct robust_list) - sizeof(futex_t))

static futex_t *word_at(char *words, struct lock lock)
{
	return (futex_t *)(words + place(lock.area, lock.k) + WORD_IN_SLOT);
}

static struct robust_list *entry_at(char *entries, struct lock lock)
{
	return (void *)(entries + place(lock.area, lock.k));
}

/* Every other lock has waiters, or so it says */
static __u32 waiters_bit(unsigned int k)
{
	return k % 2 ? FUTEX_WAITERS : 0;
}

static bool map_at(char *at, size_t size, int prot, int flags, int fd,
		   off_t offset)
{
	return mmap(at, size, prot, flags | MAP_FIXED, fd, offset) == at;
}

/*
 * On some architectures one page may be at several addresses only if these are
 * the same modulo a number of megabytes, for the cache's sake. There a file can
 * be mapped at a fixed address only if that and the place in the file differ by
 * a number, modulo that one, which is the file's and not known: it follows from
 * the address that the kernel chooses. The areas have places that fit.
 */
#define COLOURS		(16 * 1024 * 1024)
#define FILE_SIZE	(4 * COLOURS)

static bool find_colour(struct area *area, int fd)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);

	area->colour = (uintptr_t)page;
	return page != MAP_FAILED && !munmap(page, page_size);
}

static off_t entries_offset(struct area *area)
{
	return ((uintptr_t)area->entries - area->colour) % COLOURS;
}

static off_t words_offset(struct area *area)
{
	return 2 * COLOURS + ((uintptr_t)area->words - area->colour) % COLOURS;
}

static bool map_both(struct area *area, int prot, int flags, int fd)
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

/* The file of both areas, mapped elsewhere, to be written without a trace */
static bool map_mirror(struct area *area)
{
	const int rw = PROT_READ | PROT_WRITE;

	area->entries_filled = mmap(NULL, area->size, rw, MAP_SHARED, area->fd,
				    entries_offset(area));
	area->words_filled = mmap(NULL, area->size, rw, MAP_SHARED, area->fd,
				  words_offset(area));
	return area->entries_filled != MAP_FAILED &&
	       area->words_filled != MAP_FAILED;
}

static int open_memfd(size_t size)
{
	int fd = memfd_create("robust", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_tmpfs(size_t size)
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

/* A userfaultfd for missing pages in the area of words */
static int open_uffd(struct area *area)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = {
			.start = (uintptr_t)area->words,
			.len = area->size,
		},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The number in a file that says "Name: number"; -1 if it is not there */
static long read_number(const char *path, const char *name)
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

static bool write_number(const char *path, long number)
{
	FILE *file = fopen(path, "w");
	bool written = file && fprintf(file, "%ld\n", number) > 0;

	return file && !fclose(file) && written;
}

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define MEMINFO		"/proc/meminfo"

/* Two kinds of memory are made of huge pages, and have two areas each */
static void add_hugepages(struct memory *memory)
{
	long lacking = 4 - read_number(MEMINFO, "HugePages_Free:");
	long now = read_number(NR_HUGEPAGES, "");

	if (lacking > 0 && now >= 0 &&
	    write_number(NR_HUGEPAGES, now + lacking))
		memory->hugepages = now;
}

static bool has_swap(void)
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
 * Swap to a RAM disk, for the time of the test, if the system has no swap.
 * A RAM disk that is in use, or has anything in it, is left alone.
 */
static bool add_swap(void)
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

static void remove_swap(void)
{
	char *page = calloc(1, sysconf(_SC_PAGESIZE));
	int fd;

	swapoff(SWAP_DEVICE);
	/* As it was found */
	fd = open(SWAP_DEVICE, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd >= 0 && page && pwrite(fd, page, sysconf(_SC_PAGESIZE), 0) < 0)
		perror(SWAP_DEVICE);
	close(fd);
}

/* Returns NULL, or why there is no such memory */
static const char *map_area(struct memory *memory, struct area *area)
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
		fd = open_uffd(area);
		if (fd < 0)
			return "no userfaultfd, or not root";
		/* Its pages are there before it is registered */
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

static bool is_swapped(char *address, size_t size)
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
 * A page cannot be swapped as long as it is among those that a CPU has yet to put
 * on the list of used pages. Each does that when it swaps.
 */
static bool swap_out_on_each_cpu(char *address, size_t size)
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

static bool swap_out(char *address, size_t size)
{
	return happens(swap_out_on_each_cpu(address, size) &&
		       is_swapped(address, size));
}

/* Keep a copy in another process, and say at the end whether it has changed */
static bool fork_copy(struct area *area, __u32 tid)
{
	unsigned int k;

	area->copy_done = shared_memory(sizeof(*area->copy_done));
	if (!area->copy_done)
		return false;
	area->copy = fork();
	if (area->copy)
		return area->copy > 0;

	prepare_child();
	while (!*area->copy_done)
		wait_on(area->copy_done, 0);
	for (k = 0; k < area->nr; k++)
		if (*word_at(area->words, (struct lock){ area, k }) !=
		    (tid | waiters_bit(k)))
			_exit(KSFT_FAIL);
	_exit(0);
}

/* What happens to the memory once the locks are in it */
static bool prepare_for_death(struct area *area, __u32 tid)
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
		area->fd = open_uffd(area);
		return area->fd >= 0;
	case FORKED:
		return fork_copy(area, tid);
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

/*
 * After the death. Returns whether nothing has changed that is none of the
 * dying thread's business, and makes the words readable again.
 */
static bool look_after_death(struct area *area, __u32 tid)
{
	struct pollfd event = { .fd = area->fd, .events = POLLIN };
	struct stat stat;
	int status = -1;
	unsigned int k;

	switch (area->kind) {
	case PRIVATE_FILE:
		/* The file is not the thread's, its copy of a page is */
		for (k = 0; k < area->nr; k++)
			if (*word_at(area->words_filled,
				     (struct lock){ area, k }) !=
			    (tid | waiters_bit(k)))
				return false;
		return true;
	case FORKED:
		*area->copy_done = 1;
		futex_wake(area->copy_done, 1, 0);
		if (!happens(waitpid(area->copy, &status, WNOHANG) ==
			     area->copy))
			return false;
		area->copy = 0;
		return !status;
	case READ_ONLY:
	case NO_ACCESS:
		return !mprotect(area->words, area->size,
				 PROT_READ | PROT_WRITE);
	case TRUNCATED:
		/* What was cut off does not come back by itself */
		return !fstat(area->fd, &stat) && !stat.st_size &&
		       !ftruncate(area->fd, FILE_SIZE);
	case UFFD_MISSING:
		/* The dead thread has not waited for an answer to a fault */
		if (poll(&event, 1, 0) > 0)
			return false;
		close(area->fd);
		area->fd = -1;
		return true;
	default:
		return true;
	}
}

/* What a word must hold after the death */
static __u32 word_expected(struct lock lock, __u32 tid)
{
	switch (lock.area->kind) {
	case TRUNCATED:
	case UFFD_MISSING:
		/* Nothing ever was there, or is any more */
		return 0;
	case READ_ONLY:
	case READ_ONLY_FILE:
	case NO_ACCESS:
		return tid | waiters_bit(lock.k);
	default:
		return MARKED | waiters_bit(lock.k);
	}
}

/* Returns false if there is not even room for it */
static bool memory_init(struct memory *memory)
{
	size_t page_size = sysconf(_SC_PAGESIZE), small = NR_PAGES * page_size;
	long kilobytes = read_number(MEMINFO, "Hugepagesize:");
	size_t span = small, align;
	char *entries, *words;
	int i;

	memset(memory, 0, sizeof(*memory));
	/* They may be too large for a test */
	memory->hugepages = -1;
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
		area->missing = "not wanted";
	}
	return true;
}

/* Make the memory of this kind; returns NULL, or why that is not possible */
static const char *memory_add(struct memory *memory, enum kind kind)
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

static void memory_remove(struct memory *memory)
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
	if (memory->hugepages >= 0)
		write_number(NR_HUGEPAGES, memory->hugepages);
	if (memory->swap_added)
		remove_swap();
}

/* Make a list of @nr locks, in their order, all of them held */
static void make_list(struct memory *memory, struct victim *victim,
		      struct lock *locks, size_t nr)
{
	struct robust_list_head *head = &victim->head;
	struct robust_list *next;
	struct area *area;
	size_t i;

	head->futex_offset = memory->areas[0].words - memory->areas[0].entries +
			     WORD_IN_SLOT;
	head->list.next = entry_at(locks[0].area->entries, locks[0]);
	for (i = 0; i < nr; i++) {
		area = locks[i].area;
		next = &head->list;
		if (i + 1 < nr)
			next = entry_at(locks[i + 1].area->entries, locks[i + 1]);
		entry_at(area->entries_filled, locks[i])->next = next;
		if (area->kind != UFFD_MISSING)
			*word_at(area->words_filled, locks[i]) =
				victim->tid | waiters_bit(locks[i].k);
		if (locks[i].k >= area->nr)
			area->nr = locks[i].k + 1;
	}
}

static bool memory_prepare_for_death(struct memory *memory, __u32 tid)
{
	int i;

	for (i = 0; i < NR_KINDS; i++) {
		/* Pages that a process shares with its copy are not swapped */
		if (i == FORKED)
			continue;
		if (!memory->areas[i].missing &&
		    !prepare_for_death(&memory->areas[i], tid)) {
			note("%s: cannot be prepared", kind_names[i]);
			return false;
		}
	}
	return memory->areas[FORKED].missing ||
	       prepare_for_death(&memory->areas[FORKED], tid);
}

/* How many things are not as they should be; says which kinds they are in */
static size_t count_wrong(struct memory *memory, struct lock *locks, size_t nr,
			  __u32 tid)
{
	size_t wrong[NR_KINDS] = {}, all = 0, i;
	struct area *area;

	for (i = 0; i < NR_KINDS; i++) {
		area = &memory->areas[i];
		if (!area->missing && !look_after_death(area, tid)) {
			note("%s: changed where it must not", kind_names[i]);
			all++;
		}
	}
	for (i = 0; i < nr; i++) {
		area = locks[i].area;
		wrong[area->kind] += *word_at(area->words, locks[i]) !=
				     word_expected(locks[i], tid);
	}
	for (i = 0; i < NR_KINDS; i++) {
		all += wrong[i];
		if (wrong[i])
			note("%s: %zu of %zu words are wrong", kind_names[i],
			     wrong[i], memory->areas[i].nr);
	}
	return all;
}

static void *hold_and_exit_thread(void *arg)
{
	victim_hold(arg);
	syscall(SYS_exit, 0);
	return NULL;
}

static bool start_thread(struct victim *victim)
{
	pthread_t thread;

	init_head(&victim->head);
	victim->registered = &victim->head;
	return !pthread_create(&thread, NULL, hold_and_exit_thread, victim) &&
	       happens(victim->tid);
}

static bool end_thread(struct victim *victim)
{
	victim->go = 1;
	futex_wake(&victim->go, 1, 0);
	return happens(!victim->alive);
}

/* Locks of one kind of memory, and good neighbours before and behind each */
#define NR_OF_KIND	(3 * NR_PAGES)
#define NR_LOCKS	(2 * NR_OF_KIND + 1)

FIXTURE(kind)
{
	struct memory memory;
	struct victim victim;
	struct lock locks[NR_LOCKS];
};

FIXTURE_VARIANT(kind)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(kind, private_anonymous) {
	.kind = PRIVATE_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(kind, shared_anonymous) {
	.kind = SHARED_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(kind, tmpfs_file) {
	.kind = TMPFS_FILE,
};

FIXTURE_VARIANT_ADD(kind, memfd) {
	.kind = MEMFD,
};

/* The words are in the file: the kernel has to make the thread's own copy */
FIXTURE_VARIANT_ADD(kind, private_file) {
	.kind = PRIVATE_FILE,
};

/* The words are in that copy already */
FIXTURE_VARIANT_ADD(kind, private_file_written) {
	.kind = PRIVATE_FILE_WRITTEN,
};

/* A file that was written through another mapping, and never through this */
FIXTURE_VARIANT_ADD(kind, not_faulted_in) {
	.kind = FRESH_MAPPING,
};

/* MADV_DONTNEED took the pages from the thread, and the file still has them */
FIXTURE_VARIANT_ADD(kind, discarded) {
	.kind = DISCARDED,
};

FIXTURE_VARIANT_ADD(kind, hugetlb_shared) {
	.kind = HUGETLB_SHARED,
};

FIXTURE_VARIANT_ADD(kind, hugetlb_private) {
	.kind = HUGETLB_PRIVATE,
};

FIXTURE_VARIANT_ADD(kind, swapped_private) {
	.kind = SWAPPED_PRIVATE,
};

FIXTURE_VARIANT_ADD(kind, swapped_shared) {
	.kind = SWAPPED_SHARED,
};

/* A userfaultfd is registered for missing pages, and none is missing */
FIXTURE_VARIANT_ADD(kind, userfaultfd_present) {
	.kind = UFFD_PRESENT,
};

/* Each page is shared with a child process until one of them writes it */
FIXTURE_VARIANT_ADD(kind, cow_after_fork) {
	.kind = FORKED,
};

FIXTURE_VARIANT_ADD(kind, read_only) {
	.kind = READ_ONLY,
};

FIXTURE_VARIANT_ADD(kind, read_only_file) {
	.kind = READ_ONLY_FILE,
};

FIXTURE_VARIANT_ADD(kind, no_access) {
	.kind = NO_ACCESS,
};

FIXTURE_VARIANT_ADD(kind, truncated_file) {
	.kind = TRUNCATED,
};

/*
 * The kernel asks no userfaultfd for the pages of a thread that exits, so they
 * are out of reach. For a thread that execs it does ask: see robust_walk.
 */
FIXTURE_VARIANT_ADD(kind, userfaultfd_missing) {
	.kind = UFFD_MISSING,
};

FIXTURE_SETUP(kind)
{
	struct memory *memory = &self->memory;
	const char *missing;
	int i;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(memory_init(memory));
	ASSERT_TRUE(!memory_add(memory, SHARED_ANONYMOUS));
	if (variant->kind != SHARED_ANONYMOUS) {
		missing = memory_add(memory, variant->kind);
		if (missing) {
			memory_remove(memory);
			SKIP(_exit(255), "%s", missing);
		}
	}

	/* Every second lock is a neighbour */
	for (i = 0; i < NR_LOCKS; i++) {
		self->locks[i].area = &memory->areas[i % 2 ? variant->kind : 0];
		self->locks[i].k = i / 2;
		/* Two locks cannot be the same */
		if (variant->kind == SHARED_ANONYMOUS)
			self->locks[i].k = i;
	}
	EXPECT_TRUE(start_thread(&self->victim));
	make_list(memory, &self->victim, self->locks, NR_LOCKS);
}

FIXTURE_TEARDOWN(kind)
{
	end_thread(&self->victim);
	memory_remove(&self->memory);
}

/*
 * Each lock is marked, with FUTEX_WAITERS kept, that the thread could have
 * written itself: at the start of a page, at its end and in the middle. All
 * others stay as they are, and so does what is not the thread's: the file
 * behind a private mapping, and another process's copy. And whatever becomes of
 * them, their valid neighbours in the list are marked.
 */
TEST_F(kind, writable_marked)
{
	__u32 tid = self->victim.tid;

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(0U, count_wrong(&self->memory, self->locks, NR_LOCKS, tid));
}

/*
 * One waiter is woken of a lock that is marked, and none of one that is not.
 * Here it is the last of its kind, and the neighbour behind it shows that the
 * waking goes on. A word in a page that is missing can have no waiter.
 */
TEST_F(kind, waiter_woken)
{
	struct lock lock = self->locks[NR_LOCKS - 2];
	struct lock neighbour = self->locks[NR_LOCKS - 1];
	struct waiters waiters = {}, neighbours = {};
	futex_t *word;

	if (variant->kind != UFFD_MISSING) {
		word = word_at(lock.area->words_filled, lock);
		*word = self->victim.tid | FUTEX_WAITERS;
		ASSERT_TRUE(start_waiters(&waiters,
					  word_at(lock.area->words_waited, lock),
					  NR_WAITERS));
	}
	word = word_at(neighbour.area->words, neighbour);
	*word = self->victim.tid | FUTEX_WAITERS;
	ASSERT_TRUE(start_waiters(&neighbours, word, NR_WAITERS));

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, self->victim.tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(1, woken(&neighbours));
	EXPECT_EQ(MARKED_WITH_WAITERS, neighbours.seen);

	EXPECT_EQ(0U, count_wrong(&self->memory, NULL, 0, self->victim.tid));
	if (variant->kind != UFFD_MISSING)
		EXPECT_EQ(writable(variant->kind), woken(&waiters));
	if (writable(variant->kind))
		EXPECT_EQ(MARKED_WITH_WAITERS, waiters.seen);
}

/*
 * Words whose waiters the kernel looks up by their page, as the mapping is not of a
 * regular file. The locks lie in the ring buffer of an AIO context, where no event
 * has been written.
 */
#define RING_WORDS	2048
#define NR_RING_LOCKS	64

FIXTURE(page_has_key)
{
	struct robust_list entries[NR_RING_LOCKS];
	struct victim victim;
	/* The context is its address */
	unsigned long ring;
	char *words;
};

FIXTURE_VARIANT(page_has_key)
{
	int nr;
	bool pending;
};

FIXTURE_VARIANT_ADD(page_has_key, one_lock) {
	.nr = 1,
};

FIXTURE_VARIANT_ADD(page_has_key, few_locks) {
	.nr = 3,
};

FIXTURE_VARIANT_ADD(page_has_key, many_locks) {
	.nr = NR_RING_LOCKS,
};

FIXTURE_VARIANT_ADD(page_has_key, pending) {
	.nr = 1,
	.pending = true,
};

FIXTURE_SETUP(page_has_key)
{
	REQUIRE_ROBUST_LIST();

	self->ring = 0;
	if (syscall(SYS_io_setup, 1, &self->ring))
		SKIP_TEST("the kernel has no AIO, or no context is left");
	self->words = (char *)self->ring + RING_WORDS;
	ASSERT_TRUE(start_thread(&self->victim));
}

FIXTURE_TEARDOWN(page_has_key)
{
	end_thread(&self->victim);
	syscall(SYS_io_destroy, self->ring);
}

TEST_F(page_has_key, waiter_woken)
{
	struct robust_list_head *head = &self->victim.head;
	struct waiters waiters = {};
	futex_t *word = NULL;
	int i;

	for (i = 0; i < variant->nr; i++) {
		word = (futex_t *)(self->words + i * sizeof(self->entries[0]));
		*word = self->victim.tid | FUTEX_WAITERS;
		self->entries[i].next = &self->entries[i + 1];
	}
	self->entries[i - 1].next = &head->list;
	head->futex_offset = self->words - (char *)self->entries;
	if (variant->pending)
		head->list_op_pending = &self->entries[0];
	else
		head->list.next = &self->entries[0];

	ASSERT_TRUE(start_waiters(&waiters, word, NR_WAITERS));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(MARKED_WITH_WAITERS, waiters.seen);
}

/*
 * The page of a private mapping can be the file's, or the thread's own. A pending
 * word that holds no TID may mean that a wakeup is missing, and the word need not be
 * writable for that.
 */
TEST(pending_in_private_read_only_file)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	struct robust_list entry = {};
	struct victim victim = {};
	struct waiters waiters = {};
	futex_t *word, *file;
	int fd;

	REQUIRE_ROBUST_LIST();

	fd = open_memfd(page_size);
	if (fd < 0)
		SKIP(return, "the kernel has no memfd_create()");
	file = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	word = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, word);

	ASSERT_TRUE(start_thread(&victim));
	victim.head.futex_offset = (char *)word - (char *)&entry;
	victim.head.list_op_pending = &entry;
	ASSERT_TRUE(start_waiters(&waiters, file, NR_WAITERS));
	ASSERT_TRUE(end_thread(&victim));
	EXPECT_EQ(1, woken(&waiters));
	EXPECT_EQ(0U, waiters.seen);

	munmap(word, page_size);
	munmap(file, page_size);
	close(fd);
}

/* All kinds at once */
FIXTURE(all)
{
	struct memory memory;
	struct victim victim;
	struct lock *locks;
};

#define NR_ALL		100000
/* Of each kind of memory that cannot be written; the walk bears 2048 in all */
#define NR_BAD_EACH	300

FIXTURE_SETUP(all)
{
	struct memory *memory = &self->memory;
	size_t nr_good = 0, nr_bad = 0, i, good_seen = 0, bad_seen = 0;
	struct area *good[NR_KINDS], *bad[NR_KINDS], *area;
	size_t every;

	REQUIRE_ROBUST_LIST();

	ASSERT_TRUE(memory_init(memory));
	for (i = 0; i < NR_KINDS; i++) {
		area = &memory->areas[i];
		if (memory_add(memory, i)) {
			note("without %s: %s", kind_names[i], area->missing);
			continue;
		}
		if (writable(i))
			good[nr_good++] = area;
		else
			bad[nr_bad++] = area;
	}
	/* These need nothing of the system */
	ASSERT_LE(7U, nr_good);
	ASSERT_LE(3U, nr_bad);

	self->locks = calloc(NR_ALL, sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
	every = NR_ALL / (nr_bad * NR_BAD_EACH);
	for (i = 0; i < NR_ALL; i++) {
		struct lock *lock = &self->locks[i];

		if (i % every == every / 2 && bad_seen < nr_bad * NR_BAD_EACH) {
			lock->area = bad[bad_seen % nr_bad];
			lock->k = bad_seen++ / nr_bad;
		} else {
			lock->area = good[good_seen % nr_good];
			lock->k = good_seen++ / nr_good;
		}
	}
	ASSERT_EQ(nr_bad * NR_BAD_EACH, bad_seen);
	EXPECT_TRUE(start_thread(&self->victim));
	make_list(memory, &self->victim, self->locks, NR_ALL);
}

FIXTURE_TEARDOWN(all)
{
	end_thread(&self->victim);
	memory_remove(&self->memory);
}

/*
 * One list of 100,000 locks that goes from one kind of memory to the next with
 * every step: each one that can be written is marked, those that cannot be are
 * left, and none is skipped because of a bad neighbour.
 */
TEST_F_TIMEOUT(all, writable_marked, 120)
{
	__u32 tid = self->victim.tid;

	ASSERT_TRUE(memory_prepare_for_death(&self->memory, tid));
	ASSERT_TRUE(end_thread(&self->victim));
	EXPECT_EQ(0U, count_wrong(&self->memory, self->locks, NR_ALL, tid));
}

TEST_HARNESS_MAIN
