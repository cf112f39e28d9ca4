// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How the kernel walks a list: the walk reaches the end of a long list, lets other
 * tasks run meanwhile, waits for pages that are not present, and is not affected
 * by a kill.
 */
#include <fcntl.h>
#include <poll.h>

#include "robust.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

#define NR_MANY		1000000

/* One lock in so many has a waiter that is asleep */
#define ONE_IN		1000
#define NR_ASLEEP	(NR_MANY / ONE_IN)

/* Where one of several is to be woken */
#define NR_WAITERS	2

FIXTURE(million)
{
	struct victim *victim;
	struct robust_lock *locks;
};

FIXTURE_VARIANT(million)
{
	__u32 waiters_bit;
};

FIXTURE_VARIANT_ADD(million, quiet) {
};

FIXTURE_VARIANT_ADD(million, waiters_bit) {
	.waiters_bit = FUTEX_WAITERS,
};

FIXTURE_SETUP(million)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->locks = shared_memory(NR_MANY * sizeof(*self->locks));
	ASSERT_TRUE(!!self->locks);
}

static bool million_start(struct victim *victim, struct robust_lock *locks,
			  __u32 waiters_bit)
{
	if (!victim_start(victim))
		return false;
	link_locks(&victim->head, locks, NR_MANY);
	hold(locks, NR_MANY, victim->tid | waiters_bit);
	return true;
}

/* A million locks take longer if the kernel is built to check each access. */
static bool million_die(struct victim *victim)
{
	int tries;

	for (tries = 0; tries < 10; tries++)
		if (victim_die(victim))
			return true;
	return false;
}

FIXTURE_TEARDOWN(million)
{
	victim_clean(self->victim);
}

/*
 * A million locks of one thread are all marked, as the limit on the steps of a
 * walk is far above that, and the exit ends in time.
 */
TEST_F_TIMEOUT(million, all_marked, 120)
{
	ASSERT_TRUE(million_start(self->victim, self->locks,
				  variant->waiters_bit));
	ASSERT_TRUE(million_die(self->victim));
	EXPECT_EQ((size_t)NR_MANY,
		  count(self->locks, NR_MANY, MARKED | variant->waiters_bit));
}

struct changer {
	struct robust_lock *locks;
	__u32 before;
	__u32 after;
	/* Those that it has changed */
	bool *changed;
	futex_t stop;
};

/* At the lock that the walk comes to next, over and over */
static void *change_the_next_one(void *arg)
{
	struct changer *changer = arg;
	struct robust_lock *locks = changer->locks;
	size_t next = 0;

	while (next < NR_MANY && !changer->stop) {
		if (locks[next].word & FUTEX_OWNER_DIED)
			next++;
		else if (futex_cmpxchg(&locks[next].word, changer->before,
				       changer->after) == changer->before)
			changer->changed[next] = true;
	}
	return NULL;
}

/*
 * A thread that is going to sleep sets FUTEX_WAITERS, in an atomic exchange that
 * finds the owner's TID. Either the lock was marked before that,
 * or the bit is kept: marking is atomic, too. Here another CPU runs ahead of the
 * walk, and changes the bit in each word just before it is marked, or just not.
 */
TEST_F_TIMEOUT(million, concurrent_waiters_bit, 120)
{
	struct changer changer = { .locks = self->locks };
	size_t i, nr_changed = 0, nr_lost = 0;
	pthread_t thread;
	int round;
	__u32 word;

	changer.changed = calloc(NR_MANY, sizeof(*changer.changed));
	ASSERT_TRUE(!!changer.changed);
	/* On a busy machine the two rarely run at the same time. */
	for (round = 0; round < 10 && nr_changed < 1000; round++) {
		ASSERT_TRUE(million_start(self->victim, self->locks,
					  variant->waiters_bit));
		changer.before = self->victim->tid | variant->waiters_bit;
		changer.after = changer.before ^ FUTEX_WAITERS;
		changer.stop = 0;
		memset(changer.changed, 0, NR_MANY * sizeof(*changer.changed));
		ASSERT_EQ(0, pthread_create(&thread, NULL, change_the_next_one,
					    &changer));
		ASSERT_TRUE(million_die(self->victim));
		changer.stop = 1;
		pthread_join(thread, NULL);

		for (i = 0; i < NR_MANY; i++) {
			word = MARKED | variant->waiters_bit;
			if (changer.changed[i])
				word ^= FUTEX_WAITERS;
			nr_changed += changer.changed[i];
			nr_lost += self->locks[i].word != word;
		}
		ASSERT_EQ(0U, nr_lost);
	}
	TH_LOG("%zu changes in %d walks", nr_changed, round);
	/* With one CPU the thread cannot run ahead of the walk. */
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		EXPECT_NE(0U, nr_changed);
}

/* As many as there are CPUs, and two at least */
#define MAX_THREADS	64

static int threads_for_all_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 2 ? 2 : cpus > MAX_THREADS ? MAX_THREADS : cpus;
}

/* Each of these is contended until it is marked, so there are fewer of them */
#define NR_CONTENDED	20000

struct contender {
	struct robust_lock *locks;
	futex_t *stop;
	/* How often it has changed each */
	futex_t *changes;
	pthread_t thread;
};

