/* Encodings and compression. */
#ifndef TOOLBOX_PACK_H
#define TOOLBOX_PACK_H

#include "base.h"

TOOLBOX_BEGIN

void base64_encode(strbuf *out, const void *data, size_t length);
/* Returns 0 and leaves out as it was if the text is not base64. */
int base64_decode(strbuf *out, const char *text, size_t length);

void rle_pack(strbuf *out, const void *data, size_t length);
int rle_unpack(strbuf *out, const void *data, size_t length);

void lz_pack(strbuf *out, const void *data, size_t length);
int lz_unpack(strbuf *out, const void *data, size_t length);

void huffman_pack(strbuf *out, const void *data, size_t length);
int huffman_unpack(strbuf *out, const void *data, size_t length);

TOOLBOX_END

#endif
