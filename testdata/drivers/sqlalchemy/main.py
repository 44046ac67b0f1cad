"""SQLAlchemy's Core and ORM on psycopg2, with its own pool."""

import datetime
import decimal
import os
import sys
import threading
import uuid

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

from dbapi import ROW
from report import A, B, DATABASE, HOST, MOVES, NODES, PASSWORD, PORT, SAME, USER, Skip, expect, node, run

Model = orm.declarative_base()


class User(Model):
    __tablename__ = "users"
    tenant_id = sa.Column(sa.BigInteger, primary_key=True)
    id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    email = sa.Column(sa.Text, nullable=False)
    name = sa.Column(sa.Text, nullable=False)
    last_seen = sa.Column(sa.DateTime(timezone=True))
    orders = orm.relationship("Order", back_populates="user", order_by="Order.id")


class Order(Model):
    __tablename__ = "orders"
    tenant_id = sa.Column(sa.BigInteger, primary_key=True)
    id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    user_id = sa.Column(sa.BigInteger)
    status = sa.Column(sa.Text, server_default="new")
    total = sa.Column(sa.Numeric(12, 2), server_default="0")
    user = orm.relationship(User, back_populates="orders")
    __table_args__ = (sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),)


class Types(Model):
    __tablename__ = "driver_types"
    tenant_id = sa.Column(sa.BigInteger, primary_key=True)
    id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    i2, i4, i8 = sa.Column(sa.SmallInteger), sa.Column(sa.Integer), sa.Column(sa.BigInteger)
    num, f8, txt, bin = sa.Column(sa.Numeric), sa.Column(sa.Float), sa.Column(sa.Text), sa.Column(sa.LargeBinary)
    flag, day, at = sa.Column(sa.Boolean), sa.Column(sa.Date), sa.Column(sa.DateTime(timezone=True))
    doc, docb, uid = sa.Column(pg.JSON), sa.Column(pg.JSONB), sa.Column(pg.UUID(as_uuid=True))
    ints, texts = sa.Column(pg.ARRAY(sa.Integer)), sa.Column(pg.ARRAY(sa.Text))


class Counter(Model):
    __tablename__ = "driver_counters"
    tenant_id = sa.Column(sa.BigInteger, primary_key=True)
    id = sa.Column(sa.BigInteger, primary_key=True, autoincrement=False)
    n = sa.Column(sa.BigInteger)


def new_engine(password=PASSWORD, database=DATABASE, where=None, **options):
    url = sa.engine.URL.create("postgresql+psycopg2", USER, password, HOST, PORT, database)
    if where:
        url = sa.engine.URL.create("postgresql+psycopg2", where["user"], where["password"], where["host"], where["port"], where["dbname"])
    return sa.create_engine(url, future=True, **options)


engine = new_engine()


def session():
    return orm.Session(engine, future=True)


def fresh():
    with session() as s, s.begin():
        for tenant in (A,):
            clean(s, tenant)
    with session() as s, s.begin():
        clean(s, B)


def clean(s, tenant):
    for model in (Order, User):
        s.execute(sa.delete(model).where(model.tenant_id == tenant, model.id >= 1000), execution_options={"synchronize_session": False})


def users(tenant, *numbers):
    return [User(tenant_id=tenant, id=n, email=f"{n}@x", name=f"n{n}") for n in numbers]


def count(tenant=A):
    with session() as s, s.begin():
        return s.scalar(sa.select(sa.func.count()).select_from(User).where(User.tenant_id == tenant, User.id >= 1000))


def fails(state, do):
    try:
        do()
    except sa.exc.DBAPIError as error:
        expect(error.orig.pgcode, state, str(error))
        return error
    raise AssertionError(f"no error, want {state}")


def check_connect():
    with engine.connect() as c:
        expect(c.scalar(sa.text("select 1")), 1)
    for options, text in [({"password": "x" + PASSWORD}, "password authentication failed"), ({"database": DATABASE + "x"}, "does not exist")]:
        try:
            new_engine(**options).connect()
            raise AssertionError(f"no error, want: {text}")
        except sa.exc.OperationalError as error:
            if text not in str(error):
                raise


def check_tls():
    with new_engine(connect_args={"sslmode": "require"}).connect() as c:
        expect(c.connection.dbapi_connection.info.ssl_in_use, True)


def check_types_text():
    with session() as s, s.begin():
        s.execute(sa.delete(Types).where(Types.tenant_id == A, Types.id == 1000))
        s.add(Types(tenant_id=A, id=1000, **ROW))
    with session() as s:
        got = s.get(Types, (A, 1000))
        for name, value in ROW.items():
            expect(decimal.Decimal(getattr(got, name)) if name == "num" else getattr(got, name), value, name)
        names = ("tenant", "one", "two")
        same = s.scalar(sa.text(SAME.replace("%s", "{}").format(*(f":{n}" for n in names)).replace("::", "\\:\\:")), dict(zip(names, (A, 1, 1000))))
        expect(same, 1, "the same in the server's eyes")
        expect(s.get(Types, (A, 2)).texts, None)


