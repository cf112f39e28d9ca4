// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lists and words in pages that have to be waited for: the walk waits for them
 * within a bound. With a page that never comes, or a kill during the walk, the
 * locks in other pages are still marked, and their waiters woken.
 *
 * userfaultfd cannot delay a page for a task that exits: the fault fails at
 * once. So the pages are those of a file on a FUSE file system. Its server is a
 * process of the test, which delays each page as the test requests. The file
 * system is unmounted as soon as the file is open. It ends with the server: then
 * each wait for a page fails.
 *
 * A task in an exec waits for the pages of userfaultfd as well, in another kind
 * of sleep. There the server is a copy of the victim that has its descriptor.
 */
#include <fcntl.h>
#include <poll.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "robust_memory.h"

/*
 * Seconds that a walk takes with a page that never comes: a minute, and more on a
 * busy machine. The lower bound allows for the time that is measured late.
 */
#define WAIT_MIN	58
#define WAIT_MAX	75

/* A sleeper that is not woken returns after so many seconds */
#define SLEEP_LIMIT	120

#define MAX_PAGES	64
#define MAX_REQUESTS	1024

/* Distance of two locks in one page */
#define LOCK_STEP	64

/* Instead of a delay: not before the test changes it; not a page of the file */
#define NEVER		-1
#define AT_HAND		-2

enum death {
	/* A process, by SIGKILL from outside, or by itself */
	KILLED,
	EXIT_GROUP,
	/* A thread of a process that lives on, or is killed during the walk */
	THREAD_EXIT,
	THREAD_EXIT_KILLED,
	/* A process that execs, and lives on unless it is killed meanwhile */
	EXEC,
};

struct compat;

struct late {
	struct victim *victim;
	enum death death;
	/* A process execs by another thread than its leader */
	bool by_thread;
	size_t page_size;
	int nr_pages;
	int locks_per_page;
	/* The file, where it is mapped, and what the server answers */
	int fd;
	char *pages;
	char *content;
	/* Where entries and words are: one of them is the file */
	char *entries;
	char *words;
	/* The file is in memory, and the victim has it watched by userfaultfd */
	bool watched;
	int uffd;
	/* A 32-bit list, which the victim registers besides */
	struct compat *compat;
	/* The victim has the file open when it dies, and its flush is answered late */
	bool keep_file;
	__u64 flush;
	long long flush_answered;
	int flush_interrupted;
	/* The server removes each page as soon as it is there */
	bool take_away;
	/* A thread that exits is sent task work after so many seconds */
	int notify_delay;
	/* From now on a file is opened for direct I/O */
	bool direct;
	/* While a thread waits for this page, its process holds the mmap lock */
	int mm_locked;
	/* The victim has only read the page of this lock */
	int read_before;
	/* Pages that the victim does not map before it dies, from here on */
	int untouched;
	pid_t server;
	/* Of each page: milliseconds until the answer, requests and answers so far */
	futex_t delay[MAX_PAGES];
	futex_t asked[MAX_PAGES];
	futex_t answered[MAX_PAGES];
	/* Tells the main thread of the victim to end the process */
	futex_t end_process;
};

/* The server */

struct request {
	__u64 unique;
	__u32 opcode;
	__u64 offset;
	__u32 size;
	long long since;
};

static void answer(int fd, __u64 unique, int error, const void *data,
		   size_t size)
{
	struct fuse_out_header header = {
		.len = sizeof(header) + size,
		.error = -error,
		.unique = unique,
	};
	struct iovec parts[] = {
		{ &header, sizeof(header) },
		{ (void *)data, size },
	};

	/* A request that was given up is not known any more */
	if (writev(fd, parts, size ? 2 : 1) < 0)
		return;
}

#define FILE_NAME	"late"
#define FILE_NODE	2

static struct fuse_attr attributes(struct late *late, __u64 node)
{
	struct fuse_attr attr = {
		.ino = node,
		.mode = S_IFDIR | 0700,
		.nlink = 1,
		.blksize = late->page_size,
	};

	if (node == FILE_NODE) {
		attr.mode = S_IFREG | 0600;
		attr.size = (__u64)late->nr_pages * late->page_size;
	}
	return attr;
}

/* No attribute and no name is asked for twice */
#define VALID_SECONDS	1000000

/* Delay of the reply to the flush of the file, when a victim ends */
#define FLUSH_DELAY	2000

/* Flushes of other tasks that have the file open are answered at once */
static bool is_flush_of_victim(struct late *late, struct fuse_in_header *in)
{
	return late->keep_file && in->opcode == FUSE_FLUSH &&
	       in->pid == late->victim->tid;
}

/* Anything that is answered at once */
static void handle(struct late *late, int fd, struct fuse_in_header *in)
{
	struct fuse_entry_out entry = { .nodeid = FILE_NODE };
	struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };
	struct fuse_attr_out attr = { .attr_valid = VALID_SECONDS };
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION };
	struct fuse_write_out written = {};
	struct fuse_interrupt_in *interrupt_in;
	struct fuse_init_in *init_in;
	struct fuse_write_in *write_in;

	switch (in->opcode) {
	case FUSE_INIT:
		init_in = (void *)(in + 1);
		init.minor = FUSE_KERNEL_MINOR_VERSION;
		if (init_in->minor < init.minor)
			init.minor = init_in->minor;
		/* Requests of one page, as read ahead: the fault only waits for it */
		init.max_readahead = late->page_size;
		init.flags = FUSE_ASYNC_READ;
		init.max_background = MAX_REQUESTS;
		init.congestion_threshold = MAX_REQUESTS;
		init.max_write = late->page_size;
		init.time_gran = 1;
		answer(fd, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		entry.attr = attributes(late, FILE_NODE);
		entry.entry_valid = VALID_SECONDS;
		entry.attr_valid = VALID_SECONDS;
		answer(fd, in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		attr.attr = attributes(late, in->nodeid);
		answer(fd, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		if (late->direct)
			open.open_flags |= FOPEN_DIRECT_IO;
		answer(fd, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_WRITE:
		write_in = (void *)(in + 1);
		memcpy(late->content + write_in->offset, write_in + 1,
		       write_in->size);
		written.size = write_in->size;
		answer(fd, in->unique, 0, &written, sizeof(written));
		break;
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
		answer(fd, in->unique, 0, NULL, 0);
		break;
	case FUSE_INTERRUPT:
		interrupt_in = (void *)(in + 1);
		if (late->flush && interrupt_in->unique == late->flush)
			late->flush_interrupted++;
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break;
	default:
		answer(fd, in->unique, ENOSYS, NULL, 0);
	}
}

static void answer_late(struct late *late, int fd, struct request *request)
{
	struct fuse_notify_inval_inode_out page = {
		.ino = FILE_NODE,
		.off = request->offset,
		.len = request->size,
	};

	if (request->opcode == FUSE_FLUSH) {
		late->flush_answered = milliseconds();
		answer(fd, request->unique, 0, NULL, 0);
		return;
	}
	late->answered[request->offset / late->page_size]++;
	answer(fd, request->unique, 0, late->content + request->offset,
	       request->size);
	/* A notification is an answer to nothing: its code is in the error */
	if (late->take_away)
		answer(fd, 0, -FUSE_NOTIFY_INVAL_INODE, &page, sizeof(page));
}

/* When it is to be answered: NEVER, until the test says so */
static long long due(struct late *late, struct request *request)
{
	int delay = FLUSH_DELAY;

	if (request->opcode == FUSE_READ)
		delay = late->delay[request->offset / late->page_size];
	return delay < 0 ? NEVER : request->since + delay;
}

/* Answer what is due; how long there is nothing to do, in milliseconds */
static int answer_due(struct late *late, int fd, struct request *requests,
		      int *nr)
{
	int i, pause = *nr ? 20 : 100;
	long long when;

	for (i = 0; i < *nr; i++) {
		when = due(late, &requests[i]);
		if (when < 0)
			continue;
		if (milliseconds() < when) {
			pause = 1;
			continue;
		}
		answer_late(late, fd, &requests[i]);
		requests[i--] = requests[--*nr];
	}
	return pause;
}

static void serve(struct late *late, int fd)
{
	size_t size = FUSE_MIN_READ_BUFFER + 2 * late->page_size;
	static struct request requests[MAX_REQUESTS];
	struct pollfd event = { .fd = fd, .events = POLLIN };
	struct fuse_in_header *in = malloc(size);
	struct fuse_read_in *read_in = (void *)(in + 1);
	int nr = 0;

	while (in) {
		poll(&event, 1, answer_due(late, fd, requests, &nr));
		if (read(fd, in, size) < 0) {
			/* ENODEV says that the file system is gone */
			if (errno != EAGAIN && errno != EINTR && errno != ENOENT)
				break;
			continue;
		}
		if (is_flush_of_victim(late, in)) {
			late->flush = in->unique;
		} else if (in->opcode == FUSE_READ) {
			late->asked[read_in->offset / late->page_size]++;
		} else {
			handle(late, fd, in);
			continue;
		}
		if (nr == MAX_REQUESTS) {
			answer(fd, in->unique, EIO, NULL, 0);
			continue;
		}
		requests[nr].unique = in->unique;
		requests[nr].opcode = in->opcode;
		requests[nr].offset = read_in->offset;
		requests[nr].size = read_in->size;
		requests[nr++].since = milliseconds();
	}
	_exit(0);
}

/* Make a directory to mount on, and to make a device node in */
static bool make_directory(char *path, size_t size)
{
	static const char * const places[] = { "/tmp", "/dev/shm", "/run", NULL };
	const char * const *place;

	for (place = places; *place; place++) {
		snprintf(path, size, "%s/robust.XXXXXX", *place);
		if (mkdtemp(path))
			return true;
	}
	return false;
}

static int open_fuse(const char *directory)
{
	int fd = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char path[64];

	if (fd >= 0 || errno != ENOENT)
		return fd;
	snprintf(path, sizeof(path), "%s/fuse", directory);
	if (mknod(path, S_IFCHR | 0600, makedev(10, 229)))
		return -1;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	unlink(path);
	return fd;
}

/* Returns NULL, or why there is no such file here */
static const char *open_file(struct late *late)
{
	char directory[32], path[64], options[64];
	const char *missing = NULL;
	int fd;

	if (!make_directory(directory, sizeof(directory)))
		return "needs a directory to mount on";
	fd = open_fuse(directory);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd < 0) {
		missing = "needs /dev/fuse";
	} else if (mount("robust", directory, "fuse", MS_NOSUID | MS_NODEV,
			 options)) {
		missing = "needs FUSE, and root";
	} else {
		late->server = fork();
		if (!late->server) {
			prepare_child();
			serve(late, fd);
		}
		/* Only the server keeps the connection open */
		close(fd);
		fd = -1;
		snprintf(path, sizeof(path), "%s/" FILE_NAME, directory);
		late->fd = open(path, O_RDWR | O_CLOEXEC);
		if (late->fd < 0)
			missing = "the file on FUSE cannot be opened";
		umount2(directory, MNT_DETACH);
	}
	if (fd >= 0)
		close(fd);
	rmdir(directory);
	return missing;
}

static size_t place(struct late *late, int i)
{
	return i / late->locks_per_page * late->page_size +
	       i % late->locks_per_page * LOCK_STEP;
}

static futex_t *late_word(struct late *late, int i)
{
	return (futex_t *)(late->words + place(late, i));
}

static struct robust_list *late_entry(struct late *late, int i)
{
	return (struct robust_list *)(late->entries + place(late, i));
}

/* In place of the file on FUSE; returns NULL, or why there is no such file */
static const char *make_watched_file(struct late *late)
{
	late->watched = true;
	late->fd = memfd_create("robust", MFD_CLOEXEC);
	if (late->fd < 0 || ftruncate(late->fd, late->nr_pages * late->page_size))
		return "needs memory";
	return NULL;
}

/* Where the test writes what the victim will find there */
static void *filled(struct late *late, void *at)
{
	size_t offset = (char *)at - late->pages;
	size_t size = late->nr_pages * late->page_size;

	if (offset >= size || late->delay[offset / late->page_size] == AT_HAND)
		return at;
	return late->content + offset;
}

/* Ordinary memory in place of a page of the file */
static bool put_at_hand(struct late *late, int page, int memfd)
{
	off_t offset = (off_t)page * late->page_size;
	char *at = late->pages + offset;

	late->delay[page] = AT_HAND;
	return mmap(at, late->page_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, memfd, offset) == at;
}

static struct late *late_alloc(enum death death, int nr_pages)
{
	struct late *late = shared_memory(sizeof(*late));

	if (!late)
		return NULL;
	late->death = death;
	late->page_size = sysconf(_SC_PAGESIZE);
	late->nr_pages = nr_pages;
	late->untouched = nr_pages;
	late->locks_per_page = 1;
	late->fd = -1;
	late->uffd = -1;
	late->content = shared_memory(nr_pages * late->page_size);
	late->victim = victim_alloc();
	if (!late->content || !late->victim)
		return NULL;
	return late;
}

/* Map the file, either for the words or for the entries */
static bool late_map(struct late *late, bool words)
{
	size_t size = late->nr_pages * late->page_size;
	char *others = shared_memory(size);

	late->pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   late->fd, 0);
	if (late->pages == MAP_FAILED || !others)
		return false;
	/* Many misses must not turn off the read ahead */
	madvise(late->pages, size, MADV_SEQUENTIAL);
	late->words = words ? late->pages : others;
	late->entries = words ? others : late->pages;
	return true;
}

static void bring(struct late *late, int page)
{
	size_t offset = page * late->page_size;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)late->pages + offset,
		.src = (uintptr_t)late->content + offset,
		.len = late->page_size,
	};

	late->answered[page]++;
	/* The victim may be gone */
	if (ioctl(late->uffd, UFFDIO_COPY, &copy))
		return;
}

