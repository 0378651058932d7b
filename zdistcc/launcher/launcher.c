/* launcher.c: the compiled `zdistcc`, one process per call of the compiler.
 *
 * Hands the call to the user's agent and does what the agent answers (the grammar is in
 * ../wire/control.py); starts the agent if there is none; execs the command line interface if the call
 * names no compiler.  Whatever goes wrong, the user's own compiler runs, as if we were not here: same
 * descriptors, signal mask and dispositions, umask, directory and environment, but for the guard
 * variable and, when the agent said "run it yourself", the socket that is the local slot.
 *
 * Must not know: what compiler arguments mean (beyond telling a name from a source file), hosts, files
 * other than those of the runtime directory.  Rejected: staying as the compiler's parent (a process and
 * two context switches per job, and signals to forward), retrying the agent after a request was sent
 * (the job might run twice), a thread or handler of any kind.
 *
 * fallback.py is the same contract in Python; tests/launcher runs against both.  libc only, and one file
 * whatever its length, so that one command of any C compiler builds it.
 */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/auxv.h>
#include <sys/syscall.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#ifndef ZDISTCC_VERSION
#define ZDISTCC_VERSION "unknown"
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE is set instead */
#endif
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* Shared with control.py; tests/launcher/test_contract.py compares them. */
#define BODY_MAX_BYTES (8u * 1024 * 1024)
#define OUTPUT_MAX_BYTES (256u * 1024 * 1024)
#ifndef SILENCE_MS
#define SILENCE_MS 30000 /* six of the agent's heartbeats */
#endif
#ifndef AGENT_START_MS
#define AGENT_START_MS 10000 /* a Python start on a loaded machine; then we compile ourselves */
#endif
#define AGENT_SEND_MS 10000    /* a stopped agent whose backlog is full */
#define START_RETRY_S 15       /* a broken agent must not cost every compile a start */
#define LOCK_POLL_MS 10
#define LOG_MAX_BYTES (1024 * 1024)
#define RECURSION_MAX 10       /* wrappers that call each other through us */

#define GUARD "_ZDISTCC_SAFEGUARD"
#define COMPLETING "_ZDISTCC_COMPLETE" /* a shell asks what the word at the cursor may be */

enum { EXIT_GENERAL = 100, EXIT_CONNECT = 103, EXIT_IO = 107, EXIT_NO_COMPILER = 110, EXIT_RECURSION = 111 };
enum { FLAG_TERMINAL = 1, FLAG_IMPLICIT = 2, FLAG_MASQUERADE = 4 };
enum { REPLY_WAIT = 0, REPLY_RUN = 1, REPLY_DONE = 2, REPLY_FAIL = 3 };
enum { HEADER_BYTES = 32, REPLY_BYTES = 20 };

/* The commands of zdistcc.cli.app; a test compares them. */
static const char *const cli_commands[] = {"status", "hosts", "stats", "report", "trace", "explain", "stop", "log",
                                           "demo", "doctor", "masquerade", "make", "ninja", "cmake", "run", "env",
                                           NULL};
static const char *const cli_options[] = {"--help", "-h", "-j", "--show-hosts", "--version",
                                          "--install-completion", "--show-completion", NULL};
/* Under any other name we are the compiler of that name. "distcc" is for what was written for it. */
static const char *const own_names[] = {"zdistcc", "distcc", NULL};
static const char *const source_suffixes[] = {".c", ".cc", ".cpp", ".cxx", ".C", ".m", ".mm", ".i", ".ii",
                                              ".S", ".s", ".o", ".a", ".so", NULL};

struct myself {
    char path[PATH_MAX]; /* real path of this executable, "" if it can't be known */
    char directory[PATH_MAX];
    char called_from[PATH_MAX]; /* directory of the name under which we were executed, "" likewise */
    struct stat file;
};

struct call {
    const char *name; /* of the compiler, as typed */
    char path[PATH_MAX]; /* of the real compiler, to exec */
    char **argv;
    uint32_t flags;
    int passed_over; /* the name leads to a launcher first */
};

struct places {
    char socket[PATH_MAX];
    char lock[PATH_MAX];
    char log[PATH_MAX];
};

static struct myself self;

