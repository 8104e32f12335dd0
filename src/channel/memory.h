/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - the embedded log: the broker of a run without a broker, and of the simulator.
 *
 *     memory:NAME?partitions=4&bytes=64MiB        `memory:` alone is the channel's own name
 *
 * One log per run is shared by all of its memory channels; channels of one name are one topic, and
 * what was written stays when they are closed. It has a broker's semantics, those of Kafka:
 * partitions, offsets, keys to partitions by murmur2, groups as namespaces of committed offsets,
 * and transactions with fencing, read as "committed" only. A mark of a commit or abort takes an
 * offset of its own. The partitions of a topic are settled when the first of its channels is
 * prepared: as many as any of their URLs says, else 1.
 *
 * Bounds. `bytes` (else the buffer of the configuration, else 64 MiB) is the memory of all
 * partitions of a topic, an equal share each. A full partition drops its oldest segment, unless
 * somebody still needs it: then its writers are told SABOT_AGAIN, and woken when there is room. Who
 * needs it:
 *   - an open reader, from its position on, until it is closed or stopped or, with until_end, at
 *     its end: a plain reader without a group holds its writers back as well;
 *   - a group, from its committed offset of that partition on. It exists there from its first
 *     commit, whether anybody reads on its behalf or not, as long as the log; that is what a
 *     restart needs. A transaction that is still open counts for nothing yet.
 * With none of them the oldest goes. When everything readable was read, and only an open
 * transaction keeps the rest from being readable, all wait for that one: so it may go over the
 * bound, until its own records would fill the partition. Then a write is SABOT_ERR_LIMIT.
 *
 * The end. The log knows its open writers. A topic that had one and has none left has ended: its
 * readers get SABOT_END behind the last record (and behind every transaction that is still open).
 * One that never had a writer has not ended. A new writer opens an ended topic again.
 *
 * Ownership: the log outlives its channels. Threads: any; channels as in channel.h. */
#ifndef SB_CHANNEL_MEMORY_H
#define SB_CHANNEL_MEMORY_H

#include "channel/channel.h"

SABOT_MUST_CHECK sabot_status sb_log_create(const struct sb_env *env,
                                            struct sb_log **log_out,
                                            sabot_error *error);
void sb_log_destroy(struct sb_log *log); /* all of its channels are closed */

#endif
