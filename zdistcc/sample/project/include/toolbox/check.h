/* Self-checks: every module has a function check_MODULE() that is listed in checks.def. */
#ifndef TOOLBOX_CHECK_H
#define TOOLBOX_CHECK_H

#include "config.h"

TOOLBOX_BEGIN

typedef struct check_totals {
    const char *module;
    unsigned passed;
    unsigned failed;
} check_totals;

/* Start counting for a module; earlier counts are forgotten. */
void check_begin(const char *module);
/* Count one result; a failure is printed. Returns ok. */
int check_note(int ok, const char *what, const char *file, int line);
check_totals check_end(void);

#define CHECK(condition) check_note((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

#define TOOLBOX_CHECK(module) void check_##module(void);
#include "checks.def"
#undef TOOLBOX_CHECK

TOOLBOX_END

#endif
