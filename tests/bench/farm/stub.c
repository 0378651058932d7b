/* A compiler that makes its object at once: what a farm costs beside the compiling.
 *
 * Built with STUB_OBJECT (file whose bytes are the object), STUB_SLEEP_US, STUB_BURN_US (CPU time), and STUB_REAL / STUB_NAME (a copy of the
 * real compiler and the name it is called by).  A compile (`-c`) waits, writes the object to `-o` and a small rule to
 * `-MF`.  Everything else (probes, preprocessing, links) and the trials of compilers, whose sources are called canary,
 * go to the real compiler.  Standard input is read to its end when it is the source ("-").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef STUB_BURN_US
#define STUB_BURN_US 0
#endif

__asm__(".section .rodata\n"
        ".global stub_object\nstub_object:\n.incbin \"" STUB_OBJECT "\"\n"
        ".global stub_object_end\nstub_object_end:\n.byte 0\n.previous\n");
extern const char stub_object[], stub_object_end[];

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int is_source(const char *word)
{
    const char *dot = strrchr(word, '.');
    static const char *const endings[] = {".c", ".cc", ".cpp", ".cxx", ".i", ".ii"};
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0)
            return word[0] != '-';
    return strcmp(word, "-") == 0;
}

static void put(const char *path, const char *data, size_t size)
{
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    while (out >= 0 && size) {
        ssize_t done = write(out, data, size);
        if (done < 0 && errno != EINTR)
            break;
        if (done > 0)
            data += done, size -= (size_t)done;
    }
    if (out < 0 || size || close(out) != 0) {
        perror(path);
        exit(1);
    }
}

static void call_real(char **argv)
{
    if (*STUB_REAL) {
        argv[0] = (char *)STUB_NAME;
        execv(STUB_REAL, argv);
        perror(STUB_REAL);
        exit(127);
    }
}

int main(int argc, char **argv)
{
    const char *output = NULL, *rules = NULL, *source = NULL;
    int compiles = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0)
            compiles = 1;
        else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            output = argv[++i];
        else if (strcmp(argv[i], "-MF") == 0 && i + 1 < argc)
            rules = argv[++i];
        else if (strcmp(argv[i], "-x") == 0 && i + 1 < argc)
            i++;
        else if (is_source(argv[i]))
            source = argv[i];
    }
    if (!compiles || !source || strncmp(base_name(source), "canary", 6) == 0) {
        call_real(argv);
        return 0; /* no real compiler to be asked (inside an environment of icecream): all is well */
    }
    if (strcmp(source, "-") == 0)
        for (char buffer[65536]; read(0, buffer, sizeof buffer) > 0;)
            ;
    if (STUB_SLEEP_US) {
        struct timespec pause = {STUB_SLEEP_US / 1000000, STUB_SLEEP_US % 1000000 * 1000L};
        nanosleep(&pause, NULL);
    }
    for (struct timespec used = {0, 0}; used.tv_sec * 1000000 + used.tv_nsec / 1000 < STUB_BURN_US;)
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    char name[4096];
    if (!output) {
        snprintf(name, sizeof name, "%.4000s", base_name(source));
        strcpy(strrchr(name, '.'), ".o");
        output = name;
    }
    put(output, stub_object, (size_t)(stub_object_end - stub_object));
    if (rules) {
        char text[8300];
        int length = snprintf(text, sizeof text, "%.4000s: %.4000s\n", output, source);
        put(rules, text, (size_t)length);
    }
    return 0;
}
