// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "records.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define RECORDS		4	/* of a transaction, beside the one that is shared */

/* Number of transactions of a writer that are kept; a new one removes the oldest. */
#define KEPT		512
/* Between two pauses a writer makes at most as many as the log has room for. */
#define LOG_ROOM	(2 * KEPT)

enum {
	WRITERS_GO_ON = IN_TIME,
	WRITERS_DIED = DIED,
	COMMITTED_RECORDS_READ_BACK,
	TRANSACTIONS_ARE_WHOLE,
	DATABASE_IS_CLEAN,
};

enum {
	UNKNOWN,
	BEGUN,
	DONE,
	UNDONE,
};

static struct {
	struct {
		volatile unsigned char state[LOG_ROOM];
		volatile uint32_t last;		/* number of the transaction */
		volatile uint32_t checked;	/* up to here nothing is BEGUN */
		volatile int inside;
		volatile unsigned int died_inside;
	} writers[WRITERS + 1];
	/* The value that the shared record should have for the checked ones. */
	volatile unsigned long long total;
} *book;

static const struct store *store;

static volatile unsigned char *state_of_transaction(int writer, uint32_t number)
{
	return &book->writers[writer].state[number % LOG_ROOM];
}

int make_value(const struct key *key, unsigned char *value)
{
	uint32_t mix = key->writer * 2654435761u ^ key->number * 2246822519u ^
		       key->record * 3266489917u;
	int length;

	mix ^= mix >> 15;
	length = 1 + mix % VALUE_MAX;
	for (int i = 0; i < length; i++) {
		mix = mix * 1664525 + 1013904223;
		value[i] = mix >> 24;
	}
	return length;
}

/* Ends the test: after an error of the database it cannot continue. */
#define must_succeed(test, what, error)					\
do {									\
	const char *error_text = (error);				\
									\
	if (error_text) {						\
		fails(test, "member %d, %s: %s", me, what, error_text);	\
		sleep_ms(100);						\
		_exit(0);						\
	}								\
} while (0)

void linger(void)
{
	switch (any_below(64)) {
	case 0:
		kill(getpid(), SIGKILL);
		break;
	case 1:
		poll(NULL, 0, 1);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		sched_yield();
		break;
	default:
		break;
	}
}

static const char *get_total(unsigned long long *total)
{
	static const struct key shared;
	unsigned char value[VALUE_MAX];
	const char *error;
	int length;

	error = store->get(&shared, value, &length);
	if (error)
		return error;
	*total = 0;
	if (length == sizeof(*total))
		memcpy(total, value, length);
	else if (length >= 0)
		return "the shared record has a wrong length";
	return NULL;
}

static const char *put_total(unsigned long long total)
{
	static const struct key shared;

	return store->put(&shared, (unsigned char *)&total, sizeof(total));
}

/* True if the record exists. Its contents must be right. */
static int look_up(const struct key *key)
{
	unsigned char value[VALUE_MAX], wanted[VALUE_MAX];
	int length = -1, wanted_length = make_value(key, wanted);

	must_succeed(COMMITTED_RECORDS_READ_BACK, "read", store->get(key, value, &length));
	if (length < 0)
		return 0;
	if (length != wanted_length || memcmp(value, wanted, length))
		fails(COMMITTED_RECORDS_READ_BACK,
		      "record %u of transaction %u of writer %u has wrong contents",
		      key->record, key->number, key->writer);
	return 1;
}

static void write_some(void)
{
	uint32_t number = book->writers[me].last + 1;
	struct key key = { .writer = me, .number = number };
	unsigned char value[VALUE_MAX];
	unsigned long long total;
	int length;

	*state_of_transaction(me, number) = BEGUN;
	book->writers[me].last = number;
	must_succeed(WRITERS_GO_ON, "begin", store->begin(1));
	book->writers[me].inside = 1;
	must_succeed(WRITERS_GO_ON, "read", get_total(&total));
	linger();
	for (key.record = 0; key.record < RECORDS; key.record++) {
		length = make_value(&key, value);
		must_succeed(WRITERS_GO_ON, "write", store->put(&key, value, length));
		linger();
	}
	if (number > KEPT) {
		key.number = number - KEPT;
		for (key.record = 0; key.record < RECORDS; key.record++)
			must_succeed(WRITERS_GO_ON, "remove", store->remove(&key));
	}
	must_succeed(WRITERS_GO_ON, "write", put_total(total + 1));
	linger();
	must_succeed(WRITERS_GO_ON, "commit", store->commit());
	*state_of_transaction(me, number) = DONE;
	book->writers[me].inside = 0;
}

