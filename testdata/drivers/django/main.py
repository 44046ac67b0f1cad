"""Django's ORM, with its checks, introspection, migrations and atomic blocks."""

import datetime
import decimal
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import django
from django.conf import settings

from dbapi import ROW
from report import A, B, DATABASE, HOST, NODES, PASSWORD, PORT, SAME, USER, Skip, expect, node, run

DEFAULT = {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": USER, "PASSWORD": PASSWORD, "HOST": HOST, "PORT": PORT,
           "DISABLE_SERVER_SIDE_CURSORS": False}
databases = {
    "default": DEFAULT,
    "other": DEFAULT,
    "encrypted": {**DEFAULT, "OPTIONS": {"sslmode": "require"}},
    "impatient": {**DEFAULT, "OPTIONS": {"options": "-c statement_timeout=200"}},
    "wrong": {**DEFAULT, "PASSWORD": "x" + PASSWORD},
    "missing": {**DEFAULT, "NAME": DATABASE + "x"},
    "tokyo": {**DEFAULT, "TIME_ZONE": "Asia/Tokyo", "OPTIONS": {"application_name": "it is mine"}},
}
for number, url in enumerate(NODES):
    where = node(url)
    databases[f"node{number}"] = {**DEFAULT, "HOST": where["host"], "PORT": where["port"], "USER": where["user"], "PASSWORD": where["password"], "NAME": where["dbname"]}
