/* SPDX-License-Identifier: Apache-2.0 */
/* reach.c - names of faults, and the labels that were come by. Labels are few: they
 * are looked for in a row.
 *
 * Memory: the caller's. Thread: one. */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"

static const char *const names[SB_SIM_FAULTS] = {
    [SB_SIM_CRASH] = "crash",     [SB_SIM_POWER] = "power",     [SB_SIM_FREEZE] = "freeze",
    [SB_SIM_STOP] = "stop",       [SB_SIM_THREADS] = "threads", [SB_SIM_SLOW] = "slow",
    [SB_SIM_LOST] = "lost",       [SB_SIM_BROKEN] = "broken",   [SB_SIM_AWAY] = "away",
    [SB_SIM_EIO] = "eio",         [SB_SIM_ENOSPC] = "enospc",   [SB_SIM_FSYNC] = "fsync",
    [SB_SIM_ROT] = "rot",         [SB_SIM_MEMORY] = "memory",   [SB_SIM_CLOCK] = "clock",
    [SB_SIM_WAKE] = "wake",       [SB_SIM_ABORTS] = "aborts",   [SB_SIM_RESET] = "reset",
    [SB_SIM_RESTORE] = "restore", [SB_SIM_OFFSETS] = "offsets", [SB_SIM_SAVE] = "save",
};

const char *sb_sim_fault_name(enum sb_sim_fault fault)
{
    return names[fault];
}

static bool find_fault(const char *name, size_t size, uint32_t *faults)
{
    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++) {
        if (strlen(names[i]) == size && strncmp(names[i], name, size) == 0) {
            *faults |= 1U << i;
            return true;
        }
    }
    return false;
}

sabot_status sb_sim_faults_parse(const char *list, uint32_t *faults_out, sabot_error *error)
{
    char known[SB_SIM_TEXT_MAX] = "";

    *faults_out = strcmp(list, "all") == 0 ? (1U << SB_SIM_FAULTS) - 1 : 0;
    if (strcmp(list, "all") == 0 || strcmp(list, "none") == 0)
        return SABOT_OK;
    for (const char *at = list; *at != '\0';) {
        const size_t size = strcspn(at, ",");

        if (!find_fault(at, size, faults_out)) {
            for (uint32_t i = 0; i < SB_SIM_FAULTS; i++)
                (void)snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                               i == 0 ? "" : ", ", names[i]);
            return sabot_raise(error, SABOT_ERR_CONFIG,
                               "faults: there is no \"%.*s\"; known are all, none, %s", (int)size,
                               at, known);
        }
        at += size;
        at += *at == ',';
    }
    return SABOT_OK;
}

void sb_sim_faults_write(uint32_t faults, char *list_out, size_t size)
{
    size_t used = 0;

    (void)snprintf(list_out, size, "none");
    for (uint32_t i = 0; i < SB_SIM_FAULTS && used < size; i++) {
        if ((faults & (1U << i)) != 0)
            used += (size_t)snprintf(list_out + used, size - used, "%s%s", used == 0 ? "" : ",",
                                     names[i]);
    }
}

struct sb_sim_label *sb_sim_reach_label(struct sb_sim_reach *reach, const char *name)
{
    struct sb_sim_label *label;

    for (uint32_t i = 0; i < reach->count; i++) {
        if (strcmp(reach->labels[i].name, name) == 0)
            return &reach->labels[i];
    }
    SB_ASSERT(reach->count < SB_SIM_LABELS_MAX);
    SB_ASSERT(strlen(name) < sizeof label->name);
    label = &reach->labels[reach->count++];
    *label = (struct sb_sim_label){.hits = 0};
    (void)snprintf(label->name, sizeof label->name, "%s", name);
    return label;
}
