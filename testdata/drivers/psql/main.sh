# psql: what it prints is compared.
# shellcheck shell=bash disable=SC2317
# The checks are called by name.
here=$(dirname "$0")
if [ "${1:-}" = probe ]; then
	exec psql --version
fi
read -r A B <<<"${DRIVERS_TENANTS:-42 43}"
read -r -a nodes <<<"${DRIVERS_NODES:-}"
types='i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts'
insert='insert into users (tenant_id, id, email, name) values'
export PGCONNECT_TIMEOUT=10

# q runs statements, one -c each, or standard input; what it prints is unaligned, with | between fields.
q() {
	local each=()
	for text; do each+=(-c "$text"); done
	timeout 20 psql -X -q -A -t -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "${each[@]}" 2>&1
}

fail() { why=$*; return 1; }

# is GOT WANT
is() { [ "$1" = "$2" ] || fail "got $1, want $2"; }

# has TEXT PIECE…: all pieces are in the text
has() {
	local text=$1
	shift
	for piece; do [[ $text == *"$piece"* ]] || { fail "no '$piece' in: $text"; return 1; }; done
}

clean() {
	for t in $A $B; do q "delete from orders where tenant_id = $t and id >= 1000" "delete from users where tenant_id = $t and id >= 1000"; done
}

made() { q begin "select count(*) from users where tenant_id = ${1:-$A} and id >= 1000" rollback; }

check_connect() {
	is "$(q 'select 1')" 1 || return
	has "$(PGPASSWORD=wrong q 'select 1')" 'password authentication failed' || return
	has "$(PGDATABASE=nowhere q 'select 1')" 'does not exist'
}

check_tls() { has "$(PGSSLMODE=require q '\conninfo')" 'SSL connection'; }

check_types_text() {
	q "delete from driver_types where tenant_id = $A and id = 1000" >/dev/null
	# Out as text, and in again as literals.
	local row
	row=$(q "set time zone 'UTC'" "select concat_ws(', ', quote_literal(i2), quote_literal(i4), quote_literal(i8), quote_literal(num), quote_literal(f8), quote_literal(txt), quote_literal(bin),
		quote_literal(flag), quote_literal(day), quote_literal(at), quote_literal(doc), quote_literal(docb), quote_literal(uid), quote_literal(ints), quote_literal(texts))
		from driver_types where tenant_id = $A and id = 1")
	has "$row" "'-32768'" '🐘' '世界' || return
	is "$(q "insert into driver_types (tenant_id, id, $types) values ($A, 1000, $row)")" '' || return
	is "$(q "select count(*) from driver_types a, driver_types b where a.tenant_id = $A and b.tenant_id = $A and a.id = 1 and b.id = 1000
		and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::text, a.docb, a.uid, a.ints, a.texts)
		= (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::text, b.docb, b.uid, b.ints, b.texts)")" 1 || return
	is "$(q "\\pset null N" "select $types from driver_types where tenant_id = $A and id = 2" | tail -n 1)" 'N|N|N|N|N|N|N|N|N|N|N|N|N|N|N'
}

check_crud() {
	clean
	for t in $A $B; do
		is "$(q "$insert ($t, 1000, 'e', 'T') returning id, name")" '1000|T' || return
		is "$(q "insert into orders (tenant_id, id, user_id, total) values ($t, 1000, 1000, 1.25), ($t, 1001, 1000, 2.5)")" '' || return
		is "$(q "select u.name, sum(o.total) from users u join orders o using (tenant_id) where tenant_id = $t and o.user_id = u.id and u.id = 1000 group by 1")" 'T|3.75' || return
		is "$(psql -X -A -t -c "update users set name = 'new' where tenant_id = $t and id >= 1000")" 'UPDATE 1' || return
		is "$(psql -X -A -t -c "delete from orders where tenant_id = $t and id in (1000, 1001)")" 'DELETE 2' || return
	done
}

check_transaction() {
	clean
	q begin "$insert ($A, 1000, 'e', 'n')" rollback >/dev/null
	is "$(made)" 0 || return
	q begin "$insert ($A, 1000, 'e', 'n')" commit >/dev/null
	is "$(made)" 1 || return
	timeout 20 psql -X -q -1 -c "$insert ($A, 1001, 'f', 'n')" -c 'select 1/0' >/dev/null 2>&1 # -1: all or nothing
	is "$(made)" 1
}

check_savepoint() {
	clean
	printf '%s;\n' begin "$insert ($A, 1000, 'e', 'n')" "$insert ($A, 1000, 'f', 'n')" "$insert ($A, 1001, 'g', 'n')" commit |
		timeout 20 psql -X -q -v ON_ERROR_ROLLBACK=on >/dev/null 2>&1 # a savepoint before each statement
	is "$(made)" 2
}

