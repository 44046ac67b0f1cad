#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *A, *B;
int moves;

static jmp_buf ended;
static char why[400];
static PGconn *conns[64];
static int nconns;
static PGresult *results[20000];
static int nresults;

void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	for (char *c = why; *c; c++)
		if (*c == '\n') *c = ' ';
	longjmp(ended, 1);
}

PGconn *open_one(const char *more)
{
	char text[300];
	snprintf(text, sizeof text, "connect_timeout=10 %s", more);
	PGconn *conn = PQconnectdb(text);
	expect(nconns < 64);
	conns[nconns++] = conn;
	return conn;
}

PGconn *scene(void)
{
	PGconn *conn = open_one("");
	if (PQstatus(conn) != CONNECTION_OK) fail("%s", PQerrorMessage(conn));
	for (int i = 0; i < 2; i++) {
		run(conn, "delete from orders where tenant_id = $1 and id >= 1000", i ? A : B, NULL);
		run(conn, "delete from users where tenant_id = $1 and id >= 1000", i ? A : B, NULL);
	}
	return conn;
}

PGconn *holder(void)
{
	PGconn *conn = open_one("");
	simple(conn, "", "begin");
	run(conn, "select 1 from users where tenant_id = $1 and id = 1", A, NULL);
	return conn;
}

PGresult *keep(PGresult *result)
{
	if (nresults < (int)(sizeof results / sizeof *results)) results[nresults++] = result;
	return result;
}

const char *state_of(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	return state ? state : "";
}

static PGresult *run_list(PGconn *conn, const char *sql, va_list list)
{
	const char *args[ANSWERS];
	int n = 0;
	while (n < ANSWERS && (args[n] = va_arg(list, const char *)) != NULL)
		n++;
	PGresult *result = keep(PQexecParams(conn, sql, n, NULL, args, NULL, NULL, 0));
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail("%s: %s", sql, PQerrorMessage(conn));
	return result;
}

PGresult *run(PGconn *conn, const char *sql, ...)
{
	va_list list;
	va_start(list, sql);
	PGresult *result = run_list(conn, sql, list);
	va_end(list);
	return result;
}

const char *value(PGconn *conn, const char *sql, ...)
{
	va_list list;
	va_start(list, sql);
	PGresult *result = run_list(conn, sql, list);
	va_end(list);
	if (PQntuples(result) == 0) fail("%s: no row", sql);
	return PQgetvalue(result, 0, 0);
}

void simple(PGconn *conn, const char *state, const char *sql)
{
	PGresult *result = keep(PQexec(conn, sql));
	if (strcmp(state_of(result), state) != 0) fail("%s: got state %s, want %s: %s", sql, state_of(result), state, PQerrorMessage(conn));
}

int made(PGconn *conn, const char *tenant)
{
	simple(conn, "", "begin");
	int n = atoi(value(conn, "select count(*) from users where tenant_id = $1 and id >= 1000", tenant, NULL));
	simple(conn, "", "rollback");
	return n;
}

/* The checks of main.c. */
extern const struct check {
	const char *name;
	void (*run)(void);
} checks[];

static void run_check(const char *name)
{
	const struct check *check = checks;
	while (check->name && strcmp(check->name, name) != 0)
		check++;
	if (!check->name) {
		printf("skip %s: psql and ruby-pg do that with libpq\n", name);
		return;
	}
	if (setjmp(ended) == 0) {
		check->run();
		printf("ok %s\n", name);
	} else {
		printf("FAIL %s: %s\n", name, why);
	}
	while (nresults > 0)
		PQclear(results[--nresults]);
	while (nconns > 0)
		PQfinish(conns[--nconns]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "probe") == 0) {
		printf("libpq %d, with its pipeline mode\n", PQlibVersion());
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	char *tenants = strdup(getenv("DRIVERS_TENANTS") ? getenv("DRIVERS_TENANTS") : "42 43");
	A = strtok(tenants, " ");
	B = strtok(NULL, " ");
	moves = getenv("DRIVERS_MOVES") && strcmp(getenv("DRIVERS_MOVES"), "1") == 0;
	char *chosen = getenv("DRIVERS_CHECKS");
	if (chosen && *chosen) {
		char *rest = strdup(chosen);
		for (char *name; (name = strsep(&rest, " ")) != NULL;)
			if (*name) run_check(name);
		return 0;
	}
	FILE *list = fopen(getenv("DRIVERS_LIST"), "r");
	if (!list) return 2;
	for (char line[200]; fgets(line, sizeof line, list);)
		if (line[0] != '#' && line[0] != '\n') {
			line[strcspn(line, " \n")] = 0;
			run_check(line);
		}
	return 0;
}
