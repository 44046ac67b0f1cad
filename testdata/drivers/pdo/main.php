<?php
// PHP: PDO with pdo_pgsql.
declare(strict_types=1);

if (($argv[1] ?? '') === 'probe') {
    if (!extension_loaded('pdo_pgsql')) {
        fwrite(STDERR, "pdo_pgsql is not here: install php-pgsql\n");
        exit(1);
    }
    echo 'PDO pgsql, PHP ', PHP_VERSION, "\n";
    exit(0);
}

[$A, $B] = array_map('intval', explode(' ', getenv('DRIVERS_TENANTS') ?: '42 43'));
define('A', $A);
define('B', $B);
define('NODES', array_filter(explode(' ', getenv('DRIVERS_NODES') ?: '')));
define('MOVES', getenv('DRIVERS_MOVES') === '1');
const TYPES = 'i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts';
const SAME = 'select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id
  where a.tenant_id = ? and b.tenant_id = a.tenant_id and a.id = ? and b.id = ?
  and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
  is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)';
const INSERT = 'insert into users (tenant_id, id, email, name) values (?, ?, ?, ?)';
const DOC = '{"a": [1, 2, {"b": null}], "c": "é"}';
const ROW = [-32768, 2147483647, PHP_INT_MIN, '12345678901234567890.123456789', 3.141592653589793, "h\u{e9}llo \u{2192} \u{4e16}\u{754c} \u{1F418} \"q\" 's' \\ %s \$1 ?",
    "\x00\x01\xff\x5c\x27\x00", true, '2024-02-29', '2024-02-29 12:34:56.789012+00', DOC, DOC, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,NULL,-3}', '{a,"b c",NULL,"é\"x"}'];

function same(mixed $got, mixed $want, string $what = ''): void
{
    if ($got !== $want) {
        throw new RuntimeException("$what got " . json_encode($got) . ', want ' . json_encode($want));
    }
}