/* The server for userfaultfd, as serve() is for FUSE */
static int bring_pages(void *arg)
{
	struct late *late = arg;
	struct pollfd event = { .fd = late->uffd, .events = POLLIN };
	long long since[MAX_PAGES] = {};
	struct uffd_msg message;
	int page, pause, delay;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;) {
		pause = 20;
		for (page = 0; page < late->nr_pages; page++) {
			delay = late->delay[page];
			if (!since[page] || delay < 0)
				continue;
			pause = 1;
			if (milliseconds() < since[page] + delay)
				continue;
			bring(late, page);
			since[page] = 0;
		}
		poll(&event, 1, pause);
		if (read(late->uffd, &message, sizeof(message)) != sizeof(message) ||
		    message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		page = (message.arg.pagefault.address - (uintptr_t)late->pages) /
		       late->page_size;
		late->asked[page]++;
		since[page] = milliseconds();
	}
	return 0;
}

/* The victim calls this. Its server alone keeps the descriptor. */
static void start_watching(struct late *late)
{
	late->uffd = watch_range(late->pages, late->nr_pages * late->page_size,
				 false);
	if (late->uffd < 0)
		_exit(KSFT_SKIP);
	late->server = start_task(bring_pages, late, 0);
	if (late->server < 0)
		_exit(KSFT_FAIL);
	close(late->uffd);
}

/*
 * A list of 32-bit words, all of it at low addresses. One lock is on it, in a
 * page that is mapped, and leads to one in a page that never comes; another is
 * pending.
 */
#define NR_COMPAT	2

#ifdef __x86_64__
struct compat {
	struct head_32 head;
	struct lock_32 locks[NR_COMPAT];
};

static void *low_memory(size_t size, int flags, int fd, off_t offset)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_32BIT | flags, fd, offset);

	return memory == MAP_FAILED ? NULL : memory;
}

static bool compat_prepare(struct late *late, int absent_page)
{
	struct compat *compat = low_memory(sizeof(*compat), MAP_ANONYMOUS, -1,
					   0);
	struct lock_32 *absent = low_memory(late->page_size, 0, late->fd,
					    absent_page * late->page_size);

	if (!compat || !absent)
		return false;
	compat->head.next = (uintptr_t)&compat->locks[0].next;
	compat->head.futex_offset = -(int)offsetof(struct lock_32, next);
	compat->head.list_op_pending = (uintptr_t)&compat->locks[1].next;
	compat->locks[0].next = (uintptr_t)&absent->next;
	late->compat = compat;
	return true;
}

static void compat_register(struct compat *compat)
{
	if (set_robust_list_32(&compat->head))
		_exit(KSFT_FAIL);
}

static futex_t *compat_word(struct compat *compat, int i)
{
	return &compat->locks[i].word;
}
#else
static bool compat_prepare(struct late *late, int absent_page)
{
	return false;
}

static void compat_register(struct compat *compat)
{
}

static futex_t *compat_word(struct compat *compat, int i)
{
	return NULL;
}
#endif

/*
 * Have io_uring notify this thread after @seconds. The end of the thread does
 * not cancel that, as the ring stays open.
 */
static bool request_notification(int seconds)
{
	static struct __kernel_timespec delay;
	struct io_uring_params params = {};
	struct io_uring_sqe *entry;
	size_t size;
	char *ring;
	int fd;

	fd = syscall(SYS_io_uring_setup, 1, &params);
	if (fd < 0)
		return false;
	size = params.sq_off.array + params.sq_entries * sizeof(__u32);
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    IORING_OFF_SQ_RING);
	entry = mmap(NULL, sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || (void *)entry == MAP_FAILED)
		return false;

	delay.tv_sec = seconds;
	entry->opcode = IORING_OP_TIMEOUT;
	entry->addr = (uintptr_t)&delay;
	entry->len = 1;
	*(__u32 *)(ring + params.sq_off.array) = 0;
	__atomic_store_n((__u32 *)(ring + params.sq_off.tail), 1,
			 __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) == 1;
}

static void *die(void *arg)
{
	struct late *late = arg;

	victim_hold(late->victim);
	if (late->notify_delay && !request_notification(late->notify_delay))
		_exit(KSFT_FAIL);
	switch (late->death) {
	case EXIT_GROUP:
		_exit(0);
	case THREAD_EXIT:
	case THREAD_EXIT_KILLED:
		syscall(SYS_exit, 0);
		break;
	case EXEC:
		exec_and_end();
		break;
	default:
		break;
	}
	_exit(KSFT_FAIL);
}

static bool needs_thread(struct late *late)
{
	return late->death == THREAD_EXIT ||
	       late->death == THREAD_EXIT_KILLED || late->by_thread;
}

static void touch(void *at)
{
	__atomic_fetch_or((char *)at, 0, __ATOMIC_RELAXED);
}

static int open_direct(struct late *late)
{
	char path[32];

	late->direct = true;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", late->fd);
	return open(path, O_RDONLY);
}

/*
 * Hold the mmap lock while a page of the file is being read: a mapping for direct
 * I/O first drops the pages of the file, so mmap() waits for this one.
 */
static void hold_mmap_lock(struct late *late, int fd, int page)
{
	mmap(NULL, late->page_size, PROT_READ, MAP_PRIVATE, fd,
	     page * late->page_size);
}

