/* Runs a list of commands, so many at once, and says how long they took: the build tool that costs least.
 *
 *     replay JOBS AT-ONCE [--instead PROGRAM] [--ends FILE] [PREFIX...]
 *
 * JOBS holds, for each command, its working directory and its words, each ended by NUL, and one more NUL.  --instead
 * replaces a command's program, PREFIX goes before it.  --ends writes the time (s of the monotonic clock) and wait
 * status of each command to FILE as it ends, after a line for the start.  Prints wall time (s), failures, and each command's time
 * from start to end (us), in the order in which they ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORDS = 2048 };

struct job {
    pid_t pid;
    double begun;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *slurp(const char *path, size_t *size)
{
    struct stat status;
    int in = open(path, O_RDONLY);
    if (in < 0 || fstat(in, &status) != 0)
        exit(2);
    char *data = malloc((size_t)status.st_size + 1);
    if (!data || read(in, data, (size_t)status.st_size) != status.st_size)
        exit(2);
    close(in);
    *size = (size_t)status.st_size;
    return data;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    size_t size;
    char *next = slurp(argv[1], &size), *const end = next + size;
    int at_once = atoi(argv[2]), prefix = 3, running = 0, failed = 0;
    const char *instead = NULL;
    FILE *ends = NULL;
    for (; argc > prefix + 1 && strncmp(argv[prefix], "--", 2) == 0; prefix += 2) {
        if (strcmp(argv[prefix], "--instead") == 0)
            instead = argv[prefix + 1];
        else if (strcmp(argv[prefix], "--ends") != 0 || !(ends = fopen(argv[prefix + 1], "we")))
            return 2;
    }
    struct job *jobs = calloc((size_t)at_once, sizeof *jobs);
    double begun = now();
    if (ends && (fprintf(ends, "%.6f 0\n", begun) < 0 || fflush(ends) != 0))
        return 2;
    while (next < end || running) {
        if (next < end && running < at_once) {
            char *words[MAX_WORDS], *cwd = next;
            int count = 0;
            for (; prefix + count < argc; count++)
                words[count] = argv[prefix + count];
            int program = count;
            for (next += strlen(next) + 1; *next && count < MAX_WORDS - 1; next += strlen(next) + 1)
                words[count++] = next;
            next++;
            words[count] = NULL;
            if (instead)
                words[program] = (char *)instead;
            struct job *job = jobs;
            while (job->pid)
                job++;
            job->begun = now();
            job->pid = vfork();
            if (job->pid == 0) {
                if (chdir(cwd) == 0)
                    execvp(words[0], words);
                _exit(127);
            }
            running++;
            continue;
        }
        int status;
        pid_t ended = wait(&status);
        for (struct job *job = jobs; job < jobs + at_once; job++)
            if (job->pid == ended) {
                job->pid = 0;
                running--;
                failed += status != 0;
                printf("%.0f\n", (now() - job->begun) * 1e6);
                if (ends && (fprintf(ends, "%.6f %d\n", now(), status) < 0 || fflush(ends) != 0))
                    return 2;
            }
    }
    printf("wall %.6f\nfailed %d\n", now() - begun, failed);
    return 0;
}
