import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs a program's checks and reports them. */
final class Report {
    interface Check {
        void run() throws Exception;
    }

    interface Value<T> {
        T get() throws Exception;
    }

    interface Work {
        void run(int number) throws Exception;
    }

    private static final int SECONDS = 20;

    private final Map<String, Check> checks = new LinkedHashMap<>();

    void add(String name, Check check) {
        checks.put(name, check);
    }

    static void expect(Object got, Object want) {
        if (!Objects.deepEquals(got, want)) {
            throw new AssertionError("got " + got + ", want " + want);
        }
    }

    /** Runs work in threads and fails with the first error of them. */
    static void threads(int count, Work work) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(count, Report::daemon);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int number = i;
            all.add(pool.submit(() -> {
                work.run(number);
                return null;
            }));
        }
        for (Future<?> one : all) {
            one.get();
        }
        pool.shutdown();
    }

    static Thread daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    }

    void run() throws Exception {
        List<String> names = new ArrayList<>();
        String chosen = Objects.requireNonNullElse(System.getenv("DRIVERS_CHECKS"), "").trim();
        for (String line : chosen.isEmpty() ? Files.readAllLines(Path.of(System.getenv("DRIVERS_LIST"))) : List.of(chosen.split("\\s+"))) {
            if (!line.isBlank() && !line.startsWith("#")) {
                names.add(line.split("\\s+")[0]);
            }
        }
        boolean failed = false;
        for (String name : names) {
            if (!checks.containsKey(name)) {
                System.out.println("skip " + name + ": the driver has no such thing");
                continue;
            }
            String why = why(checks.get(name));
            failed |= why != null;
            System.out.println(why == null ? "ok " + name : "FAIL " + name + ": " + why);
        }
        System.out.flush();
        Runtime.getRuntime().halt(failed ? 1 : 0);
    }

    private static String why(Check check) throws Exception {
        ExecutorService one = Executors.newSingleThreadExecutor(Report::daemon);
        Future<?> done = one.submit(() -> {
            check.run();
            return null;
        });
        try {
            done.get(SECONDS, TimeUnit.SECONDS);
            return null;
        } catch (TimeoutException late) {
            return "did not end within " + SECONDS + " s";
        } catch (java.util.concurrent.ExecutionException failed) {
            Throwable cause = failed.getCause();
            while (cause instanceof java.util.concurrent.ExecutionException) {
                cause = cause.getCause();
            }
            String text = cause.toString().replace("\n", " | ");
            for (StackTraceElement at : cause.getStackTrace()) {
                if ("Main.java".equals(at.getFileName()) && !at.getMethodName().matches("fails|value|exec|query")) {
                    return text.substring(0, Math.min(300, text.length())) + " (line " + at.getLineNumber() + ")";
                }
            }
            return text;
        } finally {
            one.shutdownNow();
        }
    }
}