/* Where our own messages go: ccache has a descriptor for what is not the compiler's, and not to be kept. */
static int messages = STDERR_FILENO;

/* Before anything is opened, so that a number that was left in the environment can't be a descriptor of ours. */
static void find_messages(void)
{
    const char *text = getenv("UNCACHED_ERR_FD");
    char *end;
    long number = text && *text ? strtol(text, &end, 10) : -1;
    if (number > 2 && number < 65536 && !*end && fcntl((int)number, F_GETFD) >= 0)
        messages = (int)number;
}

__attribute__((format(printf, 2, 3))) static _Noreturn void die(int code, const char *format, ...)
{
    char text[PATH_MAX + 512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text)
        length = (int)sizeof text - 1;
    /* One write, so that the lines of parallel compiles don't mix. */
    struct iovec parts[] = {{(void *)"zdistcc: ", 9}, {text, (size_t)length}, {(void *)"\n", 1}};
    if (writev(messages, parts, 3) < 0)
        _exit(code);
    _exit(code);
}

static int is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return 1;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether all of it fitted. */
__attribute__((format(printf, 3, 4))) static int print_to(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, size, format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < size;
}

static int directory_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return print_to(out, size, ".");
    if (slash == path)
        return print_to(out, size, "/");
    return print_to(out, size, "%.*s", (int)(slash - path), path);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Descriptors 0 to 2 may be closed, and are then the compiler's to find closed. */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int why = errno;
    close(fd);
    errno = why;
    return moved;
}

/* --- who we are, and which compiler is meant ------------------------------------------------------ */

static void find_myself(const char *called_as)
{
    const char *executed_as = called_as;
    char found[PATH_MAX] = "";
#ifdef __linux__
    ssize_t length = readlink("/proc/self/exe", found, sizeof found - 1);
    found[length > 0 ? length : 0] = '\0';
    if (getauxval(AT_EXECFN))
        executed_as = (const char *)getauxval(AT_EXECFN); /* with the directory in which PATH had us */
#elif defined(__APPLE__)
    uint32_t size = sizeof found;
    if (_NSGetExecutablePath(found, &size) != 0)
        found[0] = '\0';
    else
        executed_as = found; /* not resolved: the symlink we were called by */
#endif
    if (strchr(executed_as, '/') && !directory_of(executed_as, self.called_from, sizeof self.called_from))
        self.called_from[0] = '\0';
    if (!realpath(found[0] ? found : executed_as, self.path) || stat(self.path, &self.file) != 0 ||
        !directory_of(self.path, self.directory, sizeof self.directory))
        self.path[0] = '\0';
}

static int is_myself(const struct stat *file)
{
    return self.path[0] && file->st_dev == self.file.st_dev && file->st_ino == self.file.st_ino;
}

/* Ourselves, or the launcher of another installation. */
static int is_a_launcher(const char *path, const struct stat *file)
{
    char real[PATH_MAX];
    struct stat link;
    if (is_myself(file))
        return 1;
    if (lstat(path, &link) != 0 || !S_ISLNK(link.st_mode))
        return strcmp(base_name(path), "zdistcc") == 0;
    return realpath(path, real) && strcmp(base_name(real), "zdistcc") == 0;
}

/* Where on PATH the search begins: behind the entry that is `directory`; NULL if it isn't there. */
static const char *path_behind(const char *path, const char *directory)
{
    struct stat wanted, entry;
    if (!directory[0] || stat(directory, &wanted) != 0)
        return NULL;
    for (const char *start = path;; start++) {
        size_t length = strcspn(start, ":");
        char text[PATH_MAX];
        if (print_to(text, sizeof text, "%.*s", length ? (int)length : 1, length ? start : ".") &&
            stat(text, &entry) == 0 && entry.st_dev == wanted.st_dev && entry.st_ino == wanted.st_ino)
            return start[length] ? start + length + 1 : "";
        start += length;
        if (!*start)
            return NULL;
    }
}

