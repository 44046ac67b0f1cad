"""psycopg2."""

import contextlib
import io
import os
import select
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import psycopg2
import psycopg2.extras
import psycopg2.pool

from dbapi import Checks
from report import A, B, DATABASE, HOST, PASSWORD, PORT, USER, Skip, expect

psycopg2.extras.register_uuid()


class Psycopg2(Checks):
    module = psycopg2

    def connect(self, password=PASSWORD, dbname=DATABASE, tls=False, node=None):
        where = node or {"host": HOST, "port": PORT, "user": USER, "password": password, "dbname": dbname}
        conn = psycopg2.connect(sslmode="require" if tls else "prefer", **where)
        if tls:
            expect(conn.info.ssl_in_use, True, "TLS")
        conn.autocommit = True
        return conn

    def state(self, error):
        if error.pgcode is None and "password authentication failed" in str(error):
            return "28P01"  # libpq tells no SQLSTATE of a login
        if error.pgcode is None and "does not exist" in str(error):
            return "3D000"
        return error.pgcode

    def encode(self, row):
        wrapped = {"doc": psycopg2.extras.Json, "docb": psycopg2.extras.Json, "bin": psycopg2.Binary}
        return [wrapped.get(name, lambda v: v)(value) for name, value in row.items()]

    def check_types_binary(self):
        raise Skip("psycopg2 knows text only")

    def check_reprepare(self):
        raise Skip("psycopg2 has no prepared statements of its own")

    def check_batch(self):
        conn, = self.scene()
        rows = [(A, 1000 + n, f"{n}@x", "n") for n in range(500)]
        insert = "insert into users (tenant_id, id, email, name) values (%s, %s, %s, %s)"
        with conn.cursor() as cursor:
            psycopg2.extras.execute_batch(cursor, insert, rows[:250])
            psycopg2.extras.execute_values(cursor, "insert into users (tenant_id, id, email, name) values %s", rows[250:])
            expect(self.count(conn), 500)
            self.fails("23505", psycopg2.extras.execute_batch, cursor, insert, [(A, 2000, "2000", "n"), rows[0], (A, 2001, "2001", "n")])
        expect(self.count(conn), 500, "after a batch with an error")
        conn.close()

    def check_copy_in(self):
        conn, = self.scene()
        self.execute(conn, f"set pgdrover.tenant = '{A}'")
        lines = "".join(f"{A}\t{1000 + n}\t{n}@x\tna\\tme {n}\n" for n in range(5000))
        cursor = conn.cursor()
        cursor.copy_expert("copy users (tenant_id, id, email, name) from stdin", io.StringIO(lines))
        expect(cursor.rowcount, 5000)
        expect(self.count(conn), 5000)
        self.fails("22P02", cursor.copy_expert, "copy users (tenant_id, id, email, name) from stdin", io.StringIO(f"{A}\tx\ty\tz\n" * 5000))
        expect(self.count(conn), 5000)
        self.execute(conn, "reset pgdrover.tenant")
        self.clean(conn)
        cursor.copy_expert(f"/* pgdrover: tenant={B} */ copy users (tenant_id, id, email, name) from stdin (format csv)", io.StringIO(f"{B},1000,e,n\n"))
        expect(self.count(conn, B), 1)
        conn.close()

    def check_copy_out(self):
        conn, = self.scene()
        out = io.StringIO()
        cursor = conn.cursor()
        cursor.copy_expert(f"copy (select id, name from users where tenant_id = {A} order by id) to stdout", out)
        expect(out.getvalue(), "1\tUser 1\n2\tUser 2\n3\tUser 3\n")
        out = io.StringIO()
        self.execute(conn, f"set pgdrover.tenant = '{B}'")
        cursor.copy_expert("copy (select generate_series(1, 20000) from users where id = 1 and tenant_id = %d) to stdout (format csv, header)" % B, out)
        expect(len(out.getvalue().split()), 20001)
        self.fails("22012", cursor.copy_expert, f"copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout", io.StringIO())
        expect(self.value(conn, "select 1"), 1)
        conn.close()

    def check_cursor(self):
        conn, = self.scene()
        self.transaction(conn, True)
        named = conn.cursor("named")
        named.itersize = 7
        named.execute("select u.id, g from users u, generate_series(1, 100) g where tenant_id = %s and u.id = 1 order by g", (A,))
        expect([g for _, g in named], list(range(1, 101)))
        scrolling = conn.cursor("scrolling", scrollable=True)
        scrolling.execute("select id from users where tenant_id = %s order by id", (A,))
        expect(scrolling.fetchmany(2), [(1,), (2,)])
        scrolling.scroll(-1)
        expect(scrolling.fetchone(), (2,))
        conn.rollback()
        conn.close()

    def check_cancel(self):
        conn, = self.scene()
        self.cancelled(conn, conn.cancel)
        conn.close()

    def check_notify(self):
        conn, other = self.scene(2)
        self.execute(conn, "listen drivers")
        self.execute(other, "select pg_notify('drivers', 'from another')")
        self.execute(conn, "notify drivers, 'from itself'")
        while len(conn.notifies) < 2:
            if select.select([conn], [], [], 5) == ([], [], []):
                raise AssertionError(f"no notification: {conn.notifies}")
            conn.poll()
        expect({n.payload for n in conn.notifies}, {"from another", "from itself"})
        self.execute(conn, "unlisten *")
        self.close(conn, other)

    def check_notice(self):
        conn, = self.scene()
        self.execute(conn, f"set pgdrover.tenant = '{A}'")
        self.execute(conn, "do $$ begin raise notice 'here it is'; end $$")
        expect([n.strip() for n in conn.notices if "here it is" in n], ["NOTICE:  here it is"])
        conn.close()

    def check_pool(self):
        pool = psycopg2.pool.ThreadedConnectionPool(20, 20, host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)

        @contextlib.contextmanager
        def borrow():
            conn = pool.getconn()
            try:
                with conn:
                    yield conn
            finally:
                pool.putconn(conn)

        self.counted(borrow)
        pool.closeall()


if sys.argv[1:] == ["probe"]:
    print("psycopg2", psycopg2.__version__)
else:
    Psycopg2().run()
