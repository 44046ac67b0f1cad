/* What the files of the program share: connections, statements, and checks that end by failing. */
#ifndef REPORT_H
#define REPORT_H

#include <libpq-fe.h>

extern const char *A, *B; /* tenants of two shards */
extern int moves;         /* whether statements of one connection run on several backends */

#define SAME                                                                                                                                   \
	"select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id"                                                     \
	" where a.tenant_id = $1 and b.tenant_id = a.tenant_id and a.id = $2 and b.id = $3"                                                        \
	" and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)"                    \
	" is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)"
#define TYPES "i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts"
#define INSERT "insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)"
#define ANSWERS 16 /* arguments that a statement has at most */

/* Ends the check as failed. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define expect(condition)                                                                                                                      \
	do {                                                                                                                                       \
		if (!(condition)) fail("line %d: not so: %s", __LINE__, #condition);                                                                   \
	} while (0)

/* A connection of the check, closed when that has ended; more is added to the connection string. */
PGconn *open_one(const char *more);
/* The same, after what checks have left was removed. */
PGconn *scene(void);
/* A connection that holds a backend, in a transaction. */
PGconn *holder(void);

/* The result of a statement with text arguments, up to a NULL; it must not be an error. It is freed with the check. */
PGresult *run(PGconn *conn, const char *sql, ...);
/* The first field of it. */
const char *value(PGconn *conn, const char *sql, ...);
/* Runs text by the simple protocol; it must fail with that state, or with none if it is "". */
void simple(PGconn *conn, const char *state, const char *sql);
/* The SQLSTATE of a result, "" if it has none. */
const char *state_of(const PGresult *result);
/* How many users checks have made, as the primary knows. */
int made(PGconn *conn, const char *tenant);
/* Keeps a result until the check has ended. */
PGresult *keep(PGresult *result);

/* Checks of pipeline.c and copy.c. */
void check_batch(void);
void check_copy_in(void);
void check_copy_out(void);
void check_cursor(void);
void check_multi(void);

#endif