check_aborted() {
	clean
	local out
	out=$(printf '%s;\n' begin "$insert ($A, 1000, 'e', 'n')" 'select 1/0' 'select 1' commit | timeout 20 psql -X -v VERBOSITY=verbose 2>&1)
	has "$out" 22012 25P02 ROLLBACK || return
	is "$(made)" 0
}

check_sql_prepare() {
	is "$(q "prepare ps (bigint) as select name from users where tenant_id = \$1 and id = 1 for update" "execute ps($A)" "execute ps($B)" 'deallocate ps')" $'User 1\nUser 1'
}

check_multi() {
	clean
	is "$(q "$insert ($A, 1000, 'a', 'm'); $insert ($A, 1001, 'b', 'm'); select count(*) from users where tenant_id = $A")" 5 || return
	has "$(q "$insert ($A, 1002, 'c', 'm'); select 1/0; $insert ($A, 1003, 'd', 'm')")" 22012 || return
	is "$(made)" 2
}

check_batch() {
	clean
	printf "select format('insert into users (tenant_id, id, email, name) values (%s, %%s, %%L, ''n'')', g, g) from generate_series(1000, 1299) g \\\\gexec\n" "$A" | timeout 20 psql -X -q
	is "$(made)" 300
}

check_copy_in() {
	clean
	local file=${TMPDIR:-/tmp}/drivers.$$
	awk -v t="$A" 'BEGIN {for (n = 0; n < 20000; n++) printf "%d\t%d\t%d@x\tname\n", t, 1000 + n, n}' >"$file"
	local out
	out=$(printf '%s\n' "set pgdrover.tenant = '$A';" "\\copy users (tenant_id, id, email, name) from '$file'" "\\copy users (tenant_id, id, email, name) from '$file'" 'select 7;' |
		timeout 20 psql -X -A -t -v VERBOSITY=verbose 2>&1)
	rm -f "$file"
	has "$out" 'COPY 20000' 23505 $'\n7' || return
	is "$(made)" 20000 || return
	printf '%s\t1000\te\tn\n' "$B" | q "/* pgdrover: tenant=$B */ copy users (tenant_id, id, email, name) from stdin" || return
	is "$(made "$B")" 1 || return
	awk -v a="$A" -v b="$B" 'BEGIN {for (n = 0; n < 20000; n++) printf "%d,%d,both%d@x,\"a ""name""\nof two lines\"\n", n % 2 ? a : b, 50000 + n, n}' >"$file"
	out=$(printf '%s\n' "\\copy users (tenant_id, id, email, name) from '$file' csv" "\\copy users (tenant_id, id, email, name) from '$file' csv" |
		timeout 20 psql -X -A -t -v VERBOSITY=verbose 2>&1)
	rm -f "$file"
	has "$out" 'COPY 20000' 23505 || return
	is "$(made "$B")" 10001
}

check_copy_out() {
	is "$(q "copy (select id, name from users where tenant_id = $A and id < 1000 order by id) to stdout")" $'1\tUser 1\n2\tUser 2\n3\tUser 3' || return
	is "$(q "copy (select generate_series(1, 100000) from users where tenant_id = $B and id = 1) to stdout" | wc -l | tr -d ' ')" 100000 || return
	is "$(q 'copy countries to stdout (format csv, header)' | wc -l | tr -d ' ')" 7
}

check_cursor() {
	is "$(timeout 20 psql -X -A -t -v FETCH_COUNT=7 -c "select g from users u, generate_series(1, 100) g where tenant_id = $A and u.id = 1 order by g" | tail -n 1)" 100 || return
	is "$(printf 'select g from users u, generate_series(1, 100) g where tenant_id = %s and u.id = 1 order by g;\nselect 7;\n' "$B" | timeout 20 psql -X -A -t -v FETCH_COUNT=7 | tail -n 2)" $'100\n7'
}

check_cancel() {
	local out=${TMPDIR:-/tmp}/drivers.$$
	psql -X -A -t -v VERBOSITY=verbose -c 'select pg_sleep(15)' -c 'select 7' >"$out" 2>&1 &
	local pid=$!
	sleep 1
	kill -INT "$pid" 2>/dev/null
	wait "$pid"
	local text
	text=$(<"$out")
	rm -f "$out"
	has "$text" 57014
}

check_timeout() { has "$(q "set statement_timeout = '200ms'" 'select pg_sleep(5)')" 57014 && is "$(PGOPTIONS='-c statement_timeout=5s' q 'show statement_timeout')" 5s; }