static void *contend(void *arg)
{
	struct contender *contender = arg;
	size_t next = 0;
	futex_t *word;
	__u32 value;

	while (next < NR_CONTENDED && !*contender->stop) {
		word = &contender->locks[next].word;
		value = *word;
		if (value & FUTEX_OWNER_DIED)
			next++;
		else if (futex_cmpxchg(word, value, value ^ FUTEX_WAITERS) == value)
			contender->changes[next]++;
	}
	return NULL;
}

/*
 * All CPUs change the word that the walk is about to mark, again and again and
 * each by an atomic exchange of its own, as concurrent locks and unlocks do. No
 * change is lost, neither theirs nor the mark: an exchange by the kernel that
 * fails because of another CPU is repeated, and is never taken for a success.
 */
TEST_F_TIMEOUT(million, concurrent_all_cpus, 120)
{
	int nr_threads = threads_for_all_cpus(), i, round;
	struct contender contenders[MAX_THREADS];
	size_t lock, nr_contended = 0, nr_lost = 0;
	unsigned int changes;
	futex_t stop;
	__u32 word;

	for (i = 0; i < nr_threads; i++) {
		contenders[i].locks = self->locks;
		contenders[i].stop = &stop;
		contenders[i].changes = calloc(NR_CONTENDED, sizeof(changes));
		ASSERT_TRUE(!!contenders[i].changes);
	}
	for (round = 0; round < 10 && nr_contended < 1000; round++) {
		ASSERT_TRUE(victim_start(self->victim));
		link_locks(&self->victim->head, self->locks, NR_CONTENDED);
		hold(self->locks, NR_CONTENDED,
		     self->victim->tid | variant->waiters_bit);
		stop = 0;
		for (i = 0; i < nr_threads; i++) {
			memset((void *)contenders[i].changes, 0,
			       NR_CONTENDED * sizeof(changes));
			ASSERT_EQ(0, pthread_create(&contenders[i].thread, NULL,
						    contend, &contenders[i]));
		}
		for (i = 0; i < nr_threads; i++)
			ASSERT_TRUE(happens(contenders[i].changes[0]));
		ASSERT_TRUE(million_die(self->victim));
		stop = 1;
		for (i = 0; i < nr_threads; i++)
			pthread_join(contenders[i].thread, NULL);

		for (lock = 0; lock < NR_CONTENDED; lock++) {
			changes = 0;
			for (i = 0; i < nr_threads; i++)
				changes += contenders[i].changes[lock];
			word = MARKED | variant->waiters_bit;
			if (changes % 2)
				word ^= FUTEX_WAITERS;
			nr_contended += !!changes;
			nr_lost += self->locks[lock].word != word;
		}
		ASSERT_EQ(0U, nr_lost);
	}
	TH_LOG("%zu locks changed meanwhile, in %d walks", nr_contended, round);
	/* The first one at least */
	EXPECT_NE(0U, nr_contended);
}

/* How far ahead of the walk a thread may go to sleep */
#define AHEAD		64

struct latecomer {
	struct robust_lock *locks;
	__u32 owner;
	unsigned int nr_woken;
	unsigned int nr_too_late;
	unsigned int nr_lost;
	pthread_t thread;
};

static void sleep_on(struct latecomer *latecomer, futex_t *word)
{
	__u32 value = *word;
	long long start = milliseconds();
	int error;

	/* As pthread_mutex_lock() does it */
	if ((value & FUTEX_TID_MASK) != latecomer->owner)
		return;
	if (!(value & FUTEX_WAITERS) &&
	    futex_cmpxchg(word, value, value | FUTEX_WAITERS) != value)
		return;

	error = wait_on(word, value | FUTEX_WAITERS);
	if (error == EAGAIN)
		latecomer->nr_too_late++;
	else if (milliseconds() - start >= TIME_LIMIT * 1000)
		latecomer->nr_lost++;
	else if (!error)
		latecomer->nr_woken++;
	/* The next owner passes it on to another waiter. */
	futex_wake(word, 1, 0);
}

static void *sleep_just_ahead_of_the_walk(void *arg)
{
	struct latecomer *latecomer = arg;
	struct robust_lock *locks = latecomer->locks;
	size_t next = 0, distance = 0;

	while (!latecomer->nr_lost) {
		while (next < NR_MANY && locks[next].word & FUTEX_OWNER_DIED)
			next++;
		distance = (distance + 1) % AHEAD;
		if (next + distance >= NR_MANY)
			break;
		sleep_on(latecomer, &locks[next + distance].word);
	}
	return NULL;
}

/*
 * A waiter that goes to sleep on a lock while it is marked either finds it
 * marked and does not sleep, or is asleep in time to be woken. The walk changes
 * the word and then looks for sleepers, a sleeper queues itself and then reads
 * the word: if the second step of either became visible before the first, as a
 * weakly ordered CPU may do it, each would miss the other's.
 */
TEST_F_TIMEOUT(million, no_lost_wakeup, 240)
{
	unsigned int nr_woken = 0, nr_too_late = 0, nr_lost = 0;
	int nr_threads = threads_for_all_cpus(), i, round;
	struct latecomer latecomers[MAX_THREADS];

	for (round = 0; round < 10 && nr_too_late < 100; round++) {
		ASSERT_TRUE(million_start(self->victim, self->locks,
					  variant->waiters_bit));
		for (i = 0; i < nr_threads; i++) {
			latecomers[i] = (struct latecomer){
				.locks = self->locks,
				.owner = self->victim->tid,
			};
			ASSERT_EQ(0, pthread_create(&latecomers[i].thread, NULL,
						    sleep_just_ahead_of_the_walk,
						    &latecomers[i]));
		}
		ASSERT_TRUE(million_die(self->victim));
		for (i = 0; i < nr_threads; i++) {
			pthread_join(latecomers[i].thread, NULL);
			nr_woken += latecomers[i].nr_woken;
			nr_too_late += latecomers[i].nr_too_late;
			nr_lost += latecomers[i].nr_lost;
		}
		ASSERT_EQ(0U, nr_lost);
	}
	TH_LOG("%u woken and %u too late to sleep, in %d walks", nr_woken,
	       nr_too_late, round);
	EXPECT_NE(0U, nr_woken);
}

