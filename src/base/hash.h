/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - the hashes Sabot stores or shares with others; equal on every machine.
 *
 * sb_hash is XXH3-64 (xxHash, Y. Collet): keys to shards and index slots. The seed is kept in the
 * state's metadata, so that a key finds its shard again after a restart. sb_murmur2 is Kafka's
 * partitioner (org.apache.kafka.common.utils.Utils.murmur2): keys to partitions. */
#ifndef SB_BASE_HASH_H
#define SB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { SB_SHARD_COUNT = 128 }; /* shards of a keyed operator; fixed in every checkpoint */

uint64_t sb_hash(const void *bytes, size_t size, uint64_t seed);
/* The same of bytes that come in pieces; seed 0. */
struct sb_hasher {
    _Alignas(64) uint8_t opaque[640];
};
void sb_hasher_init(struct sb_hasher *hasher);
void sb_hasher_add(struct sb_hasher *hasher, const void *bytes, size_t size);
uint64_t sb_hasher_result(const struct sb_hasher *hasher);

uint64_t sb_hash_int64(int64_t value, uint64_t seed); /* of the 8 bytes, little-endian */

/* The shard of a hash: its highest 7 bits; the index inside of a shard uses the lower ones. */
static inline uint32_t sb_hash_shard(uint64_t hash)
{
    return (uint32_t)(hash >> 57);
}

uint32_t sb_murmur2(const void *bytes, size_t size);
/* Kafka's partition of a key: (murmur2 & 0x7fffffff) % partition_count. */
int32_t sb_partition_of_key(const void *key, size_t size, int32_t partition_count);

#endif