static void run_late(struct victim *victim)
{
	struct late *late = victim->data;
	pthread_t thread;
	size_t offset;
	int page, fd = -1;

	if (late->mm_locked) {
		fd = open_direct(late);
		if (fd < 0)
			_exit(KSFT_FAIL);
	}
	if (!late->keep_file)
		close(late->fd);
	for (page = 0; page < late->untouched; page++) {
		offset = page * late->page_size;
		if (late->entries != late->pages)
			touch(late->entries + offset);
		if (late->words != late->pages ||
		    late->delay[page] == AT_HAND)
			touch(late->words + offset);
	}
	/* Mapped, and not for writing */
	if (late->read_before)
		(void)*late_word(late, late->read_before);
	if (late->compat)
		compat_register(late->compat);
	if (late->watched)
		start_watching(late);
	if (!needs_thread(late))
		die(late);
	else if (pthread_create(&thread, NULL, die, late))
		_exit(KSFT_FAIL);
	if (late->mm_locked) {
		while (!late->asked[late->mm_locked])
			usleep(1000);
		hold_mmap_lock(late, fd, late->mm_locked);
	}
	end_process_when_told((void *)&late->end_process);
}

static struct robust_list_head *late_head(struct late *late)
{
	return filled(late, (void *)late->victim->registered);
}

/* Make the list of the first @nr locks, held by the victim */
static void late_list(struct late *late, int nr)
{
	struct robust_list_head *at = (void *)late->victim->registered;
	struct robust_list_head *head = late_head(late);
	struct robust_list *next = &at->list, *entry;
	int i;

	for (i = nr - 1; i >= 0; i--) {
		entry = late_entry(late, i);
		((struct robust_list *)filled(late, entry))->next = next;
		*(futex_t *)filled(late, (void *)late_word(late, i)) =
			late->victim->tid;
		next = entry;
	}
	head->list.next = next;
	head->futex_offset = late->words - late->entries;
	for (i = 0; late->compat && i < NR_COMPAT; i++)
		*compat_word(late->compat, i) = late->victim->tid;
}

/* The same for the pending lock, which is not on the list */
static void late_pending(struct late *late, int i)
{
	*(futex_t *)filled(late, (void *)late_word(late, i)) =
		late->victim->tid;
	late_head(late)->list_op_pending = late_entry(late, i);
}

static bool late_start(struct late *late)
{
	late->victim->run = run_late;
	late->victim->data = late;
	return victim_start(late->victim);
}

static void late_die(struct late *late)
{
	if (late->death == KILLED) {
		kill(late->victim->pid, SIGKILL);
		return;
	}
	tell(&late->victim->go);
}

/* The walk is over */
static bool late_ended(struct late *late)
{
	if (late->death == THREAD_EXIT && !late->victim->alive)
		return true;
	if (late->victim->pid)
		victim_waited(late->victim);
	return !late->victim->pid;
}

/* Wait for that; returns the milliseconds that it took, -1 if it took too long */
static long long time_to_end(struct late *late)
{
	long long start = milliseconds(), now;

	do {
		if (late_ended(late))
			return milliseconds() - start;
		usleep(1000);
		now = milliseconds();
	} while (now < start + WAIT_MAX * 1000LL);
	return -1;
}

/* How many of the first @nr locks are marked, in pages that came */
static int late_count(struct late *late, int nr)
{
	int i, page, marked = 0;

	for (i = 0; i < nr; i++) {
		page = i / late->locks_per_page;
		if (late->words == late->pages &&
		    (late->delay[page] == NEVER ||
		     (late->delay[page] != AT_HAND && !late->asked[page])))
			continue;
		marked += (*late_word(late, i) & ~FUTEX_WAITERS) == MARKED;
	}
	return marked;
}

static int requests(struct late *late)
{
	int page, nr = 0;

	for (page = 0; page < late->nr_pages; page++)
		nr += late->asked[page];
	return nr;
}

/* The end of the server ends all waits for its pages */
static void late_clean(struct late *late)
{
	if (!late)
		return;
	if (late->server > 0) {
		kill(late->server, SIGKILL);
		waitpid(late->server, NULL, 0);
		late->server = 0;
	}
	victim_clean(late->victim);
	if (late->fd >= 0)
		close(late->fd);
	late->fd = -1;
}

/* A task that sleeps on a futex, a thread of the test or a task of its own */
struct sleeper {
	futex_t *futex;
	__u32 value;
	pid_t pid;
	/* Set when it was woken: when, and what it found */
	futex_t back;
	__u32 seen;
	long long when;
};

static int sleep_on(void *arg)
{
	struct sleeper *sleeper = arg;

	if (!wait_so_long_on(sleeper->futex, sleeper->value, SLEEP_LIMIT)) {
		sleeper->seen = *sleeper->futex;
		sleeper->when = milliseconds();
		sleeper->back = 1;
	}
	return 0;
}

static void *sleeping_thread(void *arg)
{
	sleep_on(arg);
	return NULL;
}

/* Returns when the thread is asleep */
static bool start_sleeper(struct sleeper *sleeper, futex_t *futex)
{
	*futex |= FUTEX_WAITERS;
	sleeper->futex = futex;
	sleeper->value = *futex;
	sleeper->back = 0;
	return start_small_thread(sleeping_thread, sleeper) &&
	       happens(sleepers(futex) == 1);
}

static int count_back(struct sleeper *sleepers, int nr)
{
	int i, back = 0;

	for (i = 0; i < nr; i++)
		back += sleepers[i].back;
	return back;
}

/* One that sleeps on a lock of the list, and one on the pending lock */
struct pair {
	struct sleeper listed;
	struct sleeper pending;
};

static bool start_pair(struct pair *pair, struct late *late, int listed,
		       int pending)
{
	return start_sleeper(&pair->listed, late_word(late, listed)) &&
	       start_sleeper(&pair->pending, late_word(late, pending));
}

/* Marks and wakeups go together */
static void check_pair(struct __test_metadata *_metadata, struct pair *pair)
{
	EXPECT_TRUE(happens(pair->listed.back));
	EXPECT_EQ(MARKED_WITH_WAITERS, pair->listed.seen);
	EXPECT_TRUE(happens(pair->pending.back));
	EXPECT_EQ(MARKED_WITH_WAITERS, pair->pending.seen);
}

/*
 * Every late page comes in the end.
 */
FIXTURE(late_page)
{
	struct late *late;
};

FIXTURE_VARIANT(late_page)
{
	enum death death;
	bool by_thread;
};

FIXTURE_VARIANT_ADD(late_page, killed) {
	.death = KILLED,
};

FIXTURE_VARIANT_ADD(late_page, exit_group) {
	.death = EXIT_GROUP,
};

FIXTURE_VARIANT_ADD(late_page, thread_exit) {
	.death = THREAD_EXIT,
};

FIXTURE_VARIANT_ADD(late_page, exec) {
	.death = EXEC,
};

FIXTURE_VARIANT_ADD(late_page, exec_by_thread) {
	.death = EXEC,
	.by_thread = true,
};

FIXTURE_SETUP(late_page)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();

	self->late = late_alloc(variant->death, MAX_PAGES);
	ASSERT_TRUE(!!self->late);
	self->late->by_thread = variant->by_thread;
	missing = open_file(self->late);
	if (missing)
		SKIP(_exit(255), "%s", missing);
}

FIXTURE_TEARDOWN(late_page)
{
	late_clean(self->late);
}

#define NR_FEW		16
#define FEW_DELAY	50

static void delay_all(struct late *late, int delay)
{
	int page;

	for (page = 0; page < late->nr_pages; page++)
		late->delay[page] = delay;
}