/* The first executable called `name` on `path` that isn't a launcher of ours. */
static int search(struct call *call, const char *name, const char *path, char *out, size_t size)
{
    for (const char *start = path; *path; start++) {
        size_t length = strcspn(start, ":");
        struct stat file;
        if (print_to(out, size, "%.*s/%s", length ? (int)length : 1, length ? start : ".", name) &&
            stat(out, &file) == 0 && S_ISREG(file.st_mode) && access(out, X_OK) == 0) {
            if (!is_a_launcher(out, &file))
                return 1;
            call->passed_over = 1;
        }
        start += length;
        if (!*start)
            break;
    }
    return 0;
}

/* The guard is DEPTH:COMPILER, how often we have been passed and what we ran last. */
static const char *guarded_compiler(void)
{
    const char *guard = getenv(GUARD);
    const char *colon = guard ? strchr(guard, ':') : NULL;
    return colon ? colon + 1 : "";
}

/* In masquerade the search begins behind the directory we were found in, because what is before it has
 * had its turn (ccache); and behind a wrapper that we ran and that came back to us. */
static int search_past_myself(struct call *call, const char *name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    if (call->flags & FLAG_MASQUERADE) {
        const char *passed = guarded_compiler(), *rest;
        char directory[PATH_MAX];
        if (strcmp(base_name(passed), name) == 0 && directory_of(passed, directory, sizeof directory) &&
            (rest = path_behind(path, directory)) && search(call, name, rest, out, size))
            return 1;
        rest = path_behind(path, self.called_from);
        if (rest && search(call, name, rest, out, size))
            return 1;
    }
    return search(call, name, path, out, size);
}

static void find_compiler(struct call *call)
{
    char found[PATH_MAX], directory[PATH_MAX];
    struct stat file;
    const char *name = call->name;
    if (strchr(name, '/') && !(call->flags & FLAG_MASQUERADE)) {
        int there = stat(name, &file) == 0;
        if (there && S_ISDIR(file.st_mode))
            die(EXIT_NO_COMPILER, "%s: is a directory, not a compiler", name);
        if (there && access(name, X_OK) != 0)
            die(EXIT_NO_COMPILER, "%s: %s", name, strerror(errno));
        if (!there && errno != ENOENT && errno != ENOTDIR)
            die(EXIT_NO_COMPILER, "%s: %s", name, strerror(errno));
        if (there && !is_a_launcher(name, &file)) {
            if (!print_to(found, sizeof found, "%s", name))
                die(EXIT_NO_COMPILER, "%s: %s", name, strerror(ENAMETOOLONG));
        } else {
            call->passed_over = 1;
            if (!there || !search_past_myself(call, base_name(name), found, sizeof found))
                found[0] = '\0';
        }
    } else if (!name[0] || !search_past_myself(call, base_name(name), found, sizeof found)) {
        found[0] = '\0';
    }
    if (!found[0] && strcmp(base_name(name), "zdistcc") == 0)
        die(EXIT_RECURSION, "%s: zdistcc would call itself", name);
    if (!found[0])
        die(EXIT_NO_COMPILER, "%s: no such compiler on PATH (and not a command of zdistcc; see zdistcc --help)",
            name);
    if (found[0] == '/' || !getcwd(directory, sizeof directory))
        memcpy(call->path, found, sizeof found);
    else if (!print_to(call->path, sizeof call->path, "%s/%s", directory, found))
        die(EXIT_NO_COMPILER, "%s: %s", name, strerror(ENAMETOOLONG));
    /* GCC looks for its own programs beside what its name leads to on PATH: that must not be us. */
    if (call->flags & FLAG_MASQUERADE || call->passed_over)
        call->argv[0] = call->path;
}

static int looks_like_source(const char *word)
{
    const char *dot = strrchr(base_name(word), '.');
    return dot && is_one_of(dot, source_suffixes);
}

/* Fills in `call`, or returns 0: the call is for the command line interface. */
static int understand(int argc, char **argv, struct call *call)
{
    call->argv = argv;
    if (!is_one_of(base_name(argv[0]), own_names)) {
        call->name = base_name(argv[0]);
        call->flags = FLAG_MASQUERADE;
        return 1;
    }
    if (argc < 2 || getenv(COMPLETING) || is_one_of(argv[1], cli_commands) || is_one_of(argv[1], cli_options))
        return 0;
    if (argv[1][0] == '-' || looks_like_source(argv[1])) {
        argv[0] = (char *)"cc";
        call->flags = FLAG_IMPLICIT;
    } else {
        call->argv = argv + 1;
    }
    call->name = call->argv[0];
    return 1;
}

