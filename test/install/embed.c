/* SPDX-License-Identifier: Apache-2.0 */
/* embed.c - a program with its own main that runs an app by the library. */
#include <sabot/sabot.h>

#include <stdio.h>

extern const sabot_app_entry numbers;

int main(void)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_config *config = sabot_config_create(&error);
    sabot_run *run = NULL;
    sabot_run_stats stats = {0};
    sabot_status status = SABOT_ERR_MEMORY;

    if (config != NULL)
        status = sabot_run_create(&numbers, config, &run, &error);
    if (status == SABOT_OK)
        status = sabot_run_start(run, &error);
    if (status == SABOT_OK)
        status = sabot_run_wait(run, -1, &error);
    if (status == SABOT_END) {
        sabot_run_get_stats(run, &stats);
        printf("sabot %s: %llu read, %llu written\n", sabot_version(),
               (unsigned long long)stats.records_read, (unsigned long long)stats.records_written);
    } else {
        fprintf(stderr, "%s: %s\n", sabot_status_name(status), error.text);
    }
    sabot_run_destroy(run);
    sabot_config_destroy(config);
    return stats.records_read == 1000 && stats.records_written == 1000 ? 0 : 1;
}