/* Drop the pages of the file that were read. The test alone has them mapped. */
static void drop_pages(struct late *late)
{
	size_t size = late->nr_pages * late->page_size;

	/* The test has written only the words of sleepers: see the callers */
	if (late->watched) {
		fallocate(late->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  0, size);
		return;
	}
	msync(late->pages, size, MS_SYNC);
	madvise(late->pages, size, MADV_DONTNEED);
	posix_fadvise(late->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Behind the locks on the list, in a page of its own */
#define FEW_PENDING	NR_FEW

/* Locks in late pages are marked, and waiters that sleep there are woken. */
TEST_F_TIMEOUT(late_page, words, 120)
{
	struct late *late = self->late;
	struct pair pair = {};
	long long took;
	int asked;

	ASSERT_TRUE(late_map(late, true));
	ASSERT_TRUE(late_start(late));
	late_list(late, NR_FEW);
	late_pending(late, FEW_PENDING);
	/* The test's threads bring these pages, to sleep there: drop them again */
	ASSERT_TRUE(start_pair(&pair, late, NR_FEW / 2, FEW_PENDING));
	drop_pages(late);
	asked = requests(late);
	delay_all(late, FEW_DELAY);

	late_die(late);
	took = time_to_end(late);
	ASSERT_LE((NR_FEW + 1) * FEW_DELAY, took);
	EXPECT_EQ(NR_FEW + 1, requests(late) - asked);
	EXPECT_EQ(NR_FEW, late_count(late, NR_FEW));
	check_pair(_metadata, &pair);
}

/* A late entry leads on to the locks behind it. */
TEST_F_TIMEOUT(late_page, entries, 120)
{
	struct late *late = self->late;
	struct pair pair = {};
	long long took;

	ASSERT_TRUE(late_map(late, false));
	delay_all(late, FEW_DELAY);
	ASSERT_TRUE(late_start(late));
	late_list(late, NR_FEW);
	late_pending(late, FEW_PENDING);
	ASSERT_TRUE(start_pair(&pair, late, NR_FEW - 1, FEW_PENDING));

	late_die(late);
	took = time_to_end(late);
	ASSERT_LE(NR_FEW * FEW_DELAY, took);
	/* The entry of the pending lock is not read */
	EXPECT_EQ(NR_FEW, requests(late));
	EXPECT_EQ(NR_FEW, late_count(late, NR_FEW));
	check_pair(_metadata, &pair);
}

/* The last one of them is pending */
#define NR_MANY		ROBUST_LIST_LIMIT
#define MANY_DELAY	20

/* Many late pages are waited for, as long as they cost less than the bound. */
TEST_F_TIMEOUT(late_page, many_words, 120)
{
	struct late *late = self->late;
	struct pair pair = {};
	long long took;
	int asked;

	late->locks_per_page = NR_MANY / MAX_PAGES;
	ASSERT_TRUE(late_map(late, true));
	ASSERT_TRUE(late_start(late));
	late_list(late, NR_MANY - 1);
	late_pending(late, NR_MANY - 1);
	ASSERT_TRUE(start_pair(&pair, late, NR_MANY / 2, NR_MANY - 1));
	drop_pages(late);
	asked = requests(late);
	delay_all(late, MANY_DELAY);

	late_die(late);
	took = time_to_end(late);
	ASSERT_LE(MAX_PAGES * MANY_DELAY, took);
	EXPECT_EQ(MAX_PAGES, requests(late) - asked);
	EXPECT_EQ(NR_MANY, late_count(late, NR_MANY));
	check_pair(_metadata, &pair);
	TH_LOG("%d pages of %d ms took %lld ms", MAX_PAGES, MANY_DELAY, took);
}

/*
 * A process waits in an exec for pages that are supplied by userfaultfd, also for
 * that of the head. The new program runs afterwards, and no mark or wakeup is lost.
 */
FIXTURE(watched_page)
{
	struct late *late;
};

FIXTURE_VARIANT(watched_page)
{
	bool by_thread;
};

FIXTURE_VARIANT_ADD(watched_page, leader) {
};

FIXTURE_VARIANT_ADD(watched_page, thread) {
	.by_thread = true,
};

/* The last page has no lock, but the head if a test puts it there */
#define HEAD_PAGE	(FEW_PENDING + 1)

FIXTURE_SETUP(watched_page)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();

	self->late = late_alloc(EXEC, HEAD_PAGE + 1);
	ASSERT_TRUE(!!self->late);
	self->late->by_thread = variant->by_thread;
	missing = make_watched_file(self->late);
	if (missing)
		SKIP(_exit(255), "%s", missing);
	delay_all(self->late, FEW_DELAY);
}

FIXTURE_TEARDOWN(watched_page)
{
	late_clean(self->late);
}

/* The words, if they are in the file, are not yet there for the victim */
static bool start_watched_pair(struct pair *pair, struct late *late)
{
	int slots[] = { NR_FEW - 1, FEW_PENDING }, i;

	if (!start_pair(pair, late, slots[0], slots[1]))
		return false;
	if (late->words != late->pages)
		return true;
	for (i = 0; i < 2; i++)
		*(futex_t *)filled(late, (void *)late_word(late, slots[i])) |=
			FUTEX_WAITERS;
	drop_pages(late);
	return true;
}

static void exec_watched(struct __test_metadata *_metadata, struct late *late,
			 int nr_pages)
{
	bool started = late_start(late);
	struct pair pair = {};
	long long took;

	if (!started && victim_skipped(late->victim))
		SKIP(return, "needs userfaultfd, and root");
	ASSERT_TRUE(started);
	late_list(late, NR_FEW);
	late_pending(late, FEW_PENDING);
	ASSERT_TRUE(start_watched_pair(&pair, late));

	late_die(late);
	took = time_to_end(late);
	ASSERT_LE(nr_pages * FEW_DELAY, took);
	EXPECT_EQ(nr_pages, requests(late));
	EXPECT_EQ(NR_FEW, late_count(late, NR_FEW));
	check_pair(_metadata, &pair);
	EXPECT_EQ(0, late->victim->status);
}

TEST_F_TIMEOUT(watched_page, words, 120)
{
	ASSERT_TRUE(late_map(self->late, true));
	exec_watched(_metadata, self->late, NR_FEW + 1);
}

TEST_F_TIMEOUT(watched_page, entries, 120)
{
	ASSERT_TRUE(late_map(self->late, false));
	exec_watched(_metadata, self->late, NR_FEW);
}

TEST_F_TIMEOUT(watched_page, head, 120)
{
	struct late *late = self->late;

	ASSERT_TRUE(late_map(late, false));
	late->victim->registered = late->pages + HEAD_PAGE * late->page_size;
	exec_watched(_metadata, late, NR_FEW + 1);
}

/*
 * Pages that are removed again, if possible before they are used: by the server,
 * and by a task that shares the memory and unmaps them over and over.
 */
#define NR_TAKEN	64

struct taker {
	struct late *late;
	pid_t task;
	futex_t ready;
};

static int unmap_pages(void *arg)
{
	struct taker *taker = arg;
	struct late *late = taker->late;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	taker->ready = 1;
	for (;;)
		syscall(SYS_madvise, late->pages,
			late->nr_pages * late->page_size, MADV_DONTNEED);
	return 0;
}

static void run_taken(struct victim *victim)
{
	struct taker *taker = victim->data;

	taker->task = start_task(unmap_pages, taker, CLONE_VM);
	if (taker->task < 0)
		_exit(KSFT_FAIL);
	victim->data = taker->late;
	run_late(victim);
}

FIXTURE(taken_page)
{
	struct taker *taker;
	/* The last one sleeps on the pending lock */
	struct sleeper sleepers[NR_TAKEN + 1];
};

FIXTURE_VARIANT(taken_page)
{
	enum death death;
	int delay;
};

FIXTURE_VARIANT_ADD(taken_page, killed) {
	.death = KILLED,
	.delay = 5,
};

FIXTURE_VARIANT_ADD(taken_page, exit_group) {
	.death = EXIT_GROUP,
	.delay = 5,
};

FIXTURE_VARIANT_ADD(taken_page, thread_exit) {
	.death = THREAD_EXIT,
	.delay = 5,
};

FIXTURE_SETUP(taken_page)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();

	self->taker = shared_memory(sizeof(*self->taker));
	ASSERT_TRUE(!!self->taker);
	self->taker->late = late_alloc(variant->death, NR_TAKEN + 1);
	ASSERT_TRUE(!!self->taker->late);
	missing = open_file(self->taker->late);
	if (missing)
		SKIP(_exit(255), "%s", missing);
}

FIXTURE_TEARDOWN(taken_page)
{
	end_task(self->taker->task);
	late_clean(self->taker->late);
}

/*
 * Locks on the list may be missed, but the death completes, and the pending lock
 * is marked. The waiter of each lock that is marked is woken, and no other one.
 */
TEST_F_TIMEOUT(taken_page, exit_completes, 120)
{
	struct taker *taker = self->taker;
	struct late *late = taker->late;
	int i, marked, wrong = 0;
	long long took;

	ASSERT_TRUE(late_map(late, false));
	delay_all(late, variant->delay);
	late->take_away = true;
	late->victim->run = run_taken;
	late->victim->data = taker;
	ASSERT_TRUE(victim_start(late->victim));
	ASSERT_TRUE(happens(taker->ready));
	late_list(late, NR_TAKEN);
	late_pending(late, NR_TAKEN);
	for (i = 0; i <= NR_TAKEN; i++)
		ASSERT_TRUE(start_sleeper(&self->sleepers[i], late_word(late, i)));

	late_die(late);
	took = time_to_end(late);
	ASSERT_LE(0, took);
	EXPECT_EQ(MARKED_WITH_WAITERS, *late_word(late, NR_TAKEN));
	marked = late_count(late, NR_TAKEN + 1);
	EXPECT_TRUE(happens(count_back(self->sleepers, NR_TAKEN + 1) == marked));
	for (i = 0; i <= NR_TAKEN; i++)
		wrong += self->sleepers[i].back !=
			 (*late_word(late, i) == MARKED_WITH_WAITERS);
	EXPECT_EQ(0, wrong);
	TH_LOG("%d of %d locks marked, %d requests, %lld ms", marked,
	       NR_TAKEN + 1, requests(late), took);
	/* The harness takes a test that is skipped for one that has not failed */
	if (_metadata->passed && requests(late) <= NR_TAKEN)
		SKIP(return, "no page was removed before it was used");
}

/*
 * One page never comes, or two: locks are in ordinary pages before and behind
 * it. All ways to die are tried at the same time, since each takes the whole
 * minute.
 */
#define NR_BEFORE	8
#define NR_LISTED	(2 * NR_BEFORE + 1)
#define NR_SLOTS	(NR_LISTED + 1)
#define LATE_SLOT	NR_BEFORE
/* In some tests this page does not come either */
#define SECOND_SLOT	(NR_LISTED - 3)
#define PENDING_SLOT	NR_LISTED

enum { BEFORE, BEHIND, LAST, PENDING, NR_SLEEPERS };

static const int sleeper_slots[NR_SLEEPERS] = {
	[BEFORE] = NR_BEFORE - 1,
	[BEHIND] = LATE_SLOT + 1,
	[LAST] = NR_LISTED - 1,
	[PENDING] = PENDING_SLOT,
};

/* What calls FUTEX_LOCK_PI while the owner is in its walk */
struct locker {
	futex_t *futex;
	/* This one, if it is a futex that no list leads to */
	futex_t word;
	pid_t pid;
	int result;
	/* Set when it has returned: with this word, after so many answers */
	futex_t back;
	__u32 seen;
	__u32 answered;
	long long when;
};