/* --- other programs in our place ------------------------------------------------------------------ */

static _Noreturn void run_cli(int argc, char **argv)
{
    char program[PATH_MAX];
    char **command = calloc((size_t)argc + 4, sizeof *command);
    if (!command)
        die(EXIT_GENERAL, "%s", strerror(errno));
    if (argc > 1)
        memcpy(command + 3, argv + 1, (size_t)(argc - 1) * sizeof *command);
    if (self.path[0] && print_to(program, sizeof program, "%s/zdistcc-cli", self.directory)) {
        command[2] = program;
        execv(program, command + 2);
    }
    command[0] = (char *)"python3";
    command[1] = (char *)"-m";
    command[2] = (char *)"zdistcc.cli.app";
    execvp(command[0], command);
    die(EXIT_GENERAL, "neither %s nor python3 could be started: is zdistcc installed completely?", program);
}

static _Noreturn void run_compiler(const struct call *call)
{
    char guard[PATH_MAX + 32];
    struct stat file;
    const char *before = getenv(GUARD);
    long depth = before ? strtol(before, NULL, 10) : 0;
    if (depth >= RECURSION_MAX || (stat(call->path, &file) == 0 && is_myself(&file)))
        die(EXIT_RECURSION, "%s: zdistcc would call itself", call->path);
    if (print_to(guard, sizeof guard, "%ld:%s", depth < 0 ? 1 : depth + 1, call->path))
        setenv(GUARD, guard, 1);
    execv(call->path, call->argv);
    int why = errno;
    if (why == ENOEXEC) { /* a script without #!: what every shell and make do */
        size_t count = 0;
        while (call->argv[count])
            count++;
        char **script = calloc(count + 2, sizeof *script);
        if (script) {
            script[0] = (char *)"sh";
            script[1] = (char *)call->path;
            memcpy(script + 2, call->argv + 1, (count ? count - 1 : 0) * sizeof *script);
            execv("/bin/sh", script);
        }
    }
    die(EXIT_NO_COMPILER, "%s: %s", call->path, strerror(why));
}

/* --- where the agent is --------------------------------------------------------------------------- */

static uint64_t fnv1a(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Home directories are shared between hosts, and builds run in containers: each has its own agent. */
static uint64_t agent_key(void)
{
    char host[256] = "", space[256] = "", user[32];
    gethostname(host, sizeof host - 1);
    ssize_t length = readlink("/proc/self/ns/mnt", space, sizeof space - 1);
    space[length > 0 ? length : 0] = '\0';
    snprintf(user, sizeof user, "%lu", (unsigned long)getuid());
    uint64_t hash = fnv1a(UINT64_C(0xcbf29ce484222325), "zdistcc/1", sizeof "zdistcc/1");
    hash = fnv1a(hash, host, strlen(host) + 1);
    hash = fnv1a(hash, space, strlen(space) + 1);
    return fnv1a(hash, user, strlen(user));
}

static int name_places(const char *directory, struct places *at)
{
    unsigned long long key = agent_key();
    return print_to(at->socket, sizeof ((struct sockaddr_un *)0)->sun_path, "%s/agent-%016llx.sock", directory, key) &&
           print_to(at->lock, sizeof at->lock, "%s/agent-%016llx.lock", directory, key) &&
           print_to(at->log, sizeof at->log, "%s/agent-%016llx.log", directory, key);
}

static void find_places(struct places *at, char *directory, size_t size)
{
    const char *own = getenv("ZDISTCC_RUNTIME_DIR"), *session = getenv("XDG_RUNTIME_DIR");
    struct stat file;
    int fits = 0;
    if (own && own[0] == '/')
        fits = print_to(directory, size, "%s", own) && name_places(directory, at);
    else if (session && session[0] == '/' && stat(session, &file) == 0 && S_ISDIR(file.st_mode) &&
             file.st_uid == getuid())
        fits = print_to(directory, size, "%s/zdistcc", session) && name_places(directory, at);
    if (fits)
        return;
    snprintf(directory, size, "/tmp/zdistcc-%lu", (unsigned long)getuid());
    name_places(directory, at);
}

/* /tmp is everybody's: what we find there must be ours alone. */
static int is_private(const char *directory)
{
    struct stat file;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return 0;
    return lstat(directory, &file) == 0 && S_ISDIR(file.st_mode) && file.st_uid == getuid() &&
           (file.st_mode & 077) == 0;
}

/* --- starting it ---------------------------------------------------------------------------------- */

static void close_from(int lowest)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)lowest, ~0u, 0u) == 0)
        return;