function connect(array $o = []): PDO
{
    $o += ['host' => getenv('PGHOST'), 'port' => getenv('PGPORT'), 'user' => getenv('PGUSER'), 'password' => getenv('PGPASSWORD'), 'dbname' => getenv('PGDATABASE'), 'more' => ''];
    return new PDO("pgsql:host={$o['host']};port={$o['port']};dbname={$o['dbname']}{$o['more']}", $o['user'], $o['password'], [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function execute(PDO $db, string $sql, array $args = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($args);
    return $statement;
}

function value(PDO $db, string $sql, array $args = []): mixed
{
    return execute($db, $sql, $args)->fetchColumn();
}

function scene(int $count = 1): array
{
    $all = [];
    for ($i = 0; $i < $count; $i++) {
        $all[] = connect();
    }
    foreach ([A, B] as $tenant) {
        foreach (['orders', 'users'] as $table) {
            execute($all[0], "delete from $table where tenant_id = ? and id >= 1000", [$tenant]);
        }
    }
    return $all;
}

function fails(string $state, callable $do): PDOException
{
    try {
        $do();
    } catch (PDOException $error) {
        if ((string) $error->getCode() !== $state) {
            throw new RuntimeException("got {$error->getCode()}, want $state: {$error->getMessage()}");
        }
        return $error;
    }
    throw new RuntimeException("no error, want $state");
}

/** How many users checks have made, as the primary knows. */
function made(PDO $db, int $tenant = A): int
{
    $db->beginTransaction();
    $n = value($db, 'select count(*) from users where tenant_id = ? and id >= 1000', [$tenant]);
    $db->rollBack();
    return $n;
}

function holder(): PDO
{
    $db = connect();
    $db->beginTransaction();
    execute($db, 'select 1 from users where tenant_id = ? and id = 1', [A])->fetchAll();
    return $db;
}

$checks = [];

$checks['connect'] = function () {
    same(value(connect(), 'select 1'), 1);
    foreach ([['password' => 'wrong', 'says' => 'password authentication failed'], ['dbname' => getenv('PGDATABASE') . 'x', 'says' => 'does not exist']] as $o) {
        try {
            connect($o);
            throw new RuntimeException("no error: {$o['says']}");
        } catch (PDOException $error) {
            if (!str_contains($error->getMessage(), $o['says'])) {
                throw $error;
            }
        }
    }
};

$checks['tls'] = fn () => same(value(connect(['more' => ';sslmode=require']), 'select 1'), 1);

$checks['types_text'] = function () {
    [$db] = scene();
    $db->exec("set time zone 'UTC'");
    execute($db, 'delete from driver_types where tenant_id = ? and id = 1000', [A]);
    $insert = $db->prepare('insert into driver_types (tenant_id, id, ' . TYPES . ') values (?, 1000, ' . implode(', ', array_fill(0, count(ROW), '?')) . ')');
    $insert->bindValue(1, A, PDO::PARAM_INT);
    foreach (ROW as $i => $value) {
        $insert->bindValue($i + 2, is_float($value) ? json_encode($value) : $value, $i === 6 ? PDO::PARAM_LOB : (is_bool($value) ? PDO::PARAM_BOOL : (is_int($value) ? PDO::PARAM_INT : PDO::PARAM_STR)));
    }
    $insert->execute();
    same(value($db, SAME, [A, 1, 1000]), 1, "the same in the server's eyes:");
    $got = execute($db, 'select ' . TYPES . ' from driver_types where tenant_id = ? and id = 1000', [A])->fetch(PDO::FETCH_NUM);
    foreach (ROW as $i => $value) {
        $own = is_resource($got[$i]) ? stream_get_contents($got[$i]) : $got[$i];
        same(is_float($value) ? (float) $own : $own, $value, "column $i:");
    }
    $nulls = execute($db, 'select ' . TYPES . ' from driver_types where tenant_id = ? and id = 2', [A])->fetch(PDO::FETCH_NUM);
    same($nulls, array_fill(0, count(ROW), null));
};

$checks['crud'] = function () {
    [$db] = scene();
    foreach ([A, B] as $tenant) {
        same(value($db, INSERT . ' returning id', [$tenant, 1000, 'e', 'T']), 1000);
        same(execute($db, 'insert into orders (tenant_id, id, user_id, total) values (:t, 1000, 1000, 1.25), (:t, 1001, 1000, 2.50)', ['t' => $tenant])->rowCount(), 2);
    }
    foreach ([A, B] as $tenant) {
        same(value($db, 'select sum(total) from orders o where tenant_id = ? and exists (select 1 from users u where u.tenant_id = o.tenant_id and u.id = o.user_id and u.id = 1000)', [$tenant]), '3.75');
        same(execute($db, "update users set name = 'new' where tenant_id = ? and id >= 1000", [$tenant])->rowCount(), 1);
        same(value($db, INSERT . ' on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name', [$tenant, 1000, 'x', 'y']), 'newy');
        same(execute($db, 'delete from orders where tenant_id = ? and id in (?, ?)', [$tenant, 1000, 1001])->rowCount(), 2);
    }
};

$checks['transaction'] = function () {
    [$one, $two] = scene(2);
    $one->beginTransaction();
    execute($one, INSERT, [A, 1000, 'e', 'n']);
    same(made($two), 0);
    $one->commit();
    same(made($two), 1);
    $one->beginTransaction();
    execute($one, INSERT, [A, 1001, 'f', 'n']);
    $one->rollBack();
    same(made($two), 1);
};

$checks['savepoint'] = function () {
    [$db] = scene();
    $db->beginTransaction();
    execute($db, INSERT, [A, 1000, 'e', 'n']);
    $db->exec('savepoint s');
    fails('23505', fn () => execute($db, INSERT, [A, 1000, 'f', 'n']));
    fails('25P02', fn () => $db->exec('select 1'));
    $db->exec('rollback to savepoint s');
    execute($db, INSERT, [A, 1001, 'g', 'n']);
    $db->commit();
    same(made($db), 2);
};

$checks['aborted'] = function () {
    [$db] = scene();
    $db->beginTransaction();
    execute($db, INSERT, [A, 1000, 'e', 'n']);
    fails('22012', fn () => value($db, 'select 1/?::int', [0]));
    fails('25P02', fn () => value($db, 'select ?::int', [1]));
    same($db->inTransaction(), true);
    $db->rollBack();
    same(made($db), 0);
};

$checks['prepared'] = function () {
    $all = scene(4);
    $statements = [];
    for ($n = 0; $n < 25; $n++) {
        foreach ($all as $db) {
            $statements[] = [$n, $db->prepare("select count(*) + $n + ?::int from users where tenant_id = ? and id < 1000")];
        }
    }
    for ($turn = 0; $turn < 3; $turn++) {
        foreach ($statements as [$n, $statement]) {
            foreach ([A, B] as $tenant) {
                $statement->execute([$turn, $tenant]);
                same($statement->fetchColumn(), 3 + $n + $turn);
            }
        }
    }
    $locked = $all[0]->prepare('select pg_backend_pid() from users where tenant_id = ? and id = 1 for update');
    [$seen, $held] = [[], []];
    for ($i = 0; $i < 4; $i++) {
        for ($k = 0; $k < 3; $k++) {
            $locked->execute([A]);
            $seen[$locked->fetchColumn()] = true;
        }
        $held[] = holder();
    }
    same(!MOVES || count($seen) > 1, true, 'all on one backend: nothing was tried:');
};

// PDO numbers its statements and deallocates them by SQL, so that two connections use the same names for different texts.
$checks['reprepare'] = function () {
    [$one, $two] = scene(2);
    for ($n = 0; $n < 20; $n++) {
        foreach ([$one, $two] as $i => $db) {
            $statement = $db->prepare('select ' . ($n * 2 + $i) . ' + ?::int from users where tenant_id = ? and id = 1');
            $statement->execute([0, [A, B][$n % 2]]);
            same($statement->fetchColumn(), $n * 2 + $i);
            unset($statement); // DEALLOCATE pdo_stmt_…
        }
    }
};

$checks['sql_prepare'] = function () {
    [$db] = scene();
    $db->exec('prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update');
    $held = [];
    for ($i = 0; $i < 3; $i++) {
        foreach ([A, B] as $tenant) {
            same($db->query("execute ps($tenant)")->fetchColumn(), 'User 1');
        }
        $held[] = holder();
    }
    $db->exec('deallocate ps');
    fails('26000', fn () => $db->exec('execute ps(' . A . ')'));
};

$checks['plan_change'] = function () {
    [$db, $other] = scene(2);
    $other->exec('alter table driver_columns drop column if exists b');
    execute($other, 'delete from driver_columns where tenant_id = ?', [A]);
    execute($other, "insert into driver_columns (tenant_id, id, a) values (?, 1, 'a')", [A]);
    $read = $db->prepare('select * from driver_columns where tenant_id = ? and id = 1 for update');
    for ($i = 0; $i < 7; $i++) {
        $read->execute([A]);
        same(count($read->fetch(PDO::FETCH_NUM)), 3);
    }
    $other->exec("alter table driver_columns add column b text default 'b'");
    try {
        $read->execute([A]);
        $read->fetch(PDO::FETCH_NUM);
    } catch (PDOException $error) {
        same($error->getCode(), '0A000', $error->getMessage()); // PostgreSQL's own: cached plan must not change result type
    }
    $other->exec('alter table driver_columns drop column b');
    same(count(execute($db, 'select * from driver_columns where tenant_id = ? and id = 1 for update', [A])->fetch(PDO::FETCH_NUM)), 3);
};

$checks['multi'] = function () {
    [$db] = scene();
    $text = fn (int ...$ids) => implode('; ', array_map(fn ($id) => 'insert into users (tenant_id, id, email, name) values (' . A . ", $id, '$id', 'm')", $ids));
    $db->exec($text(1000, 1001, 1002));
    same(made($db), 3);
    fails('22012', fn () => $db->exec($text(1003) . '; select 1/0'));
    same(made($db), 3);
};

$checks['copy_in'] = function () {
    [$db] = scene();
    $db->exec("set pgdrover.tenant = '" . A . "'");
    $lines = fn (string $id) => array_map(fn ($n) => A . "\t" . ($id ?: 1000 + $n) . "\t$n@x\tname", range(0, 4999));
    same($db->pgsqlCopyFromArray('users', $lines(''), "\t", '\\\\N', 'tenant_id, id, email, name'), true);
    same(made($db), 5000);
    fails('22P02', fn () => $db->pgsqlCopyFromArray('users', $lines('x'), "\t", '\\\\N', 'tenant_id, id, email, name'));
    same(made($db), 5000);
};

$checks['copy_out'] = function () {
    [$db] = scene();
    $db->exec("set pgdrover.tenant = '" . A . "'");
    $got = $db->pgsqlCopyToArray('countries');
    same(count($got), 6);
    $got = $db->pgsqlCopyToArray('(select id, name from users where tenant_id = ' . A . ' order by id)');
    same($got, ["1\tUser 1\n", "2\tUser 2\n", "3\tUser 3\n"]);
};

$checks['cursor'] = function () {
    [$db] = scene();
    $db->beginTransaction();
    $cursor = $db->prepare('select g from users u, generate_series(1, 100) g where tenant_id = ? and u.id = 1 order by g', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $cursor->execute([A]);
    for ($n = 1; $n <= 100; $n++) {
        same($cursor->fetchColumn(), $n);
    }
    same($cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 5), [5]);
    $cursor->closeCursor();
    $db->commit();
};

$checks['timeout'] = function () {
    $db = connect(['more' => ";options='-c statement_timeout=200'"]);
    fails('57014', fn () => $db->exec('select pg_sleep(5)'));
    $db->exec('set statement_timeout = 0');
    $db->exec('select pg_sleep(0.3)');
};

$checks['notify'] = function () {
    [$db, $other] = scene(2);
    $db->exec('listen drivers');
    $other->exec("select pg_notify('drivers', 'from another')");
    $db->exec("notify drivers, 'from itself'");
    $got = [];
    while (count($got) < 2 && ($n = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 5000))) {
        $got[] = $n['payload'];
    }
    sort($got);
    same($got, ['from another', 'from itself']);
};

$checks['errors'] = function () {
    [$db] = scene();
    execute($db, INSERT, [A, 1000, 'e', 'n']);
    $cases = [
        ['23505', INSERT, [A, 1000, 'f', 'n']], ['23503', 'insert into orders (tenant_id, id, user_id) values (?, 1000, 9999)', [A]],
        ['23502', 'insert into users (tenant_id, id, email) values (?, 1001, ?)', [A, 'f']], ['42P01', 'select * from no_such_table', []],
        ['42703', 'select nothing from users where tenant_id = ?', [A]], ['22012', 'select 1 / (id - 1) from users where tenant_id = ?', [A]], ['42601', 'selec 1', []],
    ];
    foreach ($cases as [$state, $sql, $args]) {
        $error = fails($state, fn () => execute($db, $sql, $args)->fetchAll());
        same($state !== '23505' || str_contains($error->getMessage(), 'users_pkey'), true);
        same(value($db, 'select count(*) from users where tenant_id = ? and id = 1', [A]), 1);
    }
};

$checks['settings'] = function () {
    [$db, $other] = scene(2);
    $before = value($other, 'show timezone');
    $db->exec("set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'");
    $read = "select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name')) from users where tenant_id = ? and id = 1 for update";
    $held = [];
    for ($i = 0; $i < 3; $i++) {
        foreach ([A, B] as $tenant) {
            same(value($db, $read, [$tenant]), 'Asia/Tokyo|public, pg_temp|it is mine');
        }
        same(value($other, 'show timezone'), $before);
        $held[] = holder();
    }
    $db->exec('reset all');
    same(value($db, 'show timezone'), $before);
};

$checks['catalog'] = function () {
    [$db] = scene();
    $meta = execute($db, 'select tenant_id, total from orders where tenant_id = ? limit 1', [A])->getColumnMeta(1); // asks pg_class and pg_type
    same([$meta['table'], $meta['native_type']], ['orders', 'numeric']);
};

$checks['ddl'] = function () {
    [$db] = scene();
    $db->exec('drop table if exists driver_ddl');
    $db->exec('create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))');
    $db->exec("alter table driver_ddl add column note text not null default 'n'");
    foreach ([A, B] as $tenant) {
        execute($db, 'insert into driver_ddl values (?, 1)', [$tenant]);
        same(value($db, 'select note from driver_ddl where tenant_id = ?', [$tenant]), 'n');
    }
    $db->exec('drop table driver_ddl');
};

$checks['terminated'] = function () {
    $kill = function (int $pid) {
        foreach (NODES as $url) {
            $node = parse_url($url);
            $admin = connect(['host' => $node['host'], 'port' => $node['port'], 'user' => $node['user'], 'password' => $node['pass'], 'dbname' => substr($node['path'], 1)]);
            execute($admin, 'select pg_terminate_backend(pid) from pg_stat_activity where pid = ?', [$pid]);
        }
    };
    [$db] = scene();
    $db->beginTransaction();
    $kill(value($db, 'select pg_backend_pid() from users where tenant_id = ? and id = 1', [A]));
    try {
        value($db, 'select 1 from users where tenant_id = ? and id = 1', [A]);
        throw new RuntimeException('a transaction went on without its backend');
    } catch (PDOException) {
    }
    $db = connect();
    $locked = 'select pg_backend_pid() from users where tenant_id = ? and id = 1 for update';
    $kill(value($db, $locked, [A]));
    usleep(200000);
    if (MOVES) {
        value($db, $locked, [A]);
    }
    same(value(connect(), 'select name from users where tenant_id = ? and id = 1', [A]), 'User 1');
};

// PHP's pool is a persistent connection, which the next request takes as the last one left it.
$checks['pool'] = function () {
    for ($turn = 0; $turn < 20; $turn++) {
        $db = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE'), getenv('PGUSER'), getenv('PGPASSWORD'),
            [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_PERSISTENT => true]);
        $db->beginTransaction();
        same(value($db, 'select name from users where tenant_id = ? and id = 1 for update', [[A, B][$turn % 2]]), 'User 1');
        $turn % 3 === 0 ? $db->rollBack() : $db->commit();
        unset($db);
    }
};

$checks['short'] = function () {
    for ($turn = 0; $turn < 40; $turn++) {
        same(value(connect(), 'select name from users where tenant_id = ? and id = 1', [[A, B][$turn % 2]]), 'User 1');
    }
};

$names = array_filter(explode(' ', getenv('DRIVERS_CHECKS') ?: ''));
if (!$names) {
    $lines = array_filter(file(__DIR__ . '/../checks.txt'), fn ($line) => preg_match('/^[^#\s]/', $line) === 1);
    $names = array_map(fn ($line) => strtok($line, " \n"), $lines);
}
$status = 0;
foreach ($names as $name) {
    if (!isset($checks[$name])) {
        echo "skip $name: the driver has no such thing\n";
        continue;
    }
    try {
        $checks[$name]();
        echo "ok $name\n";
    } catch (Throwable $error) {
        echo "FAIL $name: ", substr(str_replace("\n", ' | ', $error->getMessage()), 0, 300), ' (line ', $error->getLine(), ")\n";
        $status = 1;
    }
}
exit($status);
