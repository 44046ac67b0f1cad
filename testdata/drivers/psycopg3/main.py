"""psycopg 3."""

import datetime
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import psycopg
import psycopg_pool
from psycopg.types.json import Json, Jsonb

from dbapi import ROW, Checks
from report import A, B, DATABASE, HOST, MOVES, PASSWORD, PORT, TYPES, USER, expect


class Psycopg3(Checks):
    module = psycopg
    binary = False

    def connect(self, password=PASSWORD, dbname=DATABASE, tls=False, node=None):
        where = node or {"host": HOST, "port": PORT, "user": USER, "password": password, "dbname": dbname}
        conn = psycopg.connect(autocommit=True, prepare_threshold=2, sslmode="require" if tls else "prefer", **where)
        if tls:
            expect(conn.pgconn.ssl_in_use, True, "TLS")
        return conn

    def state(self, error):
        if error.sqlstate is None and "password authentication failed" in str(error):
            return "28P01"  # libpq tells no SQLSTATE of a login
        if error.sqlstate is None and "does not exist" in str(error):
            return "3D000"
        return error.sqlstate

    def encode(self, row):
        wrapped = {"doc": Json, "docb": Jsonb}
        return [wrapped.get(name, lambda v: v)(value) for name, value in row.items()]

    def execute(self, conn, text, params=()):
        return conn.cursor(binary=self.binary).execute(text, params or None)

    def check_types_binary(self):
        conn, = self.scene()
        self.binary = True
        try:
            self.execute(conn, "set time zone 'UTC'")
            self.execute(conn, "delete from driver_types where tenant_id = %s and id = 1000", (A,))
            marks = ", ".join(["%t" if name == "num" else "%b" for name in ROW])
            conn.execute(f"insert into driver_types (tenant_id, id, {TYPES}) values (%b, 1000, {marks})", [A, *self.encode(ROW)])
            got = self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %b and id = 1000", (A,))[0]
            for name, value in zip(ROW, got):
                self.same(name, value)
            expect(self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %b and id = 2", (A,))[0], (None,) * len(ROW))
        finally:
            self.binary = False
        conn.close()

    def check_reprepare(self):
        conn, other = self.scene(2)
        conn.prepared_max = 3  # the driver deallocates the oldest, and takes the name again
        for turn in range(2):
            for number in range(10):
                text = f"select {number} + %s from users where tenant_id = %s and id = 1"
                for c in (conn, other):
                    expect(c.execute(text, (turn, A), prepare=True).fetchone(), (number + turn,))
        conn.execute("deallocate all")
        conn.prepare_threshold = None
        expect(self.value(conn, "select 1"), 1)
        self.close(conn, other)

    def check_batch(self):
        conn, = self.scene()
        insert = "insert into users (tenant_id, id, email, name) values (%s, %s, %s, %s)"
        with conn.cursor() as cursor:
            cursor.executemany(insert, [(A, 1000 + n, f"{n}@x", "n") for n in range(300)])
            expect(cursor.rowcount, 300)
        with conn.pipeline():
            cursors = [conn.execute("select %s + count(*) from users where tenant_id = %s", (n, A)) for n in range(100)]
            got = [c.fetchone()[0] for c in cursors]
        expect(got, [n + 303 for n in range(100)])
        with conn.pipeline() as pipeline:
            cursors = []
            for n in range(60):  # tenants of two shards, each with a Sync of its own
                cursors.append(conn.execute("select %s + count(*) from users where tenant_id = %s and id < 1000", (n, (A, B)[n % 2])))
                pipeline.sync()
            got = [c.fetchone()[0] for c in cursors]
        expect(got, [n + 3 for n in range(60)])
        self.across_without_sync(conn)
        try:
            with conn.pipeline():
                conn.execute(insert, (A, 2000, "2000", "n"))
                conn.execute(insert, (A, 2000, "2000", "n"))
                conn.execute(insert, (A, 2001, "2001", "n"))
            raise AssertionError("no error in the pipeline")
        except psycopg.errors.UniqueViolation:
            pass
        expect(self.count(conn), 300, "after a pipeline with an error")
        with conn.pipeline() as pipeline:
            conn.execute(insert, (A, 2000, "2000", "n"))
            pipeline.sync()
            failing = conn.execute("select 1/0")
            try:
                pipeline.sync()
            except psycopg.errors.DivisionByZero:
                pass
            conn.execute(insert, (A, 2001, "2001", "n"))
        expect(self.count(conn), 302, "after a pipeline of three parts")
        del failing
        conn.close()

    def across_without_sync(self, conn):
        """What comes before one Sync is one transaction: of tenants on two shards it is refused, and not left without an answer."""
        try:
            with conn.pipeline():
                one = conn.execute("select name from users where tenant_id = %s and id = 1", (A,))
                two = conn.execute("select name from users where tenant_id = %s and id = 1", (B,))
                expect([one.fetchone(), two.fetchone()], [("User 1",), ("User 1",)])
        except psycopg.errors.FeatureNotSupported:
            expect(MOVES, True)
        expect(self.value(conn, "select 1"), 1)

    def check_multi(self):
        super().check_multi()
        conn, = self.scene()
        cursor = conn.execute(f"select 1; select count(*) from users where tenant_id = {A}; select 3")
        got = []
        while True:
            got += cursor.fetchone()
            if not cursor.nextset():
                break
        expect(got, [1, 3, 3])
        conn.close()

    def check_copy_in(self):
        conn, = self.scene()
        self.execute(conn, f"set pgdrover.tenant = '{A}'")
        with conn.cursor() as cursor:
            with cursor.copy("copy users (tenant_id, id, email, name) from stdin") as copy:
                for n in range(5000):
                    copy.write_row((A, 1000 + n, f"{n}@x", f"na\tme {n}"))
            expect(self.count(conn), 5000)
            with cursor.copy("copy users (tenant_id, id, email, name) from stdin (format binary)") as copy:
                copy.set_types(["int8", "int8", "text", "text"])
                for n in range(100):
                    copy.write_row((A, 7000 + n, f"b{n}@x", "n"))
            expect(self.count(conn), 5100)
            self.fails("22P02", self.feed, cursor, f"{A}\tx\ty\tz\n", 50000)
            self.fails("57014", self.feed, cursor, f"{A}\t9000\ty\tz\n", 1, True)
        expect(self.count(conn), 5100)
        self.execute(conn, "reset pgdrover.tenant")
        self.clean(conn)
        with conn.cursor() as cursor, cursor.copy(f"/* pgdrover: tenant={B} */ copy users (tenant_id, id, email, name) from stdin") as copy:
            copy.write_row((B, 1000, "e", "n"))
        expect(self.count(conn, B), 1)
        for options, types in [("", None), ("(format binary)", ["int8", "int8", "text", "text"])]:
            self.clean(conn)
            with conn.cursor() as cursor:
                with cursor.copy(f"copy users (tenant_id, id, email, name) from stdin {options}") as copy:  # of both tenants
                    if types:
                        copy.set_types(types)
                    for n in range(2000):
                        copy.write_row(((A, B)[n % 2], 1000 + n, f"{n}@x", "a\tb\n\\"))
                expect(cursor.rowcount, 2000)
                self.fails("22P02", self.feed, cursor, f"{A}\t9000\ty\tz\n{B}\tx\ty\tz\n", 1)
                self.fails("57014", self.feed, cursor, f"{A}\t9000\ty\tz\n{B}\t9000\ty\tz\n", 1, True)
            expect((self.count(conn), self.count(conn, B)), (1000, 1000))
        conn.close()

    def feed(self, cursor, line, times, giving_up=False):
        with cursor.copy("copy users (tenant_id, id, email, name) from stdin") as copy:
            for _ in range(times):
                copy.write(line)
            if giving_up:
                raise psycopg.errors.QueryCanceled("given up")

    def check_copy_out(self):
        conn, = self.scene()
        cursor = conn.cursor()
        with cursor.copy(f"copy (select id, name from users where tenant_id = {A} order by id) to stdout") as copy:
            expect(b"".join(copy), b"1\tUser 1\n2\tUser 2\n3\tUser 3\n")
        with cursor.copy(f"copy (select generate_series(1, 20000), name from users where id = 1 and tenant_id = {B}) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            got = list(copy.rows())
        expect((len(got), got[-1]), (20000, (20000, "User 1")))
        expect(self.value(conn, "select 1"), 1)
        conn.close()

    def check_cursor(self):
        conn, = self.scene()
        with conn.transaction():
            for binary in (False, True):
                named = conn.cursor(f"named{binary}", binary=binary)
                named.itersize = 7
                named.execute("select u.id, g from users u, generate_series(1, 100) g where tenant_id = %s and u.id = 1 order by g", (A,))
                expect([g for _, g in named], list(range(1, 101)))
                named.close()
        cursor = conn.cursor()
        expect([n for n, in cursor.stream("select generate_series(1, 500) from users where tenant_id = %s and id = 1", (B,))], list(range(1, 501)))
        conn.close()

    def check_cancel(self):
        conn, = self.scene()
        self.cancelled(conn, conn.cancel)
        conn.close()

    def check_notify(self):
        conn, other = self.scene(2)
        self.execute(conn, "listen drivers")
        got = set()
        conn.add_notify_handler(lambda n: got.add(n.payload))
        self.execute(other, "select pg_notify('drivers', 'from another')")
        self.execute(conn, "notify drivers, 'from itself'")
        end = datetime.datetime.now() + datetime.timedelta(seconds=3)
        while len(got) < 2 and datetime.datetime.now() < end:
            self.execute(conn, "select pg_sleep(0.05)")
        expect(got, {"from another", "from itself"})
        self.execute(conn, "unlisten *")
        self.close(conn, other)

    def check_notice(self):
        conn, = self.scene()
        got = []
        conn.add_notice_handler(lambda d: got.append((d.severity, d.message_primary)))
        self.execute(conn, f"set pgdrover.tenant = '{A}'")
        self.execute(conn, "do $$ begin raise notice 'here it is'; end $$")
        expect(got, [("NOTICE", "here it is")])
        conn.close()

    def fields(self, state, error):
        d = error.diag
        if state == "23505":
            expect((d.constraint_name, d.table_name, d.schema_name), ("users_pkey", "users", "public"))
        if state == "23502":
            expect(d.column_name, "name")

    def check_pool(self):
        pool = psycopg_pool.ConnectionPool(f"host={HOST} port={PORT} user={USER} password={PASSWORD} dbname={DATABASE}", min_size=4, max_size=20)
        pool.wait()
        self.counted(pool.connection)
        pool.close()


if sys.argv[1:] == ["probe"]:
    print("psycopg", psycopg.__version__, psycopg.pq.__impl__, "libpq", psycopg.pq.version())
else:
    Psycopg3().run()