#endif
    int highest = 65535;
    DIR *open_ones = opendir("/dev/fd");
    if (open_ones) {
        struct dirent *entry;
        for (highest = lowest; (entry = readdir(open_ones));)
            if (atoi(entry->d_name) > highest)
                highest = atoi(entry->d_name);
        closedir(open_ones);
    }
    for (int fd = lowest; fd <= highest; fd++)
        close(fd);
}

static _Noreturn void become_agent(const struct places *at, int ready)
{
    char program[PATH_MAX];
    struct stat file;
    int nothing = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 10);
    int log = fcntl(open(at->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600), F_DUPFD, 10);
    ready = fcntl(ready, F_DUPFD, 10);
    if (log >= 0 && fstat(log, &file) == 0 && file.st_size > LOG_MAX_BYTES && ftruncate(log, 0) != 0)
        log = nothing;
    if (dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(log >= 0 ? log : nothing, 2) < 0 || dup2(ready, 3) < 0)
        _exit(127);
    messages = STDERR_FILENO;
    close_from(4);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    unsetenv("MAKEFLAGS"); /* the jobserver in it is one build's */
    unsetenv("MAKELEVEL");
    unsetenv("MFLAGS");
    if (chdir("/") != 0 || !print_to(program, sizeof program, "%s/zdistcc-agent", self.directory))
        _exit(127);
    char *command[] = {program, (char *)"--socket", (char *)at->socket, (char *)"--ready-fd", (char *)"3", NULL};
    execv(program, command);
    die(127, "%s: %s", program, strerror(errno));
}

/* Between launcher and agent: holds the lock until the agent is ready or dead, even if ctrl-C kills the
 * launcher, so that nobody starts a second one meanwhile. */
static _Noreturn void await_agent(const struct places *at, int lock)
{
    int ends[2];
    setsid();
    if (pipe(ends) != 0)
        _exit(1);
    pid_t agent = fork();
    if (agent < 0)
        _exit(1);
    if (agent == 0)
        become_agent(at, ends[1]);
    int read_end = fcntl(ends[0], F_DUPFD, 10);
    lock = fcntl(lock, F_DUPFD, 10);
    if (read_end < 0 || lock < 0 || dup2(read_end, 0) < 0 || dup2(lock, 1) < 0)
        _exit(1);
    close_from(2);
    int64_t end = now_ms() + AGENT_START_MS;
    char byte;
    for (int64_t left = AGENT_START_MS; left > 0; left = end - now_ms()) {
        struct pollfd waited = {.fd = 0, .events = POLLIN};
        if (poll(&waited, 1, (int)left) > 0 && read(0, &byte, 1) == 0)
            break;
    }
    _exit(0);
}

static int started_in_vain(int lock)
{
    struct stat file;
    if (fstat(lock, &file) != 0)
        return 1;
    int64_t age = (int64_t)time(NULL) - (int64_t)file.st_mtime;
    return file.st_size > 0 && age > -START_RETRY_S && age < START_RETRY_S;
}

static int connect_agent(const struct places *at)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {AGENT_SEND_MS / 1000, AGENT_SEND_MS % 1000 * 1000};
    struct timeval silence = {SILENCE_MS / 1000, SILENCE_MS % 1000 * 1000};
    memcpy(address.sun_path, at->socket, strlen(at->socket) + 1);
    int fd = above_stdio(socket(AF_UNIX, SOCK_STREAM, 0));
    if (fd < 0)
        return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) == 0) {
        int answer;
        while ((answer = connect(fd, (struct sockaddr *)&address, sizeof address)) != 0 && errno == EINTR)
            ;
        if (answer == 0)
            return fd;
    }
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int nobody_listens(void)
{
    return errno == ENOENT || errno == ECONNREFUSED;
}