check_notify() { has "$(q 'listen drivers' "notify drivers, 'from itself'" 'select 1')" 'Asynchronous notification "drivers" with payload "from itself" received'; }

check_notice() { has "$(q "set pgdrover.tenant = '$A'" "do \$\$ begin raise notice 'here it is'; end \$\$")" 'NOTICE:  00000: here it is'; }

check_errors() {
	clean
	has "$(q "$insert ($A, 1, 'e', 'n')")" 23505 users_pkey 'CONSTRAINT NAME' 'TABLE NAME:  users' || return
	has "$(q "insert into orders (tenant_id, id, user_id) values ($A, 1000, 9999)")" 23503 || return
	has "$(q "select * from no_such_table")" 42P01 '^' || return
	has "$(q "select nothing from users where tenant_id = $A")" 42703 || return
	has "$(q 'selec 1')" 42601 'LINE 1: selec 1' || return
	has "$(printf 'select 1/0;\nselec 1;\n\\errverbose\nselect 7;\n' | psql -X -A -t 2>&1)" 'division by zero' 42601 $'\n7'
}

check_settings() {
	is "$(q "set time zone 'Asia/Tokyo'" 'set search_path = public, pg_temp' "select current_setting('TimeZone'), current_setting('search_path') from users where tenant_id = $A and id = 1 for update" \
		"select current_setting('TimeZone') from users where tenant_id = $B and id = 1" 'reset time zone' "set time zone 'UTC'" 'show timezone')" $'Asia/Tokyo|public, pg_temp\nAsia/Tokyo\nUTC' || return
	is "$(PGTZ=Africa/Nairobi PGAPPNAME='it is mine' q "select current_setting('TimeZone'), current_setting('application_name') from users where tenant_id = $B and id = 1 for update")" 'Africa/Nairobi|it is mine' || return
	is "$(printf "set client_encoding = 'LATIN1';\n\\\\encoding\n" | timeout 20 psql -X -q)" LATIN1
}

check_catalog() {
	has "$(psql -X -c '\d orders')" 'orders_pkey' 'orders_created' 'FOREIGN KEY' || return
	has "$(q '\dt')" users countries driver_types || return
	has "$(q '\l')" "$PGDATABASE" || return
	has "$(q '\df pg_sleep')" 'double precision' || return
	has "$(q '\du' '\dn' '\di' '\dv' '\ds' '\dT' '\dx')" public orders_pkey plpgsql || return
	is "$(printf 'select 1 as a, now() as b \\gdesc\n' | timeout 20 psql -X -A -t)" $'a|integer\nb|timestamp with time zone'
}

check_ddl() {
	q 'drop table if exists driver_ddl' >/dev/null
	is "$(q 'create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))' "alter table driver_ddl add note text default 'n'" "insert into driver_ddl values ($A, 1)" \
		"insert into driver_ddl values ($B, 1)" "select * from driver_ddl where tenant_id = $B" 'drop table driver_ddl')" "$B|1|n"
}

check_terminated() {
	local fifo=${TMPDIR:-/tmp}/drivers.$$ out=${TMPDIR:-/tmp}/drivers.$$.out
	mkfifo "$fifo"
	psql -X -q -A -t <"$fifo" >"$out" 2>&1 &
	local client=$!
	exec 9>"$fifo"
	printf 'begin; select pg_backend_pid() from users where tenant_id = %s and id = 1;\n' "$A" >&9
	for _ in $(seq 100); do [ -s "$out" ] && break; sleep 0.05; done
	local pid
	pid=$(<"$out")
	for node in "${nodes[@]}"; do psql -X -q -A -t -c "select pg_terminate_backend(pid) from pg_stat_activity where pid = $pid" "$node" >/dev/null; done
	printf 'select 1 from users where tenant_id = %s and id = 1;\nrollback;\nselect 7;\n' "$A" >&9
	exec 9>&-
	wait "$client"
	local text
	text=$(<"$out")
	rm -f "$fifo" "$out"
	has "$text" 'terminat' && is "$(q 'select 1')" 1
}

check_short() {
	for n in $(seq 20); do is "$(q "select name from users where tenant_id = $([ $((n % 2)) = 0 ] && echo "$A" || echo "$B") and id = 1")" 'User 1' || return; done
}

status=0
for name in ${DRIVERS_CHECKS:-$(awk '!/^#/ && NF {print $1}' "$here/../checks.txt")}; do
	if ! declare -F "check_$name" >/dev/null; then
		echo "skip $name: psql has no such thing"
		continue
	fi
	why=
	if "check_$name"; then
		echo "ok $name"
	else
		echo "FAIL $name: $(printf '%s' "${why:-failed}" | tr '\n' '|' | cut -c 1-300)"
		status=1
	fi
done
exit $status