/*
 * Where each waiter sleeps before it is moved, asleep, to its lock. An array does
 * not take over the alignment of futex_t.
 */
static futex_t gates[NR_ASLEEP] __attribute__((aligned(sizeof(futex_t))));
static struct waiters waiters[NR_ASLEEP];

/*
 * There are many of these. If they returned at a time limit of their own, or
 * exited, a slow machine might do nothing else for a while. So the time limit of
 * the test applies to them, and they do not exit.
 */
static void *patient_waiter(void *arg)
{
	struct waiters *self = arg;

	while (futex_wait(&gates[self - waiters], 0, NULL, 0) && errno == EINTR)
		;
	self->seen = *self->futex;
	__atomic_add_fetch(&self->back, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

/*
 * One lock in a thousand has a waiter that sleeps. Each of these is woken, and
 * finds its lock marked: the wakeups do not end the walk, and none is lost. On a
 * slow machine it takes longer to start the waiters than the victim waits, so they
 * are started before it.
 */
TEST_F_TIMEOUT(million, waiters_woken, 240)
{
	int i, nr_woken = 0, nr_marked = 0;

	for (i = 0; i < NR_ASLEEP; i++) {
		waiters[i].futex = &self->locks[i * ONE_IN + ONE_IN / 2].word;
		waiters[i].nr = 1;
		ASSERT_TRUE(start_small_thread(patient_waiter, &waiters[i]));
	}
	for (i = 0; i < NR_ASLEEP && happens(sleepers(&gates[i]) == 1); i++)
		;
	ASSERT_EQ(NR_ASLEEP, i);

	ASSERT_TRUE(million_start(self->victim, self->locks,
				  variant->waiters_bit));
	for (i = 0; i < NR_ASLEEP; i++) {
		*waiters[i].futex |= FUTEX_WAITERS;
		ASSERT_EQ(1, futex_cmp_requeue(&gates[i], 0, waiters[i].futex,
					       0, 1, 0));
	}

	ASSERT_TRUE(million_die(self->victim));
	for (i = 0; i < NR_ASLEEP; i++) {
		nr_woken += woken(&waiters[i]) == 1;
		nr_marked += waiters[i].seen == MARKED_WITH_WAITERS;
	}
	EXPECT_EQ(NR_ASLEEP, nr_woken);
	EXPECT_EQ(NR_ASLEEP, nr_marked);
}

/*
 * A task that shares the CPU with the dying one, and checks how far the walk has
 * come whenever it runs. It runs on that CPU alone. So if it ever sees a list
 * that is marked in part, the walk has let it run; without preemption in the
 * kernel, that was at a point where the walk reschedules.
 */
struct observer {
	pid_t pid;
	futex_t ready;
	futex_t stop;
	/* Sleep for a millisecond each time, or never */
	bool sleeps;
	struct robust_lock *locks;
	/* The states that it saw, in locks marked, without the first and last */
	unsigned int nr_seen;
	size_t last;
};

static bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static int some_cpu(void)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (cpu = 0; cpu < CPU_SETSIZE - 1; cpu++)
		if (CPU_ISSET(cpu, &set))
			break;
	return cpu;
}

/* They are marked one after the other, so look for the border */
static size_t count_marked(struct robust_lock *locks)
{
	size_t low = 0, high = NR_MANY, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (locks[middle].word & FUTEX_OWNER_DIED)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void observe(struct observer *observer)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	size_t now;

	observer->ready = 1;
	while (!observer->stop) {
		now = count_marked(observer->locks);
		if (now && now < NR_MANY && now != observer->last) {
			observer->last = now;
			observer->nr_seen++;
		}
		if (observer->sleeps)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	_exit(0);
}

/* Map all of the list, as a slow page fault would let other tasks run, too */
static void run_pinned(struct victim *victim)
{
	struct observer *observer = victim->data;
	size_t step = sysconf(_SC_PAGESIZE), i;
	char *memory = (char *)observer->locks;

	if (!pin(some_cpu()))
		_exit(KSFT_FAIL);
	for (i = 0; i < NR_MANY * sizeof(*observer->locks); i += step)
		__atomic_fetch_or(memory + i, 0, __ATOMIC_RELAXED);
	victim_hold(victim);
	kill(getpid(), SIGKILL);
}

FIXTURE(neighbour)
{
	struct observer *observer;
	struct victim *victim;
};

FIXTURE_VARIANT(neighbour)
{
	bool sleeps;
};

FIXTURE_VARIANT_ADD(neighbour, computes) {
};

FIXTURE_VARIANT_ADD(neighbour, wakes_every_ms) {
	.sleeps = true,
};

FIXTURE_SETUP(neighbour)
{
	struct observer *observer;
	pid_t pid;

	REQUIRE_ROBUST_LIST();

	observer = shared_memory(sizeof(*observer));
	ASSERT_TRUE(!!observer);
	self->observer = observer;
	observer->sleeps = variant->sleeps;
	observer->locks = shared_memory(NR_MANY * sizeof(*observer->locks));
	ASSERT_TRUE(!!observer->locks);
	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);

	pid = fork();
	if (!pid) {
		prepare_child();
		if (pin(some_cpu()))
			observe(observer);
		_exit(KSFT_FAIL);
	}
	ASSERT_LT(0, pid);
	observer->pid = pid;
	EXPECT_TRUE(happens(observer->ready));
}

FIXTURE_TEARDOWN(neighbour)
{
	self->observer->stop = 1;
	kill(self->observer->pid, SIGKILL);
	waitpid(self->observer->pid, NULL, 0);
	victim_clean(self->victim);
}

/* So many partly marked states show that it was not by chance */
#define ENOUGH_SEEN	3

/*
 * The walk lets other tasks run between batches: another task on the
 * same CPU, of the same priority, runs again and again before a million locks
 * are marked. On a fast machine the walk may be over before the scheduler
 * switches to the other task, so there are several tries.
 */
TEST_F_TIMEOUT(neighbour, others_run, 120)
{
	struct observer *observer = self->observer;
	struct victim *victim = self->victim;
	unsigned int most = 0;
	int round;

	for (round = 0; round < 10 && most < ENOUGH_SEEN; round++) {
		/* Nothing is marked before the walk begins */
		hold(observer->locks, NR_MANY, 0);
		victim->run = run_pinned;
		victim->data = observer;
		ASSERT_TRUE(victim_start(victim));
		link_locks(&victim->head, observer->locks, NR_MANY);
		hold(observer->locks, NR_MANY, victim->tid | FUTEX_WAITERS);
		observer->nr_seen = 0;

		victim->whole_process = true;
		ASSERT_TRUE(million_die(victim));
		ASSERT_EQ((size_t)NR_MANY, count(observer->locks, NR_MANY,
						 MARKED_WITH_WAITERS));
		if (observer->nr_seen > most)
			most = observer->nr_seen;
	}
	TH_LOG("ran %u times during the walk, in try %d", most, round);
	EXPECT_LE(ENOUGH_SEEN, most);
}

/*
 * Pages that the test has to supply, one lock in each. The victim's process has a
 * userfaultfd, and the test has a copy of the descriptor and supplies the pages.
 * They are pages of a file, so that the test can read them, too; it must not touch
 * those that it has not supplied.
 *
 * A fault of a thread that exits does not wait for userfaultfd. The list of a
 * thread that execs is walked as well, and its faults do wait.
 */
#define NR_SLOW		16
/* The one that the walk waits for when the kill comes */
#define DECISIVE	7

struct slow {
	struct victim *victim;
	char *pages;
	/* Where the words are, if not beside the entries */
	char *words;
	size_t page_size;
	/*
	 * Locks that are handled after those in the pages, one of them pending. They
	 * lie in ordinary memory that the victim has not mapped before the walk.
	 */
	char *others;
	/* Watch writes, not missing pages */
	bool writes;
	/* The victim's descriptor, and the test's */
	int victim_uffd;
	int uffd;
	/* Let a thread exec that is not the leader */
	bool by_thread;
	/* Tells the other thread of the victim to end the process */
	futex_t end_process;
};

static struct robust_lock *slow_lock(struct slow *slow, int i)
{
	return (void *)(slow->pages + i * slow->page_size);
}

enum { LISTED, PENDING, NR_OTHERS };

static struct robust_lock *other_lock(struct slow *slow, int i)
{
	return (void *)(slow->others + i * slow->page_size);
}

/* Where the list goes on behind the last page */
static struct robust_list *behind_pages(struct slow *slow)
{
	return slow->others ? &other_lock(slow, LISTED)->entry :
			      &slow->victim->head.list;
}

static int slow_count_marked(struct slow *slow)
{
	int i, marked = 0;

	/* A page that was not supplied holds zeroes now */
	for (i = 0; i < NR_SLOW; i++)
		marked += slow_lock(slow, i)->word == MARKED;
	return marked;
}

static void *hold_and_exec(void *arg)
{
	victim_hold(arg);
	exec_and_end();
	return NULL;
}

static void run_slow(struct victim *victim)
{
	struct slow *slow = victim->data;
	futex_t *end_process = &slow->end_process;
	pthread_t thread;
	int err, i;

	/* The words, if they are in other pages, are mapped */
	for (i = 0; slow->words && i < NR_SLOW; i++)
		__atomic_fetch_or(slow->words + i * slow->page_size, 0,
				  __ATOMIC_RELAXED);
	slow->victim_uffd = watch_range(slow->pages, NR_SLOW * slow->page_size,
					slow->writes);
	if (slow->victim_uffd < 0)
		_exit(KSFT_SKIP);
	if (slow->by_thread) {
		err = pthread_create(&thread, NULL, hold_and_exec, victim);
		if (!err)
			end_process_when_told((void *)end_process);
	} else {
		err = pthread_create(&thread, NULL, end_process_when_told,
				     (void *)end_process);
		if (!err)
			hold_and_exec(victim);
	}
	_exit(KSFT_FAIL);
}

/* Copy a descriptor of another process; -1 if that cannot be done */
static int get_descriptor(pid_t pid, int fd)
{
	int process = syscall(SYS_pidfd_open, pid, 0), copy;

	if (process < 0)
		return -1;
	copy = syscall(SYS_pidfd_getfd, process, fd, 0);
	close(process);
	return copy;
}

/* The page that the walk waits for; -1 if no fault is reported */
static int next_asked(struct slow *slow)
{
	struct pollfd event = { .fd = slow->uffd, .events = POLLIN };
	struct uffd_msg message;
	uintptr_t address;

	if (poll(&event, 1, 10) <= 0 ||
	    read(slow->uffd, &message, sizeof(message)) != sizeof(message) ||
	    message.event != UFFD_EVENT_PAGEFAULT)
		return -1;
	address = message.arg.pagefault.address;
	return (address - (uintptr_t)slow->pages) / slow->page_size;
}

/* Supply a page, with a lock in it that is held and leads to the next one */
static void bring(struct slow *slow, int page)
{
	struct robust_lock *lock = calloc(1, slow->page_size);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)slow_lock(slow, page),
		.src = (uintptr_t)lock,
		.len = slow->page_size,
	};
	struct uffdio_range range = { .start = copy.dst, .len = copy.len };

	if (!lock)
		return;
	lock->word = slow->victim->tid;
	lock->entry.next = page + 1 < NR_SLOW ?
			   &slow_lock(slow, page + 1)->entry :
			   behind_pages(slow);
	/* If it is present already, only wake the tasks that wait for it */
	if (ioctl(slow->uffd, UFFDIO_COPY, &copy) && errno == EEXIST)
		ioctl(slow->uffd, UFFDIO_WAKE, &range);
	free(lock);
}