struct hole {
	struct late *late;
	struct sleeper sleepers[NR_SLEEPERS];
	struct locker locker;
	/* Not possible here */
	bool left_out;
	/* When the test killed it, or let the pages come, and when it ended */
	long long disturbed;
	long long ended;
	/* When its limit was seen to expire, and whether the mmap lock was held then */
	long long expired;
	bool held;
};

/* Words in ordinary memory but for one; returns NULL, or why that is not so */
static const char *hole_prepare(struct hole *hole, enum death death,
				bool watched)
{
	struct late *late = late_alloc(death, NR_SLOTS);
	int memfd = memfd_create("robust", MFD_CLOEXEC);
	const char *missing;
	int page;

	if (!late || memfd < 0 || ftruncate(memfd, NR_SLOTS * late->page_size))
		return "needs memory";
	hole->late = late;
	missing = watched ? make_watched_file(late) : open_file(late);
	if (missing)
		return missing;
	if (!late_map(late, true))
		return "needs a shared mapping of the file on FUSE";
	for (page = 0; page < NR_SLOTS; page++)
		if (page != LATE_SLOT && !put_at_hand(late, page, memfd))
			return "needs ordinary memory beside that of the file";
	late->delay[LATE_SLOT] = NEVER;
	close(memfd);
	return NULL;
}

/* Have another page come from the server as well, with this delay */
static bool hole_add(struct hole *hole, int slot, int delay)
{
	struct late *late = hole->late;
	off_t offset = (off_t)slot * late->page_size;
	char *at = late->pages + offset;

	late->delay[slot] = delay;
	return mmap(at, late->page_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, late->fd, offset) == at;
}

static bool hole_start(struct hole *hole)
{
	struct late *late = hole->late;
	int i;

	if (!late_start(late))
		return false;
	late_list(late, NR_LISTED);
	if (late->mm_locked)
		late->victim->head.list_op_pending = late_entry(late, PENDING_SLOT);
	else
		late_pending(late, PENDING_SLOT);
	for (i = 0; i < NR_SLEEPERS; i++)
		if (!start_sleeper(&hole->sleepers[i],
				   late_word(late, sleeper_slots[i])))
			return false;
	return true;
}

static void start_locker(struct locker *locker, struct late *late,
			 futex_t *futex)
{
	pid_t pid;

	locker->futex = futex;
	pid = fork();
	if (pid) {
		/* Shared memory, which the child must not write to as well */
		locker->pid = pid;
		return;
	}
	prepare_child();
	locker->result = lock_pi(futex);
	locker->when = milliseconds();
	locker->answered = late->answered[LATE_SLOT];
	locker->seen = *futex;
	locker->back = 1;
	_exit(0);
}

/*
 * The kernel sets FUTEX_WAITERS before it looks up the owner. So if the request
 * for the page is not answered yet, the call was made while the walk waited for it.
 */
static bool locks_during_walk(struct locker *locker, struct late *late)
{
	return happens(*locker->futex & FUTEX_WAITERS) &&
	       late->asked[LATE_SLOT] && !late->answered[LATE_SLOT];
}

/* In seconds: when the last one is killed */
#define LAST_KILL	10

/*
 * Whether the kernel finds a page that is mapped for writing without the mmap lock:
 * HAVE_FAST_GUP. MIPS does not where the data cache has aliases. Where the kernel
 * does and this is false, the tests check less.
 */
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || \
	defined(__s390__) || defined(__powerpc__)
#define FINDS_PAGES	true
#else
#define FINDS_PAGES	false
#endif

/* The deaths that wait for such pages, all at the same time */
static const struct absence {
	const char *name;
	enum death death;
	/* For an exec */
	bool by_thread;
	bool watched;
	/* There is a 32-bit list as well */
	bool compat;
	/* A file has to be flushed after the walk */
	bool keep_file;
	/*
	 * Another thread holds the mmap lock for writing until the limit has expired
	 * and the page comes, of which there is one. The pending lock is not held,
	 * and its page is not mapped for writing. So each architecture has a wakeup
	 * for which it needs the mmap lock. If it needs that for the lock before as
	 * well, the page of the pending lock is gone when it gets it.
	 */
	bool mm_locked;
	/* After so many seconds it is killed, or the pages come nevertheless */
	int delay;
	bool killed;
	bool pages_come;
} absences[] = {
	{ "killed", KILLED },
	{ "killed, with two lists", KILLED, .compat = true },
	{ "exit_group, with an open file", EXIT_GROUP, .keep_file = true },
	{ "thread exit", THREAD_EXIT },
	{ "thread exit, mmap lock held", THREAD_EXIT, .mm_locked = true },
	{ "thread exit, killed", THREAD_EXIT_KILLED, .killed = true },
	{ "exec, killed", EXEC, .killed = true },
	{ "exec, killed late", EXEC, .killed = true, .delay = LAST_KILL },
	{ "exec, userfaultfd, killed", EXEC, .watched = true, .killed = true },
	{ "exec by a thread, userfaultfd, killed", EXEC, .by_thread = true,
	  .watched = true, .killed = true },
	{ "exec, not killed", EXEC, .pages_come = true, .delay = 66 },
};

#define NR_ABSENCES	((int)(sizeof(absences) / sizeof(*absences)))

static const char *absence_prepare(struct hole *hole,
				   const struct absence *absence)
{
	const char *missing = hole_prepare(hole, absence->death,
					   absence->watched);

	if (missing)
		return missing;
	if (absence->mm_locked ? !hole_add(hole, PENDING_SLOT, 0) :
				 !hole_add(hole, SECOND_SLOT, NEVER))
		return "needs another page";
	hole->late->by_thread = absence->by_thread;
	hole->late->keep_file = absence->keep_file;
	if (absence->mm_locked) {
		hole->late->mm_locked = LATE_SLOT;
		hole->late->read_before = PENDING_SLOT;
	}
	if (absence->compat && !compat_prepare(hole->late, LATE_SLOT))
		hole->left_out = true;
	return NULL;
}

/* Start it, or leave it out if this kernel or program has no such death */
static bool absence_start(struct hole *hole, const struct absence *absence)
{
	struct victim *victim = hole->late->victim;

	if (hole->left_out || hole_start(hole))
		return true;
	/* Without 32-bit system calls it dies by SIGSEGV */
	hole->left_out = (absence->watched && victim_skipped(victim)) ||
			 (absence->compat && !victim->pid &&
			  WIFSIGNALED(victim->status));
	return hole->left_out;
}

/* At the limit the kernel makes SIGKILL pending for the thread */
static bool limit_expired(struct victim *victim)
{
	unsigned long long pending = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", victim->pid,
		 victim->tid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "SigPnd: %llx", &pending);
	if (file)
		fclose(file);
	return pending & (1ULL << (SIGKILL - 1));
}

/* In milliseconds: from then on, until the pages come */
#define EXPIRED_DELAY	1000

static bool is_due(struct hole *hole, const struct absence *absence,
		   long long start, long long now)
{
	struct victim *victim = hole->late->victim;

	if (!absence->mm_locked)
		return now >= start + absence->delay * 1000LL;
	if (!hole->expired && limit_expired(victim)) {
		hole->expired = now;
		hole->held = task_state(victim->pid, victim->pid) == 'D';
	}
	return hole->expired && now >= hole->expired + EXPIRED_DELAY;
}

/* What the test does to it after a while; afterwards, note whether it has ended */
static void absence_watch(struct hole *hole, const struct absence *absence,
			  long long start)
{
	long long now = milliseconds();
	struct late *late = hole->late;

	if (!hole->disturbed && is_due(hole, absence, start, now)) {
		hole->disturbed = now;
		if (absence->killed)
			kill(late->victim->pid, SIGKILL);
		if (absence->pages_come || absence->mm_locked)
			late->delay[LATE_SLOT] = 0;
		if (absence->pages_come)
			late->delay[SECOND_SLOT] = 0;
	}
	if (late_ended(late))
		hole->ended = milliseconds();
}

FIXTURE(absent_page)
{
	struct hole *holes;
};

FIXTURE_SETUP(absent_page)
{
	const char *missing;
	int i;

	REQUIRE_ROBUST_LIST();

	self->holes = shared_memory(NR_ABSENCES * sizeof(*self->holes));
	ASSERT_TRUE(!!self->holes);
	for (i = 0; i < NR_ABSENCES; i++) {
		missing = absence_prepare(&self->holes[i], &absences[i]);
		if (missing)
			SKIP(_exit(255), "%s", missing);
	}
}

FIXTURE_TEARDOWN(absent_page)
{
	int i;

	for (i = 0; i < NR_ABSENCES; i++)
		late_clean(self->holes[i].late);
	for (i = 0; i < NR_ABSENCES; i++)
		end_task(self->holes[i].locker.pid);
}