def check_crud():
    fresh()
    for tenant in (A, B):
        with session() as s, s.begin():
            user, = users(tenant, 1000)
            user.orders = [Order(tenant_id=tenant, id=1000 + n, total=decimal.Decimal("1.25")) for n in range(3)]
            s.add(user)
    for tenant in (A, B):
        with session() as s, s.begin():
            user = s.get(User, (tenant, 1000))
            expect([(o.id, o.total, o.status) for o in user.orders], [(1000 + n, decimal.Decimal("1.25"), "new") for n in range(3)])
            joined = sa.select(User.name, sa.func.sum(Order.total)).join(User.orders).where(User.tenant_id == tenant, User.id == 1000).group_by(User.name)
            expect(s.execute(joined).one(), ("n1000", decimal.Decimal("3.75")))
            user.name = "new"
        with session() as s, s.begin():
            upsert = pg.insert(User).values(tenant_id=tenant, id=1000, email="x", name="y")
            upsert = upsert.on_conflict_do_update(index_elements=["tenant_id", "id"], set_={"name": User.name + upsert.excluded.name}).returning(User.name)
            expect(s.scalar(upsert), "newy")
            newest = sa.select(Order).where(Order.tenant_id == tenant, Order.id >= 1000, Order.id == sa.select(sa.func.max(Order.id)).where(Order.tenant_id == tenant).scalar_subquery())
            expect(s.scalars(newest).one().id, 1002)
            expect(s.scalars(sa.select(User).options(orm.joinedload(User.orders)).where(User.tenant_id == tenant, User.id == 1000)).unique().one().orders[2].id, 1002)
            s.delete(s.get(Order, (tenant, 1001)))
            s.flush()
            expect(s.execute(sa.delete(Order).where(Order.tenant_id == tenant, Order.id >= 1000), execution_options={"synchronize_session": False}).rowcount, 2)


def check_transaction():
    fresh()
    with session() as s:
        s.add_all(users(A, 1000))
        s.flush()
        expect(count(), 0, "before the commit")
        s.commit()
        expect(count(), 1, "after the commit")
        s.add_all(users(A, 1001))
        s.flush()
        s.rollback()
        expect(count(), 1, "after the rollback")


def check_savepoint():
    fresh()
    with session() as s, s.begin():
        s.add_all(users(A, 1000))
        s.flush()
        inner = s.begin_nested()
        fails("23505", lambda: s.execute(sa.insert(User).values(tenant_id=A, id=1000, email="z", name="z")))
        inner.rollback()
        with s.begin_nested():
            s.add_all(users(A, 1001))
    expect(count(), 2)


def check_aborted():
    fresh()
    with engine.connect() as c:
        c.execute(sa.insert(User).values(tenant_id=A, id=1000, email="z", name="z"))
        fails("22012", lambda: c.execute(sa.text("select 1/0")))
        fails("25P02", lambda: c.execute(sa.text("select 1")))
        c.rollback()
        expect(c.scalar(sa.text("select 1")), 1)
    expect(count(), 0)


def check_plan_change():
    raise Skip("psycopg2 prepares nothing")


def check_batch():
    fresh()
    with session() as s, s.begin():
        s.add_all(users(A, *range(1000, 1500)))
    with session() as s, s.begin():
        s.bulk_insert_mappings(User, [{"tenant_id": B, "id": 1000 + n, "email": f"{n}", "name": "n"} for n in range(500)])
    expect((count(), count(B)), (500, 500))
    with session() as s, s.begin():
        for user in s.scalars(sa.select(User).where(User.tenant_id == A, User.id >= 1000)):
            user.name = "changed"
    with session() as s, s.begin():
        changed = sa.select(sa.func.count()).select_from(User).where(User.tenant_id == A, User.name == "changed")
        expect(s.scalar(changed), 500)


def check_cursor():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=7) as c:
        text = sa.text("select g from users u, generate_series(1, 300) g where tenant_id = :t and u.id = 1 order by g")
        expect([r[0] for r in c.execute(text, {"t": A})], list(range(1, 301)))
    with session() as s:
        got = [u.id for u in s.scalars(sa.select(User).where(User.tenant_id == A, User.id < 1000).order_by(User.id).execution_options(yield_per=2))]
        expect(got, [1, 2, 3])


def check_cancel():
    with engine.connect() as c:
        timer = threading.Timer(0.3, c.connection.dbapi_connection.cancel)
        timer.start()
        fails("57014", lambda: c.execute(sa.text("select pg_sleep(15)")))
        timer.join()
        c.rollback()
        expect(c.scalar(sa.text("select 1")), 1)


def check_timeout():
    with new_engine(connect_args={"options": "-c statement_timeout=200"}).connect() as c:
        expect(c.scalar(sa.text("show statement_timeout")), "200ms")
        fails("57014", lambda: c.execute(sa.text("select pg_sleep(5)")))


