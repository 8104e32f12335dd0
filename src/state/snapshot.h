/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.h - the form of a snapshot of one shard, for the files that write and read it.
 *
 * What stands in the blocks of stream.h, one after the other:
 *
 *     head     "SBSHARD" NUL | format (u16) | shard (u16) | hash seed (u64) | states (u16)
 *     state    name | kind (u8) | flags (u8, SB_SNAP_...) | with a struct, or rows of a table: its
 *              field table (layout.h)
 *     rows     see below, of the states in order; keys of a state in order of (size, bytes)
 *     end      SB_SNAP_END | rows (u64)
 *
 *     SB_SNAP_KEY     state (u16) | key size (u32) | key | then, by kind:
 *                     value, reducing, aggregating: [time (i64)] | value
 *                     list: [time] | elements (u64) | that many values
 *                     map: nothing; its entries follow, in byte order
 *     SB_SNAP_ENTRY   key size (u32) | key | [time] | value
 *     SB_SNAP_TIMER   state (u16) | time (i64) | key size (u32) | key; in order of (time, key)
 *
 *     value           with a struct: its packed fields; without: size (u32) | bytes, or a row
 *     [time]          with SB_SNAP_HAS_TIME only: the last refresh
 *
 * Names and tables make it readable without the app. The same state gives the same bytes, whichever
 * backend held it. Expired entries are left out. */
#ifndef SB_STATE_SNAPSHOT_H
#define SB_STATE_SNAPSHOT_H

#include "state/layout.h"

enum { SB_SNAP_FORMAT = 1 };

enum sb_snap_flags {
    SB_SNAP_HAS_TIME = 1,
    SB_SNAP_HAS_STRUCT = 2,
    SB_SNAP_HAS_ROWS = 8, /* bytes that are packed records (row.h); 4 is of images */
};

enum sb_snap_row { SB_SNAP_END = 0, SB_SNAP_KEY = 1, SB_SNAP_ENTRY = 2, SB_SNAP_TIMER = 3 };

#define SB_SNAP_MAGIC "SBSHARD"

#endif