settings.configure(DATABASES=databases, USE_TZ=True, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.postgres"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.contrib.postgres.fields import ArrayField
from django.db import connection, connections, models, transaction, utils


class User(models.Model):
    # Django knows one column as primary key; every query names the tenant besides.
    tenant_id = models.BigIntegerField()
    id = models.BigIntegerField(primary_key=True)
    email = models.TextField()
    name = models.TextField()
    last_seen = models.DateTimeField(null=True)

    class Meta:
        app_label, db_table, managed = "drivers", "users", False


class Order(models.Model):
    tenant_id = models.BigIntegerField()
    id = models.BigIntegerField(primary_key=True)
    user_id = models.BigIntegerField(null=True)
    status = models.TextField(default="new")
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, db_table, managed = "drivers", "orders", False


class Types(models.Model):
    tenant_id = models.BigIntegerField()
    id = models.BigIntegerField(primary_key=True)
    i2, i4, i8 = models.SmallIntegerField(null=True), models.IntegerField(null=True), models.BigIntegerField(null=True)
    num, f8, txt = models.DecimalField(max_digits=40, decimal_places=9, null=True), models.FloatField(null=True), models.TextField(null=True)
    bin, flag = models.BinaryField(null=True), models.BooleanField(null=True)
    day, at = models.DateField(null=True), models.DateTimeField(null=True)
    docb, uid = models.JSONField(null=True), models.UUIDField(null=True)
    ints, texts = ArrayField(models.IntegerField(null=True), null=True), ArrayField(models.TextField(null=True), null=True)

    class Meta:
        app_label, db_table, managed = "drivers", "driver_types", False


class Counter(models.Model):
    tenant_id = models.BigIntegerField()
    id = models.BigIntegerField(primary_key=True)
    n = models.BigIntegerField()

    class Meta:
        app_label, db_table, managed = "drivers", "driver_counters", False


class Made(models.Model):
    """Made and dropped by the check ddl."""
    tenant_id = models.BigIntegerField(db_index=True)
    number = models.BigIntegerField()
    note = models.TextField(default="n")
    id = models.UUIDField(primary_key=True)

    class Meta:
        app_label, db_table = "drivers", "driver_made"


def fresh():
    for tenant in (A, B):
        Order.objects.filter(tenant_id=tenant, id__gte=1000).delete()
        User.objects.filter(tenant_id=tenant, id__gte=1000).delete()


def user(tenant, number):
    return User.objects.create(tenant_id=tenant, id=number, email=f"{number}@x", name=f"n{number}")


def count(tenant=A):
    with transaction.atomic("other"):
        return User.objects.using("other").filter(tenant_id=tenant, id__gte=1000).count()


def fails(state, do):
    try:
        do()
    except utils.Error as error:
        expect(error.__cause__.pgcode, state, str(error))
        return error
    raise AssertionError(f"no error, want {state}")


def execute(text, *params, using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall() if cursor.description else None


def check_connect():
    expect(execute("select 1"), [(1,)])
    for using, text in (("wrong", "password authentication failed"), ("missing", "does not exist")):
        try:
            connections[using].ensure_connection()
            raise AssertionError(f"no error, want: {text}")
        except utils.OperationalError as error:
            if text not in str(error):
                raise


def check_tls():
    expect(execute("select 1", using="encrypted"), [(1,)])
    expect(connections["encrypted"].connection.info.ssl_in_use, True)


def check_types_text():
    row = {name: value for name, value in ROW.items() if name != "doc"}
    Types.objects.filter(tenant_id=A, id=1000).delete()
    Types.objects.create(tenant_id=A, id=1000, **row)
    got = Types.objects.filter(tenant_id=A).get(id=1000)
    for name, value in row.items():
        own = getattr(got, name)
        expect(bytes(own) if name == "bin" else own, value, name)
    execute("update driver_types set doc = docb::json where tenant_id = %s and id = 1000", A)
    expect(execute(SAME, A, 1, 1000), [(1,)], "the same in the server's eyes")
    expect(Types.objects.filter(tenant_id=A, docb__a__0=1, ints__contains=[1]).count(), 2)


def check_crud():
    fresh()
    for tenant in (A, B):
        with transaction.atomic():
            user(tenant, 1000)
            Order.objects.bulk_create([Order(tenant_id=tenant, id=1000 + n, user_id=1000, total=decimal.Decimal("1.25")) for n in range(3)])
    for tenant in (A, B):
        mine = Order.objects.filter(tenant_id=tenant, id__gte=1000)
        expect(mine.aggregate(models.Sum("total"), models.Count("id")), {"total__sum": decimal.Decimal("3.75"), "id__count": 3})
        expect(list(mine.values_list("status").annotate(n=models.Count("id")).order_by("status")), [("new", 3)])
        newest = Order.objects.filter(tenant_id=tenant, user_id=models.OuterRef("id")).order_by("-id").values("id")[:1]
        expect(User.objects.filter(tenant_id=tenant, id=1000).annotate(newest=models.Subquery(newest)).get().newest, 1002)
        expect(User.objects.filter(tenant_id=tenant, id=1000).update(name="new"), 1)
        expect(User.objects.filter(tenant_id=tenant).get(id=1000).name, "new")
        got, created = User.objects.filter(tenant_id=tenant).get_or_create(id=1001, defaults={"tenant_id": tenant, "email": "g", "name": "g"})
        expect((got.id, created), (1001, True))
        expect(mine.filter(id__in=[1000, 1002]).delete()[0], 2)
        expect(mine.exists(), True)
    fresh()


def check_transaction():
    fresh()
    with transaction.atomic():
        user(A, 1000)
        expect(count(), 0, "before the commit")
    expect(count(), 1, "after the commit")
    with transaction.atomic():
        user(A, 1001)
        transaction.set_rollback(True)
    expect(count(), 1, "after the rollback")


def check_savepoint():
    fresh()
    with transaction.atomic():
        user(A, 1000)
        try:
            with transaction.atomic():
                user(A, 1000)
            raise AssertionError("no error")
        except utils.IntegrityError:
            pass
        with transaction.atomic():
            user(A, 1001)
    expect(count(), 2)


def check_aborted():
    fresh()
    with transaction.atomic():
        user(A, 1000)
        fails("22012", lambda: execute("select 1/0"))
        fails("25P02", lambda: execute("select 1"))
        transaction.set_rollback(True)
    expect(count(), 0)


def check_batch():
    fresh()
    User.objects.bulk_create([User(tenant_id=A, id=1000 + n, email=f"{n}", name="n") for n in range(500)], batch_size=100)
    expect(count(), 500)
    changed = list(User.objects.filter(tenant_id=A, id__gte=1000))
    for one in changed:
        one.name = f"c{one.id}"
    with transaction.atomic():
        User.objects.filter(tenant_id=A).bulk_update(changed, ["name"], batch_size=100)
    expect(User.objects.filter(tenant_id=A, name__startswith="c1").count(), 500)
    User.objects.bulk_create([User(tenant_id=A, id=1000 + n, email=f"{n}", name="n") for n in range(510)], ignore_conflicts=True)
    expect(count(), 510)


def check_cursor():
    fresh()
    User.objects.bulk_create([User(tenant_id=A, id=1000 + n, email=f"{n}", name="n") for n in range(100)])
    every = User.objects.filter(tenant_id=A, id__gte=1000).order_by("id")
    with transaction.atomic():
        expect([one.id for one in every.iterator(chunk_size=7)], list(range(1000, 1100)))
    expect([one.id for one in every.iterator(chunk_size=7)], list(range(1000, 1100)), "outside a transaction, by a cursor WITH HOLD")


def check_cancel():
    connection.ensure_connection()
    timer = threading.Timer(0.3, connection.connection.cancel)
    timer.start()
    fails("57014", lambda: execute("select pg_sleep(15)"))
    timer.join()
    expect(execute("select 1"), [(1,)])


def check_timeout():
    fails("57014", lambda: execute("select pg_sleep(5)", using="impatient"))
    expect(execute("show statement_timeout", using="impatient"), [("200ms",)])


def check_errors():
    fresh()
    user(A, 1000)
    for state, do in [
        ("23505", lambda: user(A, 1000)),
        ("23503", lambda: Order.objects.create(tenant_id=A, id=1000, user_id=9999)),
        ("23502", lambda: User.objects.create(tenant_id=A, id=1001, email="e", name=None)),
        ("42P01", lambda: execute("select * from no_such_table")), ("22012", lambda: execute("select 1/0")), ("42601", lambda: execute("selec 1")),
    ]:
        error = fails(state, do)
        if state == "23505":
            expect(error.__cause__.diag.constraint_name, "users_pkey")
        expect(User.objects.filter(tenant_id=A, id=1).count(), 1)


def check_settings():
    read = "select current_setting('TimeZone'), current_setting('application_name') from users where tenant_id = %s and id = 1 for update"
    for tenant in (A, B):
        expect(execute(read, tenant, using="tokyo"), [("Asia/Tokyo", "it is mine")])
        expect(execute(read, tenant)[0][0], "UTC")
    execute("set search_path = public, pg_temp", using="tokyo")
    expect(execute("show search_path", using="tokyo"), [("public, pg_temp",)])
    expect(execute("show search_path") != [("public, pg_temp",)], True)


def check_catalog():
    execute(f"set pgdrover.tenant = '{A}'")  # Django selects a row to see the columns
    with connection.cursor() as cursor:
        inspect = connection.introspection
        expect({"users", "orders", "countries"} <= set(inspect.table_names(cursor)), True)
        expect([c.name for c in inspect.get_table_description(cursor, "orders")], ["tenant_id", "id", "user_id", "status", "total", "created"])
        constraints = inspect.get_constraints(cursor, "orders")
        expect(constraints["orders_pkey"]["columns"], ["tenant_id", "id"])
        expect(inspect.get_sequences(cursor, "orders"), [])
    from django.core.management import call_command
    call_command("check", databases=["default"], stdout=open(os.devnull, "w"))
    execute("reset pgdrover.tenant")


def check_ddl():
    execute("drop table if exists driver_made")
    with connection.schema_editor() as editor:  # in one transaction, as a migration is
        editor.create_model(Made)
    with connection.schema_editor() as editor:
        field = models.TextField(null=True)
        field.set_attributes_from_name("more")
        editor.add_field(Made, field)
    execute("insert into driver_made (tenant_id, number, note, id) values (%s, 1, 'n', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')", A)
    expect(execute("select number, more from driver_made where tenant_id = %s", A), [(1, None)])
    with connection.schema_editor() as editor:
        editor.remove_field(Made, field)
        editor.delete_model(Made)


def check_terminated():
    def kill():
        with transaction.atomic():
            pid = execute("select pg_backend_pid() from users where tenant_id = %s and id = 1", A)[0][0]
            for number in range(len(NODES)):
                execute("select pg_terminate_backend(pid) from pg_stat_activity where pid = %s", pid, using=f"node{number}")
            execute("select 1 from users where tenant_id = %s and id = 1", A)

    try:
        kill()
        raise AssertionError("a transaction went on without its backend")
    except (utils.OperationalError, utils.InterfaceError):
        pass
    connection.close()
    expect(User.objects.filter(tenant_id=A, id=1).count(), 1)


def in_threads(work, number):
    errors = []

    def guarded(n):
        try:
            work(n)
        except Exception as error:  # reported by the thread that waits
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def check_pool():
    for tenant in (A, B):
        Counter.objects.filter(tenant_id=tenant, id=1).update(n=0)

    def work(number):  # a connection for each thread is Django's way
        for turn in range(10):
            Counter.objects.filter(tenant_id=(A, B)[(number + turn) % 2], id=1).update(n=models.F("n") + 1)

    in_threads(work, 20)
    for tenant in (A, B):
        with transaction.atomic():
            expect(Counter.objects.select_for_update().filter(tenant_id=tenant).get(id=1).n, 100)


def check_short():
    def work(number):
        for _ in range(4):
            expect(User.objects.filter(tenant_id=(A, B)[number % 2]).get(id=1).name, "User 1")
            connections.close_all()

    in_threads(work, 10)


if sys.argv[1:] == ["probe"]:
    print("Django", django.get_version())
else:
    run({name[6:]: check for name, check in list(globals().items()) if name.startswith("check_")})