/* Supply pages until the walk waits for @last, which the caller supplies */
static bool bring_until(struct slow *slow, int last)
{
	long long end = milliseconds() + TIME_LIMIT * 1000LL;
	int page;

	while (milliseconds() < end) {
		page = next_asked(slow);
		if (page == last)
			return true;
		if (page >= 0)
			bring(slow, page);
		if (slow->victim->pid)
			victim_waited(slow->victim);
		if (!slow->victim->pid)
			break;
	}
	return false;
}

/* Supply all pages that the walk waits for, until the victim has ended */
static bool bring_to_the_end(struct slow *slow)
{
	bring_until(slow, NR_SLOW);
	return !slow->victim->pid;
}

/* Supply the rest at once: a fault need not wait while a kill is pending */
static bool bring_the_rest(struct slow *slow)
{
	int page;

	for (page = DECISIVE; page < NR_SLOW; page++)
		bring(slow, page);
	return happens(victim_waited(slow->victim) && !slow->victim->pid);
}

/* Make the pages, and a victim that registers them; NULL if there is no memory */
static struct slow *slow_alloc(void)
{
	struct slow *slow = shared_memory(sizeof(*slow));
	int fd = memfd_create("robust", MFD_CLOEXEC);

	if (!slow || fd < 0)
		return NULL;
	slow->page_size = sysconf(_SC_PAGESIZE);
	if (ftruncate(fd, NR_SLOW * slow->page_size))
		return NULL;
	slow->pages = mmap(NULL, NR_SLOW * slow->page_size,
			   PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	slow->victim = victim_alloc();
	if (slow->pages == MAP_FAILED || !slow->victim)
		return NULL;
	slow->victim->run = run_slow;
	slow->victim->data = slow;
	return slow;
}

/* Start it; false if it does not start: see victim_skipped() */
static bool slow_start(struct slow *slow)
{
	if (!victim_start(slow->victim))
		return false;
	slow->uffd = get_descriptor(slow->victim->pid, slow->victim_uffd);
	return slow->uffd >= 0;
}

/* Without the registration no fault waits for a page any more */
static void slow_clean(struct slow *slow)
{
	struct uffdio_range range = {
		.start = (uintptr_t)slow->pages,
		.len = NR_SLOW * slow->page_size,
	};

	ioctl(slow->uffd, UFFDIO_UNREGISTER, &range);
	close(slow->uffd);
	victim_clean(slow->victim);
}

/* The walk begins, and waits for this page */
static bool slow_walk(struct slow *slow, int page)
{
	tell(&slow->victim->go);
	if (!bring_until(slow, page))
		return false;
	settle();
	return true;
}

FIXTURE(slow_page)
{
	struct slow *slow;
	struct waiters waiters[NR_OTHERS];
};

FIXTURE_VARIANT(slow_page)
{
	bool by_thread;
};

FIXTURE_VARIANT_ADD(slow_page, leader) {
};

FIXTURE_VARIANT_ADD(slow_page, thread) {
	.by_thread = true,
};

FIXTURE_SETUP(slow_page)
{
	struct robust_list_head *head;
	struct slow *slow;
	bool started;
	int i;

	REQUIRE_ROBUST_LIST();

	slow = slow_alloc();
	ASSERT_TRUE(!!slow);
	self->slow = slow;
	slow->by_thread = variant->by_thread;
	slow->others = shared_memory(NR_OTHERS * slow->page_size);
	ASSERT_TRUE(!!slow->others);
	started = slow_start(slow);
	if (!started && victim_skipped(slow->victim))
		SKIP_TEST("needs userfaultfd, and root");
	ASSERT_TRUE(started);

	head = &slow->victim->head;
	for (i = 0; i < NR_OTHERS; i++) {
		other_lock(slow, i)->word = slow->victim->tid | FUTEX_WAITERS;
		EXPECT_TRUE(start_waiters(&self->waiters[i],
					  &other_lock(slow, i)->word,
					  NR_WAITERS));
	}
	other_lock(slow, LISTED)->entry.next = &head->list;
	head->list.next = &slow_lock(slow, 0)->entry;
	head->list_op_pending = &other_lock(slow, PENDING)->entry;
	EXPECT_TRUE(slow_walk(slow, DECISIVE));
}

FIXTURE_TEARDOWN(slow_page)
{
	slow_clean(self->slow);
}

/* All locks are marked, and one waiter of each that has some was woken */
static void check_slow(struct __test_metadata *_metadata, struct slow *slow,
		       struct waiters *waiters)
{
	int i;