/* A reader finds all that another writer has logged as done. */
static void read_some(void)
{
	struct key key = { .writer = 1 + any_below(WRITERS) };
	uint32_t last = book->writers[key.writer].last;
	int done;

	if (last < 2)
		return;
	/* The oldest may be removed meanwhile, but not the latest. */
	key.number = last - any_below(last < KEPT / 2 ? last - 1 : KEPT / 2);
	key.record = any_below(RECORDS);
	done = *state_of_transaction(key.writer, key.number) == DONE;
	must_succeed(WRITERS_GO_ON, "begin to read", store->begin(0));
	if (!look_up(&key) && done && book->writers[key.writer].last < key.number + KEPT)
		fails(COMMITTED_RECORDS_READ_BACK,
		      "a reader misses record %u of transaction %u of writer %u",
		      key.record, key.number, key.writer);
	linger();
	store->end_reading();
	if (store->hold) {
		must_succeed(WRITERS_GO_ON, "hold", store->hold(&key));
		linger();
	}
}

static void step(void)
{
	if (!any_below(3))
		read_some();
	else if (book->writers[me].last - book->writers[me].checked < KEPT)
		write_some();
	else
		poll(NULL, 0, 1);
}

static void enter(void)
{
	if (book->writers[me].inside) {
		book->writers[me].inside = 0;
		book->writers[me].died_inside++;
	}
	must_succeed(WRITERS_GO_ON, "open", store->open());
}

/* The number of existing records of a transaction. */
static int count_records(int writer, uint32_t number)
{
	struct key key = { .writer = writer, .number = number };
	int found = 0;

	for (key.record = 0; key.record < RECORDS; key.record++)
		found += look_up(&key);
	return found;
}

static void check_writer(int writer)
{
	uint32_t last = book->writers[writer].last;
	uint32_t number = last > KEPT ? last - KEPT + 1 : 1;

	if (book->writers[writer].checked < number - 1)
		number = book->writers[writer].checked + 1;
	for (; number <= last; number++) {
		volatile unsigned char *state = state_of_transaction(writer, number);
		int fresh = number > book->writers[writer].checked;
		/* One that was rolled back has removed nothing either. */
		int found = number + KEPT > last ? count_records(writer, number) : -1;

		if (found > 0 && found < RECORDS)
			fails(TRANSACTIONS_ARE_WHOLE,
			      "%d of %d records of transaction %u of writer %d",
			      found, RECORDS, number, writer);
		if (*state == DONE && !found)
			fails(COMMITTED_RECORDS_READ_BACK, "transaction %u of writer %d is lost",
			      number, writer);
		if (*state == UNDONE && found > 0)
			fails(TRANSACTIONS_ARE_WHOLE, "transaction %u of writer %d came back",
			      number, writer);
		if (*state == BEGUN && found >= 0)
			*state = found ? DONE : UNDONE;
		if (fresh && *state == DONE)
			book->total++;
	}
	book->writers[writer].checked = last;
}

static void check(void)
{
	unsigned long long total;

	must_succeed(WRITERS_GO_ON, "open", store->open());
	must_succeed(WRITERS_GO_ON, "begin to read", store->begin(0));
	for (int writer = 1; writer <= WRITERS; writer++)
		check_writer(writer);
	must_succeed(COMMITTED_RECORDS_READ_BACK, "read", get_total(&total));
	store->end_reading();
	if (total != book->total)
		fails(TRANSACTIONS_ARE_WHOLE,
		      "the shared record counts %llu transactions, not %llu",
		      total, book->total);
	must_succeed(DATABASE_IS_CLEAN, "examine", store->examine());
	/* Every pause ends, so the next writer must get the lock as well. */
	must_succeed(WRITERS_GO_ON, "begin", store->begin(1));
	must_succeed(WRITERS_GO_ON, "commit", store->commit());
}

static void summarize(void)
{
	unsigned int died = 0;

	for (int writer = 1; writer <= WRITERS; writer++)
		died += book->writers[writer].died_inside;
	diag("%llu transactions committed and read back, %u times a writer died in one",
	     book->total, died);
	if (!died || !book->total)
		fails(WRITERS_DIED, "no writer died in a transaction, or none ended one");
	store->remove_files();
}

static const char *prepare(void)
{
	book = shared_memory(sizeof(*book));
	return store->create();
}

int records_main(const struct store *used, int argc, char **argv)
{
	struct work writers = {
		.members = WRITERS,
		.children = WRITERS,
		.prepare = prepare,
		.enter = enter,
		.step = step,
		.check = check,
		.summarize = summarize,
	};

	memcpy(writers.tests, used->tests, sizeof(writers.tests));
	store = used;
	return crowd_main(&writers, argc, argv);
}
