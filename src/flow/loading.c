/* SPDX-License-Identifier: Apache-2.0 */
/* loading.c - where a partition ended when the run began; loading.h has the rules. */
#include "flow/loading.h"

bool sb_loading_done(struct sb_loading *loading,
                     const struct sb_port *port,
                     const struct sb_reader *reader,
                     uint32_t index,
                     bool is_over)
{
    struct sb_reader_position at;
    int64_t lag;

    if (is_over)
        return true;
    port->type->position(reader, index, &at);
    if (!loading->known) {
        lag = port->type->lag(reader, index);
        if (lag < 0 || !port->type->connected(port->channel))
            return false;
        *loading = (struct sb_loading){.known = true, .end = at.offset + lag};
    }
    return at.offset >= loading->end;
}