/* With the lock held.  A non-empty lock file says that the agent could not be started, its time when. */
static int start_agent(const struct places *at, int lock)
{
    int fd = connect_agent(at); /* somebody was faster */
    if (fd >= 0 || !nobody_listens() || started_in_vain(lock))
        return fd;
    pid_t child = fork();
    if (child == 0)
        await_agent(at, lock);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    fd = connect_agent(at);
    if (ftruncate(lock, 0) != 0 || (fd < 0 && pwrite(lock, "failed\n", 7, 0) != 7))
        return fd; /* the note is a courtesy */
    return fd;
}

static int reach_agent(const struct places *at)
{
    int fd = connect_agent(at);
    if (fd >= 0 || !nobody_listens())
        return fd;
    int lock = above_stdio(open(at->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (lock < 0)
        return -1;
    for (int64_t end = now_ms() + AGENT_START_MS; fd < 0 && now_ms() < end && !started_in_vain(lock);) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
            fd = start_agent(at, lock);
            break;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        struct timespec pause = {0, LOCK_POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
        fd = connect_agent(at);
    }
    close(lock);
    return fd;
}

/* --- talking to it -------------------------------------------------------------------------------- */

static void put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* Appends `text` and its NUL; false if the body is full. */
static int add(unsigned char *request, size_t *length, size_t size, const char *text)
{
    size_t more = strlen(text) + 1;
    if (more > size - *length)
        return 0;
    memcpy(request + *length, text, more);
    *length += more;
    return 1;
}

/* The whole request in one buffer, or NULL if it is too long. */
static unsigned char *write_request(const struct call *call, size_t *length)
{
    extern char **environ;
    char directory[PATH_MAX];
    uint32_t argc = 0, envc = 0;
    size_t size = HEADER_BYTES;
    if (!getcwd(directory, sizeof directory) || directory[0] != '/')
        return NULL;
    size += strlen(directory) + strlen(call->path) + 2;
    for (; call->argv[argc]; argc++)
        size += strlen(call->argv[argc]) + 1;
    for (; environ && environ[envc]; envc++)
        size += strlen(environ[envc]) + 1;
    unsigned char *request = size <= HEADER_BYTES + BODY_MAX_BYTES ? calloc(1, size) : NULL;
    if (!request)
        return NULL;
    *length = HEADER_BYTES;
    int fits = add(request, length, size, directory) && add(request, length, size, call->path);
    for (uint32_t i = 0; i < argc; i++)
        fits = fits && add(request, length, size, call->argv[i]);
    for (uint32_t i = 0; i < envc; i++)
        fits = fits && add(request, length, size, environ[i]);
    if (!fits) {
        free(request);
        return NULL;
    }
    mode_t mask = umask(0);
    umask(mask);
    uint32_t words[] = {(uint32_t)(*length - HEADER_BYTES), call->flags | (isatty(2) ? FLAG_TERMINAL : 0),
                        (uint32_t)mask, (uint32_t)getpid(), argc, envc, 0};
    memcpy(request, "ZDL1", 4);
    for (int i = 0; i < 7; i++)
        put_u32(request + 4 + 4 * i, words[i]);
    return request;
}

static int send_request(int fd, const unsigned char *request, size_t length)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec part = {(void *)request, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    int passed[3], nothing = -1;
    for (int i = 0; i < 3; i++) {
        passed[i] = i;
        if (fcntl(i, F_GETFD) < 0) {
            if (nothing < 0)
                nothing = above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
            passed[i] = nothing;
        }
    }
    memset(&control, 0, sizeof control);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(header), passed, sizeof passed);
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR)
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (nothing >= 0)
        close(nothing);
    while (sent >= 0 && (size_t)sent < length) {
        request += sent;
        length -= (size_t)sent;
        do
            sent = send(fd, request, length, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
    }
    return sent >= 0;
}

/* Exactly `length` bytes; false at the end of the stream, an error, or silence. */
static int receive(int fd, void *out, size_t length)
{
    for (char *at = out; length > 0;) {
        ssize_t got = recv(fd, at, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        at += got;
        length -= (size_t)got;
    }
    return 1;
}

static int print(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, text, length);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd waited = {.fd = fd, .events = POLLOUT};
            poll(&waited, 1, -1);
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return 0;
        text += done;
        length -= (size_t)done;
    }
    return 1;
}

