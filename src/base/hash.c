/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - XXH3 and Kafka's murmur2.
 *
 * Both are part of what Sabot stores or shares: changing a result is a change of format.
 * xxHash comes from its header, whole, so that no library is needed when Sabot runs. */
#include "base/hash.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wswitch-enum"
#define XXH_INLINE_ALL
#include <xxhash.h>
#pragma GCC diagnostic pop

uint64_t sb_hash(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct sb_hasher), "room for the state");

void sb_hasher_init(struct sb_hasher *hasher)
{
    (void)XXH3_64bits_reset((XXH3_state_t *)(void *)hasher->opaque);
}

void sb_hasher_add(struct sb_hasher *hasher, const void *bytes, size_t size)
{
    (void)XXH3_64bits_update((XXH3_state_t *)(void *)hasher->opaque, bytes, size);
}

uint64_t sb_hasher_result(const struct sb_hasher *hasher)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)hasher->opaque);
}

uint64_t sb_hash_int64(int64_t value, uint64_t seed)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    return XXH3_64bits_withSeed(bytes, sizeof bytes, seed);
}

uint32_t sb_murmur2(const void *bytes, size_t size)
{
    const uint32_t multiplier = 0x5bd1e995;
    const uint8_t *data = bytes;
    /* Kafka hashes with the length as an int. */
    uint32_t hash = 0x9747b28cU ^ (uint32_t)size;

    for (; size >= 4; data += 4, size -= 4) {
        uint32_t word = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                        (uint32_t)data[3] << 24;

        word *= multiplier;
        word ^= word >> 24;
        word *= multiplier;
        hash *= multiplier;
        hash ^= word;
    }
    if (size >= 3)
        hash ^= (uint32_t)data[2] << 16;
    if (size >= 2)
        hash ^= (uint32_t)data[1] << 8;
    if (size >= 1) {
        hash ^= data[0];
        hash *= multiplier;
    }
    hash ^= hash >> 13;
    hash *= multiplier;
    hash ^= hash >> 15;
    return hash;
}

int32_t sb_partition_of_key(const void *key, size_t size, int32_t partition_count)
{
    return (int32_t)(sb_murmur2(key, size) & 0x7fffffffU) % partition_count;
}