static void check_absence(struct __test_metadata *_metadata, struct hole *hole,
			  const struct absence *absence, long long start)
{
	struct sleeper *sleepers = hole->sleepers;
	struct locker *locker = &hole->locker;
	struct late *late = hole->late;
	long long took;
	int i, due;

	/* The minute of an exec begins with the kill */
	if (absence->death == EXEC && hole->disturbed)
		start = hole->disturbed;
	took = hole->ended - start;
	if (hole->ended)
		TH_LOG("%s: %lld ms", absence->name, took);
	else
		TH_LOG("%s: not ended", absence->name);
	EXPECT_NE(0, hole->ended);
	if (absence->pages_come) {
		EXPECT_NE(0, hole->disturbed);
		EXPECT_LE(0, took);
		EXPECT_GE(TIME_LIMIT * 1000LL, took);
		EXPECT_EQ(NR_LISTED, late_count(late, NR_LISTED));
		EXPECT_EQ(0, late->victim->status);
	} else {
		EXPECT_LE(WAIT_MIN * 1000LL, took);
		EXPECT_GE(WAIT_MAX * 1000LL, took);
		EXPECT_EQ(NR_LISTED - (absence->mm_locked ? 1 : 2),
			  late_count(late, NR_LISTED));
	}
	if (absence->mm_locked) {
		EXPECT_NE(0, hole->disturbed);
		EXPECT_TRUE(hole->held);
		EXPECT_EQ(FUTEX_WAITERS, *late_word(late, PENDING_SLOT));
	} else {
		EXPECT_EQ(MARKED_WITH_WAITERS, *late_word(late, PENDING_SLOT));
	}
	for (i = 0; late->compat && i < NR_COMPAT; i++)
		EXPECT_EQ(MARKED, *compat_word(late->compat, i));
	if (!hole->ended)
		return;

	/* PENDING is the last one */
	due = NR_SLEEPERS;
	if (absence->mm_locked && !FINDS_PAGES)
		due--;
	EXPECT_TRUE(happens(count_back(sleepers, due) == due));
	EXPECT_TRUE(happens(locker->back));
	EXPECT_EQ(absence->death == EXEC ? ETIMEDOUT : ESRCH, locker->result);
	EXPECT_GE(WAIT_MAX * 1000LL, locker->when - start);
	if (absence->killed) {
		EXPECT_TRUE(WIFSIGNALED(late->victim->status));
		EXPECT_EQ(SIGKILL, WTERMSIG(late->victim->status));
	}
	if (absence->keep_file) {
		EXPECT_NE(0, late->flush_answered);
		EXPECT_LE(late->flush_answered, hole->ended);
		EXPECT_EQ(0, late->flush_interrupted);
	}
}

/*
 * The walk gives the pages up after a minute, for all lists together. All locks
 * in other pages are marked. A waiter for a lock before them does not wait that
 * long, and FUTEX_LOCK_PI on a futex of the dying thread that is not robust
 * returns when the thread is dead. What the exit waits for afterwards, the flush
 * of a file, is not interrupted. Nor is a wakeup that has to wait for the mmap
 * lock.
 *
 * An exec has a minute from the kill on, and without a kill it waits for as
 * long as it takes. As long as the task may continue it can own the futex, so
 * FUTEX_LOCK_PI waits for it, up to its own limit.
 */
TEST_F_TIMEOUT(absent_page, bounded_wait, 180)
{
	long long start, end;
	int i, running;

	for (i = 0; i < NR_ABSENCES; i++) {
		ASSERT_TRUE(absence_start(&self->holes[i], &absences[i]));
		if (self->holes[i].left_out)
			TH_LOG("%s: not possible here", absences[i].name);
	}
	start = milliseconds();
	for (i = 0; i < NR_ABSENCES; i++)
		if (!self->holes[i].left_out)
			late_die(self->holes[i].late);
	for (i = 0; i < NR_ABSENCES; i++) {
		struct hole *hole = &self->holes[i];

		if (hole->left_out)
			continue;
		EXPECT_TRUE(happens(hole->late->asked[LATE_SLOT]));
		EXPECT_TRUE(happens(hole->sleepers[BEFORE].back));
		EXPECT_EQ(MARKED_WITH_WAITERS, hole->sleepers[BEFORE].seen);
		hole->locker.word = hole->late->victim->tid;
		start_locker(&hole->locker, hole->late, &hole->locker.word);
	}
	for (i = 0; i < NR_ABSENCES; i++)
		if (!self->holes[i].left_out)
			EXPECT_TRUE(locks_during_walk(&self->holes[i].locker,
						      self->holes[i].late));
	settle();

	end = start + (LAST_KILL + WAIT_MAX + 5) * 1000LL;
	do {
		usleep(10000);
		running = 0;
		for (i = 0; i < NR_ABSENCES; i++) {
			struct hole *hole = &self->holes[i];

			if (hole->left_out || hole->ended)
				continue;
			absence_watch(hole, &absences[i], start);
			running += !hole->ended;
		}
	} while (running && milliseconds() < end);

	for (i = 0; i < NR_ABSENCES; i++)
		if (!self->holes[i].left_out)
			check_absence(_metadata, &self->holes[i], &absences[i],
				      start);
}

/*
 * FUTEX_LOCK_PI on the TID of a thread that is in its walk, which waits for a page.
 * One futex is a lock behind that page, and to the other no list leads.
 */
#define PI_SLOT		(LATE_SLOT + 3)

FIXTURE(pi_lock)
{
	struct hole *hole;
	struct locker *lockers;
};

FIXTURE_VARIANT(pi_lock)
{
	enum death death;
	bool kill;
	bool watched;
};

FIXTURE_VARIANT_ADD(pi_lock, killed) {
	.death = KILLED,
};

FIXTURE_VARIANT_ADD(pi_lock, exit_group) {
	.death = EXIT_GROUP,
};

FIXTURE_VARIANT_ADD(pi_lock, thread_exit) {
	.death = THREAD_EXIT,
};

/* The kill comes when both callers are waiting */
FIXTURE_VARIANT_ADD(pi_lock, thread_exit_killed) {
	.death = THREAD_EXIT_KILLED,
	.kill = true,
};

FIXTURE_VARIANT_ADD(pi_lock, exec) {
	.death = EXEC,
	.watched = true,
};

FIXTURE_VARIANT_ADD(pi_lock, exec_killed) {
	.death = EXEC,
	.kill = true,
	.watched = true,
};

enum { LISTED_PI, UNLISTED_PI, NR_LOCKERS };

FIXTURE_SETUP(pi_lock)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();

	self->hole = shared_memory(sizeof(*self->hole));
	self->lockers = shared_memory(NR_LOCKERS * sizeof(*self->lockers));
	ASSERT_TRUE(self->hole && self->lockers);
	missing = hole_prepare(self->hole, variant->death, variant->watched);
	if (missing)
		SKIP(_exit(255), "%s", missing);
}

FIXTURE_TEARDOWN(pi_lock)
{
	int i;

	late_clean(self->hole->late);
	for (i = 0; i < NR_LOCKERS; i++)
		end_task(self->lockers[i].pid);
}

/*
 * The call waits until the walk is over. Then it gets the lock that is on the list,
 * marked; and for the futex that is not it fails with ESRCH, as nothing will ever
 * release that. It waits for a task in an exec in another way: see
 * absent_page.bounded_wait for the futex that is on no list.
 */
TEST_F_TIMEOUT(pi_lock, waits_for_walk, 120)
{
	struct locker *listed = &self->lockers[LISTED_PI];
	struct locker *unlisted = &self->lockers[UNLISTED_PI];
	struct hole *hole = self->hole;
	struct late *late = hole->late;
	bool exec = variant->death == EXEC;
	struct robust_list *before;
	long long start;

	if (!hole_start(hole)) {
		ASSERT_TRUE(exec && victim_skipped(late->victim));
		SKIP(return, "needs userfaultfd, and root");
	}
	before = late_entry(late, PI_SLOT - 1);
	before->next = (void *)((uintptr_t)before->next | 1);
	unlisted->word = late->victim->tid;

	start = milliseconds();
	late_die(late);
	ASSERT_TRUE(happens(late->asked[LATE_SLOT]));
	start_locker(listed, late, late_word(late, PI_SLOT));
	EXPECT_TRUE(locks_during_walk(listed, late));
	if (!exec) {
		start_locker(unlisted, late, &unlisted->word);
		EXPECT_TRUE(locks_during_walk(unlisted, late));
	}
	if (variant->kill)
		ASSERT_EQ(0, kill(late->victim->pid, SIGKILL));
	settle();
	EXPECT_EQ(0U, listed->back);
	EXPECT_EQ(0U, unlisted->back);
	EXPECT_FALSE(late_ended(late));
	late->delay[LATE_SLOT] = 0;

	ASSERT_LE(0, time_to_end(late));
	EXPECT_TRUE(happens(count_back(hole->sleepers, NR_SLEEPERS) ==
			    NR_SLEEPERS));
	ASSERT_TRUE(happens(listed->back));
	/* All but the one that is the caller's now */
	EXPECT_EQ(NR_LISTED - 1, late_count(late, NR_LISTED));
	EXPECT_EQ(0, listed->result);
	EXPECT_EQ((__u32)listed->pid | FUTEX_OWNER_DIED,
		  listed->seen & ~FUTEX_WAITERS);
	EXPECT_LT(0U, listed->answered);
	EXPECT_GE(WAIT_MAX * 1000LL, listed->when - start);
	if (exec)
		return;

	ASSERT_TRUE(happens(unlisted->back));
	EXPECT_EQ(ESRCH, unlisted->result);
	EXPECT_EQ((__u32)late->victim->tid | FUTEX_WAITERS, unlisted->seen);
	EXPECT_LT(0U, unlisted->answered);
	EXPECT_GE(WAIT_MAX * 1000LL, unlisted->when - start);
}

/*
 * A thread exits alone, and its process is ended while it waits for a late page
 * of its list. The page comes so late after the kill that giving up early shows.
 */
#define KILL_DELAY	3

/* Task work comes before the kill, and must not make the wait a busy one */
#define NOTIFY_DELAY	1
#define CPU_LIMIT	1000

FIXTURE(killed_walk)
{
	struct hole *hole;
};