static _Noreturn void end_like(int status)
{
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    int number = WTERMSIG(status);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core); /* it would be ours, not the compiler's */
    signal(number, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    _exit(128 + number);
}

/* Does what the agent says; returns if the compiler shall be run: 1 asked to, 0 because the agent failed. */
static int obey(int fd)
{
    unsigned char header[REPLY_BYTES];
    do {
        if (!receive(fd, header, sizeof header) || memcmp(header, "ZDR1", 4) != 0)
            return 0;
    } while (header[4] == REPLY_WAIT);
    int kind = header[4], status = (int)get_u32(header + 8);
    size_t out = get_u32(header + 12), err = get_u32(header + 16);
    if (kind == REPLY_RUN)
        return fcntl(fd, F_SETFD, 0) == 0;
    int known = kind == REPLY_DONE ? (status >> 16) == 0 && (WIFEXITED(status) || WIFSIGNALED(status))
                                   : kind == REPLY_FAIL && status > 0 && status < 256 && out == 0;
    if (!known || out > OUTPUT_MAX_BYTES || err > OUTPUT_MAX_BYTES)
        return 0;
    char *text = malloc(out + err + 1);
    if (!text || !receive(fd, text, out + err)) {
        free(text);
        return 0;
    }
    int why = print(STDOUT_FILENO, text, out) ? 0 : errno;
    print(kind == REPLY_FAIL ? messages : STDERR_FILENO, text + out, err);
    if (kind == REPLY_FAIL)
        _exit(status);
    if (why && status == 0)
        die(EXIT_IO, "standard output: %s", strerror(why));
    end_like(status);
}

/* Returns if the compiler shall be run here, with the reason if that is a failure of ours. */
static const char *ask_agent(const struct call *call)
{
    struct places at;
    char directory[PATH_MAX];
    size_t length;
    unsigned char *request = write_request(call, &length);
    if (!request)
        return "the call can't be described to the agent";
    find_places(&at, directory, sizeof directory);
    if (!is_private(directory))
        return "the runtime directory is not ours alone";
    int fd = reach_agent(&at);
    if (fd < 0)
        return "the agent can't be reached or started";
    if (send_request(fd, request, length) && obey(fd))
        return NULL;
    close(fd);
    return "the agent failed";
}

static int is_set(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] && strcmp(value, "0") != 0;
}

static int compiles(char **argv)
{
    for (; *argv; argv++)
        if (strcmp(*argv, "-c") == 0 || strcmp(*argv, "-S") == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    struct call call = {.flags = 0};
    if (argc < 1)
        die(EXIT_GENERAL, "called without a name");
    find_messages();
    find_myself(argv[0]);
    if (argc > 1 && is_one_of(base_name(argv[0]), own_names)) {
        if (strcmp(argv[1], "--zdistcc-launcher") == 0)
            return puts("native " ZDISTCC_VERSION) < 0;
        if (strcmp(argv[1], "--zdistcc-socket-path") == 0) {
            struct places at;
            char directory[PATH_MAX];
            find_places(&at, directory, sizeof directory);
            return puts(at.socket) < 0;
        }
    }
    if (!understand(argc, argv, &call))
        run_cli(argc, argv);
    find_compiler(&call);
    if (is_set("ZDISTCC_DISABLE") || getenv(GUARD) || getenv("_DISTCC_SAFEGUARD") || getuid() != geteuid())
        run_compiler(&call);
    const char *why = ask_agent(&call);
    const char *fallback = getenv(is_set("ZDISTCC_FALLBACK") || !getenv("DISTCC_FALLBACK") ? "ZDISTCC_FALLBACK"
                                                                                           : "DISTCC_FALLBACK");
    if (why && fallback && strcmp(fallback, "0") == 0 && compiles(call.argv))
        die(EXIT_CONNECT, "%s, and ZDISTCC_FALLBACK=0 forbids to compile here", why);
    run_compiler(&call);
}
