#include "toolbox/check.h"
#include "toolbox/text.h"

/* Match one character against a bracket expression; *pattern stands behind '[' and is moved behind ']'. */
static int match_set(const char **pattern, char c)
{
    const char *at = *pattern;
    int negated = *at == '!', found = 0;
    at += negated;
    do {
        if (*at == '\0')
            return -1;
        char first = *at++, last = first;
        if (at[0] == '-' && at[1] != ']' && at[1] != '\0') {
            last = at[1];
            at += 2;
        }
        found |= first <= c && c <= last;
    } while (*at != ']');
    *pattern = at + 1;
    return found != negated;
}

int glob_match(const char *pattern, const char *text)
{
    /* Only the last star can need another try: what earlier ones took stays right. */
    const char *star = NULL, *retry = NULL;
    for (;;) {
        const char *next = pattern;
        int matches;
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
            continue;
        }
        if (*text == '\0' && *pattern == '\0')
            return 1;
        switch (*next) {
        case '\0':
            matches = 0;
            break;
        case '?':
            matches = *text != '\0';
            next++;
            break;
        case '[':
            next++;
            matches = *text != '\0' && match_set(&next, *text) == 1;
            break;
        default:
            if (*next == '\\' && next[1] != '\0')
                next++;
            matches = *next++ == *text && *text != '\0';
        }
        if (matches) {
            pattern = next;
            text++;
        } else if (star != NULL && *retry != '\0') {
            pattern = star;
            text = ++retry;
        } else {
            return 0;
        }
    }
}

void check_glob(void)
{
    static const struct {
        const char *pattern, *text;
        int matches;
    } cases[] = {
        {"", "", 1},           {"", "a", 0},         {"*", "", 1},           {"*", "anything", 1},
        {"?", "", 0},          {"?", "x", 1},        {"a*c", "abbbc", 1},    {"a*c", "abbbd", 0},
        {"*.c", "main.c", 1},  {"*.c", "main.cc", 0}, {"**a**", "bab", 1},   {"a*b*c*d", "a1b2c3d", 1},
        {"[a-c]x", "bx", 1},   {"[a-c]x", "dx", 0},  {"[!a-c]x", "dx", 1},   {"[!a-c]x", "ax", 0},
        {"[]]", "]", 1},       {"[a", "a", 0},       {"\\*", "*", 1},        {"\\*", "x", 0},
        {"*ab*ab", "abab", 1}, {"*ab*ab", "ab", 0},  {"[a-]", "-", 1},       {"a?[0-9]", "ab7", 1},
        {"*aaaa*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        CHECK(glob_match(cases[i].pattern, cases[i].text) == cases[i].matches);
}