def check_errors():
    fresh()
    with session() as s, s.begin():
        s.add_all(users(A, 1000))
    cases = [
        ("23505", sa.insert(User).values(tenant_id=A, id=1000, email="z", name="z")),
        ("23503", sa.insert(Order).values(tenant_id=A, id=1000, user_id=9999)),
        ("23502", sa.insert(User).values(tenant_id=A, id=1001, email="z")),
        ("42P01", sa.text("select * from no_such_table")), ("22012", sa.text("select 1/0")), ("42601", sa.text("selec 1")),
    ]
    with engine.connect() as c:
        for state, statement in cases:
            error = fails(state, lambda: c.execute(statement))
            c.rollback()
            if state == "23505":
                expect(error.orig.diag.constraint_name, "users_pkey")
            expect(c.scalar(sa.select(sa.func.count()).select_from(User).where(User.tenant_id == A, User.id == 1)), 1)
            c.rollback()


def check_settings():
    with new_engine(connect_args={"options": "-c timezone=Asia/Tokyo", "application_name": "it is mine"}).connect() as c, engine.connect() as other:
        for tenant in (A, B):
            with c.begin():
                read = sa.text("select current_setting('TimeZone'), current_setting('application_name') from users where tenant_id = :t and id = 1 for update")
                expect(c.execute(read, {"t": tenant}).one(), ("Asia/Tokyo", "it is mine"))
        expect(other.scalar(sa.text("show timezone")) != "Asia/Tokyo", True)
    levels = new_engine(isolation_level="REPEATABLE READ")
    with levels.connect() as c:
        expect(c.scalar(sa.text("show transaction isolation level")), "repeatable read")
        expect(c.scalar(sa.select(sa.func.count()).select_from(User).where(User.tenant_id == A, User.id == 1)), 1)


def check_catalog():
    inspector = sa.inspect(engine)
    expect({"users", "orders", "countries"} <= set(inspector.get_table_names()), True)
    expect([c["name"] for c in inspector.get_columns("orders")], ["tenant_id", "id", "user_id", "status", "total", "created"])
    expect(inspector.get_pk_constraint("orders")["constrained_columns"], ["tenant_id", "id"])
    expect(inspector.get_foreign_keys("orders")[0]["referred_table"], "users")
    expect(len(inspector.get_indexes("orders")), 1)
    reflected = sa.Table("orders", sa.MetaData(), autoload_with=engine)
    expect(len(reflected.columns), 6)


def check_ddl():
    meta = sa.MetaData()
    table = sa.Table("driver_ddl", meta, sa.Column("tenant_id", sa.BigInteger, primary_key=True), sa.Column("id", sa.BigInteger, primary_key=True),
                     sa.Column("note", sa.Text, server_default="n", index=True))
    meta.drop_all(engine)
    meta.create_all(engine)
    for tenant in (A, B):
        with engine.begin() as c:
            c.execute(sa.insert(table).values(tenant_id=tenant, id=1))
            expect(c.execute(sa.select(table).where(table.c.tenant_id == tenant)).all(), [(tenant, 1, "n")])
    meta.drop_all(engine)


def check_terminated():
    pinging = new_engine(pool_pre_ping=True, pool_size=1)
    with pinging.connect() as c:
        pid = c.scalar(sa.text("select pg_backend_pid() from users where tenant_id = :t and id = 1"), {"t": A})
        for url in NODES:
            with new_engine(where=node(url)).connect() as admin:
                admin.execute(sa.text("select pg_terminate_backend(pid) from pg_stat_activity where pid = :p"), {"p": pid})
        try:
            c.execute(sa.text("select 1 from users where tenant_id = :t and id = 1"), {"t": A})
            raise AssertionError("a transaction went on without its backend")
        except sa.exc.DBAPIError as error:
            if (error.orig.pgcode or "08")[:2] not in ("57", "08"):
                raise
    with pinging.connect() as c:
        expect(c.scalar(sa.text("select count(*) from users where tenant_id = :t and id = 1"), {"t": A}), 1)


def in_threads(work, number):
    errors = []

    def guarded(n):
        try:
            work(n)
        except Exception as error:  # reported by the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def check_pool():
    pooled = new_engine(pool_size=5, max_overflow=5)
    for tenant in (A, B):
        with pooled.begin() as c:
            c.execute(sa.update(Counter).where(Counter.tenant_id == tenant, Counter.id == 1).values(n=0))

    def work(number):
        for turn in range(10):
            tenant = (A, B)[(number + turn) % 2]
            with pooled.begin() as c:
                c.execute(sa.update(Counter).where(Counter.tenant_id == tenant, Counter.id == 1).values(n=Counter.n + 1))

    in_threads(work, 20)
    for tenant in (A, B):
        with pooled.begin() as c:
            expect(c.scalar(sa.select(Counter.n).where(Counter.tenant_id == tenant, Counter.id == 1)), 100)


def check_short():
    short = new_engine(poolclass=sa.pool.NullPool)

    def work(number):
        for _ in range(4):
            with short.connect() as c:
                expect(c.scalar(sa.select(User.name).where(User.tenant_id == (A, B)[number % 2], User.id == 1)), "User 1")

    in_threads(work, 10)


if sys.argv[1:] == ["probe"]:
    print("SQLAlchemy", sa.__version__)
else:
    run({name[6:]: check for name, check in list(globals().items()) if name.startswith("check_")})
