/* libpq by itself: its functions for both protocols. pipeline.c and copy.c hold the rest. */
#include "report.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static void check_connect(void)
{
	PGconn *conn = open_one("");
	expect(PQstatus(conn) == CONNECTION_OK);
	expect(strcmp(value(conn, "select 1", NULL), "1") == 0);
	expect(PQserverVersion(conn) >= 150000);
	expect(strcmp(PQparameterStatus(conn, "client_encoding"), "UTF8") == 0);
	conn = open_one("password=wrong");
	expect(PQstatus(conn) == CONNECTION_BAD && strstr(PQerrorMessage(conn), "password authentication failed"));
	conn = open_one("dbname=nowhere");
	if (!strstr(PQerrorMessage(conn), "does not exist")) fail("%s", PQerrorMessage(conn));
	expect(PQping("") == PQPING_OK);
}

static void check_tls(void)
{
	PGconn *conn = open_one("sslmode=require");
	if (PQstatus(conn) != CONNECTION_OK) fail("%s", PQerrorMessage(conn));
	expect(PQsslInUse(conn));
	expect(strcmp(value(conn, "select 1", NULL), "1") == 0);
}

static void check_types_text(void)
{
	static const char *row[] = {"-32768", "2147483647", "-9223372036854775808", "12345678901234567890.123456789", "3.141592653589793",
		"h\303\251llo \342\206\222 \344\270\226\347\225\214 \360\237\220\230 \"q\" 's' \\ %s $1 ?", "\\x0001ff5c2700", "t", "2024-02-29",
		"2024-02-29 12:34:56.789012+00", "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\303\251\"}", "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\303\251\"}",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{1,NULL,-3}", "{a,\"b c\",NULL,\"\303\251\\\"x\"}"};
	PGconn *conn = scene();
	const char *args[16] = {A};
	memcpy(args + 1, row, sizeof row);
	simple(conn, "", "set time zone 'UTC'");
	run(conn, "delete from driver_types where tenant_id = $1 and id = 1000", A, NULL);
	PGresult *result = keep(PQexecParams(conn,
		"insert into driver_types (tenant_id, id, " TYPES ") values ($1, 1000, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		16, NULL, args, NULL, NULL, 0));
	if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("%s", PQerrorMessage(conn));
	expect(strcmp(value(conn, SAME, A, "1", "1000", NULL), "1") == 0);
	result = run(conn, "select " TYPES " from driver_types where tenant_id = $1 and id = 1000", A, NULL);
	for (int i = 0; i < 15; i++)
		if (strcmp(PQgetvalue(result, 0, i), row[i]) != 0) fail("column %s: got %s, want %s", PQfname(result, i), PQgetvalue(result, 0, i), row[i]);
	result = run(conn, "select " TYPES " from driver_types where tenant_id = $1 and id = 2", A, NULL);
	for (int i = 0; i < 15; i++)
		expect(PQgetisnull(result, 0, i));
}

static int64_t big(const char *p)
{
	uint64_t n = 0;
	for (int i = 0; i < 8; i++)
		n = n << 8 | (unsigned char)p[i];
	return (int64_t)n;
}

static void check_types_binary(void)
{
	PGconn *conn = scene();
	char tenant[8], bytes[] = "\0\1\377\\'\0";
	int64_t n = atoll(A);
	for (int i = 0; i < 8; i++)
		tenant[i] = (char)(n >> (56 - 8 * i));
	run(conn, "delete from driver_types where tenant_id = $1 and id = 1000", A, NULL);
	const Oid types[] = {20, 17, 25};
	const char *args[] = {tenant, bytes, "text"};
	const int lengths[] = {8, 6, 0}, formats[] = {1, 1, 0};
	PGresult *result = keep(PQexecParams(conn, "insert into driver_types (tenant_id, id, bin, txt) values ($1, 1000, $2, $3) returning tenant_id, bin, txt, i8", 3,
		types, args, lengths, formats, 1));
	if (PQresultStatus(result) != PGRES_TUPLES_OK) fail("%s", PQerrorMessage(conn));
	expect(big(PQgetvalue(result, 0, 0)) == n);
	expect(PQgetlength(result, 0, 1) == 6 && memcmp(PQgetvalue(result, 0, 1), bytes, 6) == 0);
	expect(PQgetisnull(result, 0, 3));
	const char *first[] = {tenant};
	result = keep(PQexecParams(conn, "select i8, f8, flag, ints from driver_types where tenant_id = $1 and id = 1", 1, types, first, lengths, formats, 1));
	expect(big(PQgetvalue(result, 0, 0)) == INT64_MIN);
	int64_t pi = big(PQgetvalue(result, 0, 1));
	double d;
	memcpy(&d, &pi, 8);
	expect(d == 3.141592653589793);
	expect(*PQgetvalue(result, 0, 2) == 1);
	expect(PQgetlength(result, 0, 3) == 20 + 8 + 4 + 8);
}

static void check_crud(void)
{
	PGconn *conn = scene();
	for (int i = 0; i < 2; i++) {
		const char *t = i ? A : B;
		expect(strcmp(value(conn, INSERT " returning id", t, "1000", "e", "T", NULL), "1000") == 0);
		expect(strcmp(PQcmdTuples(run(conn, "insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, 1.25), ($1, 1001, 1000, 2.50)", t, NULL)), "2") == 0);
		expect(strcmp(value(conn, "select sum(o.total) from users u join orders o on o.tenant_id = u.tenant_id and o.user_id = u.id where u.tenant_id = $1 and u.id = 1000", t, NULL), "3.75") == 0);
		expect(strcmp(PQcmdTuples(run(conn, "update users set name = 'new' where tenant_id = $1 and id >= 1000", t, NULL)), "1") == 0);
		expect(strcmp(PQcmdTuples(run(conn, "delete from orders where tenant_id = $1 and id = any($2)", t, "{1000,1001}", NULL)), "2") == 0);
	}
}

static void check_transaction(void)
{
	PGconn *one = scene(), *two = open_one("");
	simple(one, "", "begin");
	expect(PQtransactionStatus(one) == PQTRANS_INTRANS);
	run(one, INSERT, A, "1000", "e", "n", NULL);
	expect(made(two, A) == 0);
	simple(one, "", "commit");
	expect(PQtransactionStatus(one) == PQTRANS_IDLE);
	expect(made(two, A) == 1);
	simple(one, "", "begin");
	run(one, INSERT, A, "1001", "f", "n", NULL);
	simple(one, "", "rollback");
	expect(made(two, A) == 1);
}

static void fails(PGconn *conn, const char *state, const char *sql, const char *a, const char *b)
{
	const char *args[] = {a, b};
	PGresult *result = keep(PQexecParams(conn, sql, (a != NULL) + (b != NULL), NULL, args, NULL, NULL, 0));
	if (strcmp(state_of(result), state) != 0) fail("%s: got state %s, want %s: %s", sql, state_of(result), state, PQerrorMessage(conn));
}

static void check_savepoint(void)
{
	PGconn *conn = scene();
	simple(conn, "", "begin");
	run(conn, INSERT, A, "1000", "e", "n", NULL);
	simple(conn, "", "savepoint s");
	fails(conn, "23505", "insert into users (tenant_id, id, email, name) values ($1, $2, 'f', 'n')", A, "1000");
	fails(conn, "25P02", "select 1", NULL, NULL);
	simple(conn, "25P02", "select 1");
	simple(conn, "", "rollback to s");
	expect(PQtransactionStatus(conn) == PQTRANS_INTRANS);
	run(conn, INSERT, A, "1001", "g", "n", NULL);
	simple(conn, "", "release s; commit");
	expect(made(conn, A) == 2);
}

static void check_aborted(void)
{
	PGconn *conn = scene();
	simple(conn, "", "begin");
	run(conn, INSERT, A, "1000", "e", "n", NULL);
	fails(conn, "22012", "select 1/$1::int", "0", NULL);
	expect(PQtransactionStatus(conn) == PQTRANS_INERROR);
	fails(conn, "25P02", "select count(*) from users where tenant_id = $1", A, NULL);
	simple(conn, "25P02", "select 1; select 2");
	PGresult *result = keep(PQexec(conn, "commit"));
	expect(strcmp(PQcmdStatus(result), "ROLLBACK") == 0);
	expect(made(conn, A) == 0);
}

static void check_prepared(void)
{
	PGconn *all[4] = {scene(), open_one(""), open_one(""), open_one("")};
	char name[20], text[200];
	for (int n = 0; n < 25; n++) {
		for (int i = 0; i < 4; i++) {
			snprintf(name, sizeof name, "s%d", n);
			snprintf(text, sizeof text, "select count(*) + %d from users where tenant_id = $1 and id < 1000", n * 4 + i); /* one name, four texts */
			expect(PQresultStatus(keep(PQprepare(all[i], name, text, 0, NULL))) == PGRES_COMMAND_OK);
		}
	}
	for (int turn = 0; turn < 3; turn++) {
		for (int n = 0; n < 25; n++) {
			for (int i = 0; i < 4; i++) {
				snprintf(name, sizeof name, "s%d", n);
				PGresult *result = keep(PQexecPrepared(all[i], name, 1, turn % 2 ? &A : &B, NULL, NULL, 0));
				if (PQresultStatus(result) != PGRES_TUPLES_OK) fail("%s", PQerrorMessage(all[i]));
				expect(atoi(PQgetvalue(result, 0, 0)) == 3 + n * 4 + i);
			}
		}
	}
	expect(PQresultStatus(keep(PQprepare(all[0], "locked", "select pg_backend_pid() from users where tenant_id = $1 and id = 1 for update", 0, NULL))) == PGRES_COMMAND_OK);
	PGresult *result = keep(PQdescribePrepared(all[0], "locked"));
	expect(PQnparams(result) == 1 && PQparamtype(result, 0) == 20 && PQftype(result, 0) == 23);
	int seen[8], n = 0;
	for (int i = 0; i < 4; i++) {
		int pid = atoi(PQgetvalue(keep(PQexecPrepared(all[0], "locked", 1, &A, NULL, NULL, 0)), 0, 0)), known = 0;
		for (int k = 0; k < n; k++)
			known |= seen[k] == pid;
		if (!known) seen[n++] = pid;
		holder();
	}
	if (moves && n < 2) fail("all on one backend: nothing was tried");
}

static void check_reprepare(void)
{
	PGconn *conn = scene();
	char text[100];
	for (int n = 0; n < 30; n++) {
		snprintf(text, sizeof text, "select %d from users where tenant_id = $1 and id = 1", n);
		expect(PQresultStatus(keep(PQprepare(conn, "mine", text, 0, NULL))) == PGRES_COMMAND_OK);
		expect(atoi(PQgetvalue(keep(PQexecPrepared(conn, "mine", 1, n % 2 ? &A : &B, NULL, NULL, 0)), 0, 0)) == n);
		simple(conn, "", "deallocate mine");
	}
	expect(PQresultStatus(keep(PQprepare(conn, "", "select 1 where $1 = 1", 0, NULL))) == PGRES_COMMAND_OK); /* the unnamed one stays */
	holder();
	expect(PQntuples(keep(PQexecPrepared(conn, "", 1, (const char *[]){"1"}, NULL, NULL, 0))) == 1);
	expect(PQresultStatus(keep(PQprepare(conn, "mine", "select 1", 0, NULL))) == PGRES_COMMAND_OK);
	expect(strcmp(state_of(keep(PQprepare(conn, "mine", "select 2", 0, NULL))), "42P05") == 0);
	simple(conn, "", "discard all");
	expect(strcmp(state_of(keep(PQexecPrepared(conn, "mine", 0, NULL, NULL, NULL, 0))), "26000") == 0);
}

static void check_sql_prepare(void)
{
	PGconn *conn = scene();
	char text[100];
	simple(conn, "", "prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update");
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "execute ps(%s)", i % 2 ? A : B);
		simple(conn, "", text);
		expect(strcmp(PQgetvalue(keep(PQexecPrepared(conn, "ps", 1, i % 2 ? &B : &A, NULL, NULL, 0)), 0, 0), "User 1") == 0);
		holder();
	}
	simple(conn, "42P05", "prepare ps as select 1");
	simple(conn, "", "deallocate ps");
	simple(conn, "26000", text);
}

static void *cancel(void *handle)
{
	char error[256];
	usleep(300000);
	PQcancel(handle, error, sizeof error);
	return NULL;
}

static void check_cancel(void)
{
	PGconn *conn = scene();
	PGcancel *handle = PQgetCancel(conn);
	pthread_t thread;
	pthread_create(&thread, NULL, cancel, handle);
	simple(conn, "57014", "select pg_sleep(15)");
	pthread_join(thread, NULL);
	PQfreeCancel(handle);
	expect(strcmp(value(conn, "select 1", NULL), "1") == 0);
}

static void check_timeout(void)
{
	PGconn *conn = open_one("options='-c statement_timeout=200'");
	simple(conn, "57014", "select pg_sleep(5)");
	simple(conn, "", "reset statement_timeout");
	simple(conn, "57014", "select pg_sleep(5)"); /* back to what the connection began with */
	simple(conn, "", "set statement_timeout = 0");
	simple(conn, "", "select pg_sleep(0.3)");
}

static void check_notify(void)
{
	PGconn *conn = scene(), *other = open_one("");
	simple(conn, "", "listen drivers");
	simple(other, "", "select pg_notify('drivers', 'from another')");
	simple(conn, "", "notify drivers, 'from itself'");
	int got = 0;
	for (int i = 0; i < 100 && got < 2; i++) {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(PQsocket(conn), &set);
		struct timeval wait = {0, 50000};
		select(PQsocket(conn) + 1, &set, NULL, NULL, &wait);
		PQconsumeInput(conn);
		for (PGnotify *n; (n = PQnotifies(conn)) != NULL; PQfreemem(n), got++)
			expect(strcmp(n->relname, "drivers") == 0 && strncmp(n->extra, "from ", 5) == 0);
	}
	if (got != 2) fail("%d notifications", got);
}

static char noticed[200];

static void notice(void *arg, const PGresult *result)
{
	(void)arg;
	snprintf(noticed, sizeof noticed, "%s %s", PQresultErrorField(result, PG_DIAG_SEVERITY), PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
}

static void check_notice(void)
{
	PGconn *conn = scene();
	char text[100];
	PQsetNoticeReceiver(conn, notice, NULL);
	snprintf(text, sizeof text, "set pgdrover.tenant = '%s'", A);
	simple(conn, "", text);
	simple(conn, "", "do $$ begin raise notice 'here it is'; end $$");
	expect(strcmp(noticed, "NOTICE here it is") == 0);
}

static void check_errors(void)
{
	PGconn *conn = scene();
	run(conn, INSERT, A, "1000", "e", "n", NULL);
	const char *again[] = {A, "1000", "f", "n"};
	PGresult *result = keep(PQexecParams(conn, INSERT, 4, NULL, again, NULL, NULL, 0));
	expect(strcmp(PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME), "users_pkey") == 0);
	fails(conn, "23503", "insert into orders (tenant_id, id, user_id) values ($1, 1000, 9999)", A, NULL);
	fails(conn, "23502", "insert into users (tenant_id, id, email) values ($1, 1001, $2)", A, "f");
	fails(conn, "42703", "select nothing from users where tenant_id = $1", A, NULL);
	fails(conn, "42P01", "select * from no_such_table", NULL, NULL);
	simple(conn, "42P01", "select * from no_such_table");
	fails(conn, "42601", "selec 1", NULL, NULL);
	result = keep(PQexec(conn, "selec 1"));
	expect(strcmp(PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION), "1") == 0);
	expect(strcmp(PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR") == 0);
	expect(strcmp(value(conn, "select count(*) from users where tenant_id = $1 and id = 1", A, NULL), "1") == 0);
	expect(PQresultStatus(keep(PQexec(conn, ""))) == PGRES_EMPTY_QUERY);
}

static void check_settings(void)
{
	PGconn *conn = scene(), *other = open_one("");
	char before[100];
	snprintf(before, sizeof before, "%s", PQparameterStatus(other, "TimeZone"));
	simple(conn, "", "set time zone 'Asia/Tokyo'; set application_name = 'it is mine'");
	expect(strcmp(PQparameterStatus(conn, "TimeZone"), "Asia/Tokyo") == 0);
	for (int i = 0; i < 3; i++) {
		expect(strcmp(value(conn, "select current_setting('TimeZone') || '|' || current_setting('application_name') from users where tenant_id = $1 and id = 1 for update", i % 2 ? A : B, NULL),
				   "Asia/Tokyo|it is mine") == 0);
		expect(strcmp(value(other, "show timezone", NULL), before) == 0);
		holder();
	}
	simple(conn, "", "begin; set time zone 'UTC'");
	expect(strcmp(PQparameterStatus(conn, "TimeZone"), "UTC") == 0);
	simple(conn, "", "rollback");
	expect(strcmp(PQparameterStatus(conn, "TimeZone"), "Asia/Tokyo") == 0);
	simple(conn, "", "set client_encoding = 'LATIN1'");
	expect(PQclientEncoding(conn) == 8);
	PGresult *result = run(conn, "select chr(233) from users where tenant_id = $1 and id = 1 for update", B, NULL);
	expect(PQgetlength(result, 0, 0) == 1);
	simple(conn, "", "reset all");
	expect(strcmp(PQparameterStatus(conn, "TimeZone"), before) == 0);
}

static void check_short(void)
{
	for (int i = 0; i < 40; i++) {
		PGconn *conn = PQconnectdb("");
		PGresult *result = PQexecParams(conn, "select name from users where tenant_id = $1 and id = 1", 1, NULL, i % 2 ? &A : &B, NULL, NULL, 0);
		int right = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "User 1") == 0;
		PQclear(result);
		PQfinish(conn);
		expect(right);
	}
}

struct check {
	const char *name;
	void (*run)(void);
};
const struct check checks[] = {{"connect", check_connect}, {"tls", check_tls}, {"types_text", check_types_text}, {"types_binary", check_types_binary}, {"crud", check_crud},
	{"transaction", check_transaction}, {"savepoint", check_savepoint}, {"aborted", check_aborted}, {"prepared", check_prepared}, {"reprepare", check_reprepare},
	{"sql_prepare", check_sql_prepare}, {"batch", check_batch}, {"multi", check_multi}, {"copy_in", check_copy_in}, {"copy_out", check_copy_out}, {"cursor", check_cursor},
	{"cancel", check_cancel}, {"timeout", check_timeout}, {"notify", check_notify}, {"notice", check_notice}, {"errors", check_errors}, {"settings", check_settings},
	{"short", check_short}, {NULL, NULL}};
