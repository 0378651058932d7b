/* What differs between compilers and machines, in one place. */
#ifndef TOOLBOX_CONFIG_H
#define TOOLBOX_CONFIG_H

#if defined(__GNUC__) || defined(__clang__)
#define TOOLBOX_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define TOOLBOX_LIKELY(x) __builtin_expect(!!(x), 1)
#else
#define TOOLBOX_PRINTF(text, first)
#define TOOLBOX_LIKELY(x) (x)
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define TOOLBOX_BIG_ENDIAN 1
#else
#define TOOLBOX_BIG_ENDIAN 0
#endif

#ifdef __cplusplus
#define TOOLBOX_BEGIN extern "C" {
#define TOOLBOX_END }
#else
#define TOOLBOX_BEGIN
#define TOOLBOX_END
#endif

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#endif
