"""Runs a program's checks and reports them. A check is a function of the same name; one that raises has failed."""

import os
import signal
import sys
import time
import urllib.parse

TENANTS = [int(t) for t in os.environ.get("DRIVERS_TENANTS", "42 43").split()]
A, B = TENANTS
NODES = os.environ.get("DRIVERS_NODES", "").split()
MOVES = os.environ.get("DRIVERS_MOVES") == "1"
HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
USER, PASSWORD, DATABASE = os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGDATABASE"]
SECONDS = 20

TYPES = "i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts"
# Whether rows 1 and 1000 of driver_types hold the same, as the server sees it: json has no equality.
SAME = """select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id
  where a.tenant_id = %s and b.tenant_id = a.tenant_id and a.id = %s and b.id = %s
  and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
  is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)"""


class Skip(Exception):
    """The driver has no means for this check."""


def expect(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}{': ' if what else ''}got {got!r}, want {want!r}")


def names():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checks.txt")
    with open(path, encoding="utf-8") as lines:
        return [line.split()[0] for line in lines if line.strip() and line[0] != "#"]


def one_line(error):
    return " | ".join(str(error).split("\n")).strip()[:300] or type(error).__name__


def late(*_):
    raise TimeoutError(f"did not end within {SECONDS} s")


def run(checks):
    """Runs the functions of checks, a dict by name; a check that is missing there is one that the driver cannot do."""
    wanted = os.environ.get("DRIVERS_CHECKS", "").split() or names()
    signal.signal(signal.SIGALRM, late)
    failed = False
    for name in wanted:
        check = checks.get(name)
        signal.alarm(SECONDS)
        try:
            if check is None:
                raise Skip("the driver has no such thing")
            check()
            print(f"ok {name}", flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except BaseException as error:  # an interrupt too is a failed check
            failed = True
            where = error.__traceback__
            while where.tb_next is not None and where.tb_next.tb_frame.f_code.co_filename.startswith(os.path.dirname(os.path.abspath(__file__))):
                where = where.tb_next
            print(f"FAIL {name}: {type(error).__name__}: {one_line(error)} (line {where.tb_lineno})", flush=True)
        finally:
            signal.alarm(0)
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # threads of a check that failed do not keep the program


def node(url):
    """The parts of a node's URL, as keywords that drivers take."""
    u = urllib.parse.urlsplit(url)
    return {"host": u.hostname, "port": u.port, "user": u.username, "password": u.password, "dbname": u.path[1:]}


def until(condition, what, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
