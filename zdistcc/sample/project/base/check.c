#include "toolbox/check.h"

#include <assert.h>
#include <stdio.h>

static check_totals totals;

void check_begin(const char *module)
{
    totals.module = module;
    totals.passed = 0;
    totals.failed = 0;
}

int check_note(int ok, const char *what, const char *file, int line)
{
    assert(totals.module != NULL);
    if (ok) {
        totals.passed++;
    } else {
        totals.failed++;
        fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, totals.module, what);
    }
    return ok;
}

check_totals check_end(void)
{
    check_totals done = totals;
    totals.module = NULL;
#ifdef TOOLBOX_TRACE
    fprintf(stderr, "%s: %u passed, %u failed\n", done.module, done.passed, done.failed);
#endif
    return done;
}
