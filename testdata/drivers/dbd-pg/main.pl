# Perl: DBI with DBD::Pg.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);
use File::Basename qw(dirname);
use Time::HiRes qw(time sleep);

binmode STDOUT, ':utf8';
$| = 1;

if (($ARGV[0] // '') eq 'probe') {
    print "DBD::Pg $DBD::Pg::VERSION, DBI $DBI::VERSION\n";
    exit 0;
}

my ($A, $B) = split ' ', $ENV{DRIVERS_TENANTS} // '42 43';
my @NODES = split ' ', $ENV{DRIVERS_NODES} // '';
my $MOVES = ($ENV{DRIVERS_MOVES} // '') eq '1';
my $SECONDS = 20;
my $TYPES = 'i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts';
my $SAME = 'select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id
  where a.tenant_id = ? and b.tenant_id = a.tenant_id and a.id = ? and b.id = ?
  and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
  is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)';
my $INSERT = 'insert into users (tenant_id, id, email, name) values (?, ?, ?, ?)';
my %checks;

sub expect {
    my ($got, $want, $what) = @_;
    my ($g, $w) = map { defined ? (ref eq 'ARRAY' ? join('|', map { defined ? $_ : 'NULL' } @$_) : $_) : 'undef' } $got, $want;
    die(($what // '') . " got $g, want $w, line " . (caller)[2] . "\n") if $g ne $w;
}

sub open_one {
    my (%o) = @_;
    my $dsn = "dbi:Pg:dbname=" . ($o{dbname} // $ENV{PGDATABASE}) . ";host=" . ($o{host} // $ENV{PGHOST}) . ";port=" . ($o{port} // $ENV{PGPORT}) . ";sslmode=" . ($o{sslmode} // 'prefer');
    $dsn .= ";options='$o{options}'" if $o{options};
    return DBI->connect($dsn, $o{user} // $ENV{PGUSER}, $o{password} // $ENV{PGPASSWORD},
        { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => -1, pg_server_prepare => 1 });
}

sub scene {
    my ($count) = @_;
    my @all = map { open_one() } 1 .. ($count // 1);
    for my $tenant ($A, $B) {
        $all[0]->do("delete from $_ where tenant_id = ? and id >= 1000", undef, $tenant) for qw(orders users);
    }
    return @all;
}

sub value { my ($db, $sql, @args) = @_; return ($db->selectrow_array($sql, undef, @args))[0]; }

sub fails {
    my ($state, $do) = @_;
    eval { $do->(); 1 } and die "no error, want $state, line " . (caller)[2] . "\n";
    my $got = $DBI::state // '';
    die "got $got, want $state: $@" unless $got eq $state;
}

# How many users checks have made, as the primary knows.
sub count {
    my ($db, $tenant) = @_;
    $db->begin_work;
    my $n = value($db, 'select count(*) from users where tenant_id = ? and id >= 1000', $tenant // $A);
    $db->rollback;
    return $n;
}

sub holder {
    my $db = open_one();
    $db->begin_work;
    $db->selectall_arrayref('select 1 from users where tenant_id = ? and id = 1', undef, $A);
    return $db;
}

$checks{connect} = sub {
    my $db = open_one();
    expect(value($db, 'select 1'), 1);
    for (['password', 'wrong', 'password authentication failed'], ['dbname', "$ENV{PGDATABASE}x", 'does not exist']) {
        my ($key, $with, $says) = @$_;
        eval { open_one($key => $with); 1 } and die "no error: $says\n";
        die $@ unless $@ =~ /$says/;
    }
};

$checks{tls} = sub {
    my $db = open_one(sslmode => 'require');
    expect(value($db, 'select 1'), 1);
};

$checks{types_text} = sub {
    my ($db) = scene();
    $db->do("set time zone 'UTC'");
    my $doc = '{"a": [1, 2, {"b": null}], "c": "é"}';
    my @row = (-32768, 2147483647, '-9223372036854775808', '12345678901234567890.123456789', '3.141592653589793',
        "h\x{e9}llo \x{2192} \x{4e16}\x{754c} \x{1F418} \"q\" 's' \\ %s \$1 ?", "\x00\x01\xff\x5c\x27\x00", 1, '2024-02-29', '2024-02-29 12:34:56.789012+00',
        $doc, $doc, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', [1, undef, -3], ['a', 'b c', undef, 'é"x']);
    $db->do('delete from driver_types where tenant_id = ? and id = 1000', undef, $A);
    my $insert = $db->prepare("insert into driver_types (tenant_id, id, $TYPES) values (?, 1000, " . join(', ', ('?') x @row) . ')');
    $insert->bind_param(1, $A);
    for my $i (0 .. $#row) {
        $insert->bind_param($i + 2, $row[$i], $i == 6 ? { pg_type => PG_BYTEA } : undef);
    }
    $insert->execute;
    expect(value($db, $SAME, $A, 1, 1000), 1, 'the same in the server\'s eyes');
    my @got = $db->selectrow_array("select $TYPES from driver_types where tenant_id = ? and id = 1000", undef, $A);
    expect($_ == 4 ? sprintf('%.15f', $got[$_]) : $got[$_], $row[$_], "column $_") for 0 .. $#row;    # Perl prints 15 digits
    my @nulls = $db->selectrow_array("select $TYPES from driver_types where tenant_id = ? and id = 2", undef, $A);
    expect(scalar(grep { defined } @nulls), 0);
};

$checks{crud} = sub {
    my ($db) = scene();
    for my $tenant ($A, $B) {
        expect(value($db, "$INSERT returning id", $tenant, 1000, 'e', 'T'), 1000);
        expect($db->do('insert into orders (tenant_id, id, user_id, total) values (?, 1000, 1000, 1.25), (?, 1001, 1000, 2.50)', undef, $tenant, $tenant), 2);
    }
    for my $tenant ($A, $B) {
        expect(value($db, 'select sum(o.total) from users u join orders o using (tenant_id) where tenant_id = ? and u.id = 1000 and o.user_id = u.id', $tenant), '3.75');
        expect($db->do("update users set name = 'new' where tenant_id = ? and id >= 1000", undef, $tenant), 1);
        expect(value($db, "$INSERT on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", $tenant, 1000, 'x', 'y'), 'newy');
        expect($db->do('delete from orders where tenant_id = ? and id = any(?)', undef, $tenant, [1000, 1001]), 2);
    }
};

$checks{transaction} = sub {
    my ($one, $two) = scene(2);
    $one->begin_work;
    $one->do($INSERT, undef, $A, 1000, 'e', 'n');
    expect(count($two), 0);
    $one->commit;
    expect(count($two), 1);
    $one->begin_work;
    $one->do($INSERT, undef, $A, 1001, 'f', 'n');
    $one->rollback;
    expect(count($two), 1);
};

$checks{savepoint} = sub {
    my ($db) = scene();
    $db->begin_work;
    $db->do($INSERT, undef, $A, 1000, 'e', 'n');
    $db->pg_savepoint('s');
    fails('23505', sub { $db->do($INSERT, undef, $A, 1000, 'f', 'n') });
    fails('25P02', sub { $db->do('select 1') });
    $db->pg_rollback_to('s');
    $db->do($INSERT, undef, $A, 1001, 'g', 'n');
    $db->pg_release('s');
    $db->commit;
    expect(count($db), 2);
};

$checks{aborted} = sub {
    my ($db) = scene();
    $db->begin_work;
    $db->do($INSERT, undef, $A, 1000, 'e', 'n');
    fails('22012', sub { $db->do('select 1/?::int', undef, 0) });
    expect($db->pg_ping, 4, 'ping in an aborted transaction');
    fails('25P02', sub { $db->do('select 1') });
    fails('25P02', sub { value($db, 'select count(*) from users where tenant_id = ?', $A) });
    $db->rollback;
    expect($db->pg_ping, 1, 'ping when idle');
    expect(count($db), 0);
};

$checks{prepared} = sub {
    my @all = scene(4);
    my @statements;
    for my $n (0 .. 24) {
        push @statements, [$n, $_->prepare("select count(*) + $n + ?::int from users where tenant_id = ? and id < 1000")] for @all;
    }
    for my $turn (0 .. 2) {
        for (@statements) {
            my ($n, $statement) = @$_;
            for my $tenant ($A, $B) {
                $statement->execute($turn, $tenant);
                expect(($statement->fetchrow_array)[0], 3 + $n + $turn);
                $statement->finish;
            }
        }
    }
    my $locked = $all[0]->prepare('select pg_backend_pid() from users where tenant_id = ? and id = 1 for update');
    my (%seen, @held);
    for (1 .. 4) {
        for (1 .. 3) { $locked->execute($A); $seen{($locked->fetchrow_array)[0]} = 1; $locked->finish; }
        push @held, holder();
    }
    die "all on one backend: nothing was tried\n" if $MOVES && keys %seen < 2;
};

$checks{reprepare} = sub {
    my ($one, $two) = scene(2);
    for my $n (0 .. 19) {
        for my $db ($one, $two) {    # one name on both, with another text each time
            my $with = $n * 2 + ($db == $two ? 1 : 0);
            my $statement = $db->prepare("select $with + ?::int from users where tenant_id = ? and id = 1", { pg_prepare_name => 'mine', pg_prepare_now => 1 });
            $statement->execute(0, ($A, $B)[$n % 2]);
            expect(($statement->fetchrow_array)[0], $with);
            $statement->finish;
            undef $statement;    # deallocates it
        }
    }
};

$checks{sql_prepare} = sub {
    my ($db) = scene();
    $db->do('prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update');
    my @held;
    for (1 .. 3) {
        for my $tenant ($A, $B) {
            my $execute = $db->prepare("execute ps($tenant)", { pg_server_prepare => 0 });
            $execute->execute;
            expect(($execute->fetchrow_array)[0], 'User 1');
            $execute->finish;
        }
        push @held, holder();
    }
    $db->do('deallocate ps');
    fails('26000', sub { $db->do("execute ps($A)") });
};

$checks{plan_change} = sub {
    my ($db, $other) = scene(2);
    $other->do('alter table driver_columns drop column if exists b');
    $other->do('delete from driver_columns where tenant_id = ?', undef, $A);
    $other->do("insert into driver_columns (tenant_id, id, a) values (?, 1, 'a')", undef, $A);
    my $read = $db->prepare('select * from driver_columns where tenant_id = ? and id = 1 for update');
    for (1 .. 7) { $read->execute($A); expect($read->fetchrow_arrayref, [$A, 1, 'a']); $read->finish; }
    $other->do("alter table driver_columns add column b text default 'b'");
    if (eval { $read->execute($A); 1 }) {
        expect($read->fetchrow_arrayref, [$A, 1, 'a', 'b']);
    } else {
        expect($DBI::state, '0A000');    # PostgreSQL's own: cached plan must not change result type
    }
    $other->do('alter table driver_columns drop column b');
};

$checks{batch} = sub {
    my ($db) = scene();
    my $insert = $db->prepare($INSERT);
    my @ids = 1000 .. 1299;
    $insert->execute_array({}, $A, \@ids, [map { "$_\@x" } @ids], 'n');
    expect(count($db), 300);
};

$checks{multi} = sub {
    my ($db) = scene();
    my $text = sub { join ';', map { "insert into users (tenant_id, id, email, name) values ($A, $_, '$_', 'm')" } @_ };
    $db->do($text->(1000, 1001, 1002));
    expect(count($db), 3);
    fails('22012', sub { $db->do($text->(1003) . '; select 1/0') });
    expect(count($db), 3);
};

$checks{copy_in} = sub {
    my ($db) = scene();
    $db->do("set pgdrover.tenant = '$A'");
    my $copy = 'copy users (tenant_id, id, email, name) from stdin';
    $db->do($copy);
    $db->pg_putcopydata("$A\t$_\t$_\@x\tna\\tme\n") for 1000 .. 5999;
    $db->pg_putcopyend;
    expect(count($db), 5000);
    $db->do($copy);
    fails('22P02', sub { $db->pg_putcopydata("$A\tx\ty\tz\n" x 100) for 1 .. 300; $db->pg_putcopyend });
    expect(count($db), 5000);
    $db->do('reset pgdrover.tenant');
    $db->do("/* pgdrover: tenant=$B */ $copy (format csv)");
    $db->pg_putcopydata("$B,1000,e,n\n");
    $db->pg_putcopyend;
    expect(count($db, $B), 1);
};

$checks{copy_out} = sub {
    my ($db) = scene();
    $db->do("copy (select id, name from users where tenant_id = $A order by id) to stdout");
    my ($line, $all) = ('', '');
    $all .= $line while $db->pg_getcopydata($line) >= 0;
    expect($all, "1\tUser 1\n2\tUser 2\n3\tUser 3\n");
    $db->do("copy (select generate_series(1, 20000) from users where tenant_id = $B and id = 1) to stdout");
    my $n = 0;
    $n++ while $db->pg_getcopydata($line) >= 0;
    expect($n, 20000);
    expect(value($db, 'select 1'), 1);
};

$checks{cursor} = sub {
    my ($db) = scene();
    $db->begin_work;
    $db->do('declare mine cursor for select g from users u, generate_series(1, 100) g where tenant_id = ? and u.id = 1 order by g', undef, $A);
    my $n = 0;
    while (my @rows = @{ $db->selectall_arrayref('fetch 7 from mine') }) {
        expect($_->[0], ++$n) for @rows;
    }
    expect($n, 100);
    $db->commit;
};

$checks{cancel} = sub {
    my ($db) = scene();
    my $begun = time;
    $db->do('select pg_sleep(15)', { pg_async => PG_ASYNC });
    sleep 0.3;
    $db->pg_cancel;
    die "the cancel came late\n" if time - $begun > 5;
    expect($db->state, '57014');
    expect(value($db, 'select 1'), 1);
};

$checks{timeout} = sub {
    my $db = open_one(options => '-c statement_timeout=200');
    fails('57014', sub { $db->do('select pg_sleep(5)') });
    $db->do('set statement_timeout = 0');
    $db->do('select pg_sleep(0.3)');
};

$checks{notify} = sub {
    my ($db, $other) = scene(2);
    $db->do('listen drivers');
    $other->do("select pg_notify('drivers', 'from another')");
    $db->do("notify drivers, 'from itself'");
    my %got;
    for (my $end = time + 5; keys %got < 2 && time < $end; sleep 0.02) {
        while (my $n = $db->pg_notifies) { $got{$n->[2]} = 1; }
    }
    expect([sort keys %got], ['from another', 'from itself']);
};

$checks{notice} = sub {
    my ($db) = scene();
    my $got = '';
    local $SIG{__WARN__} = sub { $got .= $_[0] };
    $db->{PrintWarn} = 1;
    $db->do("set pgdrover.tenant = '$A'");
    $db->do('do $$ begin raise notice \'here it is\'; end $$');
    die "got $got\n" unless $got =~ /NOTICE:  here it is/;
};

$checks{errors} = sub {
    my ($db) = scene();
    $db->do($INSERT, undef, $A, 1000, 'e', 'n');
    for (['23505', $INSERT, $A, 1000, 'f', 'n'], ['23503', 'insert into orders (tenant_id, id, user_id) values (?, 1000, 9999)', $A],
        ['23502', 'insert into users (tenant_id, id, email) values (?, 1001, ?)', $A, 'f'], ['42P01', 'select * from no_such_table'],
        ['42703', 'select nothing from users where tenant_id = ?', $A], ['22012', 'select 1 / (id - 1) from users where tenant_id = ?', $A], ['42601', 'selec 1']) {
        my ($state, $sql, @args) = @$_;
        fails($state, sub { $db->do($sql, undef, @args) });
        expect($db->pg_error_field('constraint'), 'users_pkey') if $state eq '23505';
        expect(value($db, 'select count(*) from users where tenant_id = ? and id = 1', $A), 1);
    }
};

$checks{settings} = sub {
    my ($db, $other) = scene(2);
    my $before = value($other, 'show timezone');
    $db->do("set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'");
    my $read = q{select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))
      from users where tenant_id = ? and id = 1 for update};
    my @held;
    for (1 .. 3) {
        expect(value($db, $read, $_), 'Asia/Tokyo|public, pg_temp|it is mine') for $A, $B;
        expect(value($other, 'show timezone'), $before);
        push @held, holder();
    }
    $db->do('discard all');
    expect(value($db, 'show timezone'), $before);
};

$checks{catalog} = sub {
    my ($db) = scene();
    my @columns = map { $_->{COLUMN_NAME} } @{ $db->column_info(undef, 'public', 'orders', '%')->fetchall_arrayref({}) };
    expect(\@columns, [qw(tenant_id id user_id status total created)]);
    expect([$db->primary_key(undef, 'public', 'orders')], [qw(tenant_id id)]);
    expect($db->foreign_key_info(undef, 'public', 'users', undef, 'public', 'orders')->fetchall_arrayref({})->[0]{FK_TABLE_NAME}, 'orders');
};

$checks{ddl} = sub {
    my ($db) = scene();
    $db->do('drop table if exists driver_ddl');
    $db->do('create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))');
    $db->do("alter table driver_ddl add column note text not null default 'n'");
    for my $tenant ($A, $B) {
        $db->do('insert into driver_ddl values (?, 1)', undef, $tenant);
        expect(value($db, 'select note from driver_ddl where tenant_id = ?', $tenant), 'n');
    }
    $db->do('drop table driver_ddl');
};

$checks{terminated} = sub {
    my $kill = sub {
        my ($pid) = @_;
        for (@NODES) {
            my ($user, $password, $host, $port, $dbname) = m{//(.*?):(.*?)@(.*?):(\d+)/(\w+)};
            my $node = open_one(user => $user, password => $password, host => $host, port => $port, dbname => $dbname);
            $node->do('select pg_terminate_backend(pid) from pg_stat_activity where pid = ?', undef, $pid);
        }
    };
    my ($db) = scene();
    $db->begin_work;
    $kill->(value($db, 'select pg_backend_pid() from users where tenant_id = ? and id = 1', $A));
    eval { value($db, 'select 1 from users where tenant_id = ? and id = 1', $A); 1 } and die "a transaction went on without its backend\n";
    eval { $db->disconnect };
    $db = open_one();
    my $locked = 'select pg_backend_pid() from users where tenant_id = ? and id = 1 for update';
    $kill->(value($db, $locked, $A));
    sleep 0.2;
    value($db, $locked, $A) if $MOVES;
    eval { $db->disconnect };
    expect(value(open_one(), 'select name from users where tenant_id = ? and id = 1', $A), 'User 1');
};

$checks{short} = sub {
    for my $turn (1 .. 40) {
        my $db = open_one();
        expect(value($db, 'select name from users where tenant_id = ? and id = 1', ($A, $B)[$turn % 2]), 'User 1');
        $db->disconnect;
    }
};

open(my $list, '<', dirname(dirname($0)) . '/checks.txt') or die $!;
my @names = map { (split)[0] } grep { /^[^#\s]/ } <$list>;
@names = split ' ', $ENV{DRIVERS_CHECKS} if ($ENV{DRIVERS_CHECKS} // '') ne '';
my $status = 0;
$SIG{ALRM} = sub { die "did not end within $SECONDS s\n" };
for my $name (@names) {
    if (!$checks{$name}) {
        print "skip $name: the driver has no such thing\n";
        next;
    }
    alarm $SECONDS;
    if (eval { $checks{$name}->(); 1 }) {
        print "ok $name\n";
    } else {
        my $why = $@;
        $why =~ s/\s*\n\s*/ | /g;
        print "FAIL $name: " . substr($why, 0, 300) . "\n";
        $status = 1;
    }
    alarm 0;
}
exit $status;