	EXPECT_EQ(NR_SLOW, slow_count_marked(slow));
	for (i = 0; i < NR_OTHERS; i++) {
		EXPECT_EQ(MARKED_WITH_WAITERS, other_lock(slow, i)->word);
		EXPECT_EQ(1, woken(&waiters[i]));
		EXPECT_EQ(MARKED_WITH_WAITERS, waiters[i].seen);
	}
}

/*
 * A walk waits for pages: the locks in them, and those behind, are marked, and
 * waiters are woken.
 */
TEST_F(slow_page, waited_for)
{
	struct slow *slow = self->slow;

	bring(slow, DECISIVE);
	ASSERT_TRUE(bring_to_the_end(slow));
	check_slow(_metadata, slow, self->waiters);
	EXPECT_EQ(0, slow->victim->status);
}

/*
 * If a kill comes while the walk waits for a page, the locks in that page and
 * behind it are still marked, and their wakeups made. The process ends by the
 * kill nevertheless, and the new program does not run.
 */
TEST_F(slow_page, killed_all_marked)
{
	struct slow *slow = self->slow;

	ASSERT_EQ(0, kill(slow->victim->pid, SIGKILL));
	settle();
	ASSERT_TRUE(bring_the_rest(slow));
	check_slow(_metadata, slow, self->waiters);
	ASSERT_TRUE(WIFSIGNALED(slow->victim->status));
	EXPECT_EQ(SIGKILL, WTERMSIG(slow->victim->status));
}

/*
 * The list is unregistered before it is walked: get_robust_list() returns NULL
 * meanwhile.
 */
TEST_F(slow_page, head_cleared_first)
{
	struct slow *slow = self->slow;
	uintptr_t seen = 1;
	size_t len;

	EXPECT_EQ(0, get_robust_list(slow->victim->tid, &seen, &len));
	EXPECT_EQ(0U, seen);
	bring(slow, DECISIVE);
	ASSERT_TRUE(bring_to_the_end(slow));
	check_slow(_metadata, slow, self->waiters);
}

/* Entries in pages that the test supplies, and words in pages that are mapped */
FIXTURE(slow_entry)
{
	struct slow *slow;
	struct waiters waiters;
};

static futex_t *slow_word(struct slow *slow, int i)
{
	return (futex_t *)(slow->words + i * slow->page_size);
}

FIXTURE_SETUP(slow_entry)
{
	struct victim *victim;
	struct slow *slow;
	bool started;
	int i;

	REQUIRE_ROBUST_LIST();

	slow = slow_alloc();
	ASSERT_TRUE(!!slow);
	self->slow = slow;
	/* One more is for the pending lock: its entry is never read */
	slow->words = shared_memory((NR_SLOW + 1) * slow->page_size);
	ASSERT_TRUE(!!slow->words);
	victim = slow->victim;
	started = slow_start(slow);
	if (!started && victim_skipped(victim))
		SKIP_TEST("needs userfaultfd, and root");
	ASSERT_TRUE(started);

	for (i = 0; i <= NR_SLOW; i++)
		*slow_word(slow, i) = victim->tid;
	*slow_word(slow, DECISIVE - 1) |= FUTEX_WAITERS;
	EXPECT_TRUE(start_waiters(&self->waiters, slow_word(slow, DECISIVE - 1),
				  1));
	victim->head.futex_offset = slow->words - slow->pages -
				    (long)offsetof(struct robust_lock, entry);
	victim->head.list.next = &slow_lock(slow, 0)->entry;
	victim->head.list_op_pending = &slow_lock(slow, NR_SLOW)->entry;
	EXPECT_TRUE(slow_walk(slow, DECISIVE));
}

FIXTURE_TEARDOWN(slow_entry)
{
	slow_clean(self->slow);
}

/*
 * An entry is read before its lock is marked. As soon as it is marked, another
 * thread may take the lock, and then the entry is that thread's to write.
 */
TEST_F(slow_entry, read_before_mark)
{
	struct slow *slow = self->slow;
	__u32 tid = slow->victim->tid;
	int i;

	EXPECT_EQ(tid, *slow_word(slow, DECISIVE));
	bring(slow, DECISIVE);
	ASSERT_TRUE(bring_to_the_end(slow));
	for (i = 0; i < NR_SLOW; i++)
		EXPECT_EQ(MARKED, *slow_word(slow, i) & ~FUTEX_WAITERS);
}

/* The pending lock is handled last: not while the list is being walked. */
TEST_F(slow_entry, before_pending)
{
	struct slow *slow = self->slow;

	EXPECT_EQ((__u32)slow->victim->tid, *slow_word(slow, NR_SLOW));
	bring(slow, DECISIVE);
	ASSERT_TRUE(bring_to_the_end(slow));
	EXPECT_EQ(MARKED, *slow_word(slow, NR_SLOW));
}

/* A wakeup does not wait for the page of a later lock. */
TEST_F(slow_entry, earlier_waiter_woken)
{
	EXPECT_EQ(1, woken(&self->waiters));
	bring(self->slow, DECISIVE);
	ASSERT_TRUE(bring_to_the_end(self->slow));
}

/*
 * A word that can be read at once, but not written before the test permits it. So
 * there is time between the two for other threads to change the word.
 */
FIXTURE(slow_write)
{
	struct slow *slow;
};

FIXTURE_VARIANT(slow_write)
{
	bool pending;
};

FIXTURE_VARIANT_ADD(slow_write, listed) {
};

FIXTURE_VARIANT_ADD(slow_write, pending) {
	.pending = true,
};

FIXTURE_SETUP(slow_write)
{
	struct robust_lock *lock;
	struct victim *victim;
	struct slow *slow;
	bool started;

	REQUIRE_ROBUST_LIST();

	slow = slow_alloc();
	ASSERT_TRUE(!!slow);
	self->slow = slow;
	slow->writes = true;
	lock = slow_lock(slow, 0);
	victim = slow->victim;
	/* Its page is present before it is watched */
	lock->entry.next = &victim->head.list;
	started = slow_start(slow);
	if (!started && victim_skipped(victim))
		SKIP_TEST("needs userfaultfd for writes, and root");
	ASSERT_TRUE(started);

	lock->word = victim->tid;
	if (variant->pending)
		victim->head.list_op_pending = &lock->entry;
	else
		victim->head.list.next = &lock->entry;
	EXPECT_TRUE(slow_walk(slow, 0));
}

FIXTURE_TEARDOWN(slow_write)
{
	slow_clean(self->slow);
}

/*
 * If a thread sets FUTEX_WAITERS and goes to sleep between the kernel's read of the
 * word and its exchange, the bit is kept and the thread is woken.
 */
TEST_F(slow_write, concurrent_waiters_bit)
{
	struct slow *slow = self->slow;
	struct robust_lock *lock = slow_lock(slow, 0);
	struct uffdio_writeprotect permit = {
		.range = {
			.start = (uintptr_t)slow->pages,
			.len = NR_SLOW * slow->page_size,
		},
	};
	struct waiters waiters = {};

	ASSERT_EQ((__u32)slow->victim->tid, lock->word);
	lock->word |= FUTEX_WAITERS;
	EXPECT_TRUE(start_waiters(&waiters, &lock->word, 1));
	ASSERT_EQ(0, ioctl(slow->uffd, UFFDIO_WRITEPROTECT, &permit));
	ASSERT_TRUE(happens(victim_waited(slow->victim) && !slow->victim->pid));
	EXPECT_EQ(MARKED_WITH_WAITERS, lock->word);
	EXPECT_EQ(1, woken(&waiters));
}

/*
 * A process with a busy memory map. Each page of the list has to be mapped
 * first, and for each the walk has to wait, because two tasks that share the
 * memory change the protection of a large part of it, over and over, and hold
 * the mmap lock for writing while they do so. They are processes of their own,
 * and outlive that of the walk.
 *
 * So a kill that comes in the middle of the walk nearly always finds it waiting.
 * The walk is that of a thread that exits.
 */
#define FEW_BUSY	32
#define MANY_BUSY	2048
/* A fault maps the pages around it too, but not so many */
#define BUSY_STEP	(64 * 1024)
#define BUSY_SIZE	((size_t)64 * 1024 * 1024)
#define NR_BUSY_TASKS	2

struct busy {
	struct victim *victim;
	char *locks;
	int nr;
	/* What is protected, and the tasks that do it */
	char *memory;
	pid_t tasks[NR_BUSY_TASKS];
	futex_t ready;
	futex_t stop;
	futex_t end_process;
};

static struct robust_lock *busy_lock(struct busy *busy, int i)
{
	return (void *)(busy->locks + (size_t)i * BUSY_STEP);
}

static int busy_count_marked(struct busy *busy)
{
	int i, marked = 0;

	for (i = 0; i < busy->nr; i++)
		marked += (busy_lock(busy, i)->word & ~FUTEX_WAITERS) == MARKED;
	return marked;
}

/* It has no thread area of its own: no C library but for system calls */
static int change_protection(void *arg)
{
	struct busy *busy = arg;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	busy->ready = 1;
	while (!busy->stop) {
		syscall(SYS_mprotect, busy->memory, BUSY_SIZE, PROT_NONE);
		syscall(SYS_mprotect, busy->memory, BUSY_SIZE, PROT_READ);
	}
	syscall(SYS_exit, 0);
	return 0;
}

static void run_busy(struct victim *victim)
{
	struct busy *busy = victim->data;
	size_t step = sysconf(_SC_PAGESIZE), i;
	pthread_t thread;
	char *memory;

	memory = mmap(NULL, BUSY_SIZE, PROT_READ,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		_exit(KSFT_FAIL);
	busy->memory = memory;
	madvise(memory, BUSY_SIZE, MADV_NOHUGEPAGE);
	if (madvise(memory, BUSY_SIZE, MADV_POPULATE_READ))
		for (i = 0; i < BUSY_SIZE; i += step)
			__atomic_load_n(memory + i, __ATOMIC_RELAXED);

	/* Before the tasks start, as then all that needs the mmap lock is slow */
	if (pthread_create(&thread, NULL, hold_and_exit_thread, victim) ||
	    !happens(victim->tid))
		_exit(KSFT_FAIL);

	for (i = 0; i < NR_BUSY_TASKS; i++) {
		busy->tasks[i] = start_task(change_protection, busy, CLONE_VM);
		if (busy->tasks[i] < 0)
			_exit(KSFT_FAIL);
	}
	end_process_when_told((void *)&busy->end_process);
}

FIXTURE(busy_map)
{
	struct busy *busy;
};

FIXTURE_VARIANT(busy_map)
{
	bool kill;
	bool exit;
};

/* The control: it is only slow */
FIXTURE_VARIANT_ADD(busy_map, undisturbed) {
};

FIXTURE_VARIANT_ADD(busy_map, killed) {
	.kill = true,
};

FIXTURE_VARIANT_ADD(busy_map, exit_group_by_sibling) {
	.exit = true,
};

FIXTURE_SETUP(busy_map)
{
	REQUIRE_ROBUST_LIST();

	self->busy = shared_memory(sizeof(*self->busy));
	ASSERT_TRUE(!!self->busy);
	/* One more is for the pending lock */
	self->busy->locks = shared_memory((size_t)(MANY_BUSY + 1) * BUSY_STEP);
	ASSERT_TRUE(!!self->busy->locks);
	self->busy->victim = victim_alloc();
	ASSERT_TRUE(!!self->busy->victim);
}

static void end_busy(struct busy *busy)
{
	int i;

	busy->stop = 1;
	for (i = 0; i < NR_BUSY_TASKS; i++) {
		pid_t pid = busy->tasks[i];

		busy->tasks[i] = 0;
		end_task(pid);
	}
	victim_clean(busy->victim);
}

FIXTURE_TEARDOWN(busy_map)
{
	end_busy(self->busy);
}

/* The list of the thread that walks */
static void busy_list(struct busy *busy)
{
	struct robust_list_head *head = &busy->victim->head;
	int i;

	head->list.next = &busy_lock(busy, 0)->entry;
	for (i = 0; i < busy->nr; i++) {
		busy_lock(busy, i)->word = busy->victim->tid;
		busy_lock(busy, i)->entry.next = &head->list;
		if (i + 1 < busy->nr)
			busy_lock(busy, i)->entry.next =
				&busy_lock(busy, i + 1)->entry;
	}
}

/* Have waiters for the last lock on the list, and for one that is pending */
static bool busy_waiters(struct busy *busy, struct waiters *listed,
			 struct waiters *pending)
{
	struct robust_lock *last = busy_lock(busy, busy->nr - 1);
	struct robust_lock *other = busy_lock(busy, busy->nr);

	last->word |= FUTEX_WAITERS;
	other->word = busy->victim->tid | FUTEX_WAITERS;
	busy->victim->head.list_op_pending = &other->entry;
	return start_waiters(listed, &last->word, NR_WAITERS) &&
	       start_waiters(pending, &other->word, NR_WAITERS);
}

/* How often the walk has to be disturbed in its first half */
#define ENOUGH_ROUNDS	3

/*
 * However much the walk has to wait for, and whatever ends the process in the
 * meantime, all locks are marked and no wakeup is lost, also where the kernel
 * cannot find a page without the mmap lock. A kill that comes too late proves
 * nothing, and is repeated with a longer list.
 */
TEST_F_TIMEOUT(busy_map, all_marked, 120)
{
	struct busy *busy = self->busy;
	struct victim *victim = busy->victim;
	int round, before, enough = 0;

	busy->nr = FEW_BUSY;
	for (round = 0; round < 20 && enough < ENOUGH_ROUNDS; round++) {
		struct waiters *waiters = calloc(2, sizeof(*waiters));

		ASSERT_TRUE(!!waiters);
		busy->stop = 0;
		busy->ready = 0;
		busy->end_process = 0;
		victim->run = run_busy;
		victim->data = busy;
		ASSERT_TRUE(victim_start(victim));
		ASSERT_TRUE(happens(busy->ready));
		busy_list(busy);
		ASSERT_TRUE(busy_waiters(busy, &waiters[0], &waiters[1]));

		tell(&victim->go);
		ASSERT_TRUE(happens(busy_lock(busy, 1)->word == MARKED));
		if (variant->kill)
			kill(victim->pid, SIGKILL);
		if (variant->exit)
			tell(&busy->end_process);
		before = busy_count_marked(busy);
		EXPECT_TRUE(happens(variant->kill || variant->exit ?
				    victim_waited(victim) : !victim->alive));
		EXPECT_EQ(busy->nr, busy_count_marked(busy));
		EXPECT_EQ(1, woken(&waiters[0]));
		EXPECT_EQ(MARKED_WITH_WAITERS, waiters[0].seen);
		EXPECT_EQ(1, woken(&waiters[1]));
		EXPECT_EQ(MARKED_WITH_WAITERS, waiters[1].seen);
		/* Those that are left must not be found there in the next round */
		futex_wake(waiters[0].futex, INT_MAX, 0);
		futex_wake(waiters[1].futex, INT_MAX, 0);
		end_busy(busy);
		if (before < busy->nr / 2)
			enough++;
		else if (busy->nr < MANY_BUSY)
			busy->nr *= 2;
	}
	TH_LOG("%d of %d times in the first half of a walk, of %d locks at last",
	       enough, round, busy->nr);
	/* The harness takes a test that is skipped for one that has not failed */
	if (_metadata->passed && !enough)
		SKIP(return, "the walk was always over before it was disturbed");
}

TEST_HARNESS_MAIN