FIXTURE_VARIANT(killed_walk)
{
	bool kill;
	bool exit;
	bool fresh;
	bool notify;
};

/* The control: the page is only late */
FIXTURE_VARIANT_ADD(killed_walk, undisturbed) {
};

FIXTURE_VARIANT_ADD(killed_walk, sigkill) {
	.kill = true,
};

FIXTURE_VARIANT_ADD(killed_walk, exit_group) {
	.exit = true,
};

/* The pages behind have to be mapped by the walk */
FIXTURE_VARIANT_ADD(killed_walk, sigkill_fresh) {
	.kill = true,
	.fresh = true,
};

FIXTURE_VARIANT_ADD(killed_walk, exit_group_fresh) {
	.exit = true,
	.fresh = true,
};

FIXTURE_VARIANT_ADD(killed_walk, sigkill_notified) {
	.kill = true,
	.notify = true,
};

static bool has_io_uring(void)
{
	struct io_uring_params params = {};
	int fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Of all children that have ended, in milliseconds */
static long cpu_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (usage.ru_stime.tv_sec + usage.ru_utime.tv_sec) * 1000 +
	       (usage.ru_stime.tv_usec + usage.ru_utime.tv_usec) / 1000;
}

FIXTURE_SETUP(killed_walk)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();
	if (variant->notify && !has_io_uring())
		SKIP_TEST("needs io_uring");

	self->hole = shared_memory(sizeof(*self->hole));
	ASSERT_TRUE(!!self->hole);
	missing = hole_prepare(self->hole, THREAD_EXIT, false);
	if (missing)
		SKIP(_exit(255), "%s", missing);
	if (variant->fresh)
		self->hole->late->untouched = LATE_SLOT;
	if (variant->notify)
		self->hole->late->notify_delay = NOTIFY_DELAY;
}

FIXTURE_TEARDOWN(killed_walk)
{
	late_clean(self->hole->late);
}

TEST_F_TIMEOUT(killed_walk, all_marked_and_woken, 120)
{
	struct sleeper *sleepers = self->hole->sleepers;
	struct late *late = self->hole->late;
	long used = cpu_time();
	int i;

	ASSERT_TRUE(hole_start(self->hole));
	late_die(late);
	ASSERT_TRUE(happens(late->asked[LATE_SLOT]));
	settle();
	if (variant->notify)
		sleep(NOTIFY_DELAY + 1);
	/* From now on the thread is dead when the process is */
	if (variant->kill || variant->exit)
		late->death = THREAD_EXIT_KILLED;
	if (variant->kill)
		ASSERT_EQ(0, kill(late->victim->pid, SIGKILL));
	if (variant->exit)
		tell(&late->end_process);
	sleep(KILL_DELAY);
	late->delay[LATE_SLOT] = 0;

	ASSERT_LE(0, time_to_end(late));
	EXPECT_EQ(NR_LISTED, late_count(late, NR_LISTED));
	EXPECT_EQ(MARKED_WITH_WAITERS, *late_word(late, PENDING_SLOT));
	EXPECT_TRUE(happens(count_back(sleepers, NR_SLEEPERS) == NR_SLEEPERS));
	for (i = 0; i < NR_SLEEPERS; i++)
		EXPECT_TRUE(sleepers[i].back);
	if (variant->kill) {
		ASSERT_TRUE(WIFSIGNALED(late->victim->status));
		EXPECT_EQ(SIGKILL, WTERMSIG(late->victim->status));
	}
	if (variant->kill || variant->exit) {
		used = cpu_time() - used;
		TH_LOG("%ld ms of CPU time", used);
		EXPECT_GE(CPU_LIMIT, used);
	}
}

/*
 * Another thread holds the mmap lock for writing, in an mmap() that has to wait
 * for a page of its file. Locks in pages that are mapped are marked all the
 * same, one on the list and one that is pending, and their waiters in another
 * process are woken: at once where the kernel finds such pages without the mmap
 * lock, and elsewhere when it is dropped.
 */
FIXTURE(busy_mm)
{
	struct hole *hole;
	pthread_t reader;
};

FIXTURE_SETUP(busy_mm)
{
	const char *missing;

	REQUIRE_ROBUST_LIST();

	self->hole = shared_memory(sizeof(*self->hole));
	ASSERT_TRUE(!!self->hole);
	missing = hole_prepare(self->hole, KILLED, false);
	if (missing)
		SKIP(_exit(255), "%s", missing);
}

FIXTURE_TEARDOWN(busy_mm)
{
	late_clean(self->hole->late);
}

/* Locks the page of the file until it is there */
static void *read_late_page(void *arg)
{
	struct late *late = arg;

	touch(late->pages + LATE_SLOT * late->page_size);
	return NULL;
}

static void run_busy_mm(struct victim *victim)
{
	struct late *late = victim->data;
	int fd = open_direct(late);
	pthread_t thread;

	/* Once it is asleep the other thread needs no page before it dies */
	if (fd < 0 || pthread_create(&thread, NULL, die, late) ||
	    !happens(victim->tid && sleepers(&victim->go) == 1))
		_exit(KSFT_FAIL);
	touch((void *)late_word(late, 0));
	touch((void *)late_word(late, PENDING_SLOT));
	touch(late_entry(late, 0));
	late->end_process = 1;
	hold_mmap_lock(late, fd, LATE_SLOT);
	_exit(KSFT_FAIL);
}

TEST_F_TIMEOUT(busy_mm, wakeups_not_delayed, 60)
{
	struct late *late = self->hole->late;
	struct victim *victim = late->victim;
	struct pair pair = {};

	ASSERT_EQ(0, pthread_create(&self->reader, NULL, read_late_page, late));
	ASSERT_TRUE(happens(late->asked[LATE_SLOT]));
	victim->run = run_busy_mm;
	victim->data = late;
	ASSERT_TRUE(victim_start(victim));
	late_list(late, 1);
	late_pending(late, PENDING_SLOT);
	ASSERT_TRUE(start_pair(&pair, late, 0, PENDING_SLOT));
	/* It sleeps for the locked page, and holds the mmap lock while it does so */
	ASSERT_TRUE(happens(late->end_process &&
			    task_state(victim->pid, victim->pid) == 'D'));

	/* By a kill, as the thread may have no page of the program mapped */
	late_die(late);
	if (FINDS_PAGES)
		check_pair(_metadata, &pair);
	EXPECT_TRUE(happens(*late_word(late, 0) == MARKED_WITH_WAITERS));
	/* The other thread is still in its mmap() */
	EXPECT_FALSE(late_ended(late));

	late->delay[LATE_SLOT] = 0;
	pthread_join(self->reader, NULL);
	EXPECT_LE(0, time_to_end(late));
	check_pair(_metadata, &pair);
	EXPECT_TRUE(WIFSIGNALED(victim->status));
}

/*
 * Words in pages that are mapped, but not for writing, or not mapped at all: a
 * wakeup has to look the page up, and a kill must not make that fail. Three
 * such locks are listed, and one is pending that the thread does not hold. The
 * sleepers share the victim's memory, and are processes of their own.
 *
 * A page of a file on a disk, or on FUSE, is clean after msync(), and then mapped
 * for reading only. Other memory is never clean: there enum loss says what takes
 * the page away. These are all kinds of memory of robust_memory, except those with
 * words that cannot be read at the end: no wakeup is due there. Where words can be
 * read, but not written, a wakeup is due for the pending lock alone.
 */
enum {
	RAM_DISK = NR_KINDS,
	FUSE_FILE,
	/* Its page alone has the key, and is not mapped for writing: see page_has_key */
	AIO_RING,
};

#define NR_CLEAN	4
#define CLEAN_PENDING	(NR_CLEAN - 1)

#define DISK		"/dev/ram0"
/* The first pages are where other programs look for a header */
#define DISK_PAGE	16

struct clean {
	struct late *late;
	int kind;
	struct memory memory;
	/* Why the victim has no such memory */
	const char *missing;
	/* Where the words are written, and where sleepers wait: see struct area */
	char *filled;
	char *waited;
	struct sleeper sleepers[NR_CLEAN];
	/* The process that has a copy of the memory */
	pid_t copy;
	futex_t copied;
	futex_t ready;
	int disk;
};

/* A RAM disk that is in use, or has anything in it, is left alone */
static bool open_disk(struct clean *clean)
{
	size_t size = (DISK_PAGE + NR_CLEAN) * clean->late->page_size, i;
	char *content = malloc(size);
	bool empty;
	int fd = open(DISK, O_RDWR | O_EXCL | O_CLOEXEC);

	empty = content && fd >= 0 && pread(fd, content, size, 0) == (ssize_t)size;
	for (i = 0; empty && i < size; i++)
		empty = !content[i];
	free(content);
	if (!empty && fd >= 0)
		close(fd);
	else
		clean->disk = fd;
	return empty;
}

static void close_disk(struct clean *clean)
{
	size_t size = NR_CLEAN * clean->late->page_size;
	void *zeroes = calloc(1, size);

	if (clean->disk < 0)
		return;
	if (zeroes && pwrite(clean->disk, zeroes, size,
			     DISK_PAGE * clean->late->page_size) < 0)
		perror(DISK);
	free(zeroes);
	fsync(clean->disk);
	close(clean->disk);
}

/* A ring with the words behind the page of its header, and no event in it */
static char *map_ring(size_t page_size)
{
	unsigned long ring = 0;

	/* An event has 32 bytes */
	if (syscall(SYS_io_setup, (NR_CLEAN + 1) * page_size / 32, &ring))
		return MAP_FAILED;
	return (char *)ring + page_size;
}

