import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** pgJDBC. */
final class Main {
    static final long[] TENANTS = Arrays.stream(env("DRIVERS_TENANTS", "42 43").split(" ")).mapToLong(Long::parseLong).toArray();
    static final long A = TENANTS[0];
    static final long B = TENANTS[1];
    static final boolean MOVES = env("DRIVERS_MOVES", "").equals("1");
    static final String TYPES = "i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts";
    static final String SAME = "select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id"
        + " where a.tenant_id = ? and b.tenant_id = a.tenant_id and a.id = ? and b.id = ?"
        + " and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)"
        + " is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)";
    static final String INSERT = "insert into users (tenant_id, id, email, name) values (?, ?, ?, ?)";
    static final String LOCKED = "select pg_backend_pid() from users where tenant_id = ? and id = 1 for update";

    static String env(String name, String otherwise) {
        return Objects.requireNonNullElse(System.getenv(name), otherwise);
    }

    static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", "disable");
        String database = System.getenv("PGDATABASE");
        for (int i = 0; i < more.length; i += 2) {
            if (more[i].equals("database")) {
                database = more[i + 1];
            } else {
                properties.setProperty(more[i], more[i + 1]);
            }
        }
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + database, properties);
    }

    static PreparedStatement prepare(Connection c, String sql, Object... args) throws SQLException {
        PreparedStatement statement = c.prepareStatement(sql);
        for (int i = 0; i < args.length; i++) {
            statement.setObject(i + 1, args[i]);
        }
        return statement;
    }

    static int exec(Connection c, String sql, Object... args) throws SQLException {
        try (PreparedStatement statement = prepare(c, sql, args)) {
            statement.execute();
            return statement.getUpdateCount();
        }
    }

    static Object value(Connection c, String sql, Object... args) throws SQLException {
        try (PreparedStatement statement = prepare(c, sql, args); ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getObject(1);
        }
    }

    static Connection[] scene(int count) throws SQLException {
        Connection[] all = new Connection[count];
        for (int i = 0; i < count; i++) {
            all[i] = connect();
        }
        for (long tenant : TENANTS) {
            exec(all[0], "delete from orders where tenant_id = ? and id >= 1000", tenant);
            exec(all[0], "delete from users where tenant_id = ? and id >= 1000", tenant);
        }
        return all;
    }

    static void close(Connection... all) throws SQLException {
        for (Connection one : all) {
            one.close();
        }
    }

    static ServerErrorMessage fails(String state, Report.Check check) throws Exception {
        try {
            check.run();
        } catch (SQLException error) {
            if (!state.equals(error.getSQLState())) {
                throw new AssertionError("want " + state + ", got " + error.getSQLState() + ": " + error.getMessage(), error);
            }
            return error instanceof PSQLException ? ((PSQLException) error).getServerErrorMessage() : null;
        }
        throw new AssertionError("no error, want " + state);
    }

    /** How many users checks have made, as the primary knows. */
    static long made(Connection c, long tenant) throws SQLException {
        c.setAutoCommit(false);
        long n = (Long) value(c, "select count(*) from users where tenant_id = ? and id >= 1000", tenant);
        c.rollback();
        c.setAutoCommit(true);
        return n;
    }

    static Connection holder() throws SQLException {
        Connection c = connect();
        c.setAutoCommit(false);
        value(c, "select 1 from users where tenant_id = ? and id = 1", A);
        return c;
    }

    static void connects() throws Exception {
        Connection c = connect();
        Report.expect(value(c, "select 1"), 1);
        close(c);
        fails("28P01", () -> connect("password", "wrong"));
        fails("3D000", () -> connect("database", System.getenv("PGDATABASE") + "x"));
        close(connect("preferQueryMode", "simple"));
    }

    static void tls() throws Exception {
        Connection c = connect("sslmode", "require");
        Report.expect(value(c, "select 1"), 1);
        close(c);
    }

    static PGobject typed(String type, String text) throws SQLException {
        PGobject o = new PGobject();
        o.setType(type);
        o.setValue(text);
        return o;
    }

    static void types(String... more) throws Exception {
        Connection c = connect(more);
        String text = "h\u00e9llo \u2192 \u4e16\u754c \ud83d\udc18 \"q\" 's' \\ %s $1 ?";
        byte[] bin = {0, 1, (byte) 0xff, 0x5c, 0x27, 0};
        String doc = "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\u00e9\"}";
        UUID uid = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        OffsetDateTime at = OffsetDateTime.parse("2024-02-29T12:34:56.789012Z");
        Array ints = c.createArrayOf("integer", new Integer[] {1, null, -3});
        Array texts = c.createArrayOf("text", new String[] {"a", "b c", null, "\u00e9\"x"});
        exec(c, "delete from driver_types where tenant_id = ? and id = 1000", A);
        exec(c, "insert into driver_types (tenant_id, id, " + TYPES + ") values (?, 1000, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", A, (short) -32768, 2147483647,
            Long.MIN_VALUE, new BigDecimal("12345678901234567890.123456789"), 3.141592653589793, text, bin, true, Date.valueOf("2024-02-29"), at, typed("json", doc),
            typed("jsonb", doc), uid, ints, texts);
        Report.expect(value(c, SAME, A, 1L, 1000L), 1L);
        for (int turn = 0; turn < 7; turn++) { // from the fifth on prepared by name, and in binary where it can
            try (PreparedStatement statement = prepare(c, "select " + TYPES + " from driver_types where tenant_id = ? and id = 1000", A); ResultSet r = statement.executeQuery()) {
                r.next();
                Report.expect(new Object[] {r.getShort(1), r.getInt(2), r.getLong(3), r.getBigDecimal(4), r.getDouble(5), r.getString(6), r.getBytes(7), r.getBoolean(8),
                    r.getDate(9), r.getObject(10, OffsetDateTime.class).toInstant(), r.getString(11), r.getString(12), r.getObject(13), r.getArray(14).getArray(), r.getArray(15).getArray()},
                    new Object[] {(short) -32768, 2147483647, Long.MIN_VALUE, new BigDecimal("12345678901234567890.123456789"), 3.141592653589793, text, bin, true,
                        Date.valueOf("2024-02-29"), at.toInstant(), doc, doc, uid, new Integer[] {1, null, -3}, new String[] {"a", "b c", null, "\u00e9\"x"}});
            }
        }
        try (PreparedStatement statement = prepare(c, "select " + TYPES + " from driver_types where tenant_id = ? and id = 2", A); ResultSet r = statement.executeQuery()) {
            r.next();
            for (int i = 1; i <= 15; i++) {
                Report.expect(r.getObject(i), null);
            }
        }
        close(c);
    }

    static void crud() throws Exception {
        Connection c = scene(1)[0];
        for (long tenant : TENANTS) {
            try (PreparedStatement s = c.prepareStatement(INSERT, Statement.RETURN_GENERATED_KEYS)) {
                s.setLong(1, tenant);
                s.setLong(2, 1000);
                s.setString(3, "e");
                s.setString(4, "T");
                Report.expect(s.executeUpdate(), 1);
                ResultSet keys = s.getGeneratedKeys();
                keys.next();
                Report.expect(keys.getLong("id"), 1000L);
            }
            Report.expect(exec(c, "insert into orders (tenant_id, id, user_id, total) values (?, 1000, 1000, 1.25), (?, 1001, 1000, ?)", tenant, tenant, new BigDecimal("2.50")), 2);
        }
        for (long tenant : TENANTS) {
            String joined = "select sum(o.total) from users u join orders o on (o.tenant_id, o.user_id) = (u.tenant_id, u.id) where u.tenant_id = ? and o.tenant_id = ? and u.id = 1000";
            Report.expect(value(c, joined, tenant, tenant), new BigDecimal("3.75"));
            Report.expect(exec(c, "update users set name = ? where tenant_id = ? and id >= 1000", "new", tenant), 1);
            Report.expect(value(c, INSERT + " on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", tenant, 1000L, "x", "y"), "newy");
            Report.expect(exec(c, "delete from orders where tenant_id = ? and id = any(?)", tenant, c.createArrayOf("bigint", new Long[] {1000L, 1001L})), 2);
        }
        try (PreparedStatement s = c.prepareStatement("select tenant_id, id, name from users where tenant_id = ? and id = 1000", ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
            s.setLong(1, B);
            ResultSet r = s.executeQuery(); // asks the catalog for the primary key
            r.next();
            r.updateString("name", "by the driver");
            r.updateRow();
        }
        Report.expect(value(c, "select name from users where tenant_id = ? and id = 1000 for update", B), "by the driver");
        close(c);
    }

    static void transaction() throws Exception {
        Connection[] c = scene(2);
        c[0].setAutoCommit(false);
        exec(c[0], INSERT, A, 1000L, "e", "n");
        Report.expect(made(c[1], A), 0L);
        c[0].commit();
        Report.expect(made(c[1], A), 1L);
        c[0].setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        exec(c[0], INSERT, A, 1001L, "f", "n");
        Report.expect(value(c[0], "show transaction isolation level"), "serializable");
        c[0].rollback();
        Report.expect(made(c[1], A), 1L);
        c[0].setReadOnly(true);
        fails("25006", () -> exec(c[0], INSERT, A, 1002L, "g", "n"));
        c[0].rollback();
        close(c);
    }

    static void savepoint() throws Exception {
        for (String mode : new String[] {"never", "always"}) { // always: the driver sets one before each statement
            close(scene(1));
            Connection c = connect("autosave", mode);
            c.setAutoCommit(false);
            exec(c, INSERT, A, 1000L, "e", "n");
            Savepoint s = c.setSavepoint("s");
            fails("23505", () -> exec(c, INSERT, A, 1000L, "f", "n"));
            if (mode.equals("never")) {
                fails("25P02", () -> value(c, "select 1"));
            }
            c.rollback(s);
            exec(c, INSERT, A, 1001L, "g", "n");
            c.commit();
            c.setAutoCommit(true);
            Report.expect(made(c, A), 2L);
            close(c);
        }
    }

    static void aborted() throws Exception {
        Connection c = scene(1)[0];
        c.setAutoCommit(false);
        exec(c, INSERT, A, 1000L, "e", "n");
        fails("22012", () -> value(c, "select 1/?", 0));
        fails("25P02", () -> value(c, "select 1"));
        fails("25P02", () -> value(c, "select count(*) from users where tenant_id = ?", A));
        c.rollback();
        c.setAutoCommit(true);
        Report.expect(made(c, A), 0L);
        close(c);
    }

    static void prepared() throws Exception {
        List<Connection> all = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            all.add(connect("prepareThreshold", i % 2 == 0 ? "1" : "-1")); // at once, and at once with binary results
        }
        for (long turn = 0; turn < 3; turn++) {
            for (long n = 0; n < 25; n++) {
                for (Connection c : all) {
                    for (long tenant : TENANTS) {
                        Report.expect(value(c, "select count(*) + " + n + " + ? from users where tenant_id = ? and id < 1000", turn, tenant), 3 + n + turn);
                    }
                }
            }
        }
        Set<Object> seen = new HashSet<>();
        try (PreparedStatement s = prepare(all.get(0), LOCKED, A)) {
            for (int i = 0; i < 4; i++) {
                for (int k = 0; k < 3; k++) {
                    ResultSet r = s.executeQuery();
                    r.next();
                    seen.add(r.getInt(1));
                }
                all.add(holder());
            }
        }
        Report.expect(!MOVES || seen.size() > 1, true);
        close(all.toArray(new Connection[0]));
    }

    /** The driver keeps few statements, closes the rest, and numbers them on each connection from one. */
    static void reprepare() throws Exception {
        Connection[] c = {connect("prepareThreshold", "1", "preparedStatementCacheQueries", "3"), connect("prepareThreshold", "1", "preparedStatementCacheQueries", "0")};
        for (int turn = 0; turn < 3; turn++) {
            for (int n = 0; n < 10; n++) {
                for (int i = 0; i < 2; i++) {
                    Report.expect(value(c[i], "select " + (2 * n + i) + " + ? from users where tenant_id = ? and id = 1", turn, TENANTS[n % 2]), 2 * n + i + turn);
                }
            }
        }
        exec(c[0], "deallocate all"); // the driver notices
        Report.expect(value(c[0], "select 1 + ? from users where tenant_id = ? and id = 1", 1, A), 2);
        close(c);
    }

    static void sqlPrepare() throws Exception {
        Connection c = scene(1)[0];
        exec(c, "prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update");
        List<Connection> held = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            for (long tenant : TENANTS) {
                Report.expect(value(c, "execute ps(" + tenant + ")"), "User 1");
            }
            held.add(holder());
        }
        exec(c, "deallocate ps");
        fails("26000", () -> exec(c, "execute ps(" + A + ")"));
        close(c);
        close(held.toArray(new Connection[0]));
    }

    static void planChange() throws Exception {
        Connection[] c = scene(2);
        exec(c[1], "alter table driver_columns drop column if exists b");
        exec(c[1], "delete from driver_columns where tenant_id = ?", A);
        exec(c[1], "insert into driver_columns (tenant_id, id, a) values (?, 1, 'a')", A);
        Report.Value<Integer> columns = () -> {
            try (PreparedStatement s = prepare(c[0], "select * from driver_columns where tenant_id = ? and id = 1 for update", A); ResultSet r = s.executeQuery()) {
                r.next();
                Report.expect(r.getString(r.getMetaData().getColumnCount()), r.getMetaData().getColumnCount() == 3 ? "a" : "b");
                return r.getMetaData().getColumnCount();
            }
        };
        for (int i = 0; i < 8; i++) {
            Report.expect(columns.get(), 3);
        }
        exec(c[1], "alter table driver_columns add column b text default 'b'");
        try {
            Report.expect(columns.get(), 4); // the driver prepares again when it is told to
        } finally {
            exec(c[1], "alter table driver_columns drop column b");
        }
        close(c);
    }

    static void batch() throws Exception {
        for (String rewrite : new String[] {"false", "true"}) {
            close(scene(1));
            Connection c = connect("reWriteBatchedInserts", rewrite);
            try (PreparedStatement s = c.prepareStatement(INSERT)) {
                for (long n = 0; n < 600; n++) {
                    s.setLong(1, A);
                    s.setLong(2, 1000 + n);
                    s.setString(3, n + "@x");
                    s.setString(4, "n");
                    s.addBatch();
                }
                Report.expect(s.executeBatch().length, 600);
                Report.expect(made(c, A), 600L);
                for (long n : new long[] {2000, 1000, 2001}) {
                    s.setLong(2, n);
                    s.setString(3, n + "@y");
                    s.addBatch();
                }
                try {
                    s.executeBatch();
                    throw new AssertionError("no error in the batch");
                } catch (BatchUpdateException error) {
                    Report.expect(error.getSQLState(), "23505");
                }
            }
            Report.expect(made(c, A), 600L);
            close(c);
        }
    }

    /** The driver splits the text, and sends all before one Sync. */
    static void multi() throws Exception {
        Connection c = scene(1)[0];
        String text = "insert into users (tenant_id, id, email, name) values (" + A + ", %1$d, '%1$d', 'm'); ";
        try (Statement s = c.createStatement()) {
            s.execute(String.format(text, 1000) + String.format(text, 1001) + "select count(*) from users where tenant_id = " + A);
            Report.expect(s.getUpdateCount(), 1);
            s.getMoreResults();
            Report.expect(s.getMoreResults(), true);
            fails("22012", () -> s.execute(String.format(text, 1002) + "select 1/0"));
        }
        Report.expect(made(c, A), 2L);
        close(c);
    }

    static void copyIn() throws Exception {
        Connection c = scene(1)[0];
        exec(c, "set pgdrover.tenant = '" + A + "'");
        CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int n = 0; n < 5000; n++) {
            lines.append(A).append('\t').append(1000 + n).append('\t').append(n).append("@x\tna\\tme\n");
        }
        String text = "copy users (tenant_id, id, email, name) from stdin";
        Report.expect(copy.copyIn(text, new StringReader(lines.toString())), 5000L);
        Report.expect(made(c, A), 5000L);
        fails("22P02", () -> copy.copyIn(text, new StringReader((A + "\tx\ty\tz\n").repeat(200000))));
        Report.expect(made(c, A), 5000L);
        exec(c, "reset pgdrover.tenant");
        copy.copyIn("/* pgdrover: tenant=" + B + " */ " + text + " (format csv)", new StringReader(B + ",1000,e,n\n"));
        Report.expect(made(c, B), 1L);
        close(c);
    }

    static void copyOut() throws Exception {
        Connection c = scene(1)[0];
        CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
        StringWriter out = new StringWriter();
        copy.copyOut("copy (select id, name from users where tenant_id = " + A + " order by id) to stdout", out);
        Report.expect(out.toString(), "1\tUser 1\n2\tUser 2\n3\tUser 3\n");
        out = new StringWriter();
        Report.expect(copy.copyOut("copy (select generate_series(1, 50000) from users where tenant_id = " + B + " and id = 1) to stdout", out), 50000L);
        StringWriter rest = new StringWriter();
        fails("22012", () -> copy.copyOut("copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout", rest));
        Report.expect(value(c, "select 1"), 1);
        close(c);
    }

    static void cursor() throws Exception {
        Connection c = scene(1)[0];
        c.setAutoCommit(false);
        for (long tenant : TENANTS) {
            try (PreparedStatement s = prepare(c, "select g from users u, generate_series(1, 100) g where tenant_id = ? and u.id = 1 order by g", tenant)) {
                s.setFetchSize(7);
                ResultSet r = s.executeQuery();
                int n = 0;
                while (r.next()) {
                    Report.expect(r.getInt(1), ++n);
                }
                Report.expect(n, 100);
                r = s.executeQuery();
                r.next();
                r.close(); // before its end
            }
            c.commit();
        }
        close(c);
    }

    static void cancel() throws Exception {
        Connection c = scene(1)[0];
        try (Statement s = c.createStatement()) {
            Thread other = Report.daemon(() -> {
                try {
                    Thread.sleep(300);
                    s.cancel();
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
            });
            long begun = System.nanoTime();
            other.start();
            fails("57014", () -> s.execute("select pg_sleep(15)"));
            other.join();
            Report.expect(System.nanoTime() - begun < 5_000_000_000L, true);
            s.setQueryTimeout(1);
            fails("57014", () -> s.execute("select pg_sleep(15)"));
        }
        Report.expect(value(c, "select 1"), 1);
        close(c);
    }

    static void timeout() throws Exception {
        Connection c = connect("options", "-c statement_timeout=200");
        fails("57014", () -> exec(c, "select pg_sleep(5)"));
        exec(c, "set statement_timeout = 0");
        exec(c, "select pg_sleep(0.3)");
        close(c);
    }

    static void notifies() throws Exception {
        Connection[] c = scene(2);
        exec(c[0], "listen drivers");
        exec(c[1], "select pg_notify('drivers', 'from another')");
        exec(c[0], "notify drivers, 'from itself'");
        Set<String> got = new HashSet<>();
        for (int i = 0; i < 50 && got.size() < 2; i++) {
            PGNotification[] some = c[0].unwrap(PGConnection.class).getNotifications(100);
            for (PGNotification n : some == null ? new PGNotification[0] : some) {
                got.add(n.getParameter());
            }
        }
        Report.expect(got, Set.of("from another", "from itself"));
        close(c);
    }

    static void notice() throws Exception {
        Connection c = scene(1)[0];
        exec(c, "set pgdrover.tenant = '" + A + "'");
        try (Statement s = c.createStatement()) {
            s.execute("do $$ begin raise notice 'here it is'; end $$");
            Report.expect(s.getWarnings().getMessage(), "here it is");
        }
        close(c);
    }

    static void errors() throws Exception {
        Connection c = scene(1)[0];
        exec(c, INSERT, A, 1000L, "e", "n");
        ServerErrorMessage message = fails("23505", () -> exec(c, INSERT, A, 1000L, "f", "n"));
        Report.expect(List.of(message.getConstraint(), message.getTable(), message.getSchema()), List.of("users_pkey", "users", "public"));
        fails("23503", () -> exec(c, "insert into orders (tenant_id, id, user_id) values (?, 1000, 9999)", A));
        Report.expect(fails("23502", () -> exec(c, "insert into users (tenant_id, id, email) values (?, 1001, ?)", A, "f")).getColumn(), "name");
        for (String[] one : new String[][] {{"42P01", "select * from no_such_table where 1 = ?"}, {"42703", "select nothing from users where tenant_id = ?"}, {"42601", "selec ?"}}) {
            for (int i = 0; i < 7; i++) {
                fails(one[0], () -> value(c, one[1], A));
            }
            fails(one[0], () -> value(c, one[1].replace("?", "" + A)));
            Report.expect(value(c, "select count(*) from users where tenant_id = ? and id = 1", A), 1L);
        }
        close(c);
    }

    static void settings() throws Exception {
        Connection[] c = scene(2);
        Object before = value(c[1], "show timezone");
        exec(c[0], "set time zone 'Asia/Tokyo'");
        c[0].setSchema("public");
        c[0].setClientInfo("ApplicationName", "it is mine");
        String read = "select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))"
            + " from users where tenant_id = ? and id = 1 for update";
        List<Connection> held = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            for (long tenant : TENANTS) {
                Report.expect(value(c[0], read, tenant), "Asia/Tokyo|public|it is mine");
            }
            Report.expect(value(c[1], "show timezone"), before);
            held.add(holder());
        }
        Report.expect(c[0].unwrap(PGConnection.class).getParameterStatus("application_name"), "it is mine");
        c[0].setAutoCommit(false);
        exec(c[0], "set local time zone 'UTC'");
        c[0].commit();
        Report.expect(value(c[0], "show timezone"), "Asia/Tokyo");
        c[0].commit();
        c[0].setAutoCommit(true);
        exec(c[0], "discard all");
        Report.expect(value(c[0], "show timezone"), before);
        close(c);
        close(held.toArray(new Connection[0]));
    }

    static void catalog() throws Exception {
        Connection c = scene(1)[0];
        DatabaseMetaData data = c.getMetaData();
        List<String> columns = new ArrayList<>();
        for (ResultSet r = data.getColumns(null, "public", "orders", null); r.next();) {
            columns.add(r.getString("COLUMN_NAME"));
        }
        Report.expect(columns, List.of("tenant_id", "id", "user_id", "status", "total", "created"));
        ResultSet keys = data.getImportedKeys(null, "public", "orders");
        keys.next();
        Report.expect(keys.getString("PKTABLE_NAME"), "users");
        keys = data.getIndexInfo(null, "public", "orders", false, false);
        Report.expect(keys.next(), true);
        try (PreparedStatement s = c.prepareStatement("select * from orders where tenant_id = ?")) {
            Report.expect(s.getMetaData().getColumnCount(), 6); // Parse, Describe and no Bind
            Report.expect(s.getParameterMetaData().getParameterTypeName(1), "int8");
        }
        close(c);
    }

    static void ddl() throws Exception {
        Connection c = scene(1)[0];
        exec(c, "drop table if exists driver_ddl");
        c.setAutoCommit(false);
        exec(c, "create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))");
        exec(c, "alter table driver_ddl add column note text not null default 'n'");
        c.commit();
        c.setAutoCommit(true);
        for (long tenant : TENANTS) {
            exec(c, "insert into driver_ddl values (?, 1)", tenant);
            Report.expect(value(c, "select note from driver_ddl where tenant_id = ?", tenant), "n");
        }
        exec(c, "drop table driver_ddl");
        close(c);
    }

    static void kill(Object pid) throws Exception {
        for (String node : env("DRIVERS_NODES", "").trim().split("\\s+")) {
            java.net.URI at = java.net.URI.create(node);
            String[] login = at.getUserInfo().split(":");
            try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + at.getHost() + ":" + at.getPort() + at.getPath() + "?sslmode=disable", login[0], login[1])) {
                exec(c, "select pg_terminate_backend(pid) from pg_stat_activity where pid = ?", pid);
            }
        }
    }

    static void terminated() throws Exception {
        Connection first = scene(1)[0];
        first.setAutoCommit(false);
        kill(value(first, "select pg_backend_pid() from users where tenant_id = ? and id = 1", A));
        try {
            value(first, "select 1 from users where tenant_id = ? and id = 1", A);
            throw new AssertionError("a transaction went on without its backend");
        } catch (SQLException expected) {
            Report.expect(Set.of("57", "08").contains(expected.getSQLState().substring(0, 2)), true);
        }
        Connection c = connect();
        kill(value(c, LOCKED, A));
        if (MOVES) {
            Thread.sleep(200);
            value(c, LOCKED, A);
            Report.expect(c.isValid(2), true);
        }
        close(c, first);
        c = connect();
        Report.expect(value(c, "select name from users where tenant_id = ? and id = 1", A), "User 1");
        close(c);
    }

    static void pool() throws Exception {
        Connection c = scene(1)[0];
        for (long tenant : TENANTS) {
            exec(c, "update driver_counters set n = 0 where tenant_id = ? and id = 1", tenant);
        }
        BlockingQueue<Connection> pool = new ArrayBlockingQueue<>(10); // JDBC leaves pools to others
        for (int i = 0; i < 10; i++) {
            pool.add(connect());
        }
        Report.threads(20, number -> {
            for (int turn = 0; turn < 10; turn++) {
                Connection own = pool.take();
                own.setAutoCommit(turn % 2 == 0);
                exec(own, "update driver_counters set n = n + 1 where tenant_id = ? and id = 1", TENANTS[(number + turn) % 2]);
                if (!own.getAutoCommit()) {
                    own.commit();
                }
                pool.add(own);
            }
        });
        for (long tenant : TENANTS) {
            Report.expect(value(c, "select n from driver_counters where tenant_id = ? and id = 1 for update", tenant), 100L);
        }
        close(c);
        close(pool.toArray(new Connection[0]));
    }

    static void shortOnes() throws Exception {
        Report.threads(10, number -> {
            for (int turn = 0; turn < 4; turn++) {
                try (Connection c = connect()) {
                    Report.expect(value(c, "select name from users where tenant_id = ? and id = 1", TENANTS[number % 2]), "User 1");
                }
            }
        });
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && args[0].equals("probe")) {
            System.out.println("pgJDBC " + org.postgresql.util.DriverInfo.DRIVER_VERSION + ", Java " + System.getProperty("java.version"));
            return;
        }
        Report report = new Report();
        report.add("connect", Main::connects);
        report.add("tls", Main::tls);
        report.add("types_text", () -> types("binaryTransfer", "false"));
        report.add("types_binary", () -> types("prepareThreshold", "-1"));
        report.add("crud", Main::crud);
        report.add("transaction", Main::transaction);
        report.add("savepoint", Main::savepoint);
        report.add("aborted", Main::aborted);
        report.add("prepared", Main::prepared);
        report.add("reprepare", Main::reprepare);
        report.add("sql_prepare", Main::sqlPrepare);
        report.add("plan_change", Main::planChange);
        report.add("batch", Main::batch);
        report.add("multi", Main::multi);
        report.add("copy_in", Main::copyIn);
        report.add("copy_out", Main::copyOut);
        report.add("cursor", Main::cursor);
        report.add("cancel", Main::cancel);
        report.add("timeout", Main::timeout);
        report.add("notify", Main::notifies);
        report.add("notice", Main::notice);
        report.add("errors", Main::errors);
        report.add("settings", Main::settings);
        report.add("catalog", Main::catalog);
        report.add("ddl", Main::ddl);
        report.add("terminated", Main::terminated);
        report.add("pool", Main::pool);
        report.add("short", Main::shortOnes);
        report.run();
    }
}