/* In the victim, as some of it is private; returns NULL, or what is missing */
static const char *map_clean(struct clean *clean)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct late *late = clean->late;
	size_t size = NR_CLEAN * late->page_size;
	const char *missing;
	struct area *area;

	switch (clean->kind) {
	case RAM_DISK:
		late->words = mmap(NULL, size, rw, MAP_SHARED, clean->disk,
				   DISK_PAGE * late->page_size);
		break;
	case FUSE_FILE:
		late->words = late->pages + size;
		break;
	case AIO_RING:
		late->words = map_ring(late->page_size);
		break;
	default:
		if (!memory_init(&clean->memory))
			return "needs address space";
		missing = memory_add(&clean->memory, clean->kind);
		if (missing)
			return missing;
		area = &clean->memory.areas[clean->kind];
		late->words = area->words;
		clean->filled = area->words_filled;
		clean->waited = area->words_waited;
		return NULL;
	}
	clean->filled = late->words;
	clean->waited = late->words;
	return late->words == MAP_FAILED ? "needs this kind of memory" : NULL;
}

static int keep_copy(void *arg)
{
	struct clean *clean = arg;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	clean->copied = 1;
	for (;;)
		usleep(1000000);
	return 0;
}

/* After this each write to the words faults */
static bool make_clean(struct clean *clean)
{
	struct late *late = clean->late;
	size_t size = NR_CLEAN * late->page_size;
	struct area *area;

	switch (clean->kind) {
	case RAM_DISK:
	case FUSE_FILE:
		return !msync(late->words, size, MS_SYNC);
	case AIO_RING:
		return !madvise(late->words, size, MADV_DONTNEED);
	case FORKED:
		clean->copy = start_task(keep_copy, clean, 0);
		return clean->copy > 0 && happens(clean->copied);
	default:
		area = &clean->memory.areas[clean->kind];
		return area_lose(area) && area_prepare(area);
	}
}

static int sleeping_task(void *arg)
{
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sleep_on(arg);
	syscall(SYS_exit, 0);
	return 0;
}

static void run_clean(struct victim *victim)
{
	struct clean *clean = victim->data;
	struct late *late = clean->late;
	struct sleeper *sleeper;
	pthread_t thread;
	int i;

	close(late->fd);
	clean->missing = map_clean(clean);
	if (clean->missing)
		_exit(KSFT_SKIP);
	if (pthread_create(&thread, NULL, die, late) || !happens(victim->tid))
		_exit(KSFT_FAIL);
	for (i = 0; i < NR_CLEAN; i++) {
		sleeper = &clean->sleepers[i];
		sleeper->futex = (futex_t *)(clean->waited + place(late, i));
		sleeper->value = 0;
		if (i != CLEAN_PENDING)
			sleeper->value = victim->tid | FUTEX_WAITERS;
		*(futex_t *)(clean->filled + place(late, i)) = sleeper->value;
		sleeper->pid = start_task(sleeping_task, sleeper, CLONE_VM);
		if (sleeper->pid < 0 || !happens(sleepers(sleeper->futex) == 1))
			_exit(KSFT_FAIL);
	}
	if (!make_clean(clean))
		_exit(KSFT_FAIL);
	clean->ready = 1;
	end_process_when_told((void *)&late->end_process);
}

FIXTURE(clean_page)
{
	struct clean *clean;
};

FIXTURE_VARIANT(clean_page)
{
	int kind;
};

FIXTURE_VARIANT_ADD(clean_page, ram_disk) {
	.kind = RAM_DISK,
};

FIXTURE_VARIANT_ADD(clean_page, fuse_file) {
	.kind = FUSE_FILE,
};

FIXTURE_VARIANT_ADD(clean_page, aio_ring) {
	.kind = AIO_RING,
};

FIXTURE_VARIANT_ADD(clean_page, forked) {
	.kind = FORKED,
};

FIXTURE_VARIANT_ADD(clean_page, shared_anonymous) {
	.kind = SHARED_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(clean_page, private_anonymous) {
	.kind = PRIVATE_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(clean_page, tmpfs_file) {
	.kind = TMPFS_FILE,
};

FIXTURE_VARIANT_ADD(clean_page, memfd) {
	.kind = MEMFD,
};

FIXTURE_VARIANT_ADD(clean_page, private_file) {
	.kind = PRIVATE_FILE,
};

FIXTURE_VARIANT_ADD(clean_page, private_file_written) {
	.kind = PRIVATE_FILE_WRITTEN,
};

FIXTURE_VARIANT_ADD(clean_page, not_faulted_in) {
	.kind = FRESH_MAPPING,
};

FIXTURE_VARIANT_ADD(clean_page, discarded) {
	.kind = DISCARDED,
};

FIXTURE_VARIANT_ADD(clean_page, hugetlb) {
	.kind = HUGETLB_SHARED,
};

FIXTURE_VARIANT_ADD(clean_page, hugetlb_private) {
	.kind = HUGETLB_PRIVATE,
};

FIXTURE_VARIANT_ADD(clean_page, swapped_private) {
	.kind = SWAPPED_PRIVATE,
};

FIXTURE_VARIANT_ADD(clean_page, swapped_shared) {
	.kind = SWAPPED_SHARED,
};

FIXTURE_VARIANT_ADD(clean_page, userfaultfd_present) {
	.kind = UFFD_PRESENT,
};

FIXTURE_VARIANT_ADD(clean_page, read_only) {
	.kind = READ_ONLY,
};

FIXTURE_VARIANT_ADD(clean_page, read_only_file) {
	.kind = READ_ONLY_FILE,
};

static void clean_up(struct clean *clean)
{
	int i;

	late_clean(clean->late);
	for (i = 0; i < NR_CLEAN; i++)
		end_task(clean->sleepers[i].pid);
	end_task(clean->copy);
	close_disk(clean);
	memory_restore(&clean->memory);
}

/* Returns with the victim waiting for the page of its first entry */
FIXTURE_SETUP(clean_page)
{
	struct victim *victim;
	const char *missing;
	struct clean *clean;
	struct late *late;
	bool started;
	int i;

	REQUIRE_ROBUST_LIST();

	clean = shared_memory(sizeof(*clean));
	ASSERT_TRUE(!!clean);
	self->clean = clean;
	clean->kind = variant->kind;
	clean->disk = -1;
	clean->memory.hugepages = -1;
	late = late_alloc(THREAD_EXIT, 2 * NR_CLEAN);
	ASSERT_TRUE(!!late);
	clean->late = late;
	missing = open_file(late);
	if (missing)
		SKIP(_exit(255), "%s", missing);
	if (clean->kind == RAM_DISK && !open_disk(clean))
		SKIP_TEST("needs " DISK ", empty and not in use");
	ASSERT_TRUE(late_map(late, false));
	late->delay[0] = NEVER;

	victim = late->victim;
	victim->run = run_clean;
	victim->data = clean;
	started = victim_start(victim);
	if (!started && clean->missing) {
		clean_up(clean);
		SKIP(_exit(255), "%s", clean->missing);
	}
	EXPECT_TRUE(started);
	EXPECT_TRUE(happens(clean->ready));
	for (i = 0; i < CLEAN_PENDING; i++) {
		struct robust_list *entry = filled(late, late_entry(late, i));

		entry->next = late_entry(late, i + 1);
		if (i + 1 == CLEAN_PENDING)
			entry->next = &victim->head.list;
	}
	victim->head.list.next = late_entry(late, 0);
	victim->head.list_op_pending = late_entry(late, CLEAN_PENDING);
	victim->head.futex_offset = late->words - late->entries;
	late_die(late);
	EXPECT_TRUE(happens(late->asked[0]));
	settle();
}

FIXTURE_TEARDOWN(clean_page)
{
	clean_up(self->clean);
}

/* Whether the walk marks the locks on the list there */
static bool is_marked(int kind)
{
	return kind >= NR_KINDS || writable(kind);
}

static void finish_clean(struct __test_metadata *_metadata, struct clean *clean)
{
	bool marked = is_marked(clean->kind);
	int due = marked ? NR_CLEAN : 1, i;

	settle();
	clean->late->delay[0] = 0;
	ASSERT_LE(0, time_to_end(clean->late));
	EXPECT_TRUE(happens(count_back(clean->sleepers, NR_CLEAN) == due));
	for (i = 0; i < NR_CLEAN; i++) {
		bool is_due = marked || i == CLEAN_PENDING;

		EXPECT_EQ(is_due, (bool)clean->sleepers[i].back) {
			TH_LOG("%s lock %d: its waiter was %swoken",
			       i == CLEAN_PENDING ? "pending" : "listed", i,
			       is_due ? "not " : "");
		}
	}
	for (i = 0; marked && i < CLEAN_PENDING; i++)
		EXPECT_EQ(MARKED_WITH_WAITERS, clean->sleepers[i].seen);
	EXPECT_EQ(0U, clean->sleepers[CLEAN_PENDING].seen);
}

/* The control: without a kill */
TEST_F_TIMEOUT(clean_page, woken, 120)
{
	finish_clean(_metadata, self->clean);
}

TEST_F_TIMEOUT(clean_page, woken_despite_kill, 120)
{
	struct late *late = self->clean->late;

	late->death = THREAD_EXIT_KILLED;
	ASSERT_EQ(0, kill(late->victim->pid, SIGKILL));
	finish_clean(_metadata, self->clean);
}

TEST_F_TIMEOUT(clean_page, woken_despite_exit_group, 120)
{
	struct late *late = self->clean->late;

	late->death = THREAD_EXIT_KILLED;
	tell(&late->end_process);
	finish_clean(_metadata, self->clean);
}

TEST_HARNESS_MAIN
